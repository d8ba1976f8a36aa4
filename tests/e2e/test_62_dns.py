# SPDX-License-Identifier: Apache-2.0
"""Names: 127.0.0.11 in user-defined networks, and kist-resolve by itself between a pretended engine and pretended servers."""
import json
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import threading

import pytest

from lib import images
from lib.wait import wait_for

A, PTR, TXT, AAAA, OPT = 1, 12, 16, 28, 41
OK, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP = 0, 1, 2, 3, 4


# ---- a little DNS ----


def question(name, kind=A, edns=None, ident=None, flags=0x0100):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part)
    ident = random.randrange(65536) if ident is None else ident
    extra = b"" if edns is None else struct.pack("!BHHBBHH", 0, OPT, edns, 0, 0, 0, 0)
    return struct.pack("!HHHHHH", ident, flags, 1, 0, 0, int(edns is not None)) + labels + b"\0" + struct.pack("!HH", kind, 1) + extra


def end_of_name(data, at):
    while data[at]:
        if data[at] & 0xC0:
            return at + 2
        at += 1 + data[at]
    return at + 1


class Answer:
    def __init__(self, data):
        self.data = data
        self.ident, self.flags, questions, self.count, _, self.extra = struct.unpack("!HHHHHH", data[:12])
        self.code, self.truncated = self.flags & 15, bool(self.flags & 0x0200)
        at = end_of_name(data, 12) + 4 if questions else 12
        self.records = []
        for _ in range(self.count):
            at = end_of_name(data, at)
            kind, _, ttl, size = struct.unpack("!HHIH", data[at : at + 10])
            self.records.append((kind, ttl, data[at + 10 : at + 10 + size]))
            at += 10 + size

    @property
    def addresses(self):
        return [socket.inet_ntop(socket.AF_INET if k == A else socket.AF_INET6, d) for k, _, d in self.records if k in (A, AAAA)]


def reply(query, addresses=(), code=OK, ttl=60, size=0):
    """A server's answer to a query; `size` more bytes of text records."""
    end = end_of_name(query, 12) + 4
    kind = struct.unpack("!H", query[end - 4 : end - 2])[0]
    records = [struct.pack("!HHHIH", 0xC00C, A, 1, ttl, 4) + socket.inet_aton(a) for a in addresses if kind == A]
    while size > 0:
        records.append(struct.pack("!HHHIH", 0xC00C, TXT, 1, ttl, 201) + bytes([200]) + b"x" * 200)
        size -= 213
    return query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0) + query[12:end] + b"".join(records)


