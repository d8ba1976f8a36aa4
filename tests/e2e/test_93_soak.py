# SPDX-License-Identifier: Apache-2.0
"""A shim never grows: after many probes its private memory is what it was. KIST_SOAK=100000 is the long form."""
import http.client
import json
import os
import socket

from lib.wait import wait_for

COUNT = int(os.environ.get("KIST_SOAK", "200"))
WARM_UP = 60
# What the heap needs before it has all its shapes; with 100,000 probes one byte lost in each is seen.
GROWTH_KB = 128


class Client:
    def __init__(self, daemon):
        self.connection = http.client.HTTPConnection("localhost", timeout=120)
        self.connection.sock = socket.socket(socket.AF_UNIX)
        self.connection.sock.connect(str(daemon.socket))

    def call(self, method, path, body=None):
        self.connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        reply = self.connection.getresponse()
        data = reply.read()
        assert reply.status < 300, data
        return json.loads(data) if data else None


def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty:"))


def descriptors(pid):
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except FileNotFoundError:
            pass
    return sorted(found)


def test_probes_leave_nothing_in_the_shim(own, plain):
    daemon = own
    daemon.docker("run", "-d", "--name", "probed", "--network", "none", "busybox", "sleep", "100000")
    identity = daemon.inspect("probed")["Id"]
    folder = daemon.root / "x/shim" / identity[:16]
    shim = json.loads((folder / "shim.json").read_text())["pid"]
    client = Client(daemon)

    def probe():
        made = client.call("POST", "/containers/probed/exec", {"Cmd": ["echo", "healthy"], "AttachStdout": True})["Id"]
        # Hijacked, with output that goes through the shim; over when the stream is.
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(120)
            stream.connect(str(daemon.socket))
            body = b'{"Detach":false,"Tty":false}'
            stream.sendall(b"POST /exec/%s/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                           % (made.encode(), len(body), body))  # fmt: skip
            data = b""
            while piece := stream.recv(4096):
                data += piece
        assert data.endswith(b"healthy\n"), data

    def probes(count):
        for _ in range(count):
            probe()
        # The client's stream is over before the engine has deleted the last exec in the shim.
        wait_for(lambda: not list(folder.glob("attach-*")), what="the shim to have no exec")

    probes(WARM_UP)
    before, opened = private_kb(shim), descriptors(shim)
    probes(COUNT)
    wait_for(lambda: len(descriptors(shim)) <= len(opened), what=lambda: f"{descriptors(shim)} to be {opened} again")
    grown = f"{before} kB to be at most {GROWTH_KB} kB more after {COUNT} probes"
    wait_for(lambda: private_kb(shim) - before <= GROWTH_KB, what=lambda: f"{grown}, are {private_kb(shim)} kB")
    # Nor do files of execs pile up, nor processes.
    assert len(list(folder.glob("exec-*.json"))) <= 70
    print(f"{COUNT} probes: {before} kB, then {private_kb(shim)} kB")
