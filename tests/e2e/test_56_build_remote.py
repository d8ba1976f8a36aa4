# SPDX-License-Identifier: Apache-2.0
"""ADD of URLs: from servers on loopback."""
import email.utils
import gzip
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading
import uuid

import pytest
from lib.wait import wait_for

MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.fixture(scope="module")
def shared(shared_daemon, busybox_tar):
    shared_daemon.kist("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", busybox_tar, "bb:latest")
    return shared_daemon


class Site:
    """Files with ETags, what was asked for them, and answers that go wrong."""

    def __init__(self):
        self.files, self.asked, self.headers = {}, [], []
        self.hold = threading.Event()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, status, body=b"", **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                if status != 304:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                path = self.path.split("?")[0]
                site.asked.append(path)
                site.headers.append(dict(self.headers))
                if path.startswith("/redirect/"):
                    return self.reply(302, Location="/" + path.removeprefix("/redirect/"))
                if path == "/loop":
                    return self.reply(302, Location="/loop")
                if path == "/slow":
                    self.send_response(200)
                    self.send_header("Content-Length", "1000000")
                    self.end_headers()
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    site.hold.wait(120)
                    self.close_connection = True
                    return None
                if path == "/cut":
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b"x")
                    self.close_connection = True
                    return None
                if path == "/private" and self.headers.get("Authorization") != "Bearer s3cret":
                    return self.reply(401)
                if path not in site.files:
                    return self.reply(404)
                body = site.files[path]
                etag = '"' + hashlib.md5(body).hexdigest() + '"'
                if self.headers.get("If-None-Match") == etag:
                    return self.reply(304, ETag=etag)
                return self.reply(200, body, ETag=etag, Last_Modified=MODIFIED)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site():
    made = Site()
    yield made
    made.close()


def tag():
    return "remote-" + uuid.uuid4().hex[:10]


def sh(daemon, image, script):
    return daemon.kist("run", "--rm", "--network", "none", image, "sh", "-c", script).stdout


def packed():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("inside")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"text"))
    return gzip.compress(data.getvalue())


def test_add_a_url(shared, site, context):
    site.files = {"/f": b"one\n", "/d/a%20b": b"two\n", "/t.tgz": packed()}
    name = tag()
    shared.kist(
        "build", "-t", name,
        context(
            f"FROM bb\nARG U={site.url}\nADD $U/f /at\nADD $U/f?x=1#y /in/\nADD $U/d/a%20b /in/\n"
            "ADD $U/redirect/f /r/\n"
            "ADD --chmod=755 --chown=7:8 $U/f /mine\nADD $U/t.tgz /kept/\nADD --unpack=true $U/t.tgz /out/\n"
            "ADD $U/f local <<doc /many\nhere $U\ndoc\n",
            {"local": "L"},
        ),
    )  # fmt: skip
    assert sh(shared, name, "cat /at /in/f '/in/a b' /r/f /many/f /many/local") == "one\none\ntwo\none\none\nL"
    assert sh(shared, name, "cat /many/doc") == f"here {site.url}\n"
    when = int(email.utils.parsedate_to_datetime(MODIFIED).timestamp())
    assert sh(shared, name, "stat -c '%a %u:%g %Y' /at /mine") == f"600 0:0 {when}\n755 7:8 {when}\n"
    assert sh(shared, name, "ls /kept /out; cat /out/inside") == "/kept:\nt.tgz\n\n/out:\ninside\ntext"
    assert shared.kist("history", "--no-trunc", "--format", "{{.CreatedBy}}", name).stdout.splitlines()[-3] == (
        f"ADD {site.url}/f /at # buildkit"
    )


def test_what_did_not_change_is_not_sent_again(shared, site, context):
    site.files = {"/x": b"1"}
    path = context(f"FROM bb\nADD {site.url}/x /x\nRUN head -c 9 /dev/urandom | md5sum > /stamp\n")
    one, two, three = tag(), tag(), tag()
    shared.kist("build", "-t", one, path)
    shared.kist("build", "-t", two, path)
    assert site.headers[-1]["If-None-Match"] == '"' + hashlib.md5(b"1").hexdigest() + '"'
    assert len(site.asked) == 2
    site.files["/x"] = b"2"
    shared.kist("build", "-t", three, path)
    stamps = [sh(shared, name, "cat /x /stamp") for name in (one, two, three)]
    assert stamps[0] == stamps[1] and stamps[2].startswith("2") and stamps[2][1:] != stamps[0][1:]


