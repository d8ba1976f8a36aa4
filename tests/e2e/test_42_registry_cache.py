# SPDX-License-Identifier: Apache-2.0
"""kist-registry as a cache of other registries."""
import base64
import gzip
import http.client
import json
import os
import socket
import subprocess
import threading
import time

import pytest

from lib.fake_registry import FakeRegistry, sha


@pytest.fixture
def upstreams():
    """Two registries of our own making, so that names cannot meet by accident."""
    both = [FakeRegistry(), FakeRegistry()]
    for one in both:
        one.digest_header = True
    yield both
    for one in both:
        one.stop()


@pytest.fixture
def cache(start_registry, upstreams):
    def start(**more):
        return start_registry({
            "upstreams": [
                {"name": "docker.io", "url": f"http://{upstreams[0].address}", "tag-life": 0, **more},
                {"name": "ghcr.test", "url": f"http://{upstreams[1].address}", "prefix": "gh/cache", "tag-life": 3600},
            ],
        }, folder="c")  # fmt: skip

    return start


def noise(size):
    return os.urandom(size)


def paths(fake, method, part):
    return [path for how, path, _ in fake.requests if how == method and part in path]


def code_of(reply):
    return json.loads(reply.data)["errors"][0]["code"]


def add(fake, tag="1", size=100_000):
    manifest = fake.add_image([tag], [noise(size)])
    return manifest, manifest["layers"][0]["digest"]


def test_two_upstreams_by_namespace_and_prefix(cache, upstreams):
    first, first_layer = add(upstreams[0])
    second, second_layer = add(upstreams[1])
    ours = cache()
    for path, fake, digest in [
        ("library/web", upstreams[0], first_layer),
        ("team/web", upstreams[1], second_layer),
    ]:
        ns = "docker.io" if fake is upstreams[0] else "ghcr.test"
        reply = ours.request("GET", f"/v2/{path}/manifests/1?ns={ns}")
        assert reply.status == 200 and reply.data == fake.manifests["1"][1]
        assert reply.getheader("Docker-Content-Digest") == sha(reply.data)
        reply = ours.request("GET", f"/v2/{path}/blobs/{digest}?ns={ns}")
        assert reply.status == 200 and reply.data == fake.blobs[digest]
    # The same thing by its name here, and nothing is fetched twice.
    assert ours.request("GET", f"/v2/docker.io/web/blobs/{first_layer}").data == upstreams[0].blobs[first_layer]
    assert ours.request("GET", f"/v2/gh/cache/team/web/blobs/{second_layer}").data == upstreams[1].blobs[second_layer]
    assert len(paths(upstreams[0], "GET", first_layer)) == 1 and len(paths(upstreams[1], "GET", second_layer)) == 1
    assert code_of(ours.request("GET", "/v2/library/web/manifests/1?ns=quay.test")) == "NAME_UNKNOWN"
    assert ours.request("GET", "/v2/docker.io/web/manifests/2").status == 404
    assert ours.request("GET", f"/v2/docker.io/web/blobs/{sha(b'no')}").status == 404
    reply = ours.request("POST", "/v2/docker.io/web/blobs/uploads/")
    assert reply.status == 405 and b"push there" in reply.data


def test_tags_are_asked_for_again_by_head(cache, upstreams):
    add(upstreams[0])
    add(upstreams[1])
    ours = cache()
    old = ours.request("GET", "/v2/docker.io/x/y/manifests/1").data
    assert ours.request("GET", "/v2/docker.io/x/y/manifests/1").data == old
    assert len(paths(upstreams[0], "GET", "/manifests/1")) == 1 and len(paths(upstreams[0], "HEAD", "/manifests/1")) == 1
    add(upstreams[0])
    assert ours.request("GET", "/v2/docker.io/x/y/manifests/1").data == upstreams[0].manifests["1"][1] != old
    assert ours.request("GET", f"/v2/docker.io/x/y/manifests/{sha(old)}").data == old
    # Within tag-life nobody is asked.
    old = ours.request("GET", "/v2/gh/cache/a/manifests/1").data
    add(upstreams[1])
    assert ours.request("GET", "/v2/gh/cache/a/manifests/1").data == old
    assert paths(upstreams[1], "HEAD", "/manifests/1") == []
    # Gone there, gone here.
    del upstreams[0].manifests["1"]
    assert ours.request("GET", "/v2/docker.io/x/y/manifests/1").status == 404


