# SPDX-License-Identifier: Apache-2.0
"""save and load: archives that others read, archives of others, and archives that are wrong."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

import docker
import pytest

from lib.daemon import Daemon
from lib.images import Layout, digest
from lib_store import stray
from lib_store import tar_of as tar_with


@pytest.fixture(scope="module")
def loaded(shared_daemon, registry):
    """The shared daemon with busybox, under the name `bb`."""
    shared_daemon.docker("pull", "-q", f"{registry.address}/busybox:1")
    shared_daemon.docker("tag", f"{registry.address}/busybox:1", "bb")
    return shared_daemon


def read_tar(path):
    with tarfile.open(path) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isreg()}


def make_tar(files):
    """files: name -> bytes, or ("link", target), or ("fifo",)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, value in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(value, tuple):
                info.type = {"link": tarfile.SYMTYPE, "fifo": tarfile.FIFOTYPE}[value[0]]
                info.linkname = value[1] if len(value) > 1 else ""
                tar.addfile(info)
            else:
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
    return out.getvalue()


def image_files(layers, names=("x:1",), **lies):
    """An archive as old docker wrote them: <id>/layer.tar, <config>.json, manifest.json."""
    config = json.dumps(
        {
            "architecture": lies.get("architecture", "amd64"),
            "os": "linux",
            "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": lies.get("diff_ids", [digest(layer) for layer in layers])},
        }
    ).encode()
    files = {f"{digest(config)[7:]}.json": config}
    paths = []
    for number, layer in enumerate(layers):
        files[f"v1id{number}/VERSION"] = b"1.0"
        files[f"v1id{number}/json"] = b"{}"
        files[f"v1id{number}/layer.tar"] = lies.get("pack", bytes)(layer)
        paths.append(f"v1id{number}/layer.tar")
    entry = {"Config": f"{digest(config)[7:]}.json", "RepoTags": list(names) or None, "Layers": paths}
    files["manifest.json"] = json.dumps([entry]).encode()
    return digest(config), files


def load(daemon, data, *args, client="docker", check=True):
    path = daemon.root / "in.tar"
    path.write_bytes(data)
    return getattr(daemon, client)("load", "-i", str(path), *args, check=check)


# ---- save ----


@pytest.mark.parametrize("client", ["docker", "kist"])
def test_archive_is_dockers_and_an_oci_layout(loaded, client):
    loaded.docker("tag", "bb", "other/name:2")
    path = loaded.root / f"{client}.tar"
    getattr(loaded, client)("save", "-o", str(path), "bb", "other/name:2")
    files = read_tar(path)
    image = loaded.inspect("bb")
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    for name, data in files.items():
        if name.startswith("blobs/"):
            assert digest(data) == "sha256:" + name.split("/")[2]
    [entry] = json.loads(files["manifest.json"])
    assert entry["RepoTags"] == ["bb:latest", "other/name:2"]
    assert entry["Config"] == "blobs/sha256/" + image["Id"][7:]
    assert list(entry["LayerSources"]) == image["RootFS"]["Layers"]
    index = json.loads(files["index.json"])
    assert [m["annotations"]["io.containerd.image.name"] for m in index["manifests"]] == [
        "docker.io/library/bb:latest",
        "docker.io/other/name:2",
    ]
    # The manifest is the one it was pulled with: what is loaded elsewhere can be pushed under the same digest.
    assert image["RepoDigests"][0].endswith(index["manifests"][0]["digest"])
    assert set(json.loads(files["repositories"])) == {"bb", "other/name"}
    loaded.docker("rmi", "other/name:2")