def test_a_checksum_needs_no_network_twice(shared, site, context):
    site.files = {"/x": b"sum"}
    digest = "sha256:" + hashlib.sha256(b"sum").hexdigest()
    path = context(f"FROM bb\nARG SUM={digest}\nADD --checksum=${{SUM}} {site.url}/x /x\n")
    shared.kist("build", "-t", tag(), path)
    assert site.asked == ["/x"]
    site.close()
    name = tag()
    shared.kist("build", "-t", name, path)
    assert sh(shared, name, "cat /x") == "sum"
    assert site.asked == ["/x"]


def test_a_secret_goes_to_its_host_only(shared, site, context, tmp_path):
    site.files = {"/private": b"p", "/other": b"o"}
    (tmp_path / "token").write_text("s3cret")
    name = tag()
    path = context(f"FROM bb\nADD {site.url}/private /p\n")
    secret = ("--secret", f"id=HTTP_AUTH_TOKEN_127.0.0.1,src={tmp_path}/token")
    run = shared.kist("build", *secret, "-t", name, path)
    assert sh(shared, name, "cat /p") == "p"
    assert "s3cret" not in run.stdout + run.stderr + shared.kist("history", "--no-trunc", name).stdout
    path = context(f"FROM bb\nADD {site.url.replace('127.0.0.1', 'localhost')}/other /p\n")
    shared.kist("build", *secret, path)
    assert "Authorization" not in site.headers[-1]


def test_contexts(shared, site):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for name, content in (("Dockerfile", b"FROM bb\nCOPY f /f\n"), ("f", b"from-tar")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    site.files = {"/context.tar.xz": data.getvalue(), "/plain": b"FROM bb\nRUN echo text > /text\n"}
    one, two = tag(), tag()
    shared.kist("build", "-t", one, f"{site.url}/context.tar.xz")
    assert sh(shared, one, "cat /f") == "from-tar"
    shared.kist("build", "-t", two, f"{site.url}/plain")
    assert sh(shared, two, "cat /text") == "text\n"
    for path, said in (("none", "invalid response status 404"), ("cut", "was cut")):
        failed = shared.kist("build", f"{site.url}/{path}", check=False)
        assert failed.returncode != 0 and said in failed.stderr, path


SUM = "sha256:" + "0" * 64
BAD = [
    ("ADD {url}/none /x", "failed to load cache key: invalid response status 404"),
    ("ADD {url}/private /x", "failed to load cache key: invalid response status 401"),
    ("ADD {url}/loop /x", "redirects more than"),
    ("ADD {url}/cut /x", "was cut"),
    (f"ADD --checksum={SUM} {{url}}/x /x", f"digest mismatch for {{url}}/x: sha256:{hashlib.sha256(b'x').hexdigest()} (expected: {SUM})"),  # fmt: skip
    ("ADD --checksum=md5:x {url}/x /x", "invalid checksum md5:x"),
    (f"ADD --checksum={SUM} {{url}}/x {{url}}/y /x", "checksum can't be specified for multiple sources"),
    (f"ADD --checksum={SUM} Dockerfile /x", "checksum requires HTTP(S) or Git sources"),
    ("COPY {url}/x /x", "source can't be a URL for COPY"),
    ("COPY https://example.invalid/x.git /x", "source can't be a git ref for COPY"),
    ("ADD http://127.0.0.1:9/x /x", "connect to 127.0.0.1"),
    ("ADD https://example.invalid/x /x", "look up example.invalid: no such host"),
]


@pytest.mark.parametrize("line,said", BAD)
def test_bad_urls(shared, site, context, line, said):
    site.files = {"/x": b"x"}
    failed = shared.kist("build", context(f"FROM bb\n{line.format(url=site.url)}\n"), check=False)
    assert failed.returncode != 0
    assert said.format(url=site.url) in failed.stderr + failed.stdout


def test_a_build_that_is_canceled_ends_its_download(shared, site, context):
    path = context(f"FROM bb\nADD {site.url}/slow /x\n")
    argv = [shared.program("kist"), "-H", f"unix://{shared.socket}", "build", path]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: "/slow" in site.asked)
        process.kill()
        process.wait(60)
        wait_for(lambda: not transfers(shared))
    finally:
        process.kill()
        process.wait(60)


def transfers(daemon):
    """kist-transfers of this engine."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/stat", encoding="utf-8") as stat:
                name, rest = stat.read().rpartition(")")[::2]
        except OSError:
            continue
        if name.endswith("(kist-transfer") and int(rest.split()[1]) == daemon.process.pid:
            found.append(number)
    return found
