# SPDX-License-Identifier: Apache-2.0
"""kistd --serve, and pulls that ask peers for layers before the registry."""
import http.client
import io
import os
import random
import signal
import socket
import ssl
import subprocess
import tarfile
import threading

import pytest

from lib.authority import Authority
from lib.daemon import Daemon
from lib.fake_registry import FakeRegistry, sha
from lib.ports import free_port
from lib.transfer import Refused, Transfer
from lib.wait import wait_for


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
    def run(fake, peers, patience=100_000, **request):
        """patience in ms: a slow machine's peer may take longer than the 20 that it has by default."""
        child = Transfer(program("kist-transfer"), tmp_path)
        more = {"peerPatience": patience} if patience else {}
        child.run(action="pull", reference=f"{fake.address}/img:1", peers=peers, **more, **request)
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


# ---- with TLS ----


def ask_tls(address, folder, client=None):
    """(status, the server's certificate)"""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if client:
        context.load_cert_chain(client / "cert.pem", client / "key.pem")
    connection = http.client.HTTPSConnection(address, context=context, timeout=120)
    connection.request("GET", "/v2/")
    certificate = connection.sock.getpeercert(True)
    return connection.getresponse().status, certificate


def test_serve_with_tls(tmp_root, program, registries, pull, tmp_path):
    """Only peers with a certificate get layers, also by --peer https://; the registry has lost them. SIGHUP renews ours."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    server, client, stranger = ours.issue("server", "serverAuth"), ours.issue("client", "clientAuth"), theirs.issue("client", "clientAuth")
    address = f"127.0.0.1:{free_port()}"
    daemon = Daemon(tmp_root, program, ["--serve", address, "--serve-tls-certificate", server / "cert.pem", "--serve-tls-key",
                                        server / "key.pem", "--serve-tls-client-authorities", server / "ca.pem"])  # fmt: skip
    daemon.start()
    try:
        fake, _ = registries
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo("noise")
            entry.size = 50_000
            archive.addfile(entry, io.BytesIO(noise(2, 50_000)))
        layer = fake.add_image(["1"], [packed.getvalue()])["layers"][0]["digest"]
        daemon.docker("pull", f"{fake.address}/img:1")
        status, before = ask_tls(address, server, client)
        assert status == 200
        for other in (None, stranger):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                ask_tls(address, server, other)
        del fake.blobs[layer]
        certs = tmp_path / "certs" / address
        certs.mkdir(parents=True)
        run = {"certs": [str(tmp_path / "certs")]}
        # Without its authority, without a certificate of our own, or in plain: it is no help.
        for files in ({}, {"ca.crt": server / "ca.pem"}):
            for name, path in files.items():
                (certs / name).write_bytes(path.read_bytes())
            with pytest.raises(Refused):
                pull(fake, [f"https://{address}"], **run)
        (certs / "us.cert").write_bytes((client / "cert.pem").read_bytes())
        with pytest.raises(Refused, match="us.key"):
            pull(fake, [f"https://{address}"], **run)
        (certs / "us.key").write_bytes((client / "key.pem").read_bytes())
        with pytest.raises(Refused):
            pull(fake, [address], **run)
        child = pull(fake, [f"https://{address}"], **run)
        assert child.path_of(0).with_suffix(".tar").read_bytes() == packed.getvalue()
        again = ours.issue("renewed", "serverAuth")
        for name in ("cert.pem", "key.pem"):
            (server / name).write_bytes((again / name).read_bytes())
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: ask_tls(address, server, client)[1] != before)
    finally:
        daemon.finish()


@pytest.mark.parametrize(
    "options, words",
    [
        (["--serve", "127.0.0.1:1", "--serve-tls-certificate", "c"], "serve-tls-certificate and serve-tls-key belong together"),
        (["--serve", "127.0.0.1:1", "--serve-tls-key", "k"], "serve-tls-certificate and serve-tls-key belong together"),
        (["--serve", "127.0.0.1:1", "--serve-tls-client-authorities", "a"], "serve-tls-client-authorities needs serve-tls-certificate"),
        (["--serve-tls-certificate", "c", "--serve-tls-key", "k"], "serve names no address"),
        (["--peer", "ftp://a:1"], "invalid peer ftp://a:1: expected host:port, http://host:port or https://host:port"),
        (["--peer", "https://"], "invalid peer https://"),
        (["--peer", "https://a:1/v2"], "invalid peer https://a:1/v2"),
    ],
)
def test_what_is_half_given(program, tmp_path, options, words):
    (tmp_path / "daemon.json").write_text("{}")
    run = subprocess.run([program("kistd"), "--validate", "--config-file", tmp_path / "daemon.json", *options], capture_output=True,
                         text=True, timeout=120, check=False)  # fmt: skip
    assert run.returncode != 0 and words in run.stderr, run.stderr


def test_unusable_certificates_are_named(tmp_root, program, tmp_path):
    server = Authority(tmp_path / "ours").issue("server", "serverAuth")
    run = subprocess.run([program("kistd"), "--data-root", tmp_root / "d", "--exec-root", tmp_root / "x", "--bridge", "none", "--serve",
                          f"127.0.0.1:{free_port()}", "--serve-tls-certificate", server / "none.pem", "--serve-tls-key",
                          server / "key.pem"], capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert run.returncode == 1 and "serve: " in run.stderr and "none.pem" in run.stderr
