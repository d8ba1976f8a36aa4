# SPDX-License-Identifier: Apache-2.0
"""Push: what goes out, what is skipped, how it goes on after a break; by docker's CLI, docker-py and ours."""
import gzip
import hashlib
import json
import os
import subprocess
import urllib.request

import docker
import pytest

from lib.images import digest
from lib.kist_registry import KistRegistry
from lib.registry import Registry
from lib.sink_registry import SinkRegistry
from lib_store import tar_of as tar_with


@pytest.fixture
def sink():
    server = SinkRegistry()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ours(session_root, program):
    server = KistRegistry(session_root / "ours", program("kist-registry"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def loaded(shared_daemon, registry):
    """The shared daemon with busybox, under the name `bb`."""
    shared_daemon.docker("pull", "-q", f"{registry.address}/busybox:1")
    shared_daemon.docker("tag", f"{registry.address}/busybox:1", "bb")
    return shared_daemon


def import_tar(daemon, name, tar):
    path = daemon.root / "layer.tar"
    path.write_bytes(tar)
    return daemon.docker("import", str(path), name).stdout.strip()


def manifest_of(server, name, reference):
    request = urllib.request.Request(
        f"http://{server.address}/v2/{name}/manifests/{reference}",
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json, */*"},
    )
    with urllib.request.urlopen(request) as reply:
        return reply.read()


def big_tar(size=6_000_000):
    """Does not compress to nothing."""
    noise = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(size // 32))
    return tar_with(("noise", "file", noise), ("etc", "dir", None), ("etc/text", "file", b"words " * 5000))


@pytest.mark.parametrize("peer", ["registry", "ours"])
def test_same_digests_as_they_came(loaded, registry, peer, request):
    """A pulled image goes on with the bytes it came with: its manifest digest is what skopeo's copy would give."""
    server = request.getfixturevalue(peer)
    name = f"{server.address}/copy/{peer}:t"
    loaded.docker("tag", "bb", name)
    out = loaded.docker("push", name).stdout
    assert f"The push refers to repository [{server.address}/copy/{peer}]" in out
    assert ("Mounted from busybox" if peer == "registry" else "Pushed") in out
    data = manifest_of(server, f"copy/{peer}", "t")
    assert data == manifest_of(registry, "busybox", "1")
    assert f"t: digest: {digest(data)} size: {len(data)}" in out
    assert f"{server.address}/copy/{peer}@{digest(data)}" in loaded.inspect("bb")["RepoDigests"]
    again = loaded.docker("push", name).stdout
    assert "Layer already exists" in again and "Pushed" not in again


def test_mounted_across_repositories(loaded, ours):
    loaded.docker("tag", "bb", f"{ours.address}/mount/a:1")
    loaded.docker("push", "-q", f"{ours.address}/mount/a:1")
    loaded.docker("tag", "bb", f"{ours.address}/mount/b:1")
    assert "Mounted from " in loaded.docker("push", f"{ours.address}/mount/b:1").stdout


@pytest.mark.parametrize("client", ["docker", "kist"])
def test_local_image_is_compressed_once(loaded, ours, client):
    """An imported image has a plain tar; what goes out is gzip of it, and the second push sends nothing."""
    tar = big_tar()
    run = getattr(loaded, client)
    name = f"{ours.address}/local/{client}:1"
    image = import_tar(loaded, name, tar)
    run("push", name)
    manifest = json.loads(manifest_of(ours, f"local/{client}", "1"))
    assert manifest["config"]["digest"] == image == loaded.inspect(name)["Id"]
    layer = manifest["layers"][0]
    assert layer["mediaType"].endswith("tar+gzip")
    with urllib.request.urlopen(f"http://{ours.address}/v2/local/{client}/blobs/{layer['digest']}") as reply:
        data = reply.read()
    assert digest(data) == layer["digest"] and len(data) == layer["size"]
    assert gzip.decompress(data) == tar
    assert "Layer already exists" in run("push", name).stdout
    # Elsewhere too it goes as it is now: compressed once, remembered.
    loaded.docker("tag", name, f"{ours.address}/local/other-{client}:1")
    assert "Mounted from" in run("push", f"{ours.address}/local/other-{client}:1").stdout
    assert manifest_of(ours, f"local/other-{client}", "1") == manifest_of(ours, f"local/{client}", "1")
    # It can be had back, with the same id.
    loaded.docker("rmi", "-f", name, f"{ours.address}/local/other-{client}:1")
    loaded.docker("pull", "-q", name)
    assert loaded.inspect(name)["Id"] == image


def test_all_tags_and_names_that_are_none(loaded, ours):
    for tag in ("x", "y"):
        loaded.docker("tag", "bb", f"{ours.address}/tags:{tag}")
    out = loaded.docker("push", "-a", f"{ours.address}/tags").stdout
    assert "x: digest:" in out and "y: digest:" in out
    with urllib.request.urlopen(f"http://{ours.address}/v2/tags/tags/list") as reply:
        assert json.load(reply)["tags"] == ["x", "y"]
    run = loaded.docker("push", f"{ours.address}/tags:none", check=False)
    assert run.returncode == 1 and f"tag does not exist: {ours.address}/tags:none" in run.stderr
    run = loaded.docker("push", f"{ours.address}/never", check=False)
    assert "An image does not exist locally with the tag: " in run.stderr
    run = loaded.kist("push", f"{ours.address}/never@sha256:{'0' * 64}", check=False)
    assert run.returncode == 1 and "cannot push a digest reference" in run.stderr
    run = loaded.docker("push", "127.0.0.1:1/x", check=False)
    assert run.returncode == 1


def test_registry_down_and_refusing(loaded, sink):
    loaded.docker("tag", "bb", "127.0.0.1:1/x:1")
    run = loaded.docker("push", "127.0.0.1:1/x:1", check=False)
    assert run.returncode == 1 and "connect to 127.0.0.1:1" in run.stderr
    sink.statuses = [(403, {})] * 9
    loaded.docker("tag", "bb", f"{sink.address}/no:1")
    run = loaded.docker("push", f"{sink.address}/no:1", check=False)
    assert run.returncode == 1 and "status 403" in run.stderr
    assert ("no", "1") not in sink.manifests


@pytest.mark.parametrize(
    "trouble",
    [
        {"cuts": [1_000_000, 100_000, 0]},
        {"cuts": [1_000_000], "lose_uploads": True},
        {"statuses": [(503, {}), (429, {"Retry-After": "0"}), (500, {})]},
        {"body_max": 8 * 1024 * 1024 + 1},
    ],
    ids=["cut", "forgotten", "busy", "small"],
)
def test_goes_on_after_trouble(loaded, sink, trouble):
    tar = big_tar(20_000_000 if "body_max" in trouble else 6_000_000)
    name = f"{sink.address}/t:1"
    import_tar(loaded, name, tar)
    for key, value in trouble.items():
        setattr(sink, key, value)
    assert "Pushed" in loaded.docker("push", name).stdout
    manifest = json.loads(sink.manifests["t", "1"][1])
    data = sink.blobs["t"][manifest["layers"][0]["digest"]]
    assert gzip.decompress(data) == tar
    sent = sum(length for method, path, length in sink.requests if "uploads" in path)
    if "body_max" in trouble:
        bodies = [n for method, _, n in sink.requests if method == "PATCH"]
        assert len(bodies) >= 3 and max(bodies) == 8 * 1024 * 1024
    elif "lose_uploads" not in trouble and "cuts" in trouble:
        # It went on where it was cut: after 1.1 MB at least that much was not sent again.
        last = [n for method, path, n in sink.requests if method == "PATCH"][-1]
        assert last <= len(data) - 1_000_000, (last, len(data), sent)
    loaded.docker("rmi", name)


def test_a_layer_goes_while_it_is_packed(loaded, sink):
    """One PATCH without a length, and what it was is said at the end; cut, it goes the usual way."""
    sink.takes_chunks = True
    tar = big_tar(6_000_000)
    name = f"{sink.address}/s:1"
    import_tar(loaded, name, tar)
    assert "Pushed" in loaded.docker("push", name).stdout
    layer = json.loads(sink.manifests["s", "1"][1])["layers"][0]
    assert gzip.decompress(sink.blobs["s"][layer["digest"]]) == tar and layer["size"] == len(sink.blobs["s"][layer["digest"]])
    uploads = [(method, length) for method, path, length in sink.requests if "uploads/u" in path]
    assert [u for u in uploads if u[1] < 200] == [("PATCH", 0), ("PUT", 0)] and max(uploads, key=lambda u: u[1])[1] < 2000  # the config
    assert not any(method == "HEAD" and layer["digest"] in path for method, path, _ in sink.requests)
    loaded.docker("rmi", name)
    sink.chunk_cut = 1_000_000
    name = f"{sink.address}/s2:1"
    other = big_tar(5_000_000)
    import_tar(loaded, name, other)
    assert "Pushed" in loaded.docker("push", name).stdout
    layer = json.loads(sink.manifests["s2", "1"][1])["layers"][0]
    assert gzip.decompress(sink.blobs["s2"][layer["digest"]]) == other
    loaded.docker("rmi", name)


def test_credentials(loaded, session_root):
    folder = session_root / "push-locked"
    folder.mkdir()
    users = subprocess.run(["htpasswd", "-Bbn", "me", "secret"], check=True, capture_output=True).stdout
    (folder / "users").write_bytes(users)
    server = Registry(folder, htpasswd=folder / "users")
    server.start()
    try:
        name = f"{server.address}/img:1"
        loaded.docker("tag", "bb", name)
        run = loaded.docker("push", name, check=False)
        assert run.returncode == 1 and "no basic auth credentials" in run.stderr
        loaded.docker("login", "-u", "me", "--password-stdin", server.address, input="secret")
        assert "Pushed" in loaded.docker("push", name).stdout
    finally:
        server.stop()


def test_docker_py(loaded, ours):
    client = docker.DockerClient(base_url=f"unix://{loaded.socket}", version="auto")
    name = f"{ours.address}/from-py"
    client.images.get("bb").tag(name, "7")
    lines = list(client.images.push(name, tag="7", stream=True, decode=True))
    aux = [line["aux"] for line in lines if "aux" in line]
    data = manifest_of(ours, "from-py", "7")
    assert aux == [{"Tag": "7", "Digest": digest(data), "Size": len(data)}]
    client.close()


def test_kill_during_push_loses_nothing(daemon, sink):
    """kill -9 of the engine in the middle: the image is whole, and the next push brings the rest."""
    tar = big_tar()
    name = f"{sink.address}/k:1"
    image = import_tar(daemon, name, tar)
    sink.cuts = [1000]
    push = subprocess.Popen(["docker", "push", name], env=daemon.environment, stdout=subprocess.PIPE)
    push.stdout.readline()
    daemon.kill()
    push.wait(120)
    push.stdout.close()
    daemon.start()
    assert daemon.inspect(name)["Id"] == image
    sink.cuts = []
    daemon.docker("push", name)
    manifest = json.loads(sink.manifests["k", "1"][1])
    assert gzip.decompress(sink.blobs["k"][manifest["layers"][0]["digest"]]) == tar
    assert not os.listdir(daemon.root / "d/tmp")


def test_pull_of_what_is_here_asks_once_with_head(daemon, sink):
    """GETs of manifests are what Docker Hub counts: a pull that brings nothing new makes none."""
    name = f"{sink.address}/h:1"
    image = import_tar(daemon, name, tar_with(("f", "file", b"1")))
    daemon.docker("push", name)
    sink.requests.clear()
    assert f"Status: Image is up to date for {name}" in daemon.docker("pull", name).stdout
    assert [(method, path) for method, path, _ in sink.requests] == [("HEAD", "/v2/h/manifests/1")]
    # The tag moves: one HEAD says so, and the rest is fetched.
    other = import_tar(daemon, f"{sink.address}/h:2", tar_with(("f", "file", b"2")))
    daemon.docker("push", f"{sink.address}/h:2")
    daemon.docker("rmi", f"{sink.address}/h:2")
    sink.manifests["h", "1"] = sink.manifests["h", "2"]
    sink.requests.clear()
    assert "Downloaded newer image" in daemon.docker("pull", name).stdout
    assert sink.methods() == ["HEAD", "GET", "GET", "GET"]
    assert daemon.inspect(name)["Id"] == other != image
    # What was damaged here is fetched again, not believed.
    [manifest] = [json.loads(data) for (_, tag), (_, data) in sink.manifests.items() if tag == "2"]
    blob = daemon.root / "d/blobs/sha256" / manifest["config"]["digest"][7:]
    good = blob.read_bytes()
    blob.write_bytes(b"X" + good[1:])
    daemon.docker("pull", name)
    assert blob.read_bytes() == good


def test_what_a_name_means_in_its_registry(loaded, registry, sink):
    """GET /distribution, which docker-py asks; and the digest by our command line."""
    name = f"{registry.address}/busybox:1"
    want = digest(manifest_of(registry, "busybox", "1"))
    assert loaded.kist("image", "digest", name, f"{registry.address}/busybox").stdout.split() == [want] * 2
    run = loaded.kist("image", "digest", f"{registry.address}/none:1", check=False)
    assert run.returncode == 1 and "not found" in run.stderr
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "digest": digest(machine.encode()),
                    "size": 1,
                    "platform": {"os": "linux", "architecture": machine},
                }
                for machine in ("arm64", "s390x")
            ],
        }
    ).encode()
    sink.manifests["many", "1"] = ("application/vnd.oci.image.index.v1+json", index)
    client = docker.DockerClient(base_url=f"unix://{loaded.socket}", version="auto")
    data = client.images.get_registry_data(f"{sink.address}/many:1")
    assert data.id == digest(index) and data.attrs["Descriptor"]["size"] == len(index)
    assert data.has_platform("linux/arm64") and not data.has_platform("linux/amd64")
    assert client.images.get_registry_data(name).has_platform("linux/amd64")
    client.close()


def test_layers_without_archives_get_them_back(daemon, ours):
    """A build's cache keeps files whose archives went with the image: a pull brings the archives, and all is whole."""
    folder = daemon.root / "context"
    folder.mkdir()
    (folder / "file").write_text("built")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    name = f"{ours.address}/built:1"
    daemon.kist("build", "-q", "-t", name, str(folder))
    daemon.docker("push", "-q", name)
    daemon.docker("rmi", name)
    daemon.docker("pull", "-q", name)
    assert daemon.kist("store", "check").stdout.splitlines()[-1].endswith(": 0 problems")
    daemon.docker("save", "-o", str(daemon.root / "out"), name)
    daemon.docker("tag", name, f"{ours.address}/again:1")
    daemon.docker("push", "-q", f"{ours.address}/again:1")
