# SPDX-License-Identifier: Apache-2.0
"""docker-py and raw HTTP against kistd: older clients, the 200 form of raw streams, what curl would see."""
import http.client
import json
import secrets
import socket
import struct
import threading
import time

import docker
import pytest

from lib.wait import wait_for


@pytest.fixture(scope="module")
def served(shared_daemon, registry):
    shared_daemon.docker("pull", "-q", f"{registry.address}/busybox:latest")
    shared_daemon.docker("tag", f"{registry.address}/busybox:latest", "bb")
    return shared_daemon


@pytest.fixture(scope="module")
def client(served):
    made = docker.DockerClient(base_url=f"unix://{served.socket}", version="auto", timeout=60)
    yield made
    made.close()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def call(served, method, path, body=None, headers=None):
    connection = UnixConnection(served.socket)
    headers = dict(headers or {})
    if body is not None and "Content-Type" not in headers:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, body if isinstance(body, (str, bytes, type(None))) else json.dumps(body), headers)
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply, data


def message(served, method, path, body=None, headers=None):
    reply, data = call(served, method, path, body, headers)
    return reply.status, json.loads(data)["message"]


# ---- docker-py ----


def test_ping_version_info(client):
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.51"
    assert client.info()["OSType"] == "linux"


def test_run_and_logs(client):
    assert client.containers.run("bb", "echo hello", remove=True) == b"hello\n"
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run("bb", "sh -c 'exit 3'", remove=True)
    assert failed.value.exit_status == 3
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("nosuch:1")


def test_life_of_a_container(client):
    container = client.containers.run("bb", "sleep 1000", detach=True, labels={"py": "1"})
    try:
        container.reload()
        assert container.status == "running"
        assert [c.id for c in client.containers.list(filters={"label": ["py=1"]})] == [container.id]
        # Output that comes at once must not be lost in what the client reads ahead.
        assert [container.exec_run("echo in").output for _ in range(20)] == [b"in\n"] * 20
        assert container.exec_run("sh -c 'exit 4'").exit_code == 4
        demuxed = container.exec_run("sh -c 'echo o; echo e >&2'", demux=True).output
        assert demuxed == (b"o\n", b"e\n")
        assert any("sleep 1000" in " ".join(p) for p in container.top()["Processes"])
        container.pause()
        container.unpause()
        container.rename("py" + secrets.token_hex(3))
        container.stop(timeout=1)
        assert container.wait()["StatusCode"] == 137
    finally:
        container.remove(force=True)
    with pytest.raises(docker.errors.NotFound):
        client.containers.get(container.id)


def test_attach_socket(client):
    container = client.containers.create("bb", "cat", stdin_open=True)
    try:
        stream = client.api.attach_socket(container.id, params={"stdin": 1, "stdout": 1, "stream": 1})
        container.start()
        raw = stream._sock
        raw.settimeout(60)
        raw.sendall(b"ping\n")
        assert read_frames(raw, 1) == [(1, b"ping\n")]
        raw.shutdown(socket.SHUT_WR)
        container.stop(timeout=1)
        assert raw.recv(1) == b""
    finally:
        container.remove(force=True)


def test_follow_logs_and_events(client):
    container = client.containers.run("bb", "sh -c 'for i in 1 2 3; do echo $i; sleep 0.2; done'", detach=True)
    assert b"".join(container.logs(stream=True, follow=True)) == b"1\n2\n3\n"
    container.remove()
    since = int(time.time()) - 60
    events = client.events(since=since, until=int(time.time()) + 1, decode=True, filters={"container": container.id})
    assert "die" in [e["status"] for e in events]


def test_images(client):
    image = client.images.get("bb")
    assert image.tag("py", "1")
    assert "py:1" in client.images.get("py:1").tags
    client.images.remove("py:1")
    assert image.history()


def test_networks_and_volumes(client):
    assert {n.name for n in client.networks.list()} == {"bridge", "host", "none"}
    volume = client.volumes.create("py" + secrets.token_hex(3))
    assert volume in client.volumes.list()
    volume.remove()


# ---- raw HTTP ----


def read_exactly(raw, size):
    data = b""
    while len(data) < size:
        more = raw.recv(size - len(data))
        assert more, f"ended after {data!r}"
        data += more
    return data


