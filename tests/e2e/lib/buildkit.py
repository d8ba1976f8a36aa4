# SPDX-License-Identifier: Apache-2.0
"""The client's side of BuildKit's protocol, small: gRPC calls over POST /grpc and a session that offers files."""
import os
import socket
import struct
import threading
import urllib.parse

import h2.config
import h2.connection
import h2.events
import h2.exceptions

# ---- protobuf ----


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    """One field: int, str, bytes; a dict is a map<string, string>."""
    if isinstance(value, dict):
        return b"".join(field(number, field(1, key) + field(2, item)) for key, item in value.items())
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(**fields):
    """message(f1="x", f3=7)"""
    return b"".join(field(int(name[1:]), value) for name, value in fields.items())


def parse(data):
    """{number: [values]}"""
    out, at = {}, 0

    def read():
        nonlocal at
        number = shift = 0
        while True:
            byte = data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while at < len(data):
        key = read()
        if key & 7 == 2:
            size = read()
            value = data[at : at + size]
            at += size
        else:
            value = read()
        out.setdefault(key >> 3, []).append(value)
    return out


def text_map(items):
    pairs = [parse(item) for item in items]
    return {pair[1][0].decode(): pair.get(2, [b""])[0].decode() for pair in pairs}


def frame(data):
    return b"\0" + struct.pack(">I", len(data)) + data


# ---- HTTP/2 on the engine's socket ----


