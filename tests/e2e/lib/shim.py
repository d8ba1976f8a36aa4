# SPDX-License-Identifier: Apache-2.0
"""A small ttrpc client of our own, to drive kist-shim as an engine would.

Messages are lists of (field number, value): int -> varint, str or bytes ->
length-delimited, list -> sub-message. Decoded: {field number: [values]}.
"""
import json
import os
import pathlib
import socket
import struct
import subprocess
import threading

from lib.wait import wait_for

RUNC_OPTIONS = "containerd.runc.v1.Options"
PROCESS_JSON = "types.containerd.io/opencontainers/runtime-spec/1/Process"
RESOURCES_JSON = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(fields):
    out = bytearray()
    for number, value in fields:
        if isinstance(value, bool):
            value = int(value)
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
            continue
        if isinstance(value, list):
            value = encode(value)
        elif isinstance(value, str):
            value = value.encode()
        out += varint(number << 3 | 2) + varint(len(value)) + value
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def decode(data):
    fields = {}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            value, at = read_varint(data, at)
        else:
            assert tag & 7 == 2, f"wire type {tag & 7}"
            size, at = read_varint(data, at)
            value = data[at:at + size]
            at += size
        fields.setdefault(tag >> 3, []).append(value)
    return fields


class RpcError(Exception):
    def __init__(self, code, message):
        super().__init__(f"code {code}: {message}")
        self.code = code
        self.message = message


def receive_exactly(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError(f"connection closed after {len(data)} of {size} bytes")
        data += more
    return data


def receive_frame(sock):
    size, stream_id, kind, _flags = struct.unpack(">IIBB", receive_exactly(sock, 10))
    return stream_id, kind, receive_exactly(sock, size)


def connect(path):
    """Unix socket of any path length."""
    sock = socket.socket(socket.AF_UNIX)
    path = pathlib.Path(path)
    fd = os.open(path.parent, os.O_PATH)
    try:
        sock.connect(f"/proc/self/fd/{fd}/{path.name}")
    finally:
        os.close(fd)
    sock.settimeout(60)
    return sock


class Client:
    """One connection. call() waits for its answer; send() and answer() allow several at once."""

    def __init__(self, address, service="containerd.task.v2.Task"):
        self.sock = connect(address.removeprefix("unix://"))
        self.service = service
        self.next_id = 1
        self.answers = {}

    def send(self, method, fields, service=None):
        stream_id = self.next_id
        self.next_id += 2
        data = encode([(1, service or self.service), (2, method), (3, encode(fields))])
        self.sock.sendall(struct.pack(">IIBB", len(data), stream_id, 1, 0) + data)
        return stream_id

    def answer(self, stream_id, timeout=60):
        self.sock.settimeout(timeout)
        while stream_id not in self.answers:
            got, kind, data = receive_frame(self.sock)
            assert kind == 2
            self.answers[got] = data
        response = decode(self.answers.pop(stream_id))
        status = decode(response.get(1, [b""])[0])
        if status.get(1, [0])[0]:
            raise RpcError(status[1][0], status.get(2, [b""])[0].decode())
        return decode(response.get(2, [b""])[0])

    def call(self, method, *fields, timeout=60):
        return self.answer(self.send(method, fields), timeout)

    def close(self):
        self.sock.close()


class EventServer:
    """What containerd listens with for events: remembers (topic, message)."""

    def __init__(self, path):
        self.path = str(path)
        self.events = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            while True:
                stream_id, _, data = receive_frame(sock)
                request = decode(data)
                assert request[1] == [b"containerd.services.events.ttrpc.v1.Events"]
                envelope = decode(decode(request[3][0])[1][0])
                event = decode(envelope[4][0])
                self.events.append((envelope[3][0].decode(), envelope[2][0].decode(), event[1][0].decode(),
                                    decode(event.get(2, [b""])[0])))
                sock.sendall(struct.pack(">IIBB", 0, stream_id, 2, 0))
        except (EOFError, OSError):
            sock.close()

    def topics(self):
        return [event[0] for event in self.events]

    def expect(self, *topics):
        """These, in this order and no others: they come after the answers of the calls that caused them."""
        wait_for(lambda: len(self.events) >= len(topics), lambda: f"events {topics}, are {self.topics()}")
        assert self.topics() == list(topics)

    def close(self):
        self.listener.close()


def spec(args, terminal=False, namespaces=("pid", "mount", "ipc", "uts", "network"), **linux):
    kinds = [{"type": name} for name in namespaces]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": terminal,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/bin:/usr/bin:/sbin", "TERM=xterm"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        ],
        "linux": {"namespaces": kinds, **linux},
    }


