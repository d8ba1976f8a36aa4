# SPDX-License-Identifier: Apache-2.0
"""The engine behind the API: recovery, restart policies, mounts, names, waits, events, logs."""
import concurrent.futures
import json
import os
import pathlib
import select
import socket
import subprocess
import threading
import time

import pytest

from lib.docker_cli import IS_28
from lib.wait import wait_for


# ---- recovery ----


def counter(name, count, code):
    """Half of the lines, then the rest when /go/on is there: nothing depends on how fast the machine is."""
    wait = f"[ $n -ne {count // 2} ] || until [ -e /go/on ]; do sleep 0.05; done"
    return f"n=0; while [ $n -lt {count} ]; do {wait}; echo {name}-$n; n=$((n+1)); sleep 0.01; done; exit {code}"


def exit_files(daemon):
    """What shims wrote for an engine that is away: as soon as their container has ended."""
    return len(list((daemon.root / "x" / "shim").glob("*/exit.json")))


def test_kill_under_twenty_running_containers(own):
    names = [f"r{i:02}" for i in range(20)]
    go = own.root / "go"
    go.mkdir()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        start = lambda n: own.docker("run", "-d", "-v", f"{go}:/go", "--name", n, "busybox", "sh", "-c", counter(n, 200, int(n[1:]) + 1))  # noqa: E731
        list(pool.map(start, names))
    own.kill()
    own.start()
    assert len(own.docker("ps", "-q").stdout.split()) == 20, "all go on"
    assert own.docker("exec", "r07", "echo", "still here").stdout == "still here\n"
    # A second time, and now they end while nobody watches.
    own.kill()
    (go / "on").touch()
    wait_for(lambda: exit_files(own) == 20, "all end")
    own.start()
    for i, name in enumerate(names):
        assert own.docker("wait", name).stdout.strip() == str(i + 1)
        logs = own.docker("logs", name).stdout.split()
        assert logs == [f"{name}-{n}" for n in range(200)], f"{name}: the log has a gap"
    assert own.docker("ps", "-q").stdout == ""


