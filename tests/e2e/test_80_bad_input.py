# SPDX-License-Identifier: Apache-2.0
"""Bad input of every kind: one clear error that names the cause, nothing lost, nothing left."""
import gzip
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tarfile
import time

import pytest

from lib import docker_cli, images
from lib.daemon import Daemon
from lib.layout_registry import LayoutRegistry
from lib.ports import free_port
from lib.raw_http import CREATE, UNREADABLE, last_answer
from lib.sockets import sockets_of
from lib.wait import wait_for


def make_tar(*entries):
    """entries: (name, type, target or bytes or None, mode)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, value, mode in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.mode = mode
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = value
            if kind == tarfile.CHRTYPE:
                info.devmajor, info.devminor = value
            data = value if isinstance(value, bytes) else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def file_tar(name="file", data=b"hello"):
    return make_tar((name, tarfile.REGTYPE, data, 0o644))


def nothing_stored(daemon):
    """No image, no blob, no layer, no unfinished file of a pull that failed; what may stay is what resumes it."""
    assert daemon.docker("images", "-q").stdout == ""


def pull(daemon, registry, tag="t"):
    return daemon.docker("pull", f"{registry.address}/img:{tag}", check=False)


# ---- pull ----


@pytest.fixture
def layout(tmp_path):
    return images.Layout(tmp_path / "layout")


def test_unknown_image(shared_daemon, registry):
    run = shared_daemon.docker("run", f"{registry.address}/nosuch", check=False)
    assert run.returncode == 125
    assert "nosuch" in run.stderr and ("manifest unknown" in run.stderr or "not found" in run.stderr)


def test_bad_reference(shared_daemon):
    run = shared_daemon.docker("run", "Upper/Case", check=False)
    assert run.returncode == 125
    assert "must be lowercase" in run.stderr


def test_registry_down(shared_daemon):
    run = shared_daemon.docker("pull", "127.0.0.1:1/x", check=False)
    assert run.returncode == 1
    assert "127.0.0.1:1" in run.stderr and "refused" in run.stderr.lower()


def test_registry_name_does_not_resolve(shared_daemon):
    run = shared_daemon.docker("pull", "registry.invalid/x", check=False)
    assert run.returncode == 1
    assert "registry.invalid" in run.stderr and "no such host" in run.stderr


def test_blob_with_wrong_digest(shared_daemon, layout):
    layout.add_image("t", [file_tar()])
    layers = [b for b in (layout.path / "blobs/sha256").iterdir() if b.read_bytes()[:2] == b"\x1f\x8b"]
    good = layers[0].read_bytes()
    layers[0].write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with LayoutRegistry(layout.path) as fake:
        run = pull(shared_daemon, fake)
    assert run.returncode == 1
    assert layers[0].name[:12] in run.stderr, run.stderr
    nothing_stored(shared_daemon)


def test_layer_longer_than_declared(shared_daemon, layout):
    layout.add_image("t", [file_tar()])

    def bend(kind, reference, status, headers, body):
        return status, headers, body + b"x" * 1000 if kind == "blob" and body[:2] == b"\x1f\x8b" else body

    with LayoutRegistry(layout.path, bend) as fake:
        run = pull(shared_daemon, fake)
    assert run.returncode == 1
    nothing_stored(shared_daemon)


def test_truncated_layer(shared_daemon, layout):
    """A connection that is always cut at the same place ends in an error that says so."""
    layout.add_image("t", [file_tar(data=os.urandom(300000))])

    def bend(kind, reference, status, headers, body):
        if kind == "blob" and body[:2] == b"\x1f\x8b":
            return status, dict(headers, **{"Content-Length": str(len(body))}), body[:1000]
        return status, headers, body

    with LayoutRegistry(layout.path, bend) as fake:
        run = shared_daemon.docker("pull", f"{fake.address}/img:t", check=False, timeout=120)
    assert run.returncode == 1
    nothing_stored(shared_daemon)


def test_cut_connection_resumes(shared_daemon, layout):
    """One cut in the middle: the pull goes on with a Range request and succeeds."""
    layout.add_image("t", [file_tar(data=os.urandom(3000000))])
    cuts = []

    def bend(kind, reference, status, headers, body):
        if kind == "blob" and body[:2] == b"\x1f\x8b" and not cuts:
            cuts.append(reference)
            return status, dict(headers, **{"Content-Length": str(len(body))}), body[:1000000]
        return status, headers, body

    with LayoutRegistry(layout.path, bend) as fake:
        run = pull(shared_daemon, fake)
        assert run.returncode == 0, run.stderr
        ranges = [h.get("Range") for _, path, h in fake.requests if cuts[0] in path and h.get("Range")]
        assert ranges and ranges[0] != "bytes=0-", fake.requests
        shared_daemon.docker("rmi", f"{fake.address}/img:t")


@pytest.mark.parametrize(
    "name,data",
    [
        ("not json", b"{"),
        ("array", b"[]"),
        ("no layers key", b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'),
        ("layers of wrong type", b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":{}}'),
    ],
)
def test_malformed_manifest(shared_daemon, layout, name, data):
    digest = layout.blob(data)
    layout.manifests = [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": len(data), "annotations": {"org.opencontainers.image.ref.name": "t"}}]
    (layout.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": layout.manifests}))
    with LayoutRegistry(layout.path) as fake:
        run = pull(shared_daemon, fake)
    assert run.returncode == 1
    assert "manifest" in run.stderr, run.stderr
    nothing_stored(shared_daemon)


def test_wrong_diff_id(shared_daemon, layout):
    layout.add_image("t", [file_tar()], diff_ids=["sha256:" + "0" * 64])
    with LayoutRegistry(layout.path) as fake:
        run = pull(shared_daemon, fake)
    assert run.returncode == 1
    nothing_stored(shared_daemon)


@pytest.mark.parametrize(
    "name,tar",
    [
        ("dotdot", make_tar(("../escape", tarfile.REGTYPE, b"x", 0o644))),
        ("deep dotdot", make_tar(("a/b/../../../escape", tarfile.REGTYPE, b"x", 0o644))),
        ("link then file", make_tar(("l", tarfile.SYMTYPE, "/tmp", 0o777), ("l/kist-escape", tarfile.REGTYPE, b"x", 0o644))),
        ("relative link then file", make_tar(("l", tarfile.SYMTYPE, "../../../../../../tmp", 0o777), ("l/kist-escape", tarfile.REGTYPE, b"x", 0o644))),
        ("hard link out", make_tar(("h", tarfile.LNKTYPE, "../../../../../../etc/passwd", 0o644))),
        ("hard link through link", make_tar(("l", tarfile.SYMTYPE, "/etc", 0o777), ("h", tarfile.LNKTYPE, "l/passwd", 0o644))),
    ],
)
def test_evil_layer(shared_daemon, layout, name, tar):
    """Nothing outside the layer is made or read, whether the layer is refused or cut down to what stays inside."""
    layout.add_image("t", [tar])
    before = set(os.listdir("/tmp"))
    with LayoutRegistry(layout.path) as fake:
        run = pull(shared_daemon, fake)
        if run.returncode == 0:
            shared_daemon.docker("rmi", f"{fake.address}/img:t")
        else:
            assert "escape" in run.stderr or "h" in run.stderr
    assert not (pathlib.Path("/tmp") / "kist-escape").exists()
    assert "escape" not in set(os.listdir("/tmp")) - before
    assert not list(pathlib.Path(shared_daemon.root).rglob("escape"))
    for found in pathlib.Path(shared_daemon.root / "d").rglob("h"):
        assert not found.is_file() or "root:" not in found.read_text()


def test_truncated_gzip_and_no_tar(shared_daemon, layout):
    """The digest is right, the content is not: a gzip that ends early, and bytes that are no tar."""
    whole = gzip.compress(file_tar(data=os.urandom(100000)))
    for number, data in enumerate((whole[: len(whole) // 2], gzip.compress(b"this is no tar" * 100))):
        layout.add_image(f"t{number}", [data], compress=False, media="application/vnd.oci.image.layer.v1.tar+gzip")
    with LayoutRegistry(layout.path) as fake:
        for number in range(2):
            run = pull(shared_daemon, fake, f"t{number}")
            assert run.returncode == 1, run.stdout
    nothing_stored(shared_daemon)


# ---- run ----


@pytest.fixture(scope="module")
def odd_image(shared_daemon, tmp_path_factory):
    """busybox with programs that cannot run."""
    rootfs = images.busybox_rootfs(tmp_path_factory.mktemp("odd"))
    (rootfs / "noexec").write_text("#!/bin/sh\necho hi\n")
    (rootfs / "noexec").chmod(0o644)
    (rootfs / "crlf").write_bytes(b"#!/bin/sh\r\necho hi\r\n")
    (rootfs / "crlf").chmod(0o755)
    (rootfs / "lost").write_text("#!/opt/nowhere/interpreter\n")
    (rootfs / "lost").chmod(0o755)
    (rootfs / "garbage").write_bytes(b"\x7fELFnot really")
    (rootfs / "garbage").chmod(0o755)
    shutil.copy(os.path.realpath("/bin/true"), rootfs / "dynamic")
    tar = rootfs.parent / f"{rootfs.name}.tar"
    tar.write_bytes(images.tar_of(rootfs))
    shared_daemon.docker("import", "-c", "CMD sh", str(tar), "odd:latest")
    yield "odd"
    shared_daemon.docker("rmi", "-f", "odd")


@pytest.mark.parametrize(
    "command,code,words",
    [
        ("nosuchcommand", 127, ["nosuchcommand", "executable file not found"]),
        ("/no/such/path", 127, ["/no/such/path", "no such file or directory"]),
        ("/noexec", 126, ["/noexec", "permission denied"]),
        ("/etc", 126, ["/etc", "directory"]),
        ("/crlf", 127, ["/crlf", "CRLF"]),
        ("/lost", 127, ["/lost", "/opt/nowhere/interpreter"]),
        ("/dynamic", 127, ["/dynamic", "/lib64/ld-linux-x86-64.so.2"]),
        ("/garbage", 126, ["/garbage", "exec format error"]),
    ],
)
@pytest.mark.parametrize("client", ["docker", "kist"])
def test_commands_that_cannot_run(shared_daemon, odd_image, client, command, code, words):
    run = getattr(shared_daemon, client)("run", "--rm", "--network", "none", odd_image, command, check=False)
    for word in words:
        assert word.lower() in run.stderr.lower(), run.stderr
    # The docker CLI knows 126 and 127 by words; a wrong format is none of them, and we cannot teach it.
    if command == "/garbage" and client == "docker":
        code = 125
    if command == "/etc" and client == "docker" and docker_cli.major() < 28:
        code = 125
    assert run.returncode == code, run.stderr
    assert shared_daemon.docker("ps", "-aq").stdout == ""


def test_name_conflict(shared_daemon, odd_image):
    first = shared_daemon.docker("create", "--name", "taken", odd_image).stdout.strip()
    run = shared_daemon.docker("create", "--name", "taken", odd_image, check=False)
    assert run.returncode == 1 or run.returncode == 125
    assert f'The container name "/taken" is already in use by container "{first}"' in run.stderr
    shared_daemon.docker("rm", "taken")


@pytest.mark.parametrize("name", ["bad/name", "-x", "x y", "ä"])
def test_invalid_name(shared_daemon, odd_image, name):
    run = shared_daemon.docker("create", f"--name={name}", odd_image, check=False)
    assert run.returncode != 0
    assert "Invalid container name" in run.stderr


def test_bind_source_missing(shared_daemon, odd_image):
    run = shared_daemon.docker("run", "--rm", "--mount", "type=bind,src=/no/such/dir,dst=/x", odd_image, check=False)
    assert run.returncode == 125
    assert "bind source path does not exist: /no/such/dir" in run.stderr


# ---- API ----


def request(daemon, method, path, body=b"", headers=()):
    """A raw request: (status, body)."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(daemon.socket))
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{key}: {value}\r\n" for key, value in headers)
        client.sendall(head.encode() + b"\r\n" + body)
        reply = b""
        while chunk := client.recv(65536):
            reply += chunk
    top, _, rest = reply.partition(b"\r\n\r\n")
    return int(top.split()[1]), rest


