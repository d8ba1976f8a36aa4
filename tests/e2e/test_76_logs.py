# SPDX-License-Identifier: Apache-2.0
"""Log drivers: what kist-log says to each collector, and what `docker logs` still shows."""
import contextlib
import gzip
import json
import os
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import threading
import zlib

import pytest

from lib.daemon import Daemon
from lib.wait import wait_for

IDENTITY = "ab" * 32


# ---- the collectors' sides ----


def settings(folder, driver, options, **more):
    path = folder / "log.json"
    text = {"driver": driver, "options": options, "tag": "the-tag", "containerId": IDENTITY, "containerName": "web",
            "imageId": "sha256:" + "cd" * 32, "imageName": "busybox", "command": "sh -c x",
            "created": "2026-01-02T03:04:05Z", "attributes": {"color": "blue"}, **more}  # fmt: skip
    path.write_text(json.dumps(text))
    return path


class Sender:
    """kist-log fed as a shim feeds it."""

    def __init__(self, program, path, wrapper=()):
        out_read, self.out = os.pipe()
        err_read, self.err = os.pipe()
        ready_read, ready_write = os.pipe()

        def place():
            high = [os.dup2(fd, 50 + i) for i, fd in enumerate((out_read, err_read, ready_write))]
            for target, fd in enumerate(high, 3):
                os.dup2(fd, target)

        self.process = subprocess.Popen(
            [*wrapper, program("kist-log"), "send", str(path)], preexec_fn=place, pass_fds=(3, 4, 5), stderr=subprocess.PIPE
        )
        for fd in (out_read, err_read, ready_write):
            os.close(fd)
        with os.fdopen(ready_read, "rb") as ready:
            self.reason = ready.read().decode()

    def end(self):
        os.close(self.out)
        os.close(self.err)
        assert self.process.wait(60) == 0, self.process.stderr.read()
        self.process.stderr.close()


def send(program, path, out=b"", err=b"", **options):
    sender = Sender(program, path, **options)
    assert sender.reason == ""
    os.write(sender.out, out)
    os.write(sender.err, err)
    sender.end()


def udp_server():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(60)
    return server, server.getsockname()[1]


def tcp_server():
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(60)
    return server, server.getsockname()[1]


def everything(server):
    client, _ = server.accept()
    client.settimeout(60)
    data = b""
    while piece := client.recv(65536):
        data += piece
    client.close()
    server.close()
    return data


def test_syslog_over_udp(program, tmp_root):
    server, port = udp_server()
    path = settings(tmp_root, "syslog", {"syslog-address": f"udp://127.0.0.1:{port}", "syslog-facility": "local3",
                                         "syslog-format": "rfc5424micro"})  # fmt: skip
    send(program, path, out=b"hello\nworld")
    first, second = server.recv(4096), server.recv(4096)
    host = socket.gethostname()
    stamp = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d"
    assert re.fullmatch(rb"<158>1 " + stamp + b" " + host.encode() + rb" the-tag \d+ the-tag - hello\n", first), first
    assert second.endswith(b" - world\n")
    path = settings(tmp_root, "syslog", {"syslog-address": f"udp://127.0.0.1:{port}", "syslog-format": "rfc3164"})
    send(program, path, err=b"oops\n")
    only = server.recv(4096)
    assert re.fullmatch(rb"<27>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d " + host.encode() + rb" the-tag\[\d+\]: oops\n", only), only
    server.close()


def test_syslog_over_tcp_and_a_local_socket(program, tmp_root):
    server, port = tcp_server()
    path = settings(tmp_root, "syslog", {"syslog-address": f"tcp://127.0.0.1:{port}"})
    send(program, path, out=b"one\ntwo\n")
    lines = everything(server).split(b"\n")
    assert [line.rsplit(b": ", 1)[1] for line in lines if line] == [b"one", b"two"]
    local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    local.bind(str(tmp_root / "log"))
    local.settimeout(60)
    path = settings(tmp_root, "syslog", {"syslog-address": f"unix://{tmp_root}/log"})
    send(program, path, out=b"near\n")
    assert re.fullmatch(rb"<30>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d the-tag\[\d+\]: near\n", local.recv(4096))
    local.close()