def test_auto_remove_and_ports_survive_a_kill(own):
    own.docker("run", "-d", "--rm", "--name", "web", "-p", "127.0.0.1::80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    port = own.inspect("web")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    own.kill()
    own.start()
    assert own.inspect("web")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"] == port
    page = subprocess.run(["curl", "-sf", f"http://127.0.0.1:{port}/passwd"], capture_output=True, text=True, check=True)
    assert "root:" in page.stdout
    own.docker("kill", "web")
    wait_for(lambda: own.docker("ps", "-aq").stdout == "", "--rm after a restart of the daemon")


def test_a_killed_shim_ends_its_container(own):
    container = own.docker("run", "-d", "busybox", "sleep", "1000").stdout.strip()
    shims = subprocess.run(["pgrep", "-f", f"kist-shim.*{container}"], capture_output=True, text=True, check=True)
    subprocess.run(["kill", "-9", *shims.stdout.split()], check=True)
    assert own.docker("wait", container).stdout.strip() == "137"
    assert own.inspect(container)["State"]["Status"] == "exited"
    assert own.docker("start", container).returncode == 0, "it can be started again"


def test_restart_policies_at_daemon_start(own):
    for name, policy in (("always", "always"), ("unless", "unless-stopped"), ("never", "no")):
        own.docker("run", "-d", "--name", name, "--restart", policy, "busybox", "sleep", "1000")
    own.docker("run", "-d", "--name", "stopped", "--restart", "unless-stopped", "busybox", "sleep", "1000")
    own.docker("stop", "-t", "0", "stopped", "always")
    own.kill()
    own.start()
    states = {n: own.inspect(n)["State"]["Status"] for n in ("always", "unless", "never", "stopped")}
    # docker: `always` comes back even if stopped by hand; the living never went away
    assert states == {"always": "running", "unless": "running", "never": "running", "stopped": "exited"}


def test_kill_at_any_moment_of_a_start(own):
    for moment in (0.005, 0.02, 0.035, 0.05, 0.065, 0.08):
        runs = [
            subprocess.Popen(["docker", "run", "-d", "-p", "80", "busybox", "sleep", "1000"], env=own.environment,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(3)
        ]  # fmt: skip
        time.sleep(moment)
        own.kill()
        for run in runs:
            run.wait(60)
        own.start()
        for container in own.docker("ps", "-q").stdout.split():
            own.docker("exec", container, "true")
    ids = own.docker("ps", "-aq").stdout.split()
    if ids:
        own.docker("rm", "-f", *ids)
    # .seccomp is the cache of compiled filters
    wait_for(lambda: [path.name for path in (own.root / "x/shim").iterdir()] in ([], [".seccomp"]), "no bundle is left")
    wait_for(lambda: subprocess.run(["pgrep", "-f", f"kist-shim.*{own.root}"], capture_output=True, check=False).stdout == b"",
          "no shim is left")  # fmt: skip


# ---- restart policies ----


def test_on_failure_gives_up(shared):
    shared.docker("run", "-d", "--name", "flaky", "--restart", "on-failure:2", "busybox", "sh", "-c", "echo run; exit 4")
    # Between two runs it is not running either.
    wait_for(lambda: shared.docker("logs", "flaky").stdout == "run\n" * 3, "three runs")
    wait_for(lambda: shared.inspect("flaky")["State"]["Status"] == "exited", "giving up")
    document = shared.inspect("flaky")
    assert (document["RestartCount"], document["State"]["ExitCode"]) == (2, 4)
    assert shared.docker("logs", "flaky").stdout == "run\n" * 3
    shared.docker("rm", "flaky")


def test_stop_ends_a_restart_loop(shared):
    shared.docker("run", "-d", "--name", "loop", "--restart", "always", "busybox", "true")
    wait_for(lambda: shared.inspect("loop")["RestartCount"] >= 2, "restarts")
    shared.docker("stop", "loop")
    assert shared.inspect("loop")["State"]["Status"] == "exited"
    count = shared.inspect("loop")["RestartCount"]
    time.sleep(1)
    assert shared.inspect("loop")["RestartCount"] == count
    shared.docker("rm", "loop")


@pytest.mark.parametrize("verb", [("rm", "-f"), ("kill",)])
def test_an_end_wanted_while_a_restart_is_launched(shared, verb):
    """The launch counts first: from then on until it is over there is nothing yet to send a signal to."""
    script = "test -f /x && exec sleep 1000; touch /x; exit 1"
    for i in range(5):
        name = f"again{i}"
        shared.docker("run", "-d", "--name", name, "--network", "none", "--restart", "always", "busybox", "sh", "-c", script)  # fmt: skip
        with_api(shared, f"/containers/{name}/json", b'"RestartCount":1')
        # Fails after 10 s if nobody sees that it is not wanted any more.
        shared.docker(*verb, name)
        shared.docker("rm", "-f", name)


def with_api(daemon, path, wanted):
    """Asks as fast as can be until the answer has it: a docker CLI would be too slow to meet the moment."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(daemon.socket))
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        if wanted in answer:
            return
    raise AssertionError(f"{path} never said {wanted!r}")


def test_an_end_wanted_while_it_is_paused(shared):
    """A pause that comes behind the signal freezes what should end."""

    def call(method, path):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(shared.socket))
            client.sendall(f"{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())
            return b"".join(iter(lambda: client.recv(65536), b"")).split(b"\r\n", 1)[0]

    script = "trap 'echo told; sleep 3; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    shared.docker("run", "-d", "--name", "frozen", "--network", "none", "busybox", "sh", "-c", script)
    wait_for(lambda: "ready" in shared.docker("logs", "frozen").stdout, "the trap is set")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        end = pool.submit(call, "POST", "/containers/frozen/stop?t=60")
        wait_for(lambda: "told" in shared.docker("logs", "frozen").stdout, "the signal comes")
        assert b"204" in call("POST", "/containers/frozen/pause")
        assert b"204" in end.result()
    assert shared.inspect("frozen")["State"]["ExitCode"] == 7, "it ended by itself"
    shared.docker("rm", "frozen")


def test_restarts_one_after_another(shared):
    """The shim of the run before is still on its way out when the next one starts: neither is in the other's way."""
    names = [f"often{i}" for i in range(4)]
    for name in names:
        shared.docker("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "1000")

    def restart(name):
        for _ in range(25):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(shared.socket))
                client.sendall(f"POST /containers/{name}/restart?t=0 HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())
                answer = b"".join(iter(lambda: client.recv(65536), b""))
            assert b" 204 " in answer, answer

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(restart, names))
    wait_for(lambda: len(os.listdir(shared.root / "x" / "s")) == len(shared.docker("ps", "-q").stdout.split()), "a socket for each that runs")
    shared.docker("rm", "-f", *names)


def test_a_client_that_left_before_the_start_leaves_nothing(shared):
    """Neither its threads nor its end of input, which would be the next client's."""
    shared.docker("create", "-i", "--name", "typed", "--network", "none", "busybox", "cat")
    tasks = f"/proc/{shared.process.pid}/task"
    before = len(os.listdir(tasks))
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(shared.socket))
            client.sendall(
                b"POST /containers/typed/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
                b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            )
            assert b"101" in client.recv(4096)
    wait_for(lambda: len(os.listdir(tasks)) <= before, "the threads of clients that left")
    assert shared.docker("start", "-ai", "typed", input="here\n").stdout == "here\n"
    shared.docker("rm", "typed")


def test_auto_remove_with_policy_is_refused(shared):
    run = shared.docker("run", "--rm", "--restart", "always", "busybox", "true", check=False)
    assert run.returncode == 125


# ---- mounts ----


def test_bind_mounts(shared, tmp_root):
    (tmp_root / "src").mkdir()
    (tmp_root / "src/file").write_text("here\n")
    run = shared.docker("run", "--rm", "-v", f"{tmp_root}/src:/m:ro", "busybox", "sh", "-c", "cat /m/file; touch /m/x", check=False)
    assert run.stdout == "here\n" and "Read-only file system" in run.stderr and run.returncode == 1
    shared.docker("run", "--rm", "-v", f"{tmp_root}/made:/m", "busybox", "touch", "/m/x")
    assert (tmp_root / "made/x").exists(), "-v makes a missing source"
    run = shared.docker("run", "--rm", "--mount", f"type=bind,src={tmp_root}/no,dst=/m", "busybox", "true", check=False)
    assert run.returncode == 125
    assert f"bind source path does not exist: {tmp_root}/no" in run.stderr
    run = shared.docker("run", "--rm", "-v", f"{tmp_root}/src:/m", "--tmpfs", "/m", "busybox", "true", check=False)
    assert "Duplicate mount point: /m" in run.stderr


def test_volumes(shared):
    # A new volume takes what the image has there; one with content keeps its own.
    shared.docker("run", "--rm", "-v", "data1:/etc", "busybox", "sh", "-c", "grep -q root /etc/passwd && echo mine > /etc/own")
    assert "own" in shared.docker("run", "--rm", "-v", "data1:/x", "busybox", "ls", "/x").stdout.split()
    assert shared.docker("run", "--rm", "-v", "empty1:/nowhere", "busybox", "ls", "/nowhere").stdout == ""
    shared.docker("run", "-d", "--name", "user1", "-v", "data1:/d", "busybox", "sleep", "1000")
    run = shared.docker("volume", "rm", "data1", check=False)
    assert "volume is in use" in run.stderr
    mount = shared.inspect("user1")["Mounts"][0]
    assert (mount["Type"], mount["Name"], mount["Destination"], mount["RW"]) == ("volume", "data1", "/d", True)
    shared.docker("rm", "-f", "user1")
    shared.docker("volume", "rm", "data1", "empty1")
    # Pruning takes anonymous ones only, and tells what was freed.
    shared.docker("create", "--name", "maker", "-v", "/etc", "busybox")
    shared.docker("rm", "maker")
    shared.docker("volume", "create", "named1")
    pruned = shared.docker("volume", "prune", "-f").stdout
    assert "Total reclaimed space: 0B" not in pruned and len(pruned.split()[2]) == 64, pruned
    # What old clients call prune takes the others too.
    assert (shared.docker("volume", "rm", "named1", check=False).returncode == 0) == IS_28
    # An anonymous one goes with --rm.
    shared.docker("run", "--rm", "-v", "/anonymous", "busybox", "touch", "/anonymous/x")
    assert shared.docker("volume", "ls", "-q").stdout == ""


def test_prune_takes_no_volume_of_a_container_that_is_being_made(shared):
    """Nobody sees its mounts yet, but its volumes are there."""
    stop = threading.Event()

    def prune():
        while not stop.is_set():
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(shared.socket))
                client.sendall(b"POST /volumes/prune HTTP/1.0\r\n\r\n")
                while client.recv(65536):
                    pass

    pruner = threading.Thread(target=prune)
    pruner.start()
    try:
        for i in range(12):
            shared.docker("create", "--name", f"made{i}", "-v", "/etc", "-v", "/bin", "busybox", "true")
    finally:
        stop.set()
        pruner.join()
    for i in range(12):
        mounts = shared.inspect(f"made{i}")["Mounts"]
        assert len(mounts) == 2 and all(pathlib.Path(mount["Source"]).is_dir() for mount in mounts)
        shared.docker("rm", "-v", f"made{i}")
    assert shared.docker("volume", "ls", "-q").stdout == ""


