# SPDX-License-Identifier: Apache-2.0
"""What happens to a container while it lives: health checks, statistics, new limits."""
import datetime
import json
import re
import socket
import time

import pytest

from lib.engine_api import Api
from lib.wait import wait_for


@pytest.fixture
def api(shared):
    connection = Api(shared)
    yield connection
    connection.close()


@pytest.fixture
def run(shared):
    """run("name", *options, command=...) starts a container that is removed afterwards."""
    names = []

    def start(name, *options, command=("sleep", "1000")):
        names.append(name)
        # kist, for Debian's docker CLI 20.10 does not know every option.
        shared.kist("run", "-d", "--name", name, *options, "busybox", *command)
        return name

    yield start
    shared.docker("rm", "-f", *names, check=False)


# ---- health ----


def health(daemon, name):
    return daemon.inspect(name)["State"]["Health"]


def moment(text):
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", re.sub(r"(:\d\d)Z", r"\1.0Z", text)).replace("Z", "+00:00"))


def test_health_follows_the_command(shared, run):
    run("h1", "--health-cmd", "echo said; test -e /ok", "--health-interval", "200ms", "--health-retries", "2")
    assert health(shared, "h1")["Status"] in ("starting", "unhealthy")
    wait_for(lambda: health(shared, "h1")["Status"] == "unhealthy", "unhealthy")
    assert "(unhealthy)" in shared.docker("ps", "--format", "{{.Status}}", "--filter", "name=h1").stdout
    state = health(shared, "h1")
    assert state["FailingStreak"] >= 2 and state["Log"][-1]["ExitCode"] == 1 and state["Log"][-1]["Output"] == "said\n"
    shared.docker("exec", "h1", "touch", "/ok")
    wait_for(lambda: health(shared, "h1")["Status"] == "healthy", "healthy")
    assert health(shared, "h1")["FailingStreak"] == 0
    wait_for(lambda: len(health(shared, "h1")["Log"]) == 5, "five results")
    assert shared.docker("ps", "-q", "--filter", "health=healthy").stdout
    shared.docker("pause", "h1")
    assert health(shared, "h1")["Status"] == "unhealthy"
    shared.docker("unpause", "h1")
    wait_for(lambda: health(shared, "h1")["Status"] == "healthy", "healthy after the pause")
    # kill -9 of the engine: the next one goes on probing.
    shared.kill()
    shared.start()
    assert health(shared, "h1")["Status"] == "healthy"
    shared.docker("exec", "h1", "rm", "/ok")
    wait_for(lambda: health(shared, "h1")["Status"] == "unhealthy", "unhealthy again")
    shared.docker("stop", "-t", "0", "h1")
    assert health(shared, "h1")["Status"] == "unhealthy"
    shared.docker("start", "h1")
    # It counts anew: probes of this run at most, of which the last five are kept.
    state = shared.inspect("h1")["State"]
    fresh = [probe for probe in state["Health"]["Log"] if moment(probe["Start"]) > moment(state["StartedAt"])]
    assert len(fresh) == 5 or state["Health"]["FailingStreak"] <= len(fresh), state


def test_health_events(shared, run):
    run("h2", "--health-cmd", "true", "--health-interval", "200ms")
    wait_for(lambda: health(shared, "h2")["Status"] == "healthy", "healthy")
    shared.docker("rm", "-f", "h2")
    events = shared.docker(
        "events", "--since", "60s", "--until", str(int(time.time()) + 1), "--filter", "container=h2", "--format", "{{.Action}}"
    ).stdout.splitlines()
    assert events.count("health_status: healthy") == 1
    first = events.index("exec_create: /bin/sh -c true")
    assert events[first : first + 4] == [
        "exec_create: /bin/sh -c true",
        "exec_start: /bin/sh -c true",
        "exec_die",
        "health_status: healthy",
    ]


def test_health_probe_that_hangs_is_killed(shared, run):
    run("h3", "--health-cmd", "echo begun; sleep 1000", "--health-interval", "200ms", "--health-timeout", "500ms", "--health-retries", "1")
    wait_for(lambda: health(shared, "h3")["Status"] == "unhealthy", "unhealthy")
    last = health(shared, "h3")["Log"][0]
    assert last["ExitCode"] == -1 and last["Output"] == "Health check exceeded timeout (500ms): begun\n"


def test_health_start_period_forgives(shared, run):
    run("h4", "--health-cmd", "false", "--health-interval", "200ms", "--health-start-period", "1000s", "--health-start-interval", "200ms", "--health-retries", "1")
    wait_for(lambda: [entry for entry in health(shared, "h4")["Log"] if entry["ExitCode"] == 1], "a failed probe")
    state = health(shared, "h4")
    assert state["Status"] == "starting" and state["FailingStreak"] == 0


def test_no_health_without_a_check(shared, run):
    run("h5", "--no-healthcheck")
    assert "Health" not in shared.inspect("h5")["State"]
    assert shared.docker("ps", "-q", "--filter", "health=none", "--filter", "name=h5").stdout