def read_frames(raw, count):
    frames = []
    for _ in range(count):
        stream, size = struct.unpack(">BxxxI", read_exactly(raw, 8))
        frames.append((stream, read_exactly(raw, size)))
    return frames


def read_head(raw):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        more = raw.recv(1)
        assert more, head
        head += more
    return head.decode()


def raw_request(served, text, body=b""):
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(60)
    raw.connect(str(served.socket))
    raw.sendall(text.replace("\n", "\r\n").encode() + b"\r\n" + body)
    return raw


def test_headers_everywhere(served):
    for path in ("/_ping", "/v1.24/version", "/nowhere", "/v1.41/containers/json"):
        reply, _ = call(served, "GET", path)
        assert reply.headers["Api-Version"] == "1.51"
        assert reply.headers["Ostype"] == "linux"
        assert reply.headers["Server"].startswith("Docker/")
        assert reply.headers["Docker-Experimental"] == "false"
    reply, data = call(served, "HEAD", "/_ping")
    assert (reply.status, data, reply.headers["Content-Length"]) == (200, b"", "0")
    assert reply.headers["Swarm"] == "inactive"


def test_error_answers(served):
    assert message(served, "GET", "/nowhere") == (404, "page not found")
    assert message(served, "PATCH", "/version") == (404, "page not found")
    assert message(served, "GET", "/v1.99/info") == (
        400,
        "client version 1.99 is too new. Maximum supported API version is 1.51",
    )
    status, text = message(served, "GET", "/v1.10/info")
    assert status == 400
    assert text.startswith("client version 1.10 is too old. Minimum supported API version is 1.24")
    assert message(served, "GET", "/containers/x%2Fy/json") == (404, "No such container: x/y")
    assert message(served, "GET", "/images/a/b/c:1/json") == (404, "No such image: a/b/c:1")
    assert message(served, "GET", "/exec/nosuch/json") == (404, "No such exec instance: nosuch")
    assert message(served, "GET", "/swarm")[0] == 503
    assert message(served, "GET", "/containers/x/stats") == (404, "No such container: x")
    assert message(served, "POST", "/containers/x/wait?condition=foo") == (400, 'invalid condition: "foo"')
    assert message(served, "GET", "/containers/json?filters=%7Bbad")[0] == 400
    assert message(served, "GET", "/containers/json?limit=x")[0] == 400
    assert message(served, "GET", "/containers/%zz/json")[0] == 400


@pytest.mark.parametrize("body", ["{", "[]", "null", '{"Image":1}', '{"HostConfig":{"Memory":"x"}}', "{} {}", ""])
def test_bad_create_bodies(served, body):
    status, text = message(served, "POST", "/containers/create", body)
    assert status == 400, text


def test_wrong_content_type(served):
    status, text = message(served, "POST", "/containers/create", "{}", {"Content-Type": "text/plain"})
    assert (status, text) == (400, "unsupported Content-Type header (text/plain): must be 'application/json'")


def test_huge_body_is_refused(served):
    status, _ = message(served, "POST", "/containers/create", b" " * (5 << 20))
    assert status == 413


def create(served, body, version=""):
    reply, data = call(served, "POST", f"{version}/containers/create", body)
    assert reply.status == 201, data
    return json.loads(data)["Id"]


def remove(served, container):
    call(served, "DELETE", f"/containers/{container}?force=1&v=1")


def test_both_forms_of_filters(served):
    container = create(served, {"Image": "bb", "Labels": {"form": "x"}})
    try:
        for form in ('{"label":["form=x"]}', '{"label":{"form=x":true}}'):
            _, data = call(served, "GET", "/containers/json?all=True&filters=" + form.replace('"', "%22"))
            assert [c["Id"] for c in json.loads(data)] == [container]
    finally:
        remove(served, container)


def test_wait_sends_its_headers_at_once(served):
    container = create(served, {"Image": "bb", "Cmd": ["sh", "-c", "exit 11"]})
    try:
        raw = raw_request(
            served, f"POST /v1.41/containers/{container}/wait?condition=next-exit HTTP/1.1\nHost: x\nContent-Length: 0\n"
        )
        assert read_head(raw).startswith("HTTP/1.1 200")
        reply, _ = call(served, "POST", f"/containers/{container}/start")
        assert reply.status == 204
        rest = b""
        while b"StatusCode" not in rest or not rest.endswith(b"0\r\n\r\n"):
            more = raw.recv(4096)
            if not more:
                break
            rest += more
        assert b'"StatusCode":11' in rest
        reply, _ = call(served, "POST", f"/containers/{container}/stop")
        assert reply.status == 304
    finally:
        remove(served, container)