JSON = (("Content-Type", "application/json"),)


@pytest.mark.parametrize(
    "body,words",
    [
        (b"{", "JSON"),
        (b"[]", "object"),
        (b'{"Image":1}', "Image"),
        (b'{"Image":"x","HostConfig":{"Memory":"lots"}}', "HostConfig.Memory"),
        (b'{"Image":"x"} trailing', ""),
        (b"", ""),
    ],
)
def test_malformed_create(shared_daemon, body, words):
    status, reply = request(shared_daemon, "POST", "/v1.43/containers/create", body, JSON)
    assert status == 400, reply
    assert words in json.loads(reply)["message"]


def test_wrong_content_type_version_and_path(shared_daemon):
    status, reply = request(shared_daemon, "POST", "/containers/create", b"{}", (("Content-Type", "text/plain"),))
    assert status == 400 and "Content-Type" in json.loads(reply)["message"]
    status, reply = request(shared_daemon, "GET", "/v1.99/version")
    assert status == 400 and "too new" in json.loads(reply)["message"]
    status, reply = request(shared_daemon, "GET", "/v1.10/version")
    assert status == 400 and "too old" in json.loads(reply)["message"]
    status, reply = request(shared_daemon, "GET", "/v1.43/nosuch")
    assert status == 404 and json.loads(reply)["message"] == "page not found"