def test_unhealthy_container_is_restarted_if_asked(shared, run):
    run("h6", "--annotation", "kist.health-on-failure=restart", "--health-cmd", "false", "--health-interval", "200ms", "--health-retries", "1")
    first = shared.inspect("h6")["State"]["StartedAt"]
    wait_for(lambda: shared.inspect("h6")["State"]["StartedAt"] != first, "a restart")


@pytest.mark.parametrize(
    "health,words",
    [
        ({"Test": ["SHELL", "x"]}, "Unknown type 'SHELL' in healthcheck"),
        ({"Test": ["CMD", "x"], "Interval": 5}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"Test": ["CMD", "x"], "Retries": -1}, "Retries in Healthcheck cannot be negative"),
    ],
)
def test_bad_health_check(api, health, words):
    status, reply = api.call("POST", "/containers/create", {"Image": "busybox", "Healthcheck": health})
    assert status == 400 and words in reply["message"]


def test_events_until_the_epoch_end_at_once(shared):
    assert shared.docker("events", "--until", "0", timeout=120).stdout == ""


# ---- statistics ----


def test_stats_once_and_twice(shared, api, run):
    run("s1", "-m", "64m", command=("sh", "-c", "while :; do :; done"))
    status, first = api.call("GET", "/containers/s1/stats?stream=false&one-shot=true")
    assert status == 200 and first["name"] == "/s1" and first["preread"] == "0001-01-01T00:00:00Z"
    assert first["precpu_stats"]["cpu_usage"]["total_usage"] == 0
    status, both = api.call("GET", "/containers/s1/stats?stream=false")
    assert both["preread"] < both["read"]
    assert both["cpu_stats"]["cpu_usage"]["total_usage"] > both["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert both["cpu_stats"]["system_cpu_usage"] > both["precpu_stats"]["system_cpu_usage"]
    assert both["cpu_stats"]["online_cpus"] >= 1
    assert both["memory_stats"]["limit"] == 64 << 20 and 0 < both["memory_stats"]["usage"] < 64 << 20
    assert both["pids_stats"]["current"] >= 1
    assert set(both["networks"]) == {"eth0"} and both["networks"]["eth0"]["tx_bytes"] >= 0
    line = shared.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", "s1").stdout.split()
    assert line[0] == "s1" and line[3] == "64MiB"


def test_stats_stream(shared, run):
    run("s2", "--network", "none")
    connection = Api(shared)
    connection.request("GET", "/containers/s2/stats")
    reply = connection.getresponse()
    samples = [json.loads(reply.readline()) for _ in range(2)]
    assert samples[1]["preread"] == samples[0]["read"] and "networks" not in samples[0]
    shared.docker("stop", "-t", "0", "s2")
    stopped = wait_for(lambda: [s for s in [json.loads(reply.readline())] if not s["pids_stats"]], "a sample without figures")[0]
    assert stopped["memory_stats"] == {} and stopped["read"] == "0001-01-01T00:00:00Z"
    shared.docker("rm", "s2")
    while line := reply.readline():
        json.loads(line)
    connection.close()


def test_stats_errors(api):
    assert api.call("GET", "/containers/nosuch/stats")[0] == 404
    status, reply = api.call("GET", "/containers/nosuch/stats?stream=1&one-shot=1")
    assert status == 400 and "one-shot" in reply["message"]


# ---- update ----


def limits(daemon, name):
    host = daemon.inspect(name)["HostConfig"]
    return {key: host[key] for key in ("Memory", "MemorySwap", "PidsLimit", "CpuShares", "NanoCpus")}


def test_update_acts_at_once_and_stays(shared, api, run):
    run("u1", "-m", "64m")
    assert shared.docker("update", "-m", "32m", "--memory-swap", "48m", "--pids-limit", "7", "--cpu-shares", "300", "u1").stdout == "u1\n"
    expected = {"Memory": 32 << 20, "MemorySwap": 48 << 20, "PidsLimit": 7, "CpuShares": 300, "NanoCpus": 0}
    assert limits(shared, "u1") == expected
    _, sample = api.call("GET", "/containers/u1/stats?stream=false&one-shot=true")
    assert sample["memory_stats"]["limit"] == 32 << 20 and sample["pids_stats"]["limit"] == 7
    shared.docker("restart", "-t", "0", "u1")
    _, sample = api.call("GET", "/containers/u1/stats?stream=false&one-shot=true")
    assert sample["memory_stats"]["limit"] == 32 << 20 and sample["pids_stats"]["limit"] == 7
    shared.kill()
    shared.start()
    assert limits(shared, "u1") == expected


def test_update_of_a_stopped_container_and_its_policy(shared, run):
    run("u2", command=("true",))
    shared.docker("wait", "u2")
    shared.docker("update", "--restart", "on-failure:3", "--cpus", "0.5", "u2")
    host = shared.inspect("u2")["HostConfig"]
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3} and host["NanoCpus"] == 500000000