def test_syslog_over_tls(program, tmp_root):
    key, certificate = tmp_root / "key.pem", tmp_root / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
         "-out", certificate, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True)  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server, port = tcp_server()
    got = []

    def serve():
        client, _ = server.accept()
        with context.wrap_socket(client, server_side=True) as secure:
            while piece := secure.recv(4096):
                got.append(piece)

    def distrusted():
        with contextlib.suppress(OSError):
            serve()

    thread = threading.Thread(target=serve)
    thread.start()
    options = {"syslog-address": f"tcp+tls://localhost:{port}", "syslog-format": "rfc5424"}
    send(program, settings(tmp_root, "syslog", {**options, "syslog-tls-ca-cert": str(certificate)}), out=b"secret\n")
    thread.join(60)
    data = b"".join(got)
    length, rest = data.split(b" ", 1)
    assert int(length) == len(rest) and rest.endswith(b" - secret\n"), data
    # Not signed by anybody we trust.
    thread = threading.Thread(target=distrusted)
    thread.start()
    sender = Sender(program, settings(tmp_root, "syslog", options))
    sender.process.wait(60)
    sender.process.stderr.close()
    assert "dial tls localhost" in sender.reason
    thread.join(60)
    server.close()


def test_gelf_compressed_chunked_and_over_tcp(program, tmp_root):
    server, port = udp_server()
    address = f"udp://127.0.0.1:{port}"
    send(program, settings(tmp_root, "gelf", {"gelf-address": address}), err=b"bad\n")
    message = json.loads(gzip.decompress(server.recv(65536)))
    assert (message["version"], message["short_message"], message["level"]) == ("1.1", "bad", 3)
    assert message["_container_id"] == IDENTITY and message["_tag"] == "the-tag" and message["_color"] == "blue"
    send(program, settings(tmp_root, "gelf", {"gelf-address": address, "gelf-compression-type": "zlib"}), out=b"z\n")
    assert json.loads(zlib.decompress(server.recv(65536)))["short_message"] == "z"
    send(program, settings(tmp_root, "gelf", {"gelf-address": address, "gelf-compression-type": "none"}), out=b"x" * 9000 + b"\n")
    chunks = {}
    while len(chunks) < chunks.get("count", 2) + 1:
        chunk = server.recv(65536)
        assert chunk[:2] == b"\x1e\x0f" and len(chunk) <= 1420
        chunks["count"] = chunk[11]
        chunks[chunk[10]] = chunk[12:]
    whole = b"".join(chunks[i] for i in range(chunks["count"]))
    assert json.loads(whole)["short_message"] == "x" * 9000
    server.close()
    server, port = tcp_server()
    send(program, settings(tmp_root, "gelf", {"gelf-address": f"tcp://127.0.0.1:{port}"}), out=b"a\nb\n")
    parts = everything(server).split(b"\0")
    assert [json.loads(p)["short_message"] for p in parts if p] == ["a", "b"] and parts[-1] == b""


def unpack(data, at=0):
    """As much of MessagePack as a forward message has: (value, next)."""
    tag = data[at]
    at += 1
    if tag & 0xF0 == 0x90:
        items = []
        for _ in range(tag & 15):
            value, at = unpack(data, at)
            items.append(value)
        return items, at
    if tag & 0xF0 == 0x80:
        found = {}
        for _ in range(tag & 15):
            key, at = unpack(data, at)
            found[key], at = unpack(data, at)
        return found, at
    if tag == 0xCE:
        return struct.unpack_from(">I", data, at)[0], at + 4
    if tag == 0xD7:
        return struct.unpack_from(">bII", data, at)[1:], at + 9
    size = {0xD9: 1, 0xDA: 2, 0xDB: 4}.get(tag)
    length = int.from_bytes(data[at : at + size], "big") if size else tag & 31
    at += size or 0
    return data[at : at + length].decode(), at + length