class Shim:
    """A shim with one container in it."""

    def __init__(self, program, root, rootfs, container_id, events=None):
        self.program = program
        self.id = container_id
        self.events = events
        self.root = pathlib.Path(root)
        self.bundle = self.root / "b" / container_id
        self.bundle.mkdir(parents=True)
        (self.bundle / "rootfs").mkdir()
        self.rootfs = pathlib.Path(rootfs)
        self.client = None
        self.pid = None

    def run(self, *command, data=b"", check=True):
        env = dict(os.environ)
        env.pop("TTRPC_ADDRESS", None)
        if self.events:
            env["TTRPC_ADDRESS"] = self.events.path
        done = subprocess.run(
            [self.program, "-namespace", "t-shim", "-address", str(self.root / "engine.sock"), "-id", self.id,
             *command], cwd=self.bundle, env=env, input=data, capture_output=True, timeout=60)
        if check:
            assert done.returncode == 0, done.stderr.decode()
            assert done.stderr == b""
        return done

    def start_shim(self):
        self.address = self.run("start").stdout.decode()
        self.client = Client(self.address)
        self.pid = self.call("Connect", (1, self.id))[1][0]
        return self

    def call(self, method, *fields, timeout=60):
        return self.client.call(method, *fields, timeout=timeout)

    def create(self, config, stdin="", stdout="", stderr="", overlay=True):
        config["linux"].setdefault("cgroupsPath", f"/t-shim-{os.getpid()}-{self.id}")
        self.cgroup = config["linux"]["cgroupsPath"]
        (self.bundle / "config.json").write_text(json.dumps(config))
        fields = [(1, self.id), (2, str(self.bundle))]
        if overlay:
            fields.append((3, self.overlay()))
        fields += [(4, config["process"]["terminal"]), (5, stdin), (6, stdout), (7, stderr)]
        return self.call("Create", *fields)[1][0]

    def overlay(self):
        for name in ("upper", "work"):
            (self.bundle / name).mkdir()
        options = [f"lowerdir={self.rootfs}", f"upperdir={self.bundle}/upper", f"workdir={self.bundle}/work"]
        return [(1, "overlay"), (2, "overlay")] + [(4, option) for option in options]

    def start(self, exec_id=""):
        return self.call("Start", (1, self.id), (2, exec_id))[1][0]

    def wait(self, exec_id="", timeout=60):
        return self.call("Wait", (1, self.id), (2, exec_id), timeout=timeout).get(1, [0])[0]

    def exec(self, exec_id, args, stdin="", stdout="none:", terminal=False, **process):
        body = {"args": args, "cwd": "/", "env": ["PATH=/bin:/usr/bin:/sbin"], "user": {"uid": 0, "gid": 0},
                "terminal": terminal, **process}
        self.call("Exec", (1, self.id), (2, exec_id), (3, terminal), (4, stdin), (5, stdout),
                  (7, [(1, PROCESS_JSON), (2, json.dumps(body))]))

    def kill(self, signal, exec_id="", everyone=False):
        self.call("Kill", (1, self.id), (2, exec_id), (3, int(signal)), (4, everyone))

    def state(self, exec_id=""):
        return self.call("State", (1, self.id), (2, exec_id)).get(4, [0])[0]

    def delete(self, exec_id=""):
        return self.call("Delete", (1, self.id), (2, exec_id))

    def attach(self, exec_id=""):
        return Attach(self.bundle / (f"attach-{exec_id}" if exec_id else "attach"))

    def exit_file(self):
        return json.loads((self.bundle / "exit.json").read_text())

    def log_lines(self, name="c-json.log"):
        """The whole ones: a reader may see the beginning of one that is being written."""
        whole, _, _ = (self.bundle / name).read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def log_uri(self, **options):
        query = "&".join(f"{key.replace('_', '-')}={value}" for key, value in options.items())
        return f"json-file://{self.bundle}/c-json.log" + (f"?{query}" if query else "")

    def shutdown(self):
        self.call("Shutdown", (1, self.id))
        wait_gone(self.pid)

    def finish(self):
        """After any test: nothing of the container stays."""
        if self.client:
            self.client.close()
        log = self.bundle / "shim.log"
        assert not log.exists() or "Sanitizer" not in log.read_text(), log.read_text()
        if self.pid and process_runs(self.pid):
            os.kill(self.pid, 9)
            wait_gone(self.pid)
        self.run("delete", check=False)


class Attach:
    STDIN, STDOUT, STDERR, END = range(4)

    def __init__(self, path):
        self.sock = connect(path)

    def frame(self):
        kind, size = struct.unpack(">B3xI", receive_exactly(self.sock, 8))
        return kind, receive_exactly(self.sock, size)

    def write(self, data):
        self.sock.sendall(struct.pack(">B3xI", self.STDIN, len(data)) + data)

    def close_stdin(self):
        self.write(b"")

    def read_all(self):
        """(stdout, stderr) up to the end frame; then the shim closes."""
        streams = {self.STDOUT: b"", self.STDERR: b""}
        while True:
            kind, data = self.frame()
            if kind == self.END:
                assert data == b""
                assert self.sock.recv(1) == b""
                return streams[self.STDOUT], streams[self.STDERR]
            streams[kind] += data

    def read_until(self, text):
        got = b""
        while text not in got:
            kind, data = self.frame()
            assert kind != self.END, f"ended after {got!r}"
            got += data
        return got

    def close(self):
        self.sock.close()


def process_runs(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_gone(pid):
    wait_for(lambda: not process_runs(pid), f"process {pid} to end")