def test_a_volume_whose_removal_was_cut_short(own):
    own.docker("run", "--rm", "-v", "cut:/d", "busybox", "sh", "-c", "echo mine > /d/f")
    volumes = own.root / "d" / "volumes"
    own.kill()
    # As kill -9 leaves it before the row went, and after.
    (volumes / ".removed").mkdir(exist_ok=True)
    (volumes / "cut").rename(volumes / ".removed" / "cut")
    (volumes / ".removed" / "gone" / "_data").mkdir(parents=True)
    own.start()
    assert own.docker("run", "--rm", "-v", "cut:/d", "busybox", "cat", "/d/f").stdout == "mine\n"
    assert own.docker("volume", "ls", "-q").stdout == "cut\n"
    assert list((volumes / ".removed").iterdir()) == []
    own.docker("volume", "rm", "cut")
    assert not (volumes / "cut").exists() and list((volumes / ".removed").iterdir()) == []


def test_image_volume_and_volumes_from(shared):
    shared.docker("create", "--name", "giver", "-v", "/shared", "busybox", "true")
    shared.docker("run", "--rm", "--volumes-from", "giver", "busybox", "touch", "/shared/seen")
    out = shared.docker("run", "--rm", "--volumes-from", "giver:ro", "busybox", "sh", "-c", "ls /shared; touch /shared/no", check=False)
    assert out.stdout == "seen\n" and out.returncode == 1
    shared.docker("rm", "-v", "giver")
    assert shared.docker("volume", "ls", "-q").stdout == ""