def test_fluentd_forward_and_acknowledge(program, tmp_root):
    server, port = tcp_server()
    path = settings(tmp_root, "fluentd", {"fluentd-address": f"127.0.0.1:{port}", "fluentd-request-ack": "true",
                                          "fluentd-sub-second-precision": "true"})  # fmt: skip
    sender = Sender(program, path)
    assert sender.reason == ""
    client, _ = server.accept()
    client.settimeout(60)
    os.write(sender.out, b"first\nsecond\n")
    for expected in ("first", "second"):
        data = client.recv(65536)
        (tag, when, record, option), end = unpack(data)
        # The second one is only sent once the first is acknowledged.
        assert end == len(data)
        assert tag == "the-tag" and len(when) == 2
        assert record == {"container_id": IDENTITY, "container_name": "/web", "source": "stdout", "log": expected, "color": "blue"}
        chunk = option["chunk"].encode()
        client.sendall(b"\x81\xa3ack\xd9" + bytes([len(chunk)]) + chunk)
    sender.end()
    client.close()
    server.close()


def test_fluentd_connects_again(program, tmp_root):
    server, port = tcp_server()
    path = settings(tmp_root, "fluentd", {"fluentd-address": f"tcp://127.0.0.1:{port}", "fluentd-retry-wait": "50ms"})
    sender = Sender(program, path)
    first, _ = server.accept()
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.close()
    os.write(sender.out, b"after\n")
    sender.end()
    (tag, _, record), _ = unpack(everything(server))
    assert (tag, record["log"]) == ("the-tag", "after")


def test_fluentd_that_is_not_there(program, tmp_root):
    server, port = tcp_server()
    server.close()
    sender = Sender(program, settings(tmp_root, "fluentd", {"fluentd-address": f"127.0.0.1:{port}"}))
    assert "failed to initialize logging driver" in sender.reason and "Connection refused" in sender.reason
    assert sender.process.wait(60) == 1
    sender.process.stderr.close()


def test_long_lines_come_in_parts(program, tmp_root):
    server, port = tcp_server()
    path = settings(tmp_root, "fluentd", {"fluentd-address": f"127.0.0.1:{port}"})
    send(program, path, out=b"y" * 20000 + b"\nshort\n")
    data, at, records = everything(server), 0, []
    while at < len(data):
        (_, _, record), at = unpack(data, at)
        records.append(record)
    assert [len(r["log"]) for r in records] == [16384, 20000 - 16384, 5]
    assert [r.get("partial_ordinal") for r in records] == ["1", "2", None]
    assert [r.get("partial_last") for r in records] == ["false", "true", None]
    assert records[0]["partial_id"] == records[1]["partial_id"]


def test_journald(program, tmp_root):
    """In a mount namespace of its own: the journal's socket has one place only."""
    path = settings(tmp_root, "journald", {})
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.bind(str(tmp_root / "socket"))
    journal.settimeout(60)
    script = f'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && ln -s {tmp_root}/socket /run/systemd/journal/socket && exec "$@"'
    send(program, path, err=b"a line\n", wrapper=("unshare", "-m", "sh", "-ec", script, "sh"))
    fields = dict(line.split(b"=", 1) for line in journal.recv(65536).splitlines())
    assert fields[b"MESSAGE"] == b"a line" and fields[b"PRIORITY"] == b"3"
    assert fields[b"CONTAINER_ID"] == IDENTITY[:12].encode() and fields[b"CONTAINER_ID_FULL"] == IDENTITY.encode()
    assert fields[b"CONTAINER_NAME"] == b"web" and fields[b"SYSLOG_IDENTIFIER"] == b"the-tag" and fields[b"COLOR"] == b"blue"
    journal.close()