@pytest.mark.parametrize("data,status", [c[1:] for c in UNREADABLE], ids=[c[0] for c in UNREADABLE])
def test_unreadable_request(shared_daemon, data, status):
    """Bytes that are no HTTP, or too much of it, get the API's own kind of answer, and the daemon lives."""
    got, head, body = last_answer(str(shared_daemon.socket), data)
    assert got == status, (head, body)
    assert "content-type: application/json" in head and "connection: close" in head
    assert json.loads(body)["message"], body
    assert request(shared_daemon, "GET", "/_ping")[0] == 200


def test_half_a_request_and_silence(shared_daemon):
    """Clients that begin a request and hang up, or say nothing, cost nobody else anything."""
    clients = []
    for data in (b"", b"GET", b"GET /_ping HTTP/1.1\r\nHost", CREATE + b"Content-Length: 100\r\n\r\n{"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(str(shared_daemon.socket))
        client.sendall(data)
        clients.append(client)
    assert request(shared_daemon, "GET", "/_ping")[0] == 200
    for client in clients:
        client.close()
    assert request(shared_daemon, "GET", "/_ping")[0] == 200


def private_kib(daemon):
    rollup = pathlib.Path(f"/proc/{daemon.process.pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))


def test_a_thousand_idle_connections(daemon, sanitized):
    """They cost some memory, and nobody's place."""
    before = private_kib(daemon)
    idle = []
    try:
        while len(idle) < 1000:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(60)
            try:
                client.connect(str(daemon.socket))
                idle.append(client)
            except BlockingIOError:  # the queue of those not yet let in is full
                client.close()
                time.sleep(0.01)
        assert request(daemon, "GET", "/_ping")[0] == 200
        # Some KiB of memory each: a thread that has not done anything yet.
        cost = private_kib(daemon) - before
        assert sanitized or cost < 1000 * 20, cost
        # Each of them is served when it speaks.
        idle[500].sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle[500].recv(1000).startswith(b"HTTP/1.1 200 OK")
    finally:
        for client in idle:
            client.close()
    assert request(daemon, "GET", "/_ping")[0] == 200


# ---- half-open connections ----

def sockets_to(daemon, port):
    """Copies of kistd's sockets whose peer is that port of this machine."""
    found = []
    for one in sockets_of(daemon.process.pid):
        try:
            if one.family == socket.AF_INET and one.getpeername()[1] == port:
                found.append(one.dup())
        except OSError:  # it listens
            continue
    return found


def is_gone(daemon, port):
    left = sockets_to(daemon, port)
    for one in left:
        one.close()
    return not left


def test_a_peer_that_is_gone_without_a_word(tmp_root, program, busybox_tar):
    """Its machine died, or its way: no FIN ever comes. A hijacked stream, and events, which only ever write, end all the same."""
    port = free_port()
    table = f"kt_drop_{tmp_root.name.replace('-', '_')}"
    daemon = Daemon(tmp_root, program, ["-H", f"tcp://127.0.0.1:{port}", "--tls=false"])
    streams = []
    daemon.start()
    try:
        daemon.docker("import", busybox_tar, "busybox")
        daemon.docker("run", "-di", "--name", "listens", "busybox", "cat")
        for ask in (
            b"POST /containers/listens/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
            b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            streams.append(socket.create_connection(("127.0.0.1", port), timeout=60))
            streams[-1].sendall(ask)
            assert streams[-1].recv(12) in (b"HTTP/1.1 101", b"HTTP/1.1 200")
        for stream in streams:
            (ours,) = sockets_to(daemon, stream.getsockname()[1])
            with ours:
                silence_ms = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) * 1000 < silence_ms <= 60000
                # So that this test does not take as long.
                ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000)
                ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
                ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        drop = f"table inet {table} {{ chain in {{ type filter hook input priority -200; tcp dport {port} drop; tcp sport {port} drop; }}\n}}"
        subprocess.run(["nft", "-f", "-"], input=drop, text=True, check=True)
        for stream in streams:
            wait_for(lambda stream=stream: is_gone(daemon, stream.getsockname()[1]), "kistd to see that nobody is there")
        assert daemon.inspect("listens")["State"]["Running"]
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=False, capture_output=True)
        for stream in streams:
            stream.close()
        daemon.finish()


