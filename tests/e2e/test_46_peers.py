# SPDX-License-Identifier: Apache-2.0
"""kistd --serve, and pulls that ask peers for layers before the registry."""
import http.client
import io
import os
import random
import socket
import subprocess
import tarfile
import threading

import pytest

from lib.daemon import Daemon
from lib.fake_registry import FakeRegistry, sha
from lib.ports import free_port
from lib.transfer import Transfer


def noise(seed, size):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def registries():
    """(what is asked last, a peer)"""
    both = FakeRegistry(), FakeRegistry()
    yield both
    for one in both:
        one.stop()


@pytest.fixture
def pull(program, tmp_path):
    def run(fake, peers, patience=100_000):
        """patience in ms: a slow machine's peer may take longer than the 20 that it has by default."""
        child = Transfer(program("kist-transfer"), tmp_path)
        more = {"peerPatience": patience} if patience else {}
        child.run(action="pull", reference=f"{fake.address}/img:1", peers=peers, **more)
        return child

    return run


def blobs_asked(fake, method="GET"):
    return [path.rpartition("/")[2] for how, path, _ in fake.requests if how == method and "/blobs/" in path]


def make(registries, count=2):
    """An image whose layers only the peer can give."""
    fake, peer = registries
    tars = [noise(seed, 100_000) for seed in range(count)]
    manifest = fake.add_image(["1"], tars)
    layers = [layer["digest"] for layer in manifest["layers"]]
    for digest in layers:
        peer.blobs[digest] = fake.blobs[digest]
    return tars, layers


def check(child, tars):
    for index, tar in enumerate(tars):
        assert child.path_of(index).with_suffix(".tar").read_bytes() == tar


def test_layers_come_from_peers(registries, pull):
    fake, peer = registries
    tars, layers = make(registries)
    check(pull(fake, [peer.address]), tars)
    assert sorted(blobs_asked(peer)) == sorted(layers) and not set(blobs_asked(fake)) & set(layers)
    # Only layers: what a tag means is the registry's to say.
    assert [path for _, path, _ in peer.requests if "/manifests/" in path] == []


def test_peers_that_do_not_help(registries, pull):
    """Nobody there, one that never answers, one without the layer: each is passed over, the silent one for good."""
    fake, peer = registries
    tars, layers = make(registries, 3)
    peer.blobs.clear()
    silent = socket.create_server(("127.0.0.1", 0), backlog=64)
    asked = []

    def accept():
        while True:
            try:
                client, _ = silent.accept()
            except OSError:
                return
            asked.append(client)

    threading.Thread(target=accept, daemon=True).start()
    try:
        peers = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{silent.getsockname()[1]}", peer.address]
        check(pull(fake, peers, patience=None), tars)
        assert 1 <= len(asked) <= 3  # at most once for each layer that is fetched at that moment
        assert set(layers) <= set(blobs_asked(fake)) and blobs_asked(peer) == []
    finally:
        silent.close()
        for client in asked:
            client.close()


def test_peers_that_lie_or_break_off(registries, pull):
    fake, peer = registries
    tars, layers = make(registries)
    good = peer.blobs[layers[0]]
    peer.blobs[layers[0]] = good[:-1] + bytes([good[-1] ^ 1])
    peer.cuts = [50_000, 50_000]
    check(pull(fake, [peer.address]), tars)
    assert set(blobs_asked(fake)) >= set(layers)


def test_wrong_bytes_of_a_peer_are_fetched_anew(registries, pull):
    fake, peer = registries
    tars, layers = make(registries, 1)
    good = peer.blobs[layers[0]]
    peer.blobs[layers[0]] = good[:-1] + bytes([good[-1] ^ 1])
    child = pull(fake, [peer.address])
    check(child, tars)
    assert child.asked_again == [0] and blobs_asked(peer) == [layers[0]]


def test_peer_and_mirror_that_lie(registries, program, tmp_path):
    """The registry that has the manifest is asked for what the peer had wrong, before a mirror that has it wrong too."""
    fake, peer = registries
    liar = FakeRegistry()
    try:
        tars, layers = make(registries, 1)
        for server in (peer, liar):
            server.blobs[layers[0]] = b"x" * len(fake.blobs[layers[0]])
        (tmp_path / "certs/origin.test").mkdir(parents=True)
        (tmp_path / "certs/origin.test/hosts.toml").write_text(f'server = "http://{fake.address}"\n[host."http://{liar.address}"]\n')
        child = Transfer(program("kist-transfer"), tmp_path)
        child.run(action="pull", reference="origin.test/img:1", peers=[peer.address], peerPatience=100_000, certs=[str(tmp_path / "certs")])
        check(child, tars)
        assert child.asked_again == [0] and blobs_asked(peer) == layers and layers[0] in blobs_asked(fake)
    finally:
        liar.stop()


# ---- kistd --serve ----


@pytest.fixture
def serving(tmp_root, program):
    address = f"127.0.0.1:{free_port()}"
    server = Daemon(tmp_root, program, ["--serve", address])
    server.start()
    yield server, address
    server.finish()


def request(address, method, path, headers=None):
    connection = http.client.HTTPConnection(address, timeout=120)
    connection.request(method, path, headers=headers or {})
    reply = connection.getresponse()
    reply.data = reply.read()
    connection.close()
    return reply


def test_serve(serving, registries, pull, tmp_path):
    daemon, address = serving
    fake, _ = registries
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("noise")
        entry.size = 50_000
        archive.addfile(entry, io.BytesIO(noise(1, 50_000)))
    tar = packed.getvalue()
    manifest = fake.add_image(["1"], [tar])
    layer = manifest["layers"][0]["digest"]
    data = fake.manifests["1"][1]
    daemon.docker("pull", f"{fake.address}/img:1")
    assert request(address, "GET", "/v2/").status == 200
    for reference in (sha(data), "1"):
        reply = request(address, "GET", f"/v2/img/manifests/{reference}?ns={fake.address}")
        assert reply.status == 200 and reply.data == data, reply.data
        assert reply.getheader("Content-Type") == manifest["mediaType"]
    assert request(address, "GET", f"/v2/any/blobs/{layer}").data == fake.blobs[layer]
    reply = request(address, "GET", f"/v2/any/blobs/{layer}", {"Range": "bytes=10-19"})
    assert (reply.status, reply.data) == (206, fake.blobs[layer][10:20])
    assert request(address, "HEAD", f"/v2/any/blobs/{layer}").getheader("Docker-Content-Digest") == layer
    # Nothing else, and nothing may be changed.
    for method, path in [
        ("GET", f"/v2/any/manifests/{layer}"), ("GET", "/v2/img/manifests/2"), ("GET", f"/v2/any/blobs/{sha(b'no')}"),
        ("POST", "/v2/any/blobs/uploads/"), ("DELETE", f"/v2/any/blobs/{layer}"), ("GET", "/v2/_catalog"),
        ("GET", "/containers/json"), ("GET", "/v2/../../etc/passwd"),
    ]:  # fmt: skip
        assert request(address, method, path).status == 404, (method, path)
    assert request(address, "GET", "/v2/any/blobs/sha256:nonsense").status == 400
    # Another machine gets the layer from here.
    fake.requests.clear()
    child = pull(fake, [address])
    assert child.path_of(0).with_suffix(".tar").read_bytes() == tar and layer not in blobs_asked(fake)
    # And skopeo an image.
    subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{address}/img@{sha(data)}"],
                   check=True, capture_output=True, env=dict(os.environ, HOME=str(tmp_path)))  # fmt: skip