def test_tmpfs_and_read_only(shared):
    look = "mount | grep ' /t '; touch /x"
    out = shared.docker("run", "--rm", "--read-only", "--tmpfs", "/t:size=1m,exec", "busybox", "sh", "-c", look, check=False)
    assert "size=1024k" in out.stdout and "noexec" not in out.stdout
    assert "Read-only file system" in out.stderr


# ---- names, ids ----


def test_names(shared):
    first = shared.docker("create", "--name", "taken", "busybox", "true").stdout.strip()
    run = shared.docker("create", "--name", "taken", "busybox", "true", check=False)
    assert f'The container name "/taken" is already in use by container "{first}"' in run.stderr
    assert shared.inspect(first[:10])["Name"] == "/taken"
    shared.docker("rename", "taken", "given")
    assert shared.inspect("given")["Id"] == first
    run = shared.docker("inspect", "taken", check=False)
    assert run.returncode == 1
    run = shared.docker("create", "--name", "bad name", "busybox", check=False)
    assert "Invalid container name (bad name), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed" in run.stderr
    shared.docker("rm", "given")
    run = shared.docker("start", "given", check=False)
    assert "No such container: given" in run.stderr


def test_many_creates_of_one_name(shared):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: shared.docker("create", "--name", "race", "busybox", check=False).returncode, range(8)))
    assert sorted(runs) == [0] + [1] * 7
    shared.docker("rm", "race")


TOP_KEYS = (
    "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver Platform MountLabel "
    "ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings"
)
STATE_KEYS = "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt"


def test_inspect_has_dockers_shape(shared):
    shared.docker("create", "--name", "shape", "busybox", "true")
    document = shared.inspect("shape")
    assert set(document) == set(TOP_KEYS.split())
    assert set(document["State"]) == set(STATE_KEYS.split())
    assert document["State"]["StartedAt"] == "0001-01-01T00:00:00Z"
    assert (document["Path"], document["Args"], document["Mounts"], document["ExecIDs"]) == ("true", [], [], None)
    assert document["NetworkSettings"]["Ports"] == {}
    assert document["HostConfig"]["NetworkMode"] == "bridge"
    assert document["HostConfig"]["Binds"] is None
    assert document["Config"]["Volumes"] is None
    assert document["Config"]["Hostname"] == document["Id"][:12]
    assert "bridge" in document["NetworkSettings"]["Networks"]
    shared.docker("rm", "shape")