def test_offline(cache, upstreams):
    manifest, layer = add(upstreams[0])
    ours = cache()
    data = ours.request("GET", "/v2/docker.io/a/b/manifests/1").data
    assert ours.request("GET", f"/v2/docker.io/a/b/blobs/{layer}").status == 200
    upstreams[0].statuses = [(503, {})]
    assert "did not answer" in ours.request("GET", "/v2/docker.io/a/b/manifests/1").getheader("Warning")
    upstreams[0].stop()
    ours.stop()
    ours.start()
    for _ in range(2):
        reply = ours.request("GET", "/v2/docker.io/a/b/manifests/1")
        assert (reply.status, reply.data) == (200, data) and "did not answer" in reply.getheader("Warning")
    assert ours.request("GET", f"/v2/docker.io/a/b/blobs/{layer}").data == upstreams[0].blobs[layer]
    assert json.loads(ours.request("GET", "/v2/docker.io/a/b/tags/list").data)["tags"] == ["1"]
    # What was never here cannot be.
    reply = ours.request("GET", f"/v2/docker.io/a/b/blobs/{manifest['config']['digest']}")
    assert reply.status == 503 and b"upstream docker.io" in reply.data
    assert ours.request("GET", "/v2/docker.io/a/b/manifests/2").status == 503