def upgrade(path, target, headers=()):
    """A socket behind its 101, and the bytes that came with it."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(120)
    sock.connect(str(path))
    lines = [f"POST {target} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: h2c", *headers, "", ""]
    sock.sendall("\r\n".join(lines).encode())
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(4096)
        if not more:
            break
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), data
    return sock, rest


class Answer:
    def __init__(self):
        self.messages = []
        self.headers = {}

    @property
    def status(self):
        return int(self.headers.get("grpc-status", -1))

    @property
    def error(self):
        return urllib.parse.unquote(self.headers.get("grpc-message", ""))


class Call:
    """One call on a connection of its own."""

    def __init__(self, path, method, request, metadata=()):
        self.sock, rest = self.connect(path)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        headers = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "x")]
        self.h2.send_headers(1, headers + [("content-type", "application/grpc"), ("te", "trailers"), *metadata])
        self.h2.send_data(1, frame(request), end_stream=True)
        self.sock.sendall(self.h2.data_to_send())
        self.rest = rest
        self.data = b""

    def connect(self, path):
        """A socket that speaks HTTP/2 from here on, and the bytes that came already."""
        return upgrade(path, "/grpc")

    def cancel(self):
        self.h2.reset_stream(1, 8)
        self.sock.sendall(self.h2.data_to_send())

    def finish(self):
        answer = Answer()
        data = self.rest
        over = False
        while not over:
            data = data or self.sock.recv(65536)
            if not data:
                break
            for event in self.h2.receive_data(data):
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    answer.headers.update({str_of(name): str_of(value) for name, value in event.headers})
                elif isinstance(event, h2.events.DataReceived):
                    self.data += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                    over = True
            self.sock.sendall(self.h2.data_to_send())
            data = b""
        while len(self.data) >= 5:
            size = struct.unpack(">I", self.data[1:5])[0]
            answer.messages.append(self.data[5 : 5 + size])
            self.data = self.data[5 + size :]
        self.sock.close()
        return answer


def str_of(value):
    return value.decode() if isinstance(value, bytes) else value


def call(path, method, request=b"", metadata=()):
    return Call(path, method, request, metadata).finish()


# ---- a session ----


class Session(threading.Thread):
    """Offers a folder as "context" and "dockerfile", and secrets; counts what it was asked for."""

    def __init__(self, path, name, folder, secrets=None, shared_key=""):
        super().__init__(daemon=True)
        self.name_of_session = name
        self.folder = str(folder)
        self.secrets = secrets or {}
        self.requested = []
        self.listed = []
        self.mischief = None
        self.tar = b""
        self.received = {}
        self.received_stats = {}
        self.takes_tar = False
        self.agents = {}
        self.sock, self.rest = upgrade(path, "/session", [
            f"X-Docker-Expose-Session-Uuid: {name}",
            f"X-Docker-Expose-Session-Sharedkey: {shared_key}",
        ])  # fmt: skip
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.h2.initiate_connection()
        self.sock.sendall(self.h2.data_to_send())
        self.streams = {}
        self.outgoing = {}
        self.start()

    def run(self):
        data = self.rest
        try:
            while True:
                data = data or self.sock.recv(65536)
                if not data:
                    return
                for event in self.h2.receive_data(data):
                    self.guarded(lambda event=event: self.on_event(event))
                self.guarded(self.flush)
                data = b""
        except OSError:
            pass
        finally:
            self.hang_up()

    def guarded(self, do):
        """A call may be canceled between its headers and our answer."""
        try:
            do()
        except h2.exceptions.StreamClosedError as closed:
            self.streams.pop(closed.stream_id, None)
            self.outgoing.pop(closed.stream_id, None)

    def hang_up(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.hang_up()
        self.join(60)
        self.sock.close()

    def on_event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            headers = [(str_of(name), str_of(value)) for name, value in event.headers]
            self.streams[event.stream_id] = {"headers": headers, "data": b"", "files": None}
            answer = [(":status", "200"), ("content-type", "application/grpc")]
            self.h2.send_headers(event.stream_id, answer)
            if dict(headers)[":path"].endswith("FileSync/DiffCopy"):
                self.list_files(event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream = self.streams.get(event.stream_id)
            path = dict(stream["headers"])[":path"] if stream else ""
            if "FileSend" in path or path.endswith("ForwardAgent"):
                self.end(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.streams.pop(event.stream_id, None)
            self.outgoing.pop(event.stream_id, None)
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream = self.streams.get(event.stream_id)
            if not stream:
                return
            stream["data"] += event.data
            while len(stream["data"]) >= 5:
                size = struct.unpack(">I", stream["data"][1:5])[0]
                if len(stream["data"]) < 5 + size:
                    break
                self.on_message(event.stream_id, parse(stream["data"][5 : 5 + size]))
                stream["data"] = stream["data"][5 + size :]

    def send(self, stream_id, data):
        self.outgoing.setdefault(stream_id, bytearray()).extend(frame(data))

    def end(self, stream_id, status=0, text=""):
        self.streams[stream_id]["end"] = [("grpc-status", str(status)), ("grpc-message", text)]

    def flush(self):
        for stream_id, data in list(self.outgoing.items()):
            while data:
                size = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size, len(data))
                if size <= 0:
                    break
                self.h2.send_data(stream_id, bytes(data[:size]))
                del data[:size]
        for stream_id, stream in list(self.streams.items()):
            if "end" in stream and not self.outgoing.get(stream_id):
                self.h2.send_headers(stream_id, stream.pop("end"), end_stream=True)
                del self.streams[stream_id]
        self.sock.sendall(self.h2.data_to_send())

    def list_files(self, stream_id):
        stream = self.streams[stream_id]
        wanted = [value for name, value in stream["headers"] if name == "followpaths"]
        self.listed.append(dict(stream["headers"]).get("dir-name"))
        names = []
        for place, folders, files in os.walk(self.folder):
            for name in folders + files:
                names.append(os.path.relpath(os.path.join(place, name), self.folder))
        if wanted:
            names = [
                name
                for name in names
                if any(name == w or name.startswith(w + "/") or w.startswith(name + "/") for w in wanted)
            ]
        names.sort(key=lambda name: name.split("/"))
        if self.mischief:
            names = self.mischief(names)
        stream["files"] = names
        for name in names:
            full = os.path.join(self.folder, name)
            info = os.lstat(full) if os.path.lexists(full) else os.lstat(self.folder)
            mode = info.st_mode & 0o777
            more = b""
            if os.path.islink(full):
                mode |= 1 << 27
                more = field(7, os.readlink(full))
            elif os.path.isdir(full) and os.path.lexists(full):
                mode |= 1 << 31
            size = info.st_size if os.path.isfile(full) else 0
            stat = field(1, name) + field(2, mode) + field(5, size) + field(6, info.st_mtime_ns) + more
            self.send(stream_id, field(2, stat))
        self.send(stream_id, b"")

    def on_file(self, stream_id, stream, fields):
        """What is exported to us: the bytes of a tar, or files that we ask for."""
        if self.takes_tar:
            self.tar += fields.get(1, [b""])[0]
            return
        kind = fields.get(1, [0])[0]
        names = stream.setdefault("names", [])
        if kind == 0 and 2 in fields:
            stat = parse(fields[2][0])
            name = stat[1][0].decode()
            mode = stat.get(2, [0])[0]
            self.received_stats[name] = (mode, stat.get(7, [b""])[0].decode())
            if mode >> 24 == 0 and 7 not in stat:
                self.send(stream_id, field(1, 1) + field(3, len(names)))
                stream.setdefault("open", set()).add(len(names))
            names.append(name)
        elif kind == 2:
            number = fields.get(3, [0])[0]
            data = fields.get(4, [b""])[0]
            self.received[names[number]] = self.received.get(names[number], b"") + data
            if not data:
                stream["open"].discard(number)
                if not stream["open"]:
                    self.send(stream_id, field(1, 3))

    def on_message(self, stream_id, fields):
        stream = self.streams[stream_id]
        path = dict(stream["headers"])[":path"]
        if path.endswith("/GetSecret"):
            name = fields[1][0].decode()
            if name in self.secrets:
                self.send(stream_id, field(1, self.secrets[name]))
                self.end(stream_id)
            else:
                self.end(stream_id, 5, "secret not found")
        elif path.endswith("/CheckAgent"):
            known = fields[1][0].decode() in self.agents
            self.send(stream_id, b"") if known else None
            self.end(stream_id, 0 if known else 5, "" if known else "no such agent")
        elif path.endswith("/ForwardAgent"):
            name = dict(stream["headers"])["buildkit.ssh.id"]
            self.send(stream_id, field(1, self.agents[name](fields[1][0])))
        elif path.endswith("FileSend/DiffCopy"):
            self.on_file(stream_id, stream, fields)
        elif path.endswith("FileSync/DiffCopy"):
            kind = fields.get(1, [0])[0]
            if kind == 1:
                number = fields.get(3, [0])[0]
                name = stream["files"][number]
                self.requested.append(name)
                with open(os.path.join(self.folder, name), "rb") as file:
                    while block := file.read(32768):
                        self.send(stream_id, field(1, 2) + field(3, number) + field(4, block))
                self.send(stream_id, field(1, 2) + field(3, number))
            elif kind == 3:
                self.send(stream_id, field(1, 3))
                self.end(stream_id)
        else:
            self.end(stream_id, 12, "unknown method " + path)


# ---- a build ----

CONTROL = "/moby.buildkit.v1.Control/"


def solve_request(ref, session, attrs, exporters=(), allowed=()):
    body = message(f1=ref, f5=session, f6="dockerfile.v0", f7=attrs)
    for entitlement in allowed:
        body += field(9, entitlement)
    for kind, more in exporters:
        body += field(13, message(f1=kind, f2=more))
    return body


def status(path, ref):
    """What the build tells: ({name: vertex}, printed bytes, warnings)."""
    answer = call(path, CONTROL + "Status", field(1, ref))
    assert answer.status == 0, answer.error
    vertices, logs, warnings = {}, b"", []
    for text in answer.messages:
        event = parse(text)
        for item in event.get(1, []):
            vertex = parse(item)
            vertices[vertex[3][0].decode()] = vertex
        for item in event.get(3, []):
            logs += parse(item).get(4, [b""])[0]
        warnings += [parse(item) for item in event.get(4, [])]
    return vertices, logs, warnings
