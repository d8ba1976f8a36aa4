# SPDX-License-Identifier: Apache-2.0
"""Images made from images without an engine: append, mutate, rebase, flatten, export."""
import hashlib
import io
import json
import os
import secrets
import subprocess
import tarfile

import pytest

from lib import images


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(*entries):
    """entries: (name, bytes), (name, "->", target) for a symlink, (name, "=", target) for a hard link, (name/,)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, *rest in entries:
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mtime = 1700000000
            data = None
            if name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, rest[0] if rest else 0o755
            elif len(rest) == 2:
                info.type, info.linkname = (tarfile.SYMTYPE if rest[0] == "->" else tarfile.LNKTYPE), rest[1]
            else:
                data, info.size = io.BytesIO(rest[0]), len(rest[0])
                info.pax_headers = {"SCHILY.xattr.user.note": "kept"} if name == "noted" else {}
            tar.addfile(info, data)
    return out.getvalue()


@pytest.fixture
def kist(program, tmp_root):
    def run(*args, check=True, text=True):
        env = dict(os.environ, HOME=str(tmp_root), DOCKER_HOST=f"unix://{tmp_root}/none.sock", TMPDIR=str(tmp_root))
        done = subprocess.run(
            [program("kist"), "image", *map(str, args)], capture_output=True, text=text, env=env, timeout=120, cwd=tmp_root
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def layout(tmp_root):
    return images.Layout(tmp_root / "in")


LOWER = layer(
    ("etc/",), ("etc/kept", b"1"), ("etc/changed", b"old"), ("etc/gone", b"x"), ("dir/",), ("dir/below", b"x"), ("noted", b"n"),
    ("emptied/",), ("emptied/a", b"a"), ("emptied/sub/",), ("emptied/sub/b", b"b"), ("becomes-file/",), ("becomes-file/x", b"x"),
    ("first", b"content"), ("second", "=", "first"), ("link", "->", "etc/kept"),
)  # fmt: skip
UPPER = layer(
    ("etc/", 0o700), ("etc/changed", b"new"), ("etc/.wh.gone", b""), (".wh.dir", b""), ("emptied/",), ("emptied/.wh..wh..opq", b""),
    ("emptied/c", b"c"), ("becomes-file", b"file"), (".wh.first", b""), ("third", "=", "etc/kept"),
)  # fmt: skip
WANT = {
    "etc": 0o700, "etc/kept": b"1", "etc/changed": b"new", "noted": b"n", "emptied": 0o755, "emptied/c": b"c",
    "becomes-file": b"file", "second": b"content", "third": b"1", "link": "etc/kept",
}  # fmt: skip


def content(data):
    """What a tar unpacks to; each name once."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            assert info.name not in found and ".wh." not in info.name, info.name
            if info.isdir():
                found[info.name] = info.mode
            elif info.issym():
                found[info.name] = info.linkname
            else:
                found[info.name] = found[info.linkname] if info.islnk() else tar.extractfile(info).read()
            if info.name == "noted":
                assert info.pax_headers["SCHILY.xattr.user.note"] == "kept"
    return found


def test_export_is_what_the_layers_show(kist, layout, tmp_root):
    layout.add_image("x", [LOWER, UPPER])
    assert content(kist("export", "oci:in:x", text=False).stdout) == WANT
    kist("export", "oci:in:x", "out.tar")
    assert content((tmp_root / "out.tar").read_bytes()) == WANT


def test_an_engine_shows_the_same(daemon, tmp_root):
    """What a container sees of the layers is what export says of them."""
    images.Layout(tmp_root / "in").add_image("x", [LOWER, UPPER])
    daemon.kist("image", "copy", f"oci:{tmp_root}/in:x", "merged:1")
    daemon.kist("create", "--name", "made", "merged:1", "true")
    daemon.kist("export", "-o", tmp_root / "c.tar", "made")
    with tarfile.open(tmp_root / "c.tar") as tar:
        names = {info.name.rstrip("/") for info in tar}
    assert names - {"dev", "proc", "sys", ".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "dev/pts",
                    "dev/shm", "dev/console"} == set(WANT)  # fmt: skip