@pytest.mark.parametrize(
    "before,body,status,words",
    [
        ((), {"Memory": 1}, 400, "Minimum memory limit allowed is 6MB"),
        (("-m", "16m"), {"Memory": 64 << 20}, 409, "update the memoryswap at the same time"),
        (("--cpus", "0.5"), {"CpuPeriod": 5000}, 409, "NanoCPUs has already been set"),
        ((), {"RestartPolicy": {"Name": "sometimes"}}, 400, "sometimes"),
        (("--rm",), {"RestartPolicy": {"Name": "always"}}, 409, "AutoRemove"),
        ((), {"Memory": "x"}, 400, "Memory"),
    ],
)
def test_update_refused_changes_nothing(shared, api, run, before, body, status, words):
    run("u3", *before)
    was = shared.inspect("u3")["HostConfig"]
    got, reply = api.call("POST", "/containers/u3/update", body)
    assert got == status and words in reply["message"], reply
    assert shared.inspect("u3")["HostConfig"] == was


# ---- --init ----


def test_init_is_first_and_reaps(shared, run):
    script = "(sh -c 'sleep 0.1' &); sleep 0.5; ps -o pid,stat,comm | grep -c ' Z '; cat /proc/1/comm; exit 7"
    done = shared.docker("run", "--rm", "--init", "busybox", "sh", "-c", script, check=False)
    assert done.returncode == 7 and done.stdout == "0\ndocker-init\n", done


def test_init_forwards_signals(shared, run):
    run("i1", "--init", command=("sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done"))
    wait_for(lambda: shared.docker("logs", "i1").stdout, "the trap")
    shared.docker("kill", "-s", "TERM", "i1")
    assert shared.docker("wait", "i1").stdout == "42\n"


@pytest.mark.parametrize("command,code", [("nosuch", 127), ("/etc/passwd", 126)])
def test_init_of_what_cannot_run(shared, command, code):
    done = shared.docker("run", "--rm", "--init", "busybox", command, check=False)
    assert done.returncode == code and f"kist-init: {command}: " in done.stderr


def test_init_reports_death_by_signal(shared):
    assert shared.docker("run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$", check=False).returncode == 137


def test_init_is_small(program, plain):
    import os

    assert os.path.getsize(program("kist-init")) < 32768


# ---- attach over a websocket ----


class WebSocket:
    """Just enough of RFC 6455."""

    def __init__(self, daemon, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(str(daemon.socket))
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        self.socket.sendall(head.encode())
        self.file = self.socket.makefile("rb")
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            self.head += self.file.read(1)

    def send(self, data, opcode=2):
        mask = b"\x01\x02\x03\x04"
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        frame = bytes([0x80 | opcode]) + size + mask + body
        for byte in frame[:20]:
            self.socket.sendall(bytes([byte]))
        self.socket.sendall(frame[20:])

    def receive(self):
        first, size = self.file.read(2)
        if size == 126:
            size = int.from_bytes(self.file.read(2), "big")
        elif size == 127:
            size = int.from_bytes(self.file.read(8), "big")
        return first & 15, self.file.read(size)

    def read(self, size):
        data = b""
        while len(data) < size:
            opcode, more = self.receive()
            assert opcode == 2, (opcode, data)
            data += more
        return data


def test_attach_over_a_websocket(shared):
    shared.docker("create", "-i", "--name", "w1", "busybox", "cat")
    try:
        socket_ = WebSocket(shared, "/v1.45/containers/w1/attach/ws?stdin=1&stdout=1&stderr=1&stream=1")
        assert socket_.head.startswith(b"HTTP/1.1 101") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in socket_.head
        shared.docker("start", "w1")
        for size in (1, 125, 126, 60000):
            data = bytes(range(256)) * 300
            socket_.send(data[:size])
            assert socket_.read(size) == data[:size]
        for data in (b"", b"are you there?"):
            socket_.send(data, opcode=9)
            assert socket_.receive() == (10, data)
        shared.docker("stop", "-t", "0", "w1")
        assert socket_.receive()[0] == 8, "the end is a close frame"
    finally:
        shared.docker("rm", "-f", "w1")


def test_websocket_without_a_handshake(shared, api, run):
    run("w2")
    status, reply = api.call("GET", "/containers/w2/attach/ws?stdout=1")
    assert status == 400 and "handshake" in reply["message"]
    socket_ = WebSocket(shared, "/containers/w2/attach/ws?stdout=1")
    socket_.socket.sendall(b"\x82\x01x")  # a client's frame without a mask
    assert socket_.receive()[0] == 8 and socket_.file.read() == b"", "it is hung up"


# ---- below a volume ----


def test_volume_subpath(shared):
    shared.docker("volume", "create", "sub")
    try:
        script = "mkdir -p /v/a; echo in >/v/a/f; ln -s /etc /v/out; ln -s a /v/link"
        shared.docker("run", "--rm", "-v", "sub:/v", "busybox", "sh", "-c", script)

        def see(path):
            mount = f"type=volume,src=sub,dst=/x,volume-subpath={path}"
            return shared.kist("run", "--rm", "--mount", mount, "busybox", "cat", "/x/f", check=False)

        assert see("a").stdout == "in\n" and see("link").stdout == "in\n"
        for path in ("out", "nosuch", "../x"):
            failed = see(path)
            assert failed.returncode in (125, 127) and "/x" in failed.stderr or "subpath" in failed.stderr, failed
    finally:
        shared.docker("volume", "rm", "sub")
