# SPDX-License-Identifier: Apache-2.0
"""Files in and out of containers: docker cp and export, running and stopped, and never past the container's root."""
import base64
import http.client
import io
import json
import os
import socket
import tarfile
import time
import urllib.parse

import pytest

from lib.wait import wait_for


class Api(http.client.HTTPConnection):
    def __init__(self, daemon):
        super().__init__("localhost", timeout=60)
        self.path = str(daemon.socket)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def call(self, method, name, path, body=None, **query):
        query["path"] = path
        self.request(method, f"/containers/{name}/archive?" + urllib.parse.urlencode(query), body)
        reply = self.getresponse()
        data = reply.read()
        stat = reply.getheader("X-Docker-Container-Path-Stat")
        return reply.status, data, json.loads(base64.b64decode(stat)) if stat else None


@pytest.fixture
def api(shared):
    connection = Api(shared)
    yield connection
    connection.close()


@pytest.fixture(params=["running", "stopped", "created"])
def box(shared, request):
    """A container in each state, with a volume at /vol."""
    shared.docker("create", "--name", "box", "-v", "boxvol:/vol", "busybox", "sleep", "1000")
    if request.param != "created":
        shared.docker("start", "box")
    if request.param == "stopped":
        shared.docker("stop", "-t", "0", "box")
    yield request.param
    shared.docker("rm", "-f", "box")
    shared.docker("volume", "rm", "-f", "boxvol")