def test_flatten(kist, layout, tmp_root):
    layout.add_image("x", [LOWER, UPPER])
    digest = kist("flatten", "oci:in:x", "-t", "oci:out:flat").stdout.strip()
    manifest = json.loads(kist("manifest", "oci:out:flat").stdout)
    assert len(manifest["layers"]) == 1 and sha(kist("manifest", "oci:out:flat").stdout.encode()) == digest
    assert "PASS" in kist("validate", "oci:out:flat").stdout
    assert content(kist("export", "oci:out:flat", text=False).stdout) == WANT
    # The same work gives the same bytes.
    assert kist("flatten", "oci:in:x", "-t", "dir:again").stdout.strip() == digest


def test_append_and_mutate(kist, layout, registry, tmp_root):
    layout.add_image("x", [LOWER])
    (tmp_root / "plain.tar").write_bytes(UPPER)
    packed = __import__("gzip").compress(layer(("top", b"t")), mtime=0)
    (tmp_root / "packed.tgz").write_bytes(packed)
    target = f"{registry.address}/append-{secrets.token_hex(6)}:1"
    kist("append", "oci:in:x", "-f", "plain.tar", "-f", "packed.tgz", "-t", target)
    manifest = json.loads(kist("manifest", target).stdout)
    config = json.loads(kist("config", target).stdout)
    assert manifest["layers"][2]["digest"] == sha(packed)
    assert config["rootfs"]["diff_ids"] == [sha(LOWER), sha(UPPER), sha(layer(("top", b"t")))]
    assert "PASS" in kist("validate", target).stdout
    kist("mutate", target, "-e", "A=1", "-e", "PATH=/x", "-l", "who=us", "-a", "note=here", "--entrypoint", "/bin/e", "--clear-cmd",
         "-u", "7:8", "-w", "/w", "--expose", "80", "--expose", "53/udp", "--set-platform", "linux/arm64/v8")  # fmt: skip
    config = json.loads(kist("config", "--platform", "linux/arm64", target).stdout)
    run = config["config"]
    assert run["Env"] == ["PATH=/x", "A=1"] and run["Labels"] == {"who": "us"} and run["Entrypoint"] == ["/bin/e"]
    assert not run.get("Cmd") and run["User"] == "7:8" and run["WorkingDir"] == "/w" and config["architecture"] == "arm64"
    assert sorted(run["ExposedPorts"]) == ["53/udp", "80/tcp"]
    after = json.loads(kist("manifest", target).stdout)
    assert after["annotations"] == {"note": "here"} and after["layers"] == manifest["layers"]
    for bad in (["-e", "novalue"], ["--expose", "http"], ["-l", "=x"], ["--set-platform", "a/b/c/d/e"]):
        run = kist("mutate", target, *bad, check=False)
        assert run.returncode == 1 and run.stderr
    assert json.loads(kist("manifest", target).stdout) == after


def test_rebase(kist, layout):
    top = layer(("app", b"app"))
    layout.add_image("old", [LOWER])
    layout.add_image("new", [LOWER, layer(("fixed", b"cve"))])
    layout.add_image("app", [LOWER, top])
    kist("rebase", "oci:in:app", "--old-base", "oci:in:old", "--new-base", "oci:in:new", "-t", "oci:out:app")
    found = content(kist("export", "oci:out:app", text=False).stdout)
    assert found["app"] == b"app" and found["fixed"] == b"cve" and found["etc/kept"] == b"1"
    config = json.loads(kist("config", "oci:out:app").stdout)
    assert len(config["rootfs"]["diff_ids"]) == 3 == len(config["history"]) and "PASS" in kist("validate", "oci:out:app").stdout
    wrong = kist("rebase", "oci:in:old", "--old-base", "oci:in:app", "--new-base", "oci:in:new", "-t", "oci:out:z", check=False)
    assert wrong.returncode == 1 and "is not built on" in wrong.stderr
    silent = kist("rebase", "oci:in:app", check=False)
    assert silent.returncode == 1 and "--old-base" in silent.stderr


BROKEN = {
    "a link to nothing": layer(("a", "=", "nowhere")),
    "links in a ring": layer(("a", "=", "b"), ("b", "=", "a")),
    "no tar at all": os.urandom(2048),
    "cut short": LOWER[:700],
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_layers(kist, layout, tmp_root, kind):
    layout.add_image("x", [BROKEN[kind]])
    for args in (["export", "oci:in:x", "out.tar"], ["flatten", "oci:in:x", "-t", "oci:out:x"]):
        run = kist(*args, check=False)
        assert run.returncode == 1 and run.stderr, args
    assert not (tmp_root / "out.tar").exists() and not (tmp_root / "out/index.json").exists()