# ---- the host ----


def test_full_disk(tmp_root, program, layout):
    """A data root of 24 MB and an image of 60: a clear error, no half image, and room again afterwards."""
    from lib.daemon import Daemon

    layout.add_image("big", [file_tar(data=os.urandom(60 * 1000 * 1000))])
    # Fits when compressed, fills the disk while it is unpacked.
    layout.add_image("zeros", [file_tar(data=bytes(60 * 1000 * 1000))])
    layout.add_image("small", [file_tar()])
    server = Daemon(tmp_root, program)
    (tmp_root / "d").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(tmp_root / "d")], check=True)
    try:
        server.start()
        with LayoutRegistry(layout.path) as fake:
            for tag in ("big", "zeros"):
                run = pull(server, fake, tag)
                assert run.returncode == 1
                assert "no space left on device" in run.stderr.lower(), run.stderr
                nothing_stored(server)
            server.restart()
            nothing_stored(server)
            server.docker("pull", f"{fake.address}/img:small")
            assert server.docker("images", "-q").stdout != ""
        server.finish()
    finally:
        server.stop()
        subprocess.run(["umount", str(tmp_root / "d")], check=True)


def test_socket_and_data_root_in_use(daemon, tmp_path):
    same = subprocess.run(daemon.argv(), capture_output=True, text=True, timeout=120, check=False)
    assert same.returncode != 0
    assert f"{daemon.root}/kistd.pid" in same.stderr and str(daemon.process.pid) in same.stderr, same.stderr
    argv = daemon.argv()
    argv[argv.index("--pidfile") + 1] = str(tmp_path / "other.pid")
    argv[argv.index("-H") + 1] = f"unix://{tmp_path}/other.sock"
    second = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode != 0
    assert f"{daemon.root}/d" in second.stderr and "in use" in second.stderr, second.stderr
    assert daemon.docker("version").returncode == 0
    argv = daemon.argv()
    argv[argv.index("--data-root") + 1] = str(tmp_path / "other")
    argv[argv.index("--exec-root") + 1] = str(tmp_path / "other-x")
    argv[argv.index("--pidfile") + 1] = str(tmp_path / "other.pid")
    third = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert third.returncode != 0
    assert str(daemon.socket) in third.stderr and "in use" in third.stderr, third.stderr
    assert daemon.docker("version").returncode == 0


def test_not_root(program, tmp_root):
    # A checkout may stand in a folder that only root may enter.
    kistd = tmp_root / "kistd"
    shutil.copy(program("kistd"), kistd)
    tmp_root.chmod(0o755)
    run = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(kistd), "--data-root", str(tmp_root / "d")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode != 0
    assert "root privileges" in run.stderr


def test_socket_without_permission(daemon, program):
    os.chmod(daemon.root, 0o755)
    kist = shutil.copy(program("kist"), daemon.root / "kist")
    for client in ([kist], ["docker"]):
        run = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *client, "-H", f"unix://{daemon.socket}", "ps"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert run.returncode == 1
        assert "permission denied" in run.stderr.lower()


def test_no_daemon(program, tmp_path):
    run = subprocess.run([program("kist"), "-H", f"unix://{tmp_path}/none.sock", "ps"], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 1
    assert f"{tmp_path}/none.sock" in run.stderr and "running" in run.stderr