@pytest.mark.parametrize("upgrade", [True, False])
@pytest.mark.parametrize("version,kind", [("v1.42", "multiplexed"), ("v1.41", "raw")])
def test_attach_forms(served, upgrade, version, kind):
    container = create(served, {"Image": "bb", "Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True})
    try:
        headers = "Connection: Upgrade\nUpgrade: tcp\n" if upgrade else ""
        # Input in the same packet as the request must not be lost.
        raw = raw_request(
            served,
            f"POST /{version}/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\nHost: x\n"
            f"{headers}Content-Length: 0\n",
            b"early ",
        )
        head = read_head(raw)
        assert head.startswith("HTTP/1.1 101" if upgrade else "HTTP/1.1 200")
        assert f"application/vnd.docker.{kind}-stream" in head
        call(served, "POST", f"/containers/{container}/start")
        raw.sendall(b"late\n")
        raw.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            header = raw.recv(8, socket.MSG_WAITALL)
            if not header:
                break
            stream, size = struct.unpack(">BxxxI", header)
            assert stream == 1
            got += read_exactly(raw, size)
        assert got == b"early late\n"
    finally:
        remove(served, container)


def test_tty_is_not_framed(served):
    container = create(served, {"Image": "bb", "Cmd": ["echo", "plain"], "Tty": True})
    try:
        raw = raw_request(
            served,
            f"POST /v1.47/containers/{container}/attach?stream=1&stdout=1 HTTP/1.1\nHost: x\nConnection: Upgrade\n"
            "Upgrade: tcp\nContent-Length: 0\n",
        )
        assert "application/vnd.docker.raw-stream" in read_head(raw)
        call(served, "POST", f"/containers/{container}/start")
        got = b""
        while True:
            more = raw.recv(4096)
            if not more:
                break
            got += more
        assert got == b"plain\r\n"
        _, data = call(served, "GET", f"/containers/{container}/logs?stdout=1")
        assert data == b"plain\r\n"
    finally:
        remove(served, container)


def test_logs_are_framed(served):
    container = create(served, {"Image": "bb", "Cmd": ["sh", "-c", "echo o; echo e >&2"]})
    try:
        call(served, "POST", f"/containers/{container}/start")
        call(served, "POST", f"/containers/{container}/wait")
        reply, data = call(served, "GET", f"/v1.43/containers/{container}/logs?stdout=1&stderr=1")
        assert reply.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
        frames = set()
        while data:
            stream, size = struct.unpack(">BxxxI", data[:8])
            frames.add((stream, data[8 : 8 + size]))
            data = data[8 + size :]
        assert frames == {(1, b"o\n"), (2, b"e\n")}
        assert message(served, "GET", f"/containers/{container}/logs") == (
            400,
            "Bad parameters: you must choose at least one stream",
        )
    finally:
        remove(served, container)


def test_many_clients_at_once(served):
    """Hang-ups in the middle of waits leave no thread behind, and others are served meanwhile."""
    container = create(served, {"Image": "bb", "Cmd": ["sleep", "1000"]})
    call(served, "POST", f"/containers/{container}/start")
    try:
        pid = served.process.pid
        before = threads_of(pid)
        waits = [raw_request(served, f"POST /containers/{container}/wait HTTP/1.1\nHost: x\nContent-Length: 0\n") for _ in range(50)]
        for raw in waits:
            read_head(raw)
        assert threads_of(pid) >= before + 40
        results = []
        callers = [threading.Thread(target=lambda: results.append(call(served, "GET", "/_ping")[0].status)) for _ in range(20)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
        assert results == [200] * 20
        for raw in waits:
            raw.close()
        wait_for(lambda: threads_of(pid) <= before + 5, "the threads of clients that left")
    finally:
        remove(served, container)


def threads_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(next(line for line in status if line.startswith("Threads:")).split()[1])