def test_a_collector_that_hangs_holds_nobody_when_non_blocking(program, tmp_root):
    server, port = tcp_server()
    path = settings(tmp_root, "fluentd", {"fluentd-address": f"127.0.0.1:{port}", "mode": "non-blocking", "max-buffer-size": "64k"})
    sender = Sender(program, path)
    client, _ = server.accept()
    line = b"z" * 1000 + b"\n"
    for _ in range(20000):  # far more than sockets and queue hold; nobody reads
        os.write(sender.out, line)
    sender.process.kill()
    sender.process.wait(60)
    sender.process.stderr.close()
    os.close(sender.out)
    os.close(sender.err)
    client.close()
    server.close()


# ---- through the engine ----


def test_remote_logs_are_readable_here_too(shared):
    server, port = udp_server()
    shared.docker("run", "--name", "dual", "--log-driver", "gelf", "--log-opt", f"gelf-address=udp://127.0.0.1:{port}",
                  "--log-opt", "tag={{.Name}}/{{.ImageName}}", "--log-opt", "env=SIZE", "-e", "SIZE=9",
                  "busybox", "echo", "both")  # fmt: skip
    message = json.loads(gzip.decompress(server.recv(65536)))
    assert (message["short_message"], message["_tag"], message["_SIZE"]) == ("both", "dual/busybox", "9")
    assert message["_command"] == "echo both" and message["_container_name"] == "dual"
    assert shared.docker("logs", "dual").stdout == "both\n"
    assert shared.inspect("dual")["LogPath"] == ""
    shared.docker("rm", "dual")
    shared.docker("run", "--name", "dual", "--log-driver", "gelf", "--log-opt", f"gelf-address=udp://127.0.0.1:{port}",
                  "--log-opt", "cache-disabled=true", "busybox", "echo", "there")  # fmt: skip
    assert json.loads(gzip.decompress(server.recv(65536)))["short_message"] == "there"
    refused = shared.docker("logs", "dual", check=False)
    assert refused.returncode == 1 and "configured logging driver does not support reading" in refused.stderr
    shared.docker("rm", "dual")
    server.close()


def test_a_collector_that_is_not_there_is_the_start_error(shared):
    server, port = tcp_server()
    server.close()
    run = shared.docker("run", "--rm", "--log-driver", "fluentd", "--log-opt", f"fluentd-address=127.0.0.1:{port}",
                        "busybox", "true", check=False)  # fmt: skip
    assert run.returncode not in (0, 1) and "failed to initialize logging driver" in run.stderr
    assert shared.docker("ps", "-aq").stdout == ""


def log_processes(settings_folder):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if len(words) > 2 and words[1] == b"send" and words[2].startswith(str(settings_folder).encode()):
            found.append(int(entry.name))
    return found


def test_a_killed_sender_is_started_again(shared):
    server, port = udp_server()
    shared.docker("run", "-d", "-i", "--name", "revived", "--log-driver", "syslog", "--log-opt",
                  f"syslog-address=udp://127.0.0.1:{port}", "busybox", "sh", "-c",
                  "echo up; while sleep 0.2; do echo again; done")  # fmt: skip
    assert server.recv(4096).endswith(b": up\n")
    (first,) = log_processes(shared.root)
    os.kill(first, 9)
    # What was in its pipes may be lost; what comes later is not.
    pattern = re.compile(rb"\[(\d+)\]: again\n$")
    while int(pattern.search(server.recv(4096)).group(1)) == first:
        pass
    assert shared.docker("logs", "revived").stdout.startswith("up\n")
    shared.docker("rm", "-f", "revived")
    server.close()


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_rotated_files_are_compressed_and_read(shared, driver):
    count = 6000
    shared.docker("run", "--name", "packed", "--log-driver", driver, "--log-opt", "max-size=100k", "--log-opt", "max-file=9",
                  "--log-opt", "compress=true", "busybox", "seq", str(count))  # fmt: skip
    identity = shared.inspect("packed")["Id"]
    folder = shared.root / "d/containers" / identity
    # The last of them may be compressed when the container has ended.
    wait_for(lambda: [p for p in folder.iterdir() if p.name.endswith(".gz")], "a compressed one")
    lines = shared.docker("logs", "packed").stdout.split()
    # All that was not rotated away, without a gap, up to the last.
    assert lines == [str(i) for i in range(int(lines[0]), count + 1)] and len(lines) > 4000
    assert shared.docker("logs", "--tail", "3", "packed").stdout.split() == [str(i) for i in range(count - 2, count + 1)]
    shared.docker("rm", "packed")