def test_others_read_it(loaded, tmp_root):
    """skopeo as docker-archive and as oci-archive; podman's load."""
    loaded.docker("save", "-o", str(tmp_root / "a.tar"), "bb")
    for source in (f"docker-archive:{tmp_root}/a.tar:bb:latest", f"oci-archive:{tmp_root}/a.tar:latest"):
        target = tmp_root / source.split(":")[0]
        subprocess.run(["skopeo", "copy", "-q", source, f"oci:{target}:x"], check=True, timeout=60)
        index = json.loads((target / "index.json").read_text())
        manifest = json.loads((target / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
        # (From docker's form skopeo makes a config of its own.)
        if source.startswith("oci"):
            assert manifest["config"]["digest"] == loaded.inspect("bb")["Id"]
        config = json.loads((target / "blobs/sha256" / manifest["config"]["digest"][7:]).read_text())
        assert config["rootfs"]["diff_ids"] == loaded.inspect("bb")["RootFS"]["Layers"]
    storage = ["--root", str(tmp_root / "p"), "--runroot", str(tmp_root / "r"), "--storage-driver", "vfs"]
    run = subprocess.run(
        ["podman", *storage, "load", "-q", "-i", str(tmp_root / "a.tar")], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0 and "bb:latest" in run.stdout, run.stderr


def test_save_of_what_is_not_there(loaded, tmp_path):
    run = loaded.docker("save", "-o", str(tmp_path / "x.tar"), "bb", "no/such:1", check=False)
    assert run.returncode == 1 and "No such image: no/such:1" in run.stderr
    (tmp_path / "kept").write_text("old")
    run = loaded.kist("save", "-o", str(tmp_path / "kept"), "no/such:1", check=False)
    assert run.returncode == 1 and (tmp_path / "kept").read_text() == "old"
    run = loaded.kist("save", "--platform", "linux/s390x", "-o", str(tmp_path / "y"), "bb", check=False)
    assert run.returncode == 1 and "does not provide the specified platform" in run.stderr
    assert os.listdir(tmp_path) == ["kept"]


# ---- there and back ----


def test_load_gives_the_ids_of_a_pull(tmp_root, program, loaded, registry):
    loaded.docker("save", "-o", str(tmp_root / "a.tar"), "bb", f"{registry.address}/busybox:1")
    other = Daemon(tmp_root, program)
    other.start()
    try:
        out = other.docker("load", "-i", str(tmp_root / "a.tar")).stdout
        assert out == f"Loaded image: {registry.address}/busybox:1\nLoaded image: bb:latest\n" or set(
            out.splitlines()
        ) == {f"Loaded image: {registry.address}/busybox:1", "Loaded image: bb:latest"}
        assert other.inspect("bb")["Id"] == loaded.inspect("bb")["Id"]
        assert other.docker("run", "--rm", "bb", "echo", "runs").stdout == "runs\n"
        # A pull finds it all here.
        out = other.docker("pull", f"{registry.address}/busybox:1").stdout
        assert "Already exists" in out and "Downloading" not in out
        # And it is pushed under the digest it came from.
        out = other.docker("push", f"{registry.address}/busybox:1").stdout
        assert loaded.inspect("bb")["RepoDigests"][0].split("@")[1] in out
        assert not stray(tmp_root / "d")
    finally:
        other.finish()


@pytest.mark.parametrize("pack", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("client", ["docker", "kist"])
def test_old_archives_and_compressed_ones(shared_daemon, client, pack):
    name = f"old-{client}-{pack}:1"
    layers = [tar_with(("a", "file", b"low " + pack.encode()), ("d", "dir", None)), tar_with(("b", "file", b"high"))]
    image, files = image_files(layers, [name])
    data = make_tar(files)
    if pack == "gzip":
        data = gzip.compress(data)
    if pack == "zstd":
        data = subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout
    assert f"Loaded image: {name}" in load(shared_daemon, data, client=client).stdout
    assert shared_daemon.inspect(name)["Id"] == image
    again = load(shared_daemon, data, client=client).stdout
    assert f"Loaded image: {name}" in again
    shared_daemon.docker("rmi", name)


def test_packed_layers_links_and_no_name(shared_daemon):
    """Layers that are compressed inside, a layer that is a link to another's file, an image without a name."""
    layer = tar_with(("same", "file", b"x" * 1000))
    image, files = image_files([layer, layer], [], pack=gzip.compress)
    files["v1id1/layer.tar"] = ("link", "../v1id0/layer.tar")
    out = load(shared_daemon, make_tar(files)).stdout
    assert out == f"Loaded image ID: {image}\n"
    assert shared_daemon.inspect(image)["RootFS"]["Layers"] == [digest(layer)] * 2
    shared_daemon.docker("rmi", image)


def test_oci_layouts(shared_daemon, tmp_path, busybox_layout):
    """What skopeo writes: oci-archive, and docker-archive; a layout with an index of several platforms."""
    for kind, name in (("oci-archive", "from/oci:7"), ("docker-archive", "from/docker:7")):
        path = tmp_path / kind
        subprocess.run(
            ["skopeo", "copy", "-q", f"oci:{busybox_layout}:busybox", f"{kind}:{path}:{name}"], check=True, timeout=60
        )
        assert f"Loaded image: {name}" in load(shared_daemon, path.read_bytes()).stdout
    assert shared_daemon.inspect("from/oci:7")["Id"] == shared_daemon.inspect("from/docker:7")["Id"]

    layout = Layout(tmp_path / "many")
    manifests = []
    for architecture in ("arm64", "amd64"):
        layout.add_image(architecture, [tar_with(("arch", "file", architecture.encode()))])
        manifests.append({**layout.manifests[-1], "platform": {"os": "linux", "architecture": architecture}})
        manifests[-1].pop("annotations")
    data = json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}
    ).encode()
    top = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": layout.blob(data),
        "size": len(data),
        "annotations": {"io.containerd.image.name": "docker.io/my/many:1"},
    }
    (layout.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    files = {str(p.relative_to(layout.path)): p.read_bytes() for p in layout.path.rglob("*") if p.is_file()}
    assert load(shared_daemon, make_tar(files)).stdout == "Loaded image: my/many:1\n"
    assert shared_daemon.inspect("my/many:1")["Architecture"] == "amd64"


def test_a_name_moves(shared_daemon):
    first, one = image_files([tar_with(("f", "file", b"1"))], ["moves:1"])
    _, two = image_files([tar_with(("f", "file", b"2"))], ["moves:1"])
    load(shared_daemon, make_tar(one))
    out = load(shared_daemon, make_tar(two)).stdout
    assert f"The image moves:1 already exists, renaming the old one with ID {first} to empty string" in out


def test_progress_where_it_is_wanted(shared_daemon):
    _, files = image_files([tar_with(("f", "file", os.urandom(3_000_000)))], ["progress:1"])
    path = shared_daemon.root / "p.tar"
    path.write_bytes(make_tar(files))
    run = subprocess.run(
        ["curl", "-sS", "--unix-socket", str(shared_daemon.socket), "-X", "POST", "--data-binary", f"@{path}"]
        + ["-H", "Content-Type: application/x-tar", "http://x/images/load?quiet=0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines() if line]
    assert any(line.get("status") == "Loading layer" and line["progressDetail"]["total"] for line in lines)
    assert lines[-1] == {"stream": "Loaded image: progress:1\n"}


def test_docker_py(shared_daemon):
    client = docker.DockerClient(base_url=f"unix://{shared_daemon.socket}", version="auto")
    image, files = image_files([tar_with(("py", "file", b"py"))], ["py:1"])
    assert [i.id for i in client.images.load(make_tar(files))] == [image]
    saved = b"".join(client.images.get("py:1").save(named=True))
    (shared_daemon.root / "py.tar").write_bytes(saved)
    assert json.loads(read_tar(shared_daemon.root / "py.tar")["manifest.json"])[0]["RepoTags"] == ["py:1"]
    client.close()


# ---- what must not come in ----


def wrong_archives():
    layer = tar_with(("f", "file", b"data"))
    _, good = image_files([layer])
    config = next(name for name in good if name.endswith(".json") and name != "manifest.json")
    yield "empty", b"", "neither manifest.json nor index.json"
    yield "garbage", b"\x00garbage" * 1000, "not a whole tar archive"
    yield "no documents", make_tar({"hello": b"x"}), "neither manifest.json nor index.json"
    yield "null", make_tar({**good, "manifest.json": b"null"}), "it is null"
    yield "no json", make_tar({**good, "manifest.json": b"{"}), "manifest.json"
    yield "deep", make_tar({**good, "manifest.json": b"[" * 100000}), "manifest.json"
    yield "config outside", make_tar(
        {**good, "manifest.json": json.dumps([{"Config": "../../../../etc/passwd", "Layers": []}]).encode()}
    ), "etc/passwd"
    yield "config link out", make_tar({**good, config: ("link", "/etc/passwd")}), "the archive has no file"
    yield "layer link out", make_tar({**good, "v1id0/layer.tar": ("link", "/proc/self/mem")}), "the archive has no file"
    yield "fifo", make_tar({**good, "v1id0/layer.tar": ("fifo",)}), "is no file"
    yield "missing layer", make_tar({k: v for k, v in good.items() if k != "v1id0/layer.tar"}), "the archive has no file"
    yield "no config", make_tar({**good, "manifest.json": b'[{"Layers":[]}]'}), "has no Config"
    yield "wrong diff id", make_tar(image_files([layer], diff_ids=[digest(b"other")])[1]), "invalid diffID for layer 0"
    yield "too few", make_tar(image_files([layer], diff_ids=[])[1]), "layers length mismatch: expected 0, got 1"
    yield "layer no tar", make_tar(image_files([b"no tar" * 200])[1]), "not a whole tar archive"
    yield "bad name", make_tar(image_files([layer], ["UPPER:::x"])[1]), "UPPER:::x"
    yield "evil layer", make_tar(image_files([tar_with(("../evil", "file", b"x"))])[1]), '".."'
    yield "cut", make_tar(good)[:-12000], "archive"
    yield "other platform", make_tar(image_files([layer], architecture="s390x")[1]), None
    yield "sparse index", make_tar({"index.json": b'{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":3}]}' % (b"0" * 64)}), "the archive has no file"  # fmt: skip


@pytest.mark.parametrize("name, data, words", list(wrong_archives()), ids=lambda value: value if isinstance(value, str) else "")
def test_wrong_archives(shared_daemon, name, data, words):
    before = shared_daemon.docker("images", "-aq", "--no-trunc").stdout
    args = ("--platform", "linux/arm64") if words is None else ()
    run = load(shared_daemon, data, *args, check=False, client="kist")
    assert run.returncode == 1, run.stdout
    assert (words or "requested platform (linux/arm64) not found") in run.stderr
    assert shared_daemon.docker("images", "-aq", "--no-trunc").stdout == before
    root = shared_daemon.root / "d"
    assert os.listdir(root / "tmp") == []


def test_kill_during_load(daemon):
    """kill -9 in the middle of a big layer: nothing half, and the next load brings it whole."""
    layer = tar_with(("noise", "file", hashlib.sha256(b"n").digest() * 1_000_000))
    image, files = image_files([layer], ["k:1"])
    path = daemon.root / "k.tar"
    path.write_bytes(make_tar(files))
    child = subprocess.Popen(["docker", "load", "-i", str(path)], env=daemon.environment, stderr=subprocess.DEVNULL)
    snapshots = daemon.root / "d/snapshots"
    while child.poll() is None and not os.listdir(snapshots):
        pass
    daemon.kill()
    child.wait(120)
    daemon.start()
    assert not stray(daemon.root / "d")
    daemon.docker("load", "-i", str(path))
    assert daemon.inspect("k:1")["Id"] == image


def test_full_disk(tmp_root, program):
    """On a disk of 24 MB an archive of 20 MB does not fit twice: a clear error, and nothing of it stays."""
    disk = tmp_root / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(disk)], check=True)
    server = Daemon(tmp_root, program, options=["--data-root", str(disk / "d")])
    try:
        server.start()
        _, files = image_files([tar_with(("noise", "file", os.urandom(20_000_000)))], ["big:1"])
        run = load(server, make_tar(files), check=False)
        assert run.returncode == 1 and ("no space left on device" in run.stderr.lower() or "more than" in run.stderr)
        _, files = image_files([tar_with(("small", "file", b"x"))], ["small:1"])
        load(server, make_tar(files))
    finally:
        server.finish()
        subprocess.run(["umount", "-l", str(disk)], check=False)
