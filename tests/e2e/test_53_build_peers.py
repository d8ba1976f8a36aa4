# SPDX-License-Identifier: Apache-2.0
"""The same Dockerfiles built by kist and by Debian's buildah: the same files and the same config."""
import hashlib
import io
import json
import subprocess
import tarfile

import pytest

from lib import needs
from lib.dockerfiles import DOCKERFILES, FILES, IGNORE, LINKS

PACKED = {"pack.tar": "w", "pack.tar.gz": "w:gz", "pack.tar.bz2": "w:bz2", "pack.tar.xz": "w:xz"}
# Under the sanitizers, which make every program slow, a few are enough.
FEW = ("config", "run", "removals", "copy", "stages", "add", "quotes", "copy wildcards", "chown by name", "run with links")


def packed(mode):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as tar:
        for name, mode, owner in (("sub/file", 0o640, 7), ("sub/other", 0o755, 0)):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.gid = 4, mode, owner, owner
            tar.addfile(info, io.BytesIO(b"data"))
    return data.getvalue()


def remove(tree, path):
    for known in [name for name in tree if name == path or name.startswith(path + "/")]:
        del tree[known]


def apply_layer(tree, layer):
    with tarfile.open(fileobj=layer) as tar:
        members = [(entry, entry.name.removeprefix("./").strip("/")) for entry in tar]
        for entry, path in members:
            folder, _, name = path.rpartition("/")
            hidden = f"{folder}/{name[4:]}" if folder else name[4:]
            if name == ".wh..wh..opq":
                for known in [item for item in tree if item.startswith(folder + "/")]:
                    del tree[known]
            elif name.startswith(".wh."):
                remove(tree, hidden)
        for entry, path in members:
            if not path or path.rpartition("/")[2].startswith(".wh."):
                continue
            if entry.islnk():
                tree[path] = tree[entry.linkname.removeprefix("./").strip("/")]
                continue
            content = hashlib.sha256(tar.extractfile(entry).read()).hexdigest() if entry.isreg() else entry.linkname
            if not entry.isdir():
                remove(tree, path)
            tree[path] = (entry.type, oct(entry.mode & 0o7777), entry.uid, entry.gid, content)


def load(archive):
    """(files, config) of the one image in an archive of docker's form."""
    tree = {}
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]
        config = json.load(tar.extractfile(manifest["Config"]))
        for name in manifest["Layers"]:
            apply_layer(tree, io.BytesIO(tar.extractfile(name).read()))
    return tree, config


# Where builders mount things, they leave places of their own.
MOUNTED = ("proc", "sys", "dev", "run", "etc/hosts", "etc/hostname", "etc/resolv.conf", "var/run")
COMPARED = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "Volumes", "StopSignal", "Shell")


def files_of(tree):
    return {path: what for path, what in tree.items() if not any(path == m or path.startswith(m + "/") for m in MOUNTED)}


@pytest.fixture(scope="module")
def peers(shared_daemon, registry, session_root):
    needs.programs("buildah")
    storage = ["--root", str(session_root / "buildah"), "--runroot", str(session_root / "buildah-run")]
    buildah = ["buildah", *storage, "--storage-driver", "vfs"]

    def both(context, out):
        shared_daemon.kist("build", "-q", "-t", "peer:kist", context)
        shared_daemon.docker("save", "-o", out / "kist.tar", "peer:kist")
        subprocess.run(
            [*buildah, "bud", "--isolation", "chroot", "--format", "docker", "--tls-verify=false", "--network", "host",
             "-q", "-t", "peer:buildah", str(context)],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        subprocess.run(
            [*buildah, "push", "-q", "peer:buildah", f"docker-archive:{out}/buildah.tar"],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        return load(out / "kist.tar"), load(out / "buildah.tar")

    yield both, f"{registry.address}/busybox:latest"


def fill(context):
    for path, content in FILES.items():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        (context / path).write_text(content)
    for path, target in LINKS.items():
        (context / path).symlink_to(target)
    (context / "script.sh").chmod(0o755)
    (context / ".dockerignore").write_text(IGNORE)
    for path, mode in PACKED.items():
        (context / path).write_bytes(packed(mode))


@pytest.mark.parametrize("name", sorted(DOCKERFILES))
def test_same_as_buildah(peers, tmp_path, sanitized, name):
    both, base = peers
    if sanitized and name not in FEW:
        pytest.skip("without the sanitizers")
    context = tmp_path / "context"
    fill(context)
    (context / "Dockerfile").write_bytes(DOCKERFILES[name].replace("BASE", base).encode())
    (ours, our_config), (theirs, their_config) = both(context, tmp_path)
    ours, theirs = files_of(ours), files_of(theirs)
    assert {k: (ours.get(k), theirs.get(k)) for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)} == {}
    # Nothing and the root are one working directory.
    their_config["config"]["WorkingDir"] = their_config["config"].get("WorkingDir") or "/"
    our_config["config"]["WorkingDir"] = our_config["config"].get("WorkingDir") or "/"
    for key in COMPARED:
        assert (our_config["config"].get(key) or None) == (their_config["config"].get(key) or None), key
    labels = dict(their_config["config"].get("Labels") or {})
    labels.pop("io.buildah.version", None)
    assert (our_config["config"].get("Labels") or {}) == labels
