# SPDX-License-Identifier: Apache-2.0
"""What kist-registry's administrator sets: quotas, retention, scrubbing, events, logs, reload and restart."""
import http.client
import http.server
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from lib.kist_registry import sha
from lib.ports import free_port
from lib.wait import wait_for

JSON = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def serve(start_registry):
    """serve(options...) starts a registry with a configuration file of these options."""
    return lambda **options: start_registry(options)


def configure(folder, **options):
    (folder / "registry.json").write_text(json.dumps(options))


def code_of(reply):
    return json.loads(reply.data)["errors"][0]["code"]


def log_of(server):
    return (server.root / "log").read_text()


# ---- configuration ----


@pytest.mark.parametrize(
    "options, words",
    [
        ({"quota": {"total": -1}}, "quota.total"),
        ({"quota": {"repositories": [{"repository": "a"}]}}, "quota.repositories[0].size"),
        ({"retention": {"rules": [{"keep-newest": -1}]}}, "retention.rules[0]"),
        ({"retention": {"rules": [{"keep": 1}]}}, 'unknown option "retention.rules[0].keep"'),
        ({"scrub": {"interval": 1, "rate": 0}}, "scrub.rate"),
        ({"webhooks": [{"url": "x"}]}, "webhooks[0].url"),
        ({"webhooks": [{"url": "http://x", "actions": ["fly"]}]}, '"fly" is none of'),
        ({"access-log-format": "xml"}, '"xml" is none of'),
        ({"stop-wait": -1}, "stop-wait"),
    ],
)
def test_bad_configuration(tmp_root, program, options, words):
    configure(tmp_root, **options)
    run = subprocess.run(
        [program("kist-registry"), "--config", tmp_root / "registry.json", "--validate"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2 and words in run.stderr, run.stderr


def test_schema(program):
    text = subprocess.check_output([program("kist-registry"), "--schema"], text=True)
    schema = json.loads(text)
    assert schema["additionalProperties"] is False
    rules = schema["properties"]["auth"]["properties"]["rules"]["items"]
    assert rules["required"] == ["repository", "actions"]
    assert schema["properties"]["listen"]["type"] == ["string", "array"]
    assert schema["properties"]["quota"]["properties"]["total"]["type"] == "integer"


# ---- quotas ----


def push(server, name, data):
    return server.request("POST", f"/v2/{name}/blobs/uploads/?digest={sha(data)}", data)


def test_quotas(serve):
    ours = serve(quota={"total": 60_000, "each": 30_000, "repositories": [{"repository": "small/*", "size": 10_000}]})
    assert push(ours, "small/a", os.urandom(6_000)).status == 201
    reply = push(ours, "small/a", os.urandom(6_000))
    assert reply.status == 403 and code_of(reply) == "DENIED" and b"quota of small/a exceeded" in reply.data
    # The same with a chunk of unknown length: what is too much ends it.
    location = ours.request("POST", "/v2/small/a/blobs/uploads/").getheader("Location")
    connection = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=120)
    connection.request("PATCH", location, body=iter([os.urandom(3_000)] * 3), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert connection.getresponse().status == 403
    connection.close()
    assert ours.request("GET", location).status == 404
    # What is there already costs nothing again; nor does what another repository has, in total.
    data = os.urandom(25_000)
    for name in ("big/a", "big/a", "big/b", "big/c"):
        assert push(ours, name, data).status == 201
    assert push(ours, "big/d", os.urandom(28_000)).status == 201
    reply = push(ours, "big/e", os.urandom(5_000))
    assert reply.status == 403 and b"this registry" in reply.data or b"quota of big/e" in reply.data
    # Room that is freed can be used, also after kill -9.
    ours.kill()
    ours.start()
    assert push(ours, "big/e", os.urandom(5_000)).status == 403
    for name in ("big/a", "big/b", "big/c"):
        assert ours.request("DELETE", f"/v2/{name}/blobs/{sha(data)}").status == 202
    assert push(ours, "big/e", os.urandom(5_000)).status == 201


def test_quota_beside_each_other(serve):
    """Twenty pushes at once into room for seven."""
    ours = serve(quota={"each": 75_000}, metrics=True)
    results = []

    def one():
        results.append(push(ours, "team/x", os.urandom(10_000)).status)

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [201] * 7 + [403] * 13
    assert "kist_registry_stored_bytes 70000\n" in ours.request("GET", "/metrics").data.decode()
    assert len(list((ours.root / "data/blobs/sha256").iterdir())) == 7


# ---- retention ----


def tags(server, name):
    return json.loads(server.request("GET", f"/v2/{name}/tags/list").data)["tags"]


def test_retention(serve):
    rules = [
        {"repository": "team/*", "tags": "v*"},  # releases stay
        {"repository": "team/*", "tags": "ci-*", "keep-newest": 2, "untagged": True},
        {"repository": "team/*", "tags": "tmp", "older-than": 0},
        {"repository": "team/*", "tags": "day", "older-than": 100_000},
    ]
    # Pushed while nothing is collected: without a delay a layer may go before its manifest comes.
    ours = serve()
    digests = {}
    for index, tag in enumerate(["ci-a", "v1", "ci-b", "tmp", "ci-c", "ci-d", "day", "other"]):
        for name in ("team/web", "else/web"):
            digests[name, tag], _ = ours.push_image(name, tag, layer=f"{index}".encode())
    ours.stop()
    ours = serve(retention={"rules": rules}, garbage={"interval": 1, "delay": 0})
    wait_for(lambda: tags(ours, "team/web") == ["ci-c", "ci-d", "day", "other", "v1"])
    wait_for(lambda: ours.request("GET", f"/v2/team/web/manifests/{digests['team/web', 'ci-a']}").status == 404)
    assert len(tags(ours, "else/web")) == 8
    assert ours.request("GET", f"/v2/else/web/manifests/{digests['else/web', 'ci-a']}").status == 200
    assert 'tag expired repository=team/web tag=ci-a' in log_of(ours)


def test_retention_that_only_says(serve):
    ours = serve()
    digest, _ = ours.push_image("a", "1")
    ours.stop()
    ours = serve(
        retention={"dry-run": True, "rules": [{"keep-newest": 0, "untagged": True}]}, garbage={"interval": 1, "delay": 0}
    )
    wait_for(lambda: "tag would expire repository=a tag=1" in log_of(ours))
    assert tags(ours, "a") == ["1"]
    ours.request("DELETE", "/v2/a/manifests/1")
    time.sleep(2.5)
    assert ours.request("GET", f"/v2/a/manifests/{digest}").status == 200


# ---- scrub ----


def test_scrub(serve):
    ours = serve(scrub={"interval": 1}, metrics=True)
    data = os.urandom(100_000)
    good = os.urandom(1000)
    push(ours, "a", data)
    push(ours, "a", good)
    path = ours.root / "data/blobs/sha256" / sha(data).removeprefix("sha256:")
    with open(path, "r+b") as file:
        file.seek(50_000)
        file.write(b"rot")
    wait_for(lambda: not path.exists())
    assert ours.request("GET", f"/v2/a/blobs/{sha(data)}").status == 404
    assert ours.request("GET", f"/v2/a/blobs/{sha(good)}").data == good
    assert len(list((ours.root / "data/quarantine").iterdir())) == 1
    # The client sees that it is missing and pushes it again.
    assert push(ours, "a", data).status == 201
    assert ours.request("GET", f"/v2/a/blobs/{sha(data)}").data == data
    wait_for(lambda: b"damaged_blobs_total 1\n" in ours.request("GET", "/metrics").data)


# ---- events ----


class Receiver:
    def __init__(self):
        self.events = []
        self.refuse = 0
        self.seen = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.seen.append((self.path, dict(self.headers)))
                if owner.refuse > 0:
                    owner.refuse -= 1
                    self.send_response(503)
                else:
                    owner.events += json.loads(body)["events"]
                    self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_events(serve, receiver):
    receiver.refuse = 2
    hook = {"url": receiver.url, "headers": {"Authorization": "Bearer x"}, "repositories": ["team/*"]}
    ours = serve(webhooks=[{"name": "ci", **hook}, {"name": "never", "url": "http://127.0.0.1:1/"}])
    digest, data = ours.push_image("team/web", "1")
    ours.push_image("else/web", "1")
    ours.request("GET", "/v2/team/web/manifests/1", headers={"User-Agent": "tester/1"})
    ours.request("POST", f"/v2/team/two/blobs/uploads/?mount={sha(b'layer')}&from=team/web")
    ours.request("DELETE", f"/v2/team/web/manifests/{digest}")
    wait_for(lambda: len(receiver.events) >= 6)
    found = [(event["action"], event["target"]["repository"]) for event in receiver.events]
    assert found == [("push", "team/web")] * 3 + [("pull", "team/web"), ("mount", "team/two"), ("delete", "team/web")]
    pushed = receiver.events[2]
    assert pushed["target"]["tag"] == "1" and pushed["target"]["digest"] == digest
    assert pushed["target"]["mediaType"] == JSON and pushed["target"]["size"] == len(data)
    assert pushed["target"]["url"] == f"http://127.0.0.1:{ours.port}/v2/team/web/manifests/{digest}"
    assert pushed["request"]["method"] == "PUT" and pushed["request"]["addr"] == "127.0.0.1"
    assert receiver.events[3]["request"]["useragent"] == "tester/1"
    assert receiver.events[4]["target"]["fromRepository"] == "team/web"
    headers = receiver.seen[0][1]
    assert headers["Content-Type"] == "application/vnd.docker.distribution.events.v1+json"
    assert headers["Authorization"] == "Bearer x" and receiver.seen[0][0] == "/hook"
    assert "event was not taken webhook=ci" in log_of(ours) and "webhook=never" in log_of(ours)


def test_a_full_queue_drops_its_oldest(serve):
    ours = serve(webhooks=[{"url": "http://127.0.0.1:1/", "queue": 2}], metrics=True)
    for _ in range(4):
        push(ours, "a", os.urandom(10))
    assert b"events_lost_total 2\n" in ours.request("GET", "/metrics").data


# ---- access logs ----


def test_combined_log(serve):
    ours = serve(**{"access-log": True, "access-log-format": "combined"})
    ours.request("GET", "/v2/x/tags/list", headers={"User-Agent": 'a"b', "Referer": "http://r"})
    wait_for(lambda: "tags/list" in log_of(ours))
    line = next(line for line in log_of(ours).splitlines() if "tags/list" in line)
    pattern = r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:[\d:]{8} \+0000\] "GET /v2/x/tags/list HTTP/1\.1" 404 \d+ "http://r" "a\\x22b"'
    assert re.fullmatch(pattern, line), line


def test_json_log(serve):
    ours = serve(**{"access-log": True, "access-log-format": "json"})
    ours.request("GET", "/v2/x%ff/tags/list", headers={"User-Agent": 'a"b'})
    wait_for(lambda: "tags/list" in log_of(ours))
    line = json.loads(next(line for line in log_of(ours).splitlines() if "tags/list" in line))
    assert line["client"] == "127.0.0.1" and line["agent"] == 'a"b' and line["method"] == "GET"


# ---- reload and restart ----


def make_certificate(folder, name):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


def served_name(port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 60) as plain, context.wrap_socket(plain) as tls:
        return subprocess.run(
            ["openssl", "x509", "-inform", "der", "-noout", "-subject"],
            input=tls.getpeercert(True), capture_output=True, check=True,
        ).stdout.decode()  # fmt: skip


def test_reload(serve, tmp_root):
    ours = serve()
    location = ours.request("POST", "/v2/a/blobs/uploads/").getheader("Location")
    configure(tmp_root, **{"quota": {"each": 100}})
    ours.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration read again" in log_of(ours))
    assert push(ours, "a", os.urandom(200)).status == 403
    # A wrong file changes nothing, and uploads go on.
    (tmp_root / "registry.json").write_text('{"quota": {"each": 1}, "rot": 1}')
    ours.process.send_signal(signal.SIGHUP)
    wait_for(lambda: 'unknown option \\"rot\\"' in log_of(ours))
    configure(tmp_root, root="/elsewhere", listen="127.0.0.1:1")
    configure(tmp_root, upstreams=[{"name": "a.b"}])
    ours.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "upstreams cannot change while it runs" in log_of(ours))
    assert push(ours, "a", os.urandom(200)).status == 403
    assert ours.request("PUT", f"{location}?digest={sha(b'x' * 50)}", b"x" * 50).status == 201