class Upstream:
    """A name server at 127.0.0.x:53 of this machine; `rules` maps names to functions from query to answer."""

    def __init__(self):
        self.rules, self.asked = {}, []
        self.sockets = []
        while not self.sockets:
            self.address = f"127.{random.randrange(60, 250)}.{random.randrange(250)}.{random.randrange(1, 250)}"
            udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
            try:
                udp.bind((self.address, 53))
                tcp.bind((self.address, 53))
                tcp.listen(8)
                self.sockets = [udp, tcp]
            except OSError:
                udp.close()
                tcp.close()
        self.running = True
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def answer(self, query):
        end = end_of_name(query, 12)
        at, parts = 12, []
        while query[at]:
            parts.append(query[at + 1 : at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        name = ".".join(parts)
        self.asked.append((name, struct.unpack("!H", query[end : end + 2])[0]))
        rule = self.rules.get(name)
        return rule(query) if rule else reply(query, code=NXDOMAIN)

    def serve(self):
        udp, tcp = self.sockets
        while self.running:
            ready, _, _ = select.select(self.sockets, [], [], 0.05)
            if udp in ready:
                query, source = udp.recvfrom(65536)
                answer = self.answer(query)
                if answer:
                    limit = 512
                    udp.sendto(answer if len(answer) <= limit else answer[:2] + b"\x83\x80" + query[4:6] + b"\0" * 6
                               + query[12 : end_of_name(query, 12) + 4], source)  # fmt: skip
            if tcp in ready:
                client, _ = tcp.accept()
                client.settimeout(60)
                size = struct.unpack("!H", client.recv(2))[0]
                answer = self.answer(client.recv(size))
                client.sendall(struct.pack("!H", len(answer)) + answer)
                client.close()

    def close(self):
        self.running = False
        self.thread.join()
        for one in self.sockets:
            one.close()


@pytest.fixture
def upstream():
    server = Upstream()
    yield server
    server.close()


# ---- kist-resolve between us ----


class Resolver:
    """The program, with us as its engine; containers are sockets of 127.0.0.1."""

    def __init__(self, root, program):
        self.conf = root / "resolv.conf"
        self.conf.write_text("nameserver 127.0.0.254\n")
        os.chmod(root, 0o711)
        self.path = str(root / "r.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(4)
        def give_listener():
            os.dup2(listener.fileno(), 3, inheritable=True)

        self.process = subprocess.Popen([program("kist-resolve"), str(self.conf)], preexec_fn=give_listener, pass_fds=(3,))
        listener.close()
        self.engine = None
        self.containers = {}
        self.connect()

    def connect(self):
        if self.engine:
            self.engine.close()
        self.engine = socket.socket(socket.AF_UNIX)
        self.engine.settimeout(60)
        self.engine.connect(self.path)

    def say(self, action, fds=(), **members):
        text = json.dumps({"action": action, **members}).encode()
        socket.send_fds(self.engine, [struct.pack("=I", len(text))], list(fds))
        self.engine.sendall(text)
        return self.engine.recv(1)

    def scope(self, name, networks, **members):
        if name not in self.containers:
            udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
            udp.bind(("127.0.0.1", 0))
            tcp.bind(("127.0.0.1", 0))
            self.containers[name] = (udp, tcp)
        fds = [one.fileno() for one in self.containers[name]]
        assert self.say("scope", fds, container=name, networks=networks, **members) == b"d"

    def add(self, network, endpoint, names, addresses, pointer=""):
        assert self.say("add", network=network, endpoint=endpoint, names=names, addresses=addresses, pointer=pointer) == b"d"

    def udp(self, container, query, patience=60):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(patience)
            client.sendto(query, self.containers[container][0].getsockname())
            answer = Answer(client.recv(65536))
        assert answer.data[:2] == query[:2]
        return answer

    def ask(self, container, name, kind=A, **options):
        return self.udp(container, question(name, kind, **options))

    def tcp(self, container):
        return socket.create_connection(self.containers[container][1].getsockname(), timeout=60)

    def close(self):
        self.engine.close()
        self.process.kill()
        self.process.wait()
        for pair in self.containers.values():
            for one in pair:
                one.close()


def by_stream(client, *queries):
    client.sendall(b"".join(struct.pack("!H", len(q)) + q for q in queries))
    answers = []
    for _ in queries:
        size = struct.unpack("!H", client.recv(2, socket.MSG_WAITALL))[0]
        answers.append(Answer(client.recv(size, socket.MSG_WAITALL)))
    return answers


@pytest.fixture
def resolver(tmp_root, program):
    one = Resolver(tmp_root, program)
    yield one
    one.close()


def test_names(resolver):
    resolver.scope("c1", ["n1"])
    resolver.scope("c2", ["n2", "n1"])
    resolver.add("n1", "w1", ["web", "Web1", "web.front"], ["10.1.0.2", "fd00::2"], "web.front")
    resolver.add("n1", "w2", ["web"], ["10.1.0.3"])
    resolver.add("n2", "w3", ["web", "back"], ["10.2.0.2"])
    # in turns
    firsts = {tuple(resolver.ask("c1", "web").addresses) for _ in range(4)}
    assert firsts == {("10.1.0.2", "10.1.0.3"), ("10.1.0.3", "10.1.0.2")}
    assert resolver.ask("c1", "WEB1").addresses == ["10.1.0.2"] and resolver.ask("c1", "web.front").addresses
    # the first of its networks where somebody has the name; networks that it is not on are not looked at
    assert resolver.ask("c2", "web").addresses == ["10.2.0.2"]
    assert resolver.ask("c1", "back").code == SERVFAIL
    # the other family, other types: the name exists, so nothing of that type is all there is to say
    assert resolver.ask("c1", "web", AAAA).addresses == ["fd00::2"]
    none = resolver.ask("c2", "back", AAAA)
    assert none.code == OK and none.count == 0
    assert resolver.ask("c1", "web", TXT).code == OK
    # backwards
    pointer = resolver.ask("c1", "2.0.1.10.in-addr.arpa", PTR)
    assert pointer.records[0][2] == b"\x03web\x05front\x00"
    backwards = ".".join(reversed("fd000000000000000000000000000002")) + ".ip6.arpa"
    assert resolver.ask("c1", backwards, PTR).count == 1
    # gone
    resolver.say("remove", network="n1", endpoint="w1")
    assert resolver.ask("c1", "web").addresses == ["10.1.0.3"] and resolver.ask("c1", "web1").code == SERVFAIL
    assert resolver.ask("c1", "2.0.1.10.in-addr.arpa", PTR).code == SERVFAIL


def test_shapes(resolver):
    resolver.scope("c1", ["n1"])
    many = [f"10.1.{i // 250}.{i % 250 + 1}" for i in range(100)]
    for i, address in enumerate(many):
        resolver.add("n1", f"e{i}", ["many"], [address])
    # 512 bytes without EDNS: truncated, and whole by TCP or with EDNS
    short = resolver.ask("c1", "many")
    assert short.truncated and short.count == 0
    wide = resolver.ask("c1", "many", edns=4096)
    assert not wide.truncated and sorted(wide.addresses) == sorted(many) and wide.extra == 1
    with resolver.tcp("c1") as client:
        first, second = by_stream(client, question("many"), question("many", AAAA))
        assert len(first.addresses) == 100 and second.code == OK and second.count == 0
    # a case of the client's own stays in the question
    mixed = question("mAnY", edns=1232)
    assert b"\x04mAnY\x00" in resolver.udp("c1", mixed).data
    # what is no query of ours
    assert resolver.udp("c1", question("many", flags=0x2800)).code == NOTIMP
    two = question("many")
    assert resolver.udp("c1", two[:4] + b"\0\2" + two[6:]).code == FORMERR
    cut = question("many")[:-3]
    assert resolver.udp("c1", cut).code == FORMERR
    looped = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c" + struct.pack("!HH", A, 1)
    assert resolver.udp("c1", looped).code == FORMERR
    for junk in (b"", b"\0", os.urandom(11), question("many", flags=0x8100)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(junk, resolver.containers["c1"][0].getsockname())
    assert len(resolver.ask("c1", "many", edns=4096).addresses) == 100


def test_forward(resolver, upstream):
    resolver.scope("c1", ["n1"], servers=[upstream.address], forward=True)
    resolver.scope("shut", ["n1"], servers=[upstream.address])
    resolver.add("n1", "w1", ["web"], ["10.1.0.2"])
    upstream.rules["example.org"] = lambda q: reply(q, ["192.0.2.1"])
    upstream.rules["big.org"] = lambda q: reply(q, size=3000)
    assert resolver.ask("c1", "example.org").addresses == ["192.0.2.1"]
    assert resolver.ask("c1", "nowhere.org").code == NXDOMAIN
    # kept while it lives, also for another spelling; not for another kind of question
    asked = len(upstream.asked)
    assert resolver.ask("c1", "EXAMPLE.org").addresses == ["192.0.2.1"] and len(upstream.asked) == asked
    resolver.ask("c1", "example.org", edns=1232)
    assert len(upstream.asked) == asked + 1
    # a network without a way out asks nobody, not even for what is kept
    assert resolver.ask("shut", "example.org").code == SERVFAIL and resolver.ask("shut", "web").addresses == ["10.1.0.2"]
    # large ones: truncated by UDP, whole by TCP
    assert resolver.ask("c1", "big.org", TXT).truncated
    with resolver.tcp("c1") as client:
        (whole,) = by_stream(client, question("big.org", TXT))
        assert whole.count == 15 and not whole.truncated
    assert not [name for name, _ in upstream.asked if name == "web"]


def test_other_server(resolver, upstream):
    """A server that is away, one that refuses, one that lies: the next is asked, and only true answers count."""
    upstream.rules["example.org"] = lambda q: reply(q, ["192.0.2.1"])
    resolver.scope("c1", ["n1"], servers=["127.0.0.253", upstream.address], forward=True)
    assert resolver.ask("c1", "example.org").addresses == ["192.0.2.1"]
    upstream.rules["refused.org"] = lambda q: reply(q, code=SERVFAIL)
    assert resolver.ask("c1", "refused.org").code == SERVFAIL
    upstream.rules["forged.org"] = lambda q: reply(bytes([q[0] ^ 1]) + q[1:], ["192.0.2.66"])
    assert resolver.ask("c1", "forged.org").code == SERVFAIL
    upstream.rules["other.org"] = lambda q: reply(question("evil.org", ident=struct.unpack("!H", q[:2])[0]), ["192.0.2.66"])
    assert resolver.ask("c1", "other.org").code == SERVFAIL


def test_host_servers_change(resolver, upstream):
    """The file is looked at again after a second at the latest."""
    upstream.rules["example.org"] = lambda q: reply(q, ["192.0.2.1"])
    resolver.scope("c1", ["n1"], forward=True)
    assert resolver.ask("c1", "example.org").code == SERVFAIL
    resolver.conf.write_text(f"# changed\nnameserver {upstream.address}\n")
    wait_for(lambda: resolver.ask("c1", "example.org").addresses == ["192.0.2.1"], what="the changed servers")


def test_slow_clients(resolver):
    """Who says half a question, or never fetches its answers, stalls nobody; too many are turned away."""
    resolver.scope("c1", ["n1"])
    resolver.scope("c2", ["n1"])
    resolver.add("n1", "w1", ["web"], ["10.1.0.2"])
    half = [resolver.tcp("c1") for _ in range(40)]
    for one in half:
        one.sendall(b"\x00\x40half")
    greedy = resolver.tcp("c1")
    greedy.settimeout(0.2)
    query = question("web")
    try:
        for _ in range(200):
            greedy.sendall((struct.pack("!H", len(query)) + query) * 200)
    except OSError:
        pass
    assert resolver.ask("c2", "web").addresses == ["10.1.0.2"]
    with resolver.tcp("c2") as client:
        assert by_stream(client, question("web"))[0].addresses == ["10.1.0.2"]
    more = [resolver.tcp("c1") for _ in range(40)]
    assert resolver.ask("c1", "web").addresses == ["10.1.0.2"]
    with resolver.tcp("c2") as client:
        assert by_stream(client, question("web"))[0].addresses == ["10.1.0.2"]
    for one in [*half, *more, greedy]:
        one.close()


def test_flood(resolver, upstream):
    """A server that never answers: a container's own questions are bounded, others' go through."""
    upstream.rules.update({f"q{i}.org": lambda q: None for i in range(1200)})
    upstream.rules["example.org"] = lambda q: reply(q, ["192.0.2.1"])
    resolver.scope("c1", ["n1"], servers=[upstream.address], forward=True)
    resolver.scope("c2", ["n1"], servers=[upstream.address], forward=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        for i in range(600):
            flood.sendto(question(f"q{i}.org"), resolver.containers["c1"][0].getsockname())
        assert resolver.ask("c2", "example.org").addresses == ["192.0.2.1"]
        assert resolver.ask("c1", "q1100.org").code == SERVFAIL


def test_engine_comes_back(resolver):
    """Between "begin" and "end" the old tables answer; who is not told of again goes."""
    resolver.scope("c1", ["n1"])
    resolver.scope("c2", ["n1"])
    resolver.add("n1", "w1", ["web"], ["10.1.0.2"])
    resolver.add("n1", "w2", ["old"], ["10.1.0.3"])
    resolver.engine.close()
    assert resolver.ask("c1", "web").addresses == ["10.1.0.2"]
    resolver.connect()
    assert resolver.say("hello", version="0.0.0-other") == b"o"
    resolver.process.wait(60)


def test_told_again(resolver):
    resolver.scope("c1", ["n1"])
    resolver.scope("c2", ["n1"])
    resolver.add("n1", "w1", ["web"], ["10.1.0.2"])
    resolver.connect()
    assert resolver.say("begin") == b"d"
    assert resolver.ask("c1", "web").addresses == ["10.1.0.2"]
    resolver.scope("c1", ["n1"])
    resolver.add("n1", "w1", ["web"], ["10.1.0.9"])
    assert resolver.ask("c1", "web").addresses == ["10.1.0.2"]
    resolver.say("end")
    assert resolver.ask("c1", "web").addresses == ["10.1.0.9"]
    # c2 was not told again: nobody reads its socket any more
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(question("web"), resolver.containers["c2"][0].getsockname())
        assert resolver.ask("c1", "web").addresses
        assert resolver.containers["c2"][0].recv(512)
    # it ends when nobody needs it
    resolver.say("drop", container="c1")
    resolver.engine.close()
    assert resolver.process.wait(60) == 0


# ---- in containers ----


@pytest.fixture
def engine(daemon, busybox_rootfs):
    tar = images.tar_of(busybox_rootfs)
    subprocess.run(["docker", "import", "-", "box"], input=tar, env=daemon.environment, check=True, capture_output=True)
    return daemon


def start(engine, name, *options):
    engine.docker("run", "-d", "--name", name, *options, "box", "sleep", "1000")


def resolver_pid(engine):
    """Of the program that holds this engine's socket."""
    found = subprocess.run(["ss", "-xlpH"], capture_output=True, text=True, check=True).stdout
    for line in found.splitlines():
        if "resolver.sock" in line and (pids := re.findall(r'"kist-resolve",pid=(\d+)', line)):
            for pid in pids:
                if int(pid) in children(engine):
                    return int(pid)
    return None


def children(engine):
    out = subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True, check=True).stdout
    return [int(p) for p, parent, name in (l.split(None, 2) for l in out.splitlines()[1:])
            if name.startswith("kist-resolve") and int(parent) == engine.process.pid]  # fmt: skip


def lookup(engine, name, wanted, check=True):
    """Addresses as the container's libc finds them."""
    run = engine.docker("exec", name, "busybox", "nslookup", wanted, check=False)
    return re.findall(r"^Address(?: \d+)?: ([0-9a-f.:]+)(?: |$)", run.stdout.split("Name:", 1)[-1], re.M) if run.returncode == 0 else []


def address(engine, name, network):
    return engine.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]


def test_containers(engine, upstream):
    upstream.rules["example.org"] = lambda q: reply(q, ["192.0.2.1"])
    engine.docker("network", "create", "front")
    engine.docker("network", "create", "back")
    start(engine, "web", "--network", "front", "--network-alias", "www", "--dns", upstream.address)
    start(engine, "db", "--network", "back")
    text = engine.docker("exec", "web", "cat", "/etc/resolv.conf").stdout
    assert "nameserver 127.0.0.11" in text and "ndots:0" in text and upstream.address in text
    assert lookup(engine, "web", "web") == [address(engine, "web", "front")] == lookup(engine, "web", "www")
    assert lookup(engine, "web", "db") == []
    assert "192.0.2.1" in lookup(engine, "web", "example.org")
    # joining and leaving while they run
    engine.docker("network", "connect", "--alias", "base", "front", "db")
    assert lookup(engine, "web", "db") == [address(engine, "db", "front")] == lookup(engine, "web", "base.front")
    engine.docker("network", "disconnect", "front", "db")
    assert lookup(engine, "web", "db") == []
    # from the default bridge to a network with names
    start(engine, "late")
    assert "127.0.0.11" not in engine.docker("exec", "late", "cat", "/etc/resolv.conf").stdout
    engine.docker("network", "connect", "front", "late")
    assert lookup(engine, "late", "web") == [address(engine, "web", "front")]
    engine.docker("rename", "web", "shop")
    assert lookup(engine, "late", "shop") == [address(engine, "shop", "front")] and lookup(engine, "late", "web") == []
    # who leaves its last network is not served any more, and joins again
    pid = resolver_pid(engine)
    sockets = len(os.listdir(f"/proc/{pid}/fd"))
    engine.docker("network", "disconnect", "front", "late")
    # What asked a server of the host's may be closed later than the two.
    wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= sockets - 2, "its sockets to be closed")
    engine.docker("network", "connect", "front", "late")
    assert lookup(engine, "late", "shop") == [address(engine, "shop", "front")]
    # port 53 of the container is its own
    engine.docker("exec", "shop", "sh", "-c", "busybox nc -l -p 53 -e echo mine & sleep 0.2")
    assert lookup(engine, "shop", "late") == [address(engine, "late", "front")]


def test_restarts(engine):
    """kill -9 of the engine and of the resolver."""
    engine.docker("network", "create", "front")
    start(engine, "web", "--network", "front")
    start(engine, "db", "--network", "front")
    web = address(engine, "web", "front")
    assert lookup(engine, "db", "web") == [web]
    pid = resolver_pid(engine)
    engine.kill()
    container = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    assert str(pid) in container
    engine.start()
    assert lookup(engine, "db", "web") == [web]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: lookup(engine, "db", "web") == [web], what="a new resolver")
    start(engine, "new", "--network", "front")
    assert lookup(engine, "new", "db") == [address(engine, "db", "front")]
    engine.docker("restart", "-t", "0", "web")
    assert lookup(engine, "db", "web") == [address(engine, "web", "front")]
    # one that hangs is replaced by whoever needs it
    pid = resolver_pid(engine)
    os.kill(pid, signal.SIGSTOP)
    start(engine, "newer", "--network", "front")
    assert lookup(engine, "newer", "db") == [address(engine, "db", "front")]
    wait_for(lambda: ended(pid), what="the one that hung to end")


def ended(pid):
    """Gone, or only waited for by nobody."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def test_it_ends_with_the_engine(engine):
    """Nobody is left: not after containers that were removed, nor after one that left its network."""
    engine.docker("network", "create", "front")
    start(engine, "web", "--network", "front")
    start(engine, "gone", "--network", "front")
    pid = resolver_pid(engine)
    engine.docker("network", "disconnect", "front", "gone")
    engine.docker("rm", "-f", "web", "gone")
    engine.stop()
    wait_for(lambda: ended(pid), what="kist-resolve to end")
    engine.start()