# ---- life ----


def test_exit_codes(shared):
    codes = {("sh", "-c", "exit 7"): 7, ("nosuch",): 127, ("/etc/passwd",): 126}
    for command, code in codes.items():
        assert shared.docker("run", "--rm", "busybox", *command, check=False).returncode == code, command
    # docker CLI 20.10 does not know the words "is a directory".
    assert shared.docker("run", "--rm", "busybox", "/tmp", check=False).returncode == (126 if IS_28 else 125)
    assert shared.kist("run", "--rm", "busybox", "/tmp", check=False).returncode == 126
    assert shared.docker("ps", "-aq").stdout == "", "a start that failed is removed too"


def test_stop_kill_wait(shared):
    shared.docker("run", "-d", "--name", "deaf", "--stop-timeout", "1000", "busybox", "sleep", "1000")
    began = time.monotonic()
    shared.docker("stop", "-t", "1", "deaf")
    assert 0.9 < time.monotonic() - began, "it gets its second, and not more than that"
    assert shared.inspect("deaf")["State"]["ExitCode"] == 137
    assert shared.docker("wait", "deaf").stdout == "137\n", "not-running: at once"
    run = shared.docker("kill", "deaf", check=False)
    assert "is not running" in run.stderr
    shared.docker("start", "deaf")
    run = shared.docker("rm", "deaf", check=False)
    assert 'cannot remove container "deaf": container is running: stop the container before removing or force remove' in run.stderr
    shared.docker("rm", "-f", "deaf")
    shared.docker("run", "-d", "--name", "polite", "busybox", "sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    wait_for(lambda: shared.docker("logs", "polite").stdout == "ready\n", "the trap is set")
    shared.docker("stop", "polite")
    assert shared.inspect("polite")["State"]["ExitCode"] == 3
    shared.docker("rm", "polite")


def test_wait_conditions(shared):
    shared.docker("create", "--name", "waited", "busybox", "sh", "-c", "sleep 0.5; exit 6")

    def begin(condition):
        """The headers come when nothing can be missed any more."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(str(shared.socket))
        client.sendall(f"POST /v1.51/containers/waited/wait?condition={condition} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        return client

    def said(client, patience):
        return bool(select.select([client], [], [], patience)[0])

    def answer(client):
        with client:
            return json.loads(b"".join(iter(lambda: client.recv(65536), b"")))

    waits = {condition: begin(condition) for condition in ("next-exit", "removed")}
    assert not any(said(client, 0.2) for client in waits.values())
    shared.docker("start", "waited")
    assert answer(waits["next-exit"])["StatusCode"] == 6
    assert not said(waits["removed"], 0.2)
    shared.docker("rm", "waited")
    assert answer(waits["removed"])["StatusCode"] == 6
    bad = subprocess.run(
        ["curl", "-s", "--unix-socket", shared.socket, "-X", "POST", "http://d/containers/x/wait?condition=foo"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 'invalid condition: \\"foo\\"' in bad.stdout


def test_pause(shared):
    shared.docker("run", "-d", "--name", "still", "busybox", "sleep", "1000")
    shared.docker("pause", "still")
    assert shared.inspect("still")["State"]["Status"] == "paused"
    assert "is paused" in shared.docker("exec", "still", "true", check=False).stderr
    shared.docker("unpause", "still")
    assert "is not paused" in shared.docker("unpause", "still", check=False).stderr
    shared.docker("exec", "still", "true")
    shared.docker("rm", "-f", "still")


def test_exec(shared):
    shared.docker("run", "-d", "--name", "host", "-e", "A=1", "busybox", "sleep", "1000")
    out = shared.docker("exec", "-e", "B=2", "-w", "/tmp", "-u", "1000", "host", "sh", "-c", "echo $A$B $(pwd) $(id -u)").stdout
    assert out == "12 /tmp 1000\n"
    assert shared.docker("exec", "host", "sh", "-c", "exit 9", check=False).returncode == 9
    run = shared.docker("exec", "host", "nosuch", check=False)
    assert run.returncode == 127 and "executable file not found in $PATH" in run.stdout + run.stderr
    assert shared.docker("exec", "-i", "host", "cat", input="typed").stdout == "typed"
    assert "sleep 1000" in shared.docker("top", "host").stdout
    shared.docker("rm", "-f", "host")
    assert "No such container: host" in shared.docker("exec", "host", "true", check=False).stderr


def test_events_in_dockers_order(shared):
    since = f"{time.time():.6f}"
    shared.docker("run", "--rm", "--name", "told", "busybox", "sh", "-c", "exit 2", check=False)

    def told():
        out = shared.docker("events", "--since", since, "--until", f"{time.time():.6f}", "--format", "{{json .}}").stdout
        return [json.loads(line) for line in out.splitlines()]

    wait_for(lambda: any(event["Action"] == "destroy" for event in told()), "the last event")
    events = told()
    assert [(e["Type"], e["Action"]) for e in events] == [
        ("container", "create"),
        ("container", "attach"),
        ("network", "connect"),
        ("container", "start"),
        ("network", "disconnect"),
        ("container", "die"),
        ("container", "destroy"),
    ]
    die = events[5]["Actor"]["Attributes"]
    assert (die["exitCode"], die["name"], die["image"]) == ("2", "told", "busybox")


# ---- logs ----


def test_logs(shared):
    shared.docker("run", "--name", "talker", "busybox", "sh", "-c", "echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three")
    logs = shared.docker("logs", "talker")
    assert (logs.stdout, logs.stderr) == ("one\nthree\n", "two\n")
    assert shared.docker("logs", "--tail", "1", "talker").stdout == "three\n"
    stamp = shared.docker("logs", "-t", "--tail", "1", "talker").stdout.split()[0]
    assert shared.docker("logs", "--since", stamp, "talker").stdout == "three\n"
    shared.docker("rm", "talker")


def test_follow_through_rotation(shared):
    shared.docker(
        "run", "-d", "--name", "rotor", "--log-opt", "max-size=2k", "--log-opt", "max-file=3", "busybox",
        "sh", "-c", "sleep 0.5; for i in $(seq 300); do echo line $i; [ $((i % 20)) = 0 ] && sleep 0.05; done",
    )  # fmt: skip
    followed = shared.docker("logs", "-f", "rotor").stdout
    assert followed == "".join(f"line {i}\n" for i in range(1, 301))
    kept = shared.docker("logs", "rotor").stdout.splitlines()
    assert kept[-1] == "line 300" and len(kept) < 300, "old files are dropped"
    shared.docker("rm", "rotor")


# ---- limits and namespaces ----


def test_limits_reach_the_kernel(shared):
    document = shared.docker("create", "--memory", "32m", "--pids-limit", "20", "--cpus", "0.5", "busybox").stdout.strip()
    host = shared.inspect(document)["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"], host["NanoCpus"]) == (33554432, 67108864, 20, 500000000)
    shared.docker("rm", document)
    look = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null"
    out = shared.docker("run", "--rm", "--pids-limit", "20", "busybox", "sh", "-c", look, check=False)
    assert out.stdout.strip() == "20"


def test_oom_is_told(shared):
    grow = "x=a; while :; do x=$x$x; done"
    shared.docker("run", "--name", "hog", "--memory", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", grow, check=False)
    state = shared.inspect("hog")["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (137, True)
    shared.docker("rm", "hog")


def test_shared_namespaces(shared):
    shared.docker("run", "-d", "--name", "base", "busybox", "sleep", "1000")
    address = shared.inspect("base")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    out = shared.docker("run", "--rm", "--network", "container:base", "--pid", "container:base", "busybox", "sh", "-c", "ip a; ps").stdout
    assert address in out and "sleep 1000" in out
    shared.docker("rm", "-f", "base")
    run = shared.docker("run", "--rm", "--network", "container:base", "busybox", "true", check=False)
    assert "No such container: base" in run.stderr
    out = shared.docker("run", "--rm", "--network", "none", "busybox", "ip", "a").stdout
    assert "lo" in out and "eth0" not in out


def test_prune(shared):
    kept = shared.docker("run", "-d", "busybox", "sleep", "1000").stdout.strip()
    gone = shared.docker("create", "busybox").stdout.strip()
    assert gone in shared.docker("container", "prune", "-f").stdout
    assert shared.docker("ps", "-aq", "--no-trunc").stdout.split() == [kept]
    shared.docker("rm", "-f", kept)


def test_unsupported_options_are_refused(shared):
    for option in (("--storage-opt", "nosuch=1g"), ("--log-driver", "splunk"), ("--runtime", "nvidia")):
        run = shared.docker("create", *option, "busybox", check=False)
        assert run.returncode == 1, option