def test_reload_of_a_certificate(tmp_root, program):
    make_certificate(tmp_root, "first")
    port = free_port()
    log = open(tmp_root / "log", "wb")
    process = subprocess.Popen(
        [program("kist-registry"), "--root", tmp_root / "data", "--listen", f"127.0.0.1:{port}",
         "--tls-certificate", tmp_root / "cert.pem", "--tls-key", tmp_root / "key.pem"],
        stderr=log,
    )  # fmt: skip
    try:
        wait_for(lambda: b"is ready" in (tmp_root / "log").read_bytes())
        assert "first" in served_name(port)
        make_certificate(tmp_root, "second")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: b"read again" in (tmp_root / "log").read_bytes())
        assert "second" in served_name(port)
        (tmp_root / "cert.pem").write_text("rubbish")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: b"stays as it was" in (tmp_root / "log").read_bytes())
        assert "second" in served_name(port)
    finally:
        process.terminate()
        process.wait()
        log.close()


def start_slow_push(server, name, data):
    """Sends half of a blob in a request; returns what sends the rest and reads the answer."""
    connection = socket.create_connection(("127.0.0.1", server.port), 120)
    head = f"POST /v2/{name}/blobs/uploads/?digest={sha(data)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    connection.sendall(head.encode() + data[: len(data) // 2])

    def finish():
        with connection:
            connection.sendall(data[len(data) // 2 :])
            return connection.recv(65536)

    return finish


def busy(server):
    return any((server.root / "data/tmp").iterdir())


def test_the_end_waits_for_requests(serve):
    ours = serve()
    idle = socket.create_connection(("127.0.0.1", ours.port), 60)
    data = os.urandom(400_000)
    finish = start_slow_push(ours, "a", data)
    wait_for(lambda: busy(ours))
    ours.process.send_signal(signal.SIGTERM)
    assert idle.recv(10) == b"" and ours.process.poll() is None
    assert b" 201 " in finish()[:20]
    assert ours.process.wait(120) == 0
    idle.close()
    ours.start()
    assert ours.request("GET", f"/v2/a/blobs/{sha(data)}").data == data


def test_the_end_does_not_wait_for_ever(serve):
    ours = serve(**{"stop-wait": 1})
    finish = start_slow_push(ours, "a", os.urandom(400_000))
    wait_for(lambda: busy(ours))
    ours.process.send_signal(signal.SIGTERM)
    assert ours.process.wait(120) == 0
    try:
        assert b"201" not in finish()
    except OSError:
        pass


def test_restart_hands_the_socket_over(serve):
    """SIGUSR2 twice while four clients ask without a pause: nobody is refused."""
    ours = serve()
    ours.push_image("a", "1")
    stop = threading.Event()
    failures = []
    count = [0]

    def ask():
        while not stop.is_set():
            try:
                assert ours.request("GET", "/v2/a/manifests/1").status == 200
                count[0] += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for round_number in (2, 3):
            ours.process.send_signal(signal.SIGUSR2)
            wait_for(lambda: log_of(ours).count("registry is ready") == round_number)
        asked = count[0]
        wait_for(lambda: count[0] > asked + 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [one for one in failures if "Refused" in one or "refused" in one] == []
    # A request on a connection that was about to be closed may meet its end; a new connection never does.
    assert failures == []
    assert ours.process.poll() is None


def test_socket_activation(tmp_root, program):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    script = f'exec 3<&{listener.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
    early = socket.create_connection(("127.0.0.1", port), 120)
    early.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    process = subprocess.Popen(
        ["/bin/bash", "-c", script, "sh", program("kist-registry"), "--root", tmp_root / "data"],
        pass_fds=[listener.fileno()],
        stderr=subprocess.DEVNULL,
    )
    try:
        assert early.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        early.close()
        listener.close()
        process.terminate()
        assert process.wait(120) == 0
