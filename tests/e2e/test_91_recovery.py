# SPDX-License-Identifier: Apache-2.0
"""kistd and its shims lose each other, by every road, and find each other again."""
import http.client
import json
import os
import pathlib
import signal
import socket
import sqlite3

from lib.sockets import sockets_of
from lib.wait import wait_for


def call(daemon, method, path, body=None):
    connection = http.client.HTTPConnection("localhost", timeout=120)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(daemon.socket))
    connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, json.loads(data) if data and data[:1] in b"{[" else data


def cut_lines(daemon):
    """Shuts down every connection of kistd to a shim; both sides live on. How many there were."""
    cut = 0
    for line in sockets_of(daemon.process.pid):
        try:
            peer = line.getpeername()
        except OSError:
            continue
        # Shims bind their socket below a descriptor: nothing else kistd talks to is named so.
        if line.family == socket.AF_UNIX and isinstance(peer, str) and peer.startswith("/proc/self/fd/"):
            line.shutdown(socket.SHUT_RDWR)
            cut += 1
    return cut


def shim_pid(daemon, name):
    identity = daemon.inspect(name)["Id"]
    return json.loads((daemon.root / "x/shim" / identity[:16] / "shim.json").read_text())["pid"]


def test_a_line_that_breaks_ends_no_container(own):
    own.docker("run", "-d", "--name", "steady", "busybox", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")
    own.docker("exec", "-d", "steady", "sh", "-c", "sleep 1000; true")
    pid = own.inspect("steady")["State"]["Pid"]
    assert cut_lines(own) >= 1
    wait_for(lambda: own.docker("exec", "steady", "echo", "here", check=False).stdout == "here\n", "the line")
    state = own.inspect("steady")["State"]
    assert state["Running"] and state["Pid"] == pid and own.inspect("steady")["ExecIDs"]
    own.docker("stop", "steady")
    assert own.inspect("steady")["State"]["ExitCode"] == 7


def test_a_stuck_shim_holds_up_nobody_else(own):
    for name in ("stuck", "fine"):
        own.docker("run", "-d", "--name", name, "busybox", "sleep", "1000")
    shim = shim_pid(own, "stuck")
    os.kill(shim, signal.SIGSTOP)
    try:
        own.kill()
        own.start()
        assert own.docker("exec", "fine", "echo", "ok").stdout == "ok\n"
        assert own.docker("ps", "-q").stdout.count("\n") == 2
        refused = own.docker("exec", "stuck", "true", check=False)
        assert refused.returncode != 0
    finally:
        os.kill(shim, signal.SIGCONT)
    wait_for(lambda: own.docker("exec", "stuck", "true", check=False).returncode == 0, "the stuck shim")
    own.docker("rm", "-f", "stuck", "fine")


def test_execs_are_found_again(own):
    own.docker("run", "-d", "--name", "host", "busybox", "sleep", "1000")

    def create(*words):
        status, body = call(own, "POST", "/containers/host/exec", {"Cmd": list(words)})
        assert status == 201
        return body["Id"]

    runs, ends, waits = create("sleep", "1000"), create("sh", "-c", "exit 5"), create("sh", "-c", "exit 6")
    away = create("sh", "-c", "while [ ! -e /go ]; do sleep 0.1; done; exit 9")
    for identity in (runs, ends, away):
        assert call(own, "POST", f"/exec/{identity}/start", {"Detach": True})[0] == 200

    def look(identity):
        status, body = call(own, "GET", f"/exec/{identity}/json")
        assert status == 200, body
        return body

    wait_for(lambda: not look(ends)["Running"], "an end")
    inside, process = own.inspect("host")["State"]["Pid"], look(away)["Pid"]
    own.kill()
    # One ends while nobody is there to see it.
    pathlib.Path(f"/proc/{inside}/root/go").touch()
    wait_for(lambda: not pathlib.Path(f"/proc/{process}").exists(), "an end that nobody sees")
    own.start()
    assert look(runs)["Running"] and look(runs)["Pid"] > 0
    assert (look(ends)["Running"], look(ends)["ExitCode"]) == (False, 5)
    wait_for(lambda: look(away)["ExitCode"] == 9, "the end of one that was found again")
    assert call(own, "POST", f"/exec/{waits}/start", {"Detach": True})[0] == 200
    wait_for(lambda: look(waits)["ExitCode"] == 6, "one that was created before")
    os.kill(look(runs)["Pid"], signal.SIGKILL)
    wait_for(lambda: look(runs)["ExitCode"] == 137, "the killed one")
    own.restart()
    assert look(away)["ExitCode"] == 9
    own.docker("rm", "-f", "host")


def test_an_engine_that_closes_tells_no_end_of_execs(own):
    own.docker("run", "-d", "--name", "quiet", "busybox", "sleep", "1000")
    own.docker("exec", "-d", "quiet", "sleep", "1000")
    events = socket.socket(socket.AF_UNIX)
    events.settimeout(120)
    events.connect(str(own.socket))
    events.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in events.recv(65536)
    own.stop()
    seen = b""
    while piece := events.recv(65536):
        seen += piece
    events.close()
    assert b"exec_die" not in seen
    own.start()
    (identity,) = own.inspect("quiet")["ExecIDs"]
    assert call(own, "GET", f"/exec/{identity}/json")[1]["Running"]
    own.docker("rm", "-f", "quiet")


def test_execs_nobody_starts_do_not_pile_up(own):
    own.docker("run", "-d", "--name", "busy", "busybox", "sleep", "1000")
    connection = http.client.HTTPConnection("localhost", timeout=120)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(own.socket))
    made = []
    for _ in range(1100):
        connection.request("POST", "/containers/busy/exec", '{"Cmd":["true"]}', {"Content-Type": "application/json"})
        made.append(json.loads(connection.getresponse().read())["Id"])
    connection.close()
    assert call(own, "GET", f"/exec/{made[0]}/json")[0] == 404
    assert call(own, "GET", f"/exec/{made[-1]}/json")[0] == 200
    assert len(list((own.root / "x/shim").glob("*/exec-*.json"))) < 1100
    own.docker("rm", "-f", "busy")


def test_a_removal_with_volumes_that_was_cut_short(own):
    own.docker("create", "--name", "halved", "-v", "/data", "busybox", "true")
    (volume,) = own.docker("volume", "ls", "-q").stdout.split()
    own.kill()
    # What is on disk when kistd dies in the middle of `rm -v`.
    database = sqlite3.connect(own.root / "d/meta.db")
    ((identity, text),) = database.execute("SELECT id, document FROM containers").fetchall()
    document = json.loads(text)
    document["state"].update(removing=True, removingVolumes=True)
    database.execute("UPDATE containers SET document = ? WHERE id = ?", (json.dumps(document), identity))
    database.commit()
    database.close()
    own.start()
    assert own.docker("ps", "-aq").stdout == ""
    assert own.docker("volume", "ls", "-q").stdout == "", volume
    wait_for(lambda: not (own.root / "d/volumes" / volume).exists(), "the volume's folder to go")