def test_served_while_it_is_fetched(cache, upstreams):
    """Two clients get the first half of a blob whose second half the registry still holds back."""
    data = noise(2_000_000)
    digest = sha(data)
    gate = threading.Event()
    port = serve_slowly(data, gate)
    ours = cache(url=f"http://127.0.0.1:{port[0]}")
    connections = [socket.create_connection(("127.0.0.1", ours.port), 120) for _ in range(2)]
    try:
        for connection in connections:
            connection.sendall(f"GET /v2/docker.io/a/b/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        for connection in connections:
            got = b""
            while len(got) < 1_000_000:
                got += connection.recv(65536)
            assert b"200 OK" in got[:20]
        gate.set()
        reply = ours.request("GET", f"/v2/docker.io/a/b/blobs/{digest}", headers={"Range": "bytes=1999990-"})
        assert (reply.status, reply.data) == (206, data[1999990:])
        assert port[1] == [1]
    finally:
        gate.set()
        for connection in connections:
            connection.close()


def serve_slowly(data, gate):
    """A server of one blob that stops at its half until the gate opens: (port, [requests])."""
    listener = socket.create_server(("127.0.0.1", 0))
    count = [0]

    def one(client):
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(65536)
                if not piece:
                    return
                head += piece
            count[0] += 1
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data))
            client.sendall(data[: len(data) // 2])
            gate.wait(120)
            client.sendall(data[len(data) // 2 :])

    def accept():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1], count


def test_wrong_bytes_reach_nobody_whole(cache, upstreams):
    manifest, layer = add(upstreams[0])
    good = upstreams[0].blobs[layer]
    ours = cache()
    upstreams[0].blobs[layer] = good[:-1] + bytes([good[-1] ^ 1])
    # Cut off before its end, or refused if that was known before the first byte went out.
    try:
        assert ours.request("GET", f"/v2/docker.io/a/b/blobs/{layer}").status == 503
    except http.client.IncompleteRead:
        pass
    upstreams[0].blobs[layer] = good
    assert ours.request("GET", f"/v2/docker.io/a/b/blobs/{layer}").data == good
    # A manifest under a digest it does not have.
    wrong = sha(b"other")
    upstreams[0].manifests[wrong] = upstreams[0].manifests["1"]
    reply = ours.request("GET", f"/v2/docker.io/a/b/manifests/{wrong}")
    assert reply.status in (502, 503), reply.data


def test_cut_and_resumed(cache, upstreams):
    _, layer = add(upstreams[0], size=3_000_000)
    upstreams[0].cuts = [1_500_000]
    ours = cache()
    assert ours.request("GET", f"/v2/docker.io/a/b/blobs/{layer}").data == upstreams[0].blobs[layer]
    assert len(paths(upstreams[0], "GET", layer)) == 2


def test_many_at_once_are_one_question(cache, upstreams):
    _, layer = add(upstreams[1], size=500_000)
    ours = cache()
    got = []

    def pull():
        manifest = ours.request("GET", "/v2/gh/cache/a/manifests/1")
        blob = ours.request("GET", f"/v2/gh/cache/a/blobs/{layer}")
        got.append((manifest.status, blob.data == upstreams[1].blobs[layer]))

    threads = [threading.Thread(target=pull) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [(200, True)] * 8
    assert len(paths(upstreams[1], "GET", layer)) == 1 and len(paths(upstreams[1], "GET", "/manifests/1")) == 1


def test_killed_while_fetching(cache, upstreams, tmp_root):
    """What was not whole leaves nothing; a cache of a cache works."""
    data = gzip.compress(noise(300_000))
    gate = threading.Event()
    port, count = serve_slowly(data, gate)
    ours = cache(url=f"http://127.0.0.1:{port}")
    connection = socket.create_connection(("127.0.0.1", ours.port), 120)
    connection.sendall(f"GET /v2/docker.io/a/b/blobs/{sha(data)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert connection.recv(20)
    ours.kill()
    connection.close()
    gate.set()
    ours.start()
    assert list((tmp_root / "c/data/tmp").iterdir()) == [] and list((tmp_root / "c/data/blobs/sha256").iterdir()) == []
    assert ours.request("GET", f"/v2/docker.io/a/b/blobs/{sha(data)}").data == data and count[0] == 2


def test_the_fetching_is_locked_in(cache, upstreams):
    add(upstreams[0])
    ours = cache()
    assert ours.request("GET", "/v2/docker.io/a/b/manifests/1").status == 200
    children = [
        pid
        for pid in os.listdir("/proc")
        if pid.isdigit() and f"PPid:\t{ours.process.pid}\n" in read(f"/proc/{pid}/status")
    ]
    assert len(children) == 1
    status = read(f"/proc/{children[0]}/status")
    assert "Name:\tkist-transfer" in status and "Seccomp:\t2" in status and "CapEff:\t0000000000000000" in status
    ours.stop()
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{children[0]}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{children[0]}")


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


@pytest.mark.parametrize(
    "upstream, words",
    [
        ({"name": "localhost:5000"}, "no repository name; give one"),
        ({"name": "a.b", "url": "ftp://x"}, "is not http://"),
        ({"name": "a.b", "username": "u"}, "belong together"),
        ({"name": "a.b", "tag-life": -1}, "tag-life"),
        ({}, "upstreams[0].name"),
    ],
)
def test_bad_upstreams(tmp_root, program, upstream, words):
    (tmp_root / "bad.json").write_text(json.dumps({"upstreams": [upstream]}))
    run = subprocess.run(
        [program("kist-registry"), "--config", tmp_root / "bad.json", "--validate"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2 and words in run.stderr, run.stderr


def test_mirrors_of_an_upstream(start_registry, tmp_root, upstreams, monkeypatch):
    """hosts.toml in the folder the configuration names, and no other: the machine's own may lead back to us."""
    mirror, origin = upstreams
    add(origin)
    mirror.blobs.update(origin.blobs)
    manifest, layer = add(origin, "2")
    mirror.manifests.update({name: data for name, data in origin.manifests.items() if name not in ("2", sha(json.dumps(manifest).encode()))})
    mirror.login = "ann:one"
    (tmp_root / "auth.json").write_text(json.dumps({"auths": {mirror.address: {"auth": base64.b64encode(b"ann:one").decode()}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_root / "auth.json"))
    (tmp_root / "registries.conf").write_text('[[registry]]\nlocation = "origin.test"\nblocked = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_root / "registries.conf"))
    (tmp_root / "certs/origin.test").mkdir(parents=True)
    (tmp_root / "certs/origin.test/hosts.toml").write_text(f'server = "http://{origin.address}"\n[host."http://{mirror.address}"]\n')
    config = {"upstreams": [{"name": "origin.test", "certificates": str(tmp_root / "certs")}]}
    server = start_registry(config, folder="c")
    assert server.request("GET", "/v2/origin.test/team/web/manifests/1").status == 200
    assert paths(mirror, "GET", "manifests/1") and not origin.requests
    assert all("ns=origin.test" in path for _, path, _ in mirror.requests)
    # What the mirror does not have.
    assert server.request("GET", "/v2/origin.test/team/web/manifests/2").data == origin.manifests["2"][1]
    assert server.request("GET", f"/v2/origin.test/team/web/blobs/{layer}").data == origin.blobs[layer]
    assert server.request("GET", "/v2/origin.test/team/web/manifests/3").status == 404


def bend(fake, digest, how):
    """The same name, other bytes."""
    good = fake.blobs[digest]
    fake.blobs[digest] = {
        "changed": good[:-1] + bytes([good[-1] ^ 1]),
        "longer": good + b"x",
        "shorter": good[:-1],
        "page": b"<html>log in first</html>",
    }[how]


@pytest.mark.parametrize("how", ["changed", "longer", "shorter", "page"])
def test_mirrors_that_lie(start_registry, tmp_root, upstreams, how):
    """Two of them in a row: what they send is neither kept nor seen by a client; the registry itself is asked."""
    second, origin = upstreams
    first = FakeRegistry()
    try:
        manifest, layer = add(origin, size=3_000_000)
        config = manifest["config"]["digest"]
        by_digest = sha(origin.manifests["1"][1])
        for liar in (first, second):
            liar.digest_header = True
            liar.blobs.update(origin.blobs)
            liar.manifests.update(origin.manifests)
            for digest in (layer, config):
                bend(liar, digest, how)
            # A tag may mean what a mirror says; a digest means one thing.
            liar.manifests[by_digest] = (liar.manifests["1"][0], liar.manifests["1"][1].replace(b"amd64", b"arm64") + b" ")
        first.cuts = [1_000_000]
        (tmp_root / "certs/origin.test").mkdir(parents=True)
        (tmp_root / "certs/origin.test/hosts.toml").write_text(
            f'server = "http://{origin.address}"\n[host."http://{first.address}"]\n[host."http://{second.address}"]\n'
        )
        server = start_registry({"upstreams": [{"name": "origin.test", "certificates": str(tmp_root / "certs")}]}, folder="c")
        reply = server.request("GET", f"/v2/origin.test/web/manifests/{by_digest}")
        assert (reply.status, reply.data) == (200, origin.manifests["1"][1])
        got = []
        threads = [
            threading.Thread(target=lambda: got.append(server.request("GET", f"/v2/origin.test/web/blobs/{layer}"))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [(reply.status, reply.data == origin.blobs[layer]) for reply in got] == [(200, True)] * 3
        assert server.request("GET", f"/v2/origin.test/web/blobs/{config}").data == origin.blobs[config]
        assert paths(first, "GET", layer) and paths(second, "GET", layer) and len(paths(origin, "GET", layer)) == 1
        kept = {path.name for path in (tmp_root / "c/data/blobs/sha256").iterdir()}
        assert kept == {name.removeprefix("sha256:") for name in (layer, config, by_digest)}
        assert list((tmp_root / "c/data/tmp").iterdir()) == []
        log = (tmp_root / "c/log").read_text()
        assert all(f"mirror={liar.address}" in log for liar in (first, second)), log
    finally:
        first.stop()


def test_a_page_instead_of_a_tag(start_registry, tmp_root, upstreams):
    """Who stands before a mirror and asks for a login answers with a page, and with 200."""
    mirror, origin = upstreams
    add(origin)
    mirror.manifests["1"] = ("text/html", b"<html>log in first</html>")
    (tmp_root / "certs/origin.test").mkdir(parents=True)
    (tmp_root / "certs/origin.test/hosts.toml").write_text(f'server = "http://{origin.address}"\n[host."http://{mirror.address}"]\n')
    server = start_registry({"upstreams": [{"name": "origin.test", "certificates": str(tmp_root / "certs")}]}, folder="c")
    assert server.request("GET", "/v2/origin.test/web/manifests/1").data == origin.manifests["1"][1]
    assert paths(mirror, "GET", "manifests/1")