def make_tar(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, value in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
            data = value.encode() if kind == tarfile.REGTYPE else b""
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = value
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def names(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


def content(data, name):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.extractfile(name).read().decode()


def test_there_and_back(shared, box, tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/file").write_text("hello\n")
    (tmp_path / "in/deep/big").write_bytes(os.urandom(3 << 20))
    (tmp_path / "in/link").symlink_to("file")
    os.chmod(tmp_path / "in/file", 0o4751)
    shared.docker("cp", tmp_path / "in", "box:/root")
    shared.docker("cp", "box:/root/in", tmp_path / "out")
    assert (tmp_path / "out/deep/big").read_bytes() == (tmp_path / "in/deep/big").read_bytes()
    assert os.readlink(tmp_path / "out/link") == "file"
    assert (tmp_path / "out/file").stat().st_mode & 0o777 == 0o751
    shared.docker("cp", tmp_path / "in/file", "box:/vol/renamed")
    assert shared.docker("run", "--rm", "-v", "boxvol:/v", "busybox", "cat", "/v/renamed").stdout == "hello\n"
    shared.docker("cp", "box:/vol/.", tmp_path / "volume")
    assert (tmp_path / "volume/renamed").read_text() == "hello\n"
    # What was put in is there for the container too.
    shared.docker("start", "box")
    assert shared.docker("exec", "box", "cat", "/root/in/file", "/vol/renamed").stdout == "hello\nhello\n"


def test_stat(shared, api, box):
    api.call("PUT", "box", "/root", make_tar(("f", tarfile.REGTYPE, "12345"), ("l", tarfile.SYMTYPE, "../etc/passwd"), ("d", tarfile.DIRTYPE, "")))
    status, body, stat = api.call("HEAD", "box", "/root/f")
    assert (status, body) == (200, b"") and stat["name"] == "f" and stat["size"] == 5 and stat["mode"] == 0o644
    assert stat["linkTarget"] == "" and stat["mtime"].endswith("Z")
    stat = api.call("HEAD", "box", "/root/d")[2]
    assert stat["mode"] == 0x80000000 | 0o755
    stat = api.call("HEAD", "box", "/root/l")[2]
    assert stat["mode"] & 0x08000000 and stat["linkTarget"] == "/etc/passwd" and stat["name"] == "l"
    stat = api.call("HEAD", "box", "/tmp")[2]
    assert stat["mode"] == 0x80000000 | 0x00100000 | 0o777
    assert api.call("HEAD", "box", "/")[2]["name"] == "/"


def test_names_in_the_stream(api, box):
    api.call("PUT", "box", "/root", make_tar(("d", tarfile.DIRTYPE, ""), ("d/f", tarfile.REGTYPE, "x"), ("l", tarfile.SYMTYPE, "d")))
    assert names(api.call("GET", "box", "/root/d")[1]) == ["d", "d/f"]
    assert names(api.call("GET", "box", "/root/d/")[1]) == ["d", "d/f"]
    assert names(api.call("GET", "box", "/root/d/.")[1]) == [".", "./f"]
    assert names(api.call("GET", "box", "/root/l")[1]) == ["l"]
    assert names(api.call("GET", "box", "/root/l/")[1]) == ["l", "l/f"]
    whole = names(api.call("GET", "box", "/")[1])
    assert "bin/busybox" in whole and "proc" in whole and not [name for name in whole if name.startswith("proc/")]


# ---- past the root ----


def secret_files(shared):
    return [str(shared.root), "kistd.pid"]


LINKS = [
    ("up", "../../../../../../../../../../.."),
    ("absolute", "/"),
    ("host", "/proc/1/root"),
    ("magic", "/proc/self/root"),
]


@pytest.mark.parametrize("name,target", LINKS, ids=[link[0] for link in LINKS])
def test_links_do_not_lead_out(shared, api, box, name, target):
    """Only the host has this folder: through no link of the container's is it found."""
    root = str(shared.root)
    assert api.call("PUT", "box", "/root", make_tar((name, tarfile.SYMTYPE, target)))[0] == 200
    for path in (f"/root/{name}{root}", f"/root/{name}{root}/kistd.pid", f"/root/{name}/../{root}/kistd.pid"):
        assert api.call("HEAD", "box", path)[0] in (400, 404), path
        assert api.call("GET", "box", path)[0] in (400, 404), path
    before = sorted(os.listdir(root))
    status = api.call("PUT", "box", f"/root/{name}{root}", make_tar(("evil", tarfile.REGTYPE, "x")))[0]
    assert status in (400, 404) and sorted(os.listdir(root)) == before
    # A link inside the stream, and a file through it.
    evil = make_tar(("x", tarfile.SYMTYPE, target + root), ("x/evil", tarfile.REGTYPE, "x"))
    assert api.call("PUT", "box", "/root", evil)[0] >= 400
    assert sorted(os.listdir(root)) == before


@pytest.mark.parametrize(
    "entries",
    [
        (("../evil", tarfile.REGTYPE, "x"),),
        (("a/../../evil", tarfile.REGTYPE, "x"),),
        (("hard", tarfile.LNKTYPE, "../../etc/passwd"),),
    ],
)
def test_entries_that_climb(shared, api, entries):
    shared.docker("create", "--name", "climb", "busybox")
    try:
        status, body, _ = api.call("PUT", "climb", "/root", make_tar(*entries))
        assert status == 400 and json.loads(body)["message"]
    finally:
        shared.docker("rm", "climb")


def test_a_volume_cannot_be_swapped_for_a_link(shared, api):
    """The mount point in the image is a link to where the container has none: the volume still is where it belongs."""
    shared.docker("create", "--name", "swap", "-v", "swapvol:/lnk", "busybox")
    try:
        api.call("PUT", "swap", "/lnk", make_tar(("f", tarfile.REGTYPE, "in the volume")))
        out = shared.docker("run", "--rm", "-v", "swapvol:/v", "busybox", "cat", "/v/f").stdout
        assert out == "in the volume"
    finally:
        shared.docker("rm", "swap")
        shared.docker("volume", "rm", "swapvol")


# ---- refusals ----


def test_a_part_of_a_volume_cannot_be_swapped_for_a_link(shared, api):
    """The part is looked up inside the volume: its own /etc, not the host's."""
    shared.docker("run", "--rm", "-v", "partvol:/vol", "busybox", "sh", "-c", "mkdir /vol/part /vol/etc && echo inside >/vol/etc/passwd")
    try:
        shared.kist("create", "--name", "parted", "--mount", "type=volume,src=partvol,dst=/part,volume-subpath=part", "busybox", "true")
        shared.docker("run", "--rm", "-v", "partvol:/vol", "busybox", "sh", "-c", "rmdir /vol/part && ln -s /etc /vol/part")
        status, data, _ = api.call("GET", "parted", "/part/passwd")
        assert status == 404 or content(data, "passwd") == "inside\n"
        shared.docker("run", "--rm", "-v", "partvol:/vol", "busybox", "sh", "-c", "rm /vol/part && ln -s ../../../../etc /vol/part")
        status, data, _ = api.call("GET", "parted", "/part/passwd")
        assert status == 404 or content(data, "passwd") == "inside\n"
    finally:
        shared.docker("rm", "-f", "parted", check=False)
        shared.docker("volume", "rm", "partvol", check=False)


def test_refusals(shared, api, box):
    assert api.call("GET", "nosuch", "/")[0] == 404
    for method in ("HEAD", "GET"):
        assert api.call(method, "box", "/nosuch/file")[0] == 404
    status, body, _ = api.call("GET", "box", "/nosuch")
    assert json.loads(body)["message"] == "Could not find the file /nosuch in container box"
    status, body, _ = api.call("GET", "box", "")
    assert status == 400 and "path" in json.loads(body)["message"]
    status, body, _ = api.call("PUT", "box", "/etc/passwd", make_tar(("x", tarfile.REGTYPE, "x")))
    assert status == 400 and "not a directory" in json.loads(body)["message"]
    status, body, _ = api.call("PUT", "box", "/root", b"this is no archive" * 100)
    assert status == 400 and "tar" in json.loads(body)["message"]
    cut = make_tar(("x", tarfile.REGTYPE, "x" * 100000))[:5000]
    assert api.call("PUT", "box", "/root", cut)[0] == 400


def test_kinds_are_kept_if_asked(api, box):
    api.call("PUT", "box", "/root", make_tar(("f", tarfile.REGTYPE, "x"), ("d", tarfile.DIRTYPE, "")))
    turned = [make_tar(("f", tarfile.DIRTYPE, "")), make_tar(("d", tarfile.REGTYPE, "y"))]
    for tar in turned:
        status, body, _ = api.call("PUT", "box", "/root", tar, noOverwriteDirNonDir="true")
        assert status == 400 and "cannot overwrite" in json.loads(body)["message"]
    for tar in turned:
        assert api.call("PUT", "box", "/root", tar)[0] == 200
    assert content(api.call("GET", "box", "/root/d")[1], "d") == "y"


@pytest.mark.parametrize("state", ["running", "created"])
def test_read_only(shared, api, state):
    shared.docker("create", "--name", "ro", "--read-only", "-v", "rovol:/vol:ro", "-v", "rwvol:/rw", "busybox", "sleep", "100")
    if state == "running":
        shared.docker("start", "ro")
    try:
        tar = make_tar(("f", tarfile.REGTYPE, "x"))
        for path in ("/root", "/vol"):
            status, body, _ = api.call("PUT", "ro", path, tar)
            assert status == 400 and "read-only" in json.loads(body)["message"].lower(), (path, body)
        assert api.call("PUT", "ro", "/rw", tar)[0] == 200
    finally:
        shared.docker("rm", "-f", "ro")
        shared.docker("volume", "rm", "rovol", "rwvol")


def test_owner_of_what_is_copied(shared, api):
    shared.docker("create", "--name", "own", "--user", "user", "busybox", "sleep", "100")
    try:
        tar = make_tar(("f", tarfile.REGTYPE, "x"))
        api.call("PUT", "own", "/tmp", tar, copyUIDGID="1")
        with tarfile.open(fileobj=io.BytesIO(api.call("GET", "own", "/tmp/f")[1])) as got:
            assert (got.getmember("f").uid, got.getmember("f").gid) == (1000, 1000)
        api.call("PUT", "own", "/tmp", tar)
        with tarfile.open(fileobj=io.BytesIO(api.call("GET", "own", "/tmp/f")[1])) as got:
            assert got.getmember("f").uid == 0
    finally:
        shared.docker("rm", "own")


# ---- clients that leave ----


def test_client_that_hangs_up(shared, api):
    shared.docker("run", "-d", "--name", "gone", "busybox", "sh", "-c", "head -c 60000000 /dev/zero >/big; sleep 1000")
    try:
        wait_for(lambda: api.call("HEAD", "gone", "/big")[0] == 200 and api.call("HEAD", "gone", "/big")[2]["size"] == 60000000, "the file")
        for _ in range(3):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(shared.socket))
            client.sendall(b"GET /containers/gone/archive?path=/big HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(1000)
            client.close()
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(shared.socket))
            client.sendall(b"PUT /containers/gone/archive?path=/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"\0" * 700)
            client.close()
        # A stopped container is free again at once.
        shared.docker("stop", "-t", "0", "gone")
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(shared.socket))
        client.sendall(b"GET /containers/gone/archive?path=/big HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(1000)
        client.close()
        shared.docker("start", "gone")
    finally:
        shared.docker("rm", "-f", "gone")


# ---- export ----


def test_export(shared, tmp_path):
    shared.docker("run", "--name", "ex", "-v", "/anon", "busybox", "sh", "-c", "echo new >/root/new; rm /bin/vi; echo v >/anon/f")
    try:
        shared.docker("export", "-o", tmp_path / "ex.tar", "ex")
        found = names((tmp_path / "ex.tar").read_bytes())
        assert "root/new" in found and "bin/busybox" in found and "bin/vi" not in found
        assert not [name for name in found if ".wh." in name or name.startswith("anon/")]
        shared.docker("import", tmp_path / "ex.tar", "again")
        assert shared.docker("run", "--rm", "again", "/bin/cat", "/root/new").stdout == "new\n"
        done = shared.kist("export", "ex", check=False)
        assert len(done.stdout) > 1000000
    finally:
        shared.docker("rm", "-f", "-v", "ex")
        shared.docker("rmi", "-f", "again", check=False)


def test_events(shared, tmp_path):
    shared.docker("create", "--name", "ev", "busybox")
    shared.docker("cp", "ev:/etc/passwd", tmp_path / "p")
    shared.docker("cp", tmp_path / "p", "ev:/root/p")
    shared.docker("export", "-o", tmp_path / "t", "ev")
    shared.docker("rm", "ev")
    events = shared.docker("events", "--since", "60s", "--until", str(int(time.time()) + 1), "--filter", "container=ev", "--format", "{{.Action}}")
    assert events.stdout.split() == ["create", "archive-path", "extract-to-dir", "export", "destroy"]


# ---- kist cp ----


def tree_of(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def test_kist_cp(shared, tmp_path):
    """The destination rules of docker cp, both ways."""
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/file").write_text("hello\n")
    (tmp_path / "in/deep/big").write_bytes(os.urandom(1 << 20))
    (tmp_path / "in/link").symlink_to("file")
    os.link(tmp_path / "in/file", tmp_path / "in/hard")
    os.chmod(tmp_path / "in/file", 0o640)
    expected = tree_of(tmp_path / "in")
    shared.docker("run", "-d", "--name", "kc", "busybox", "sleep", "1000")
    kist = shared.kist
    try:
        kist("cp", tmp_path / "in", "kc:/root")
        kist("cp", tmp_path / "in", "kc:/root/other")
        kist("cp", f"{tmp_path}/in/.", "kc:/tmp")
        for place in ("/root/in", "/root/other", "/tmp"):
            assert shared.docker("exec", "kc", "cat", f"{place}/link").stdout == "hello\n"
        kist("cp", "kc:/root/in", tmp_path / "new")
        (tmp_path / "there").mkdir()
        kist("cp", "kc:/root/in", tmp_path / "there")
        kist("cp", "kc:/root/in/.", tmp_path / "content")
        for place in ("new", "there/in", "content"):
            assert tree_of(tmp_path / place) == expected
            assert (tmp_path / place / "deep/big").read_bytes() == (tmp_path / "in/deep/big").read_bytes()
            assert (tmp_path / place / "file").stat().st_mode & 0o777 == 0o640
            assert os.path.samefile(tmp_path / place / "file", tmp_path / place / "hard")
        kist("cp", "kc:/root/in/link", tmp_path / "as-link")
        assert os.readlink(tmp_path / "as-link") == "file"
        kist("cp", "-L", "kc:/root/in/link", tmp_path / "followed")
        assert (tmp_path / "followed").read_text() == "hello\n"
        kist("cp", tmp_path / "in/file", "kc:/root/in/deep/")
        assert shared.docker("exec", "kc", "cat", "/root/in/deep/file").stdout == "hello\n"
        done = kist("cp", "kc:/root/in/file", "-")
        assert "hello" in done.stdout
        for arguments, words in [
            (("kc:/nosuch", "x"), "Could not find the file /nosuch in container kc"),
            (("nosuch:/x", "x"), "No such container: nosuch"),
            ((tmp_path / "nosuch", "kc:/"), "No such file"),
            ((tmp_path / "in", "kc:/etc/passwd"), "cannot copy directory"),
            ((tmp_path / "in/file", "kc:/nosuch/"), "no such directory"),
            (("kc:/root/in", tmp_path / "in/file"), "cannot copy directory"),
            (("kc:/root/in", tmp_path / "no/where"), "does not exist"),
            (("kc:/x", "kc:/y"), "copying between containers is not supported"),
            (("x", "y"), "must specify at least one container source"),
        ]:
            failed = kist("cp", *arguments, check=False)
            assert failed.returncode == 1 and words in failed.stderr, (arguments, failed)
    finally:
        shared.docker("rm", "-f", "kc")


def test_kist_cp_stays_below_the_destination(shared, tmp_path):
    """A link of the container's never makes kist write elsewhere on the host."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "to/d").mkdir(parents=True)
    (tmp_path / "to/d/sub").symlink_to(tmp_path / "outside")
    shared.docker("create", "--name", "kl", "busybox")
    try:
        (tmp_path / "from/d/sub").mkdir(parents=True)
        (tmp_path / "from/d/sub/file").write_text("x")
        shared.kist("cp", tmp_path / "from/d", "kl:/root")
        shared.kist("cp", "kl:/root/d", tmp_path / "to", check=False)
        assert os.listdir(tmp_path / "outside") == []
    finally:
        shared.docker("rm", "kl")