def test_logs_count_in_df(shared):
    shared.docker("run", "--name", "talker", "busybox", "sh", "-c", "seq 100000")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(120)
        client.connect(str(shared.socket))
        client.sendall(b"GET /v1.44/system/df?type=container HTTP/1.0\r\n\r\n")
        data = b""
        while piece := client.recv(65536):
            data += piece
    (talker,) = [c for c in json.loads(data.split(b"\r\n\r\n", 1)[1])["Containers"] if c["Names"] == ["/talker"]]
    assert talker["SizeRw"] >= 100000 * 60, talker["SizeRw"]
    shared.docker("rm", "talker")


def test_details_of_json_file(shared):
    shared.docker("run", "--name", "labelled", "--log-opt", "labels=team", "--log-opt", "env-regex=^K", "--log-opt", "tag={{.Name}}",
                  "--label", "team=a b", "--label", "other=x", "-e", "KEY=v", "busybox", "echo", "x")  # fmt: skip
    (line,) = pathlib.Path(shared.inspect("labelled")["LogPath"]).read_text().splitlines()
    assert json.loads(line)["attrs"] == {"team": "a b", "KEY": "v", "tag": "labelled"}
    assert shared.docker("logs", "--details", "labelled").stdout == "KEY=v,tag=labelled,team=a+b x\n"
    shared.docker("rm", "labelled")


@pytest.mark.parametrize(
    "options,message",
    [
        (["--log-driver", "gelf"], "gelf-address is a required parameter"),
        (["--log-driver", "syslog", "--log-opt", "syslog-facility=x"], "invalid syslog facility"),
        (["--log-driver", "local", "--log-opt", "labels=x"], "unknown log opt 'labels' for local log driver"),
        (["--log-opt", "mode=fast"], "logger: logging mode not supported: fast"),
        (["--log-opt", "max-buffer-size=1m"], "max-buffer-size option is only supported with 'mode=non-blocking'"),
        (["--log-opt", "tag={{.Nonsense}}"], "{{.Name}}"),
        (["--log-opt", "env-regex=["], "error parsing regexp"),
    ],
)
def test_wrong_options_are_refused(shared, options, message):
    run = shared.docker("create", *options, "busybox", check=False)
    assert run.returncode == 1 and message in run.stderr, run.stderr


def test_the_daemon_s_own_default(tmp_root, program, busybox_tar):
    daemon = Daemon(tmp_root, program, options=["--log-driver", "local", "--log-opt", "max-size=1m"])
    daemon.start()
    daemon.docker("import", busybox_tar, "busybox:latest")
    assert json.loads(daemon.docker("info", "--format", "{{json .}}").stdout)["LoggingDriver"] == "local"
    daemon.docker("run", "--name", "own", "busybox", "echo", "kept")
    assert daemon.inspect("own")["HostConfig"]["LogConfig"] == {"Type": "local", "Config": {"max-size": "1m"}}
    assert daemon.docker("logs", "own").stdout == "kept\n"
    # Another driver than the daemon's takes none of its options.
    daemon.docker("create", "--name", "other", "--log-driver", "json-file", "busybox", "true")
    assert daemon.inspect("other")["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {}}
    daemon.finish()
