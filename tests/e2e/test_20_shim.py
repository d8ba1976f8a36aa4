# SPDX-License-Identifier: Apache-2.0
"""kist-shim, driven by a ttrpc client of our own: logs, attach, exit codes, exec, terminals, kill -9."""
import contextlib
import itertools
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time
import uuid

import pytest

from lib import leaks
from lib.shim import (Attach, Client, EventServer, RpcError, Shim, connect, decode, encode, process_runs, spec,
                      wait_gone)
from lib.wait import wait_for

COUNTER = itertools.count()
STOPPED, RUNNING, CREATED, PAUSED = 3, 2, 1, 4


@pytest.fixture
def events(tmp_root):
    server = EventServer(tmp_root / "events.sock")
    yield server
    server.close()


@pytest.fixture
def new_shim(tmp_root, program, busybox_rootfs, events):
    shims = []

    def make(with_events=False):
        shim = Shim(program("kist-shim"), tmp_root, busybox_rootfs, f"c{next(COUNTER)}",
                    events if with_events else None)
        shims.append(shim)
        return shim.start_shim()

    yield make
    for shim in shims:
        shim.finish()


@pytest.fixture
def shim(new_shim):
    return new_shim()


def run(shim, script, **options):
    shim.create(spec(["sh", "-c", script]), **options)
    shim.start()
    return shim


def end(shim):
    shim.delete()
    shim.shutdown()


# ---- life ----

def test_life_of_a_container(new_shim, events):
    shim = new_shim(with_events=True)
    pid = shim.create(spec(["sh", "-c", "echo out; echo err >&2; exit 7"]), stdout=shim.log_uri())
    assert shim.state() == CREATED
    client = shim.attach()
    assert shim.start() == pid
    assert shim.wait() == 7
    assert client.read_all() == (b"out\n", b"err\n")
    assert shim.state() == STOPPED
    assert [(line["stream"], line["log"]) for line in shim.log_lines()] == [("stdout", "out\n"), ("stderr", "err\n")]
    written = shim.exit_file()
    assert written["exitStatus"] == 7 and written["oomKilled"] is False
    answer = shim.delete()
    assert answer[1] == [pid] and answer[2] == [7]
    shim.shutdown()
    assert not (shim.bundle / "shim.json").exists()
    assert not (shim.bundle / "attach").exists()
    assert not pathlib.Path(shim.address.removeprefix("unix://")).exists()
    events.expect("/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete")
    topic, namespace, kind, body = events.events[2]
    assert (namespace, kind) == ("t-shim", "containerd.events.TaskExit")
    assert body[1] == body[2] == [shim.id.encode()] and body[3] == [pid] and body[4] == [7]


def test_task_v3_is_the_same(shim):
    client = Client(shim.address, "containerd.task.v3.Task")
    assert client.call("Connect", (1, shim.id))[1] == [shim.pid]
    client.close()
    shim.shutdown()


def test_exit_by_signal(shim):
    run(shim, "kill -9 $$; sleep 9")
    # busybox sh is pid 1 of its namespace: its own SIGKILL does not reach it, ours does
    shim.kill(signal.SIGKILL)
    assert shim.wait() == 137
    with pytest.raises(RpcError) as caught:
        shim.kill(signal.SIGTERM)
    assert caught.value.code == 5 and "already finished" in caught.value.message
    end(shim)


def test_wait_of_several_and_lost_clients(shim):
    run(shim, "read x; exit 3", stdin="attach:", stdout="none:")
    lost = Client(shim.address)
    lost.send("Wait", [(1, shim.id)])
    others = [Client(shim.address) for _ in range(3)]
    waits = [client.send("Wait", [(1, shim.id)]) for client in others]
    own = shim.client.send("Wait", [(1, shim.id)])
    time.sleep(0.1)
    lost.close()
    assert shim.state() == RUNNING  # answered while the wait is open
    shim.attach().write(b"go\n")
    assert shim.client.answer(own)[1] == [3]
    for client, stream_id in zip(others, waits):
        assert client.answer(stream_id)[1] == [3]
        client.close()
    end(shim)


def test_signal_state_of_the_container_is_clean(shim):
    """The shim blocks signals and catches SIGPIPE for itself; nothing of it reaches the container."""
    shim.create(spec(["grep", "Sig", "/proc/self/status"]), stdout=shim.log_uri())
    shim.start()
    assert shim.wait() == 0
    masks = dict(line["log"].split() for line in shim.log_lines())
    internal = 3 << 31  # 32 and 33 are glibc's; no program can set them
    assert int(masks["SigBlk:"], 16) & ~internal == int(masks["SigIgn:"], 16) & ~internal == 0
    end(shim)


def test_create_fails_and_leaves_nothing(shim):
    config = spec(["true"])
    config["mounts"].append({"destination": "/x", "type": "nosuchfs", "source": "x"})
    with pytest.raises(RpcError) as caught:
        shim.create(config, stdout=shim.log_uri())
    assert "nosuchfs" in caught.value.message
    assert not (shim.bundle / "attach").exists()
    with pytest.raises(RpcError) as caught:
        shim.call("State", (1, shim.id))
    assert caught.value.code == 5
    shim.shutdown()


def test_a_failed_start_leaves_no_shim(tmp_root, program, busybox_rootfs):
    shim = Shim(program("kist-shim"), tmp_root, busybox_rootfs, "c-none")
    (shim.bundle / "address").mkdir()
    done = shim.run("start", check=False)
    assert done.returncode == 1 and done.stderr == b"kist-shim: write address: Is a directory\n"
    # tmp_root looks for processes that are left.


@pytest.mark.parametrize("script,key,value", [("exit 7", "exitStatus", 7), ("kill -9 $$; sleep 9", "signal", 9)])
def test_the_runtime_knows_how_it_ended(shim, program, script, key, value):
    """Of a container that its shim has reaped, in a pid namespace of the host's so that it can kill itself."""
    shim.create(spec(["sh", "-c", script], namespaces=("mount", "ipc", "uts", "network")), stdout=shim.log_uri())
    shim.start()
    shim.wait()
    words = [program("kist-runtime"), "--root", shim.bundle / "runtime", "state", shim.id]
    state = json.loads(subprocess.run(words, capture_output=True, check=True, timeout=60).stdout)
    assert (state["status"], state[key]) == ("stopped", value)
    end(shim)


def test_missing_command(shim):
    with pytest.raises(RpcError) as caught:
        shim.create(spec(["/no/such"]), stdout=shim.log_uri())
        shim.start()
    assert "/no/such" in caught.value.message
    try:
        shim.delete()
    except RpcError as error:
        assert error.code == 5
    shim.shutdown()


@pytest.mark.parametrize("fields, code, words", [
    ([(1, "c"), (2, "/nonexistent")], 3, "/nonexistent"),
    ([(1, "../x"), (2, "/tmp")], 3, "invalid"),
    ([(1, "c"), (2, "relative")], 3, "not absolute"),
    ([(1, "c"), (2, "/tmp"), (6, "syslog://x")], 12, "syslog"),
    ([(1, "c"), (2, "/tmp"), (8, "/no/checkpoint")], 5, "checkpoint /no/checkpoint does not exist"),
    ([(1, "c"), (2, "/tmp"), (10, [(1, "containerd.runc.v1.Options"), (2, encode([(3, "/a")]))])], 12,
     "shim_cgroup"),
])
def test_bad_requests(shim, fields, code, words):
    with pytest.raises(RpcError) as caught:
        shim.call("Create", *fields)
    assert caught.value.code == code and words in caught.value.message
    shim.shutdown()


def test_unknown_methods_and_malformed_frames(shim):
    with pytest.raises(RpcError) as caught:
        shim.call("Fly", (1, "x"))
    assert caught.value.code == 12
    client = Client(shim.address, "some.Service")
    with pytest.raises(RpcError) as caught:
        client.call("State")
    assert caught.value.code == 12
    client.close()
    for garbage in (b"\0\0\0\x02\0\0\0\x02\x01\0xx", b"\0\0\0\x02\0\0\0\x01\x01\0\x0a\x7f", b"GET / HTTP/1.1\r\n\r\n" * 9):
        sock = connect(shim.address.removeprefix("unix://"))
        sock.sendall(garbage)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass
        sock.close()
    # A frame above 4 MiB is refused by its own answer and skipped.
    large = Client(shim.address)
    large.sock.sendall(b"\0\x50\0\0\0\0\0\x01\x01\0" + bytes(0x500000))
    with pytest.raises(RpcError) as caught:
        large.answer(1)
    assert caught.value.code == 8
    large.next_id = 3
    assert large.call("Connect", (1, "x"))[1] == [shim.pid]
    large.close()
    shim.shutdown()


def test_shutdown_waits_for_tasks(shim):
    run(shim, "sleep 100")
    shim.call("Shutdown", (1, shim.id))
    os.kill(shim.pid, signal.SIGTERM)
    time.sleep(0.1)
    assert shim.state() == RUNNING
    shim.kill(signal.SIGKILL)
    shim.wait()
    end(shim)


def test_the_name_is_free_when_shutdown_is_answered(shim):
    """The container may be started again at once: the new shim's socket must not go with the old shim."""
    run(shim, "true")
    shim.wait()
    shim.delete()
    path = shim.address.strip().removeprefix("unix://")
    shim.call("Shutdown", (1, shim.id))
    with open(path, "x"):
        wait_for(lambda: not process_runs(shim.pid))
    os.unlink(path)


def test_start_for_somebody_who_is_gone(tmp_root, program, busybox_rootfs):
    """Nobody reads the address: nobody would ever end that shim, so it is not there."""
    it = Shim(program("kist-shim"), tmp_root, busybox_rootfs, "gone-" + uuid.uuid4().hex)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as nobody:
        run = subprocess.run([it.program, "-namespace", "t-shim", "-address", str(tmp_root / "e"), "-id", it.id, "start"],
                             cwd=it.bundle, stdin=subprocess.DEVNULL, stdout=nobody, stderr=subprocess.PIPE, timeout=120, check=False)
    assert run.returncode == 1 and b"write the address" in run.stderr
    wait_for(lambda: not leaks.processes(it.id))


def test_delete_ends_a_shim_without_a_task(tmp_root, program, busybox_rootfs):
    """Its creator died before it made one. A shim with a task is left alone."""
    it = Shim(program("kist-shim"), tmp_root, busybox_rootfs, "idle-" + uuid.uuid4().hex).start_shim()
    it.run("delete")
    wait_gone(it.pid)


def test_delete_of_a_created_container(new_shim, events):
    shim = new_shim(with_events=True)
    pid = shim.create(spec(["true"]), stdout=shim.log_uri())
    assert shim.delete()[2] == [137]
    assert not process_runs(pid)
    shim.shutdown()
    events.expect("/tasks/create", "/tasks/exit", "/tasks/delete")


# ---- logs ----

def test_long_lines_and_bytes_that_are_no_text(shim):
    run(shim, r"head -c 40000 /dev/zero | tr '\0' x; echo; printf 'a\377b\n'; printf rest", stdout=shim.log_uri())
    shim.wait()
    logs = [line["log"] for line in shim.log_lines()]
    assert logs == ["x" * 16384, "x" * 16384, "x" * (40000 - 32768) + "\n", "a\ufffdb\n", "rest"]
    end(shim)


def test_rotation(shim):
    run(shim, "for i in $(seq 1 400); do echo line $i; done", stdout=shim.log_uri(max_size=4000, max_file=3))
    shim.wait()
    lines = []
    for name in ("c-json.log.2", "c-json.log.1", "c-json.log"):
        path = shim.bundle / name
        assert path.stat().st_size < 4200
        lines += [line["log"] for line in shim.log_lines(name)]
    assert not (shim.bundle / "c-json.log.3").exists()
    first = int(lines[0].split()[1])
    assert lines == [f"line {i}\n" for i in range(first, 401)] and first > 1
    end(shim)


def test_plain_file(shim):
    path = shim.bundle / "out.log"
    path.write_text("before\n")
    run(shim, "echo out; echo err >&2", stdout=f"file://{path}", stderr=f"file://{path}")
    shim.wait()
    wait_for(lambda: path.read_text() == "before\nout\nerr\n")
    end(shim)


def test_a_full_disk_loses_lines_not_the_exit_code(shim):
    """The log and exit.json on a full tmpfs: the container goes on, its exit code is written."""
    disk = shim.bundle / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "t-shim", disk], check=True)
    try:
        run(shim, "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 9",
            stdout=f"json-file://{disk}/c.log")
        assert shim.wait() == 9
        assert shim.exit_file()["exitStatus"] == 9
        text = (disk / "c.log").read_text()
        assert text.endswith("\n") and len(text) <= 65536
        for line in text.splitlines():
            json.loads(line)
        assert "output of the container is being lost" in (shim.bundle / "shim.log").read_text()
        end(shim)
    finally:
        # The shim that just ended may still be closing its files; one that keeps them open fails this.
        wait_for(lambda: subprocess.run(["umount", disk], check=False, capture_output=True).returncode == 0)


def test_no_output_at_all(shim):
    run(shim, "echo x; echo y >&2; [ $(readlink /proc/self/fd/0) = /dev/null ]")
    assert shim.wait() == 0
    assert not (shim.bundle / "attach").exists()
    end(shim)


# ---- attach ----

def test_output_before_attach_is_not_lost(shim):
    """The socket is there from Create on: who connects before Start gets every byte."""
    shim.create(spec(["sh", "-c", "seq 1 20000"]), stdout=shim.log_uri())
    client = shim.attach()
    shim.start()
    assert shim.wait() == 0
    time.sleep(0.1)
    out, _ = client.read_all()
    assert out == b"".join(b"%d\n" % i for i in range(1, 20001))
    end(shim)


def test_several_clients_get_everything(shim):
    shim.create(spec(["sh", "-c", "seq 1 50000; echo e >&2"]), stdout="none:")
    clients = [shim.attach() for _ in range(5)]
    shim.start()
    for client in clients:
        out, err = client.read_all()
        assert out.split()[-1] == b"50000" and len(out.split()) == 50000 and err == b"e\n"
    assert shim.wait() == 0
    late = shim.attach()
    assert late.read_all() == (b"", b"")
    end(shim)


def test_a_slow_client_stops_the_container_and_a_killed_one_frees_it(shim):
    shim.create(spec(["sh", "-c", "yes | head -c 20000000; exit 4"]), stdout="none:")
    slow = shim.attach()
    quick = shim.attach()
    shim.start()
    # What the slow one may leave unread comes to the quick one, however long it takes; then nothing more.
    quick.sock.settimeout(60)
    got = 0
    while got < 1 << 20:
        got += len(quick.frame()[1])
    quick.sock.settimeout(2)
    with pytest.raises(TimeoutError):
        while True:
            got += len(quick.frame()[1])
    assert got < 8 << 20
    assert shim.state() == RUNNING
    slow.close()  # as kill -9 of a client
    quick.sock.settimeout(60)
    while quick.frame()[0] != Attach.END:
        pass
    assert shim.wait() == 4
    end(shim)


def test_a_client_that_does_not_read_does_not_hold_back_the_exit(shim):
    pid = shim.create(spec(["yes"]), stdout="none:")
    stopped = shim.attach()
    shim.start()
    # The shim keeps 1 MiB for it, then the container waits: it is in the middle of a write that does not end.
    written = [0, 1]

    def is_blocked():
        time.sleep(0.2)
        written.append(int(pathlib.Path(f"/proc/{pid}/io").read_text().split("wchar: ")[1].split()[0]))
        return written[-1] == written[-2] == written[-3] > 1 << 20

    wait_for(is_blocked)
    shim.kill(signal.SIGKILL)
    assert shim.wait(timeout=60) == 137
    shim.delete()
    shim.call("Shutdown", (1, shim.id))
    assert process_runs(shim.pid)
    # It still gets everything, and then nobody is left.
    out, _ = stopped.read_all()
    assert len(out) > 1 << 20 and set(out.split()) == {b"y"}
    wait_gone(shim.pid)


def test_stdin_stays_open(shim):
    """attach: without once - docker run -i of an OpenStdin container without StdinOnce."""
    run(shim, "while read line; do echo got $line; done; echo over", stdin="attach:", stdout=shim.log_uri())
    first = shim.attach()
    first.write(b"one\n")
    first.read_until(b"got one\n")
    first.close_stdin()
    first.close()
    second = shim.attach()
    second.write(b"two\n")
    second.read_until(b"got two\n")
    shim.call("CloseIO", (1, shim.id), (3, True))
    assert b"over" in second.read_until(b"over\n")
    assert shim.wait() == 0
    end(shim)


def test_stdin_once(shim):
    shim.create(spec(["sh", "-c", "cat; echo over"]), stdin="attach:?once=1", stdout="none:")
    client = shim.attach()
    client.write(b"early ")  # before start
    shim.start()
    client.write(b"late\n")
    client.close_stdin()
    assert client.read_all() == (b"early late\nover\n", b"")
    assert shim.wait() == 0
    end(shim)


def test_much_stdin_to_a_slow_reader(shim):
    shim.create(spec(["sh", "-c", "sleep 0.3; wc -c"]), stdin="attach:?once=1", stdout="none:")
    client = shim.attach()
    shim.start()
    for _ in range(64):
        client.write(bytes(65536))
    client.close_stdin()
    assert client.read_all() == (b"4194304\n", b"")
    end(shim)


def test_malformed_attach_frames_cut_the_client_off(shim):
    run(shim, "read x; echo $x", stdin="attach:", stdout="none:")
    for garbage in (b"\1\0\0\0\0\0\0\1x", b"\0\1\0\0\0\0\0\1x", b"\0\0\0\0\xff\0\0\0"):
        bad = shim.attach()
        bad.sock.sendall(garbage)
        with contextlib.suppress(ConnectionResetError):
            assert bad.sock.recv(1) == b""
    good = shim.attach()
    good.write(b"fine\n")
    assert good.read_all() == (b"fine\n", b"")
    shim.wait()
    end(shim)


def test_a_half_closed_client_still_gets_output(shim):
    run(shim, "read x; sleep 0.2; echo late", stdin="attach:", stdout="none:")
    client = shim.attach()
    client.write(b"x\n")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.read_all() == (b"late\n", b"")
    shim.wait()
    end(shim)


# ---- terminal ----

def test_terminal(shim):
    shim.create(spec(["sh", "-c", "tty; stty size; read x; stty size; echo done $x"], terminal=True),
                stdin="attach:", stdout=shim.log_uri())
    client = shim.attach()
    shim.call("ResizePty", (1, shim.id), (3, 91), (4, 17))
    shim.start()
    assert b"/dev/pts/0\r\n17 91\r\n" in client.read_until(b"17 91\r\n")
    shim.call("ResizePty", (1, shim.id), (3, 120), (4, 40))
    client.write(b"hi\n")
    got = client.read_until(b"done hi\r\n")
    assert b"40 120" in got
    assert client.frame() == (Attach.END, b"")
    assert shim.wait() == 0
    assert shim.log_lines()[0] == {**shim.log_lines()[0], "log": "/dev/pts/0\r\n", "stream": "stdout"}
    end(shim)


def test_resize_without_terminal(shim):
    run(shim, "sleep 100")
    with pytest.raises(RpcError) as caught:
        shim.call("ResizePty", (1, shim.id), (3, 91), (4, 17))
    assert caught.value.code == 9 and "no terminal" in caught.value.message
    shim.kill(signal.SIGKILL)
    shim.wait()
    end(shim)


# ---- exec ----

def test_exec(new_shim, events):
    shim = new_shim(with_events=True)
    run(shim, "sleep 100", stdout=shim.log_uri())
    shim.exec("e1", ["sh", "-c", "cat; echo err >&2; exit 5"], stdin="attach:?once=1")
    assert shim.state("e1") == CREATED
    client = shim.attach("e1")
    pid = shim.start("e1")
    assert shim.state("e1") == RUNNING
    client.write(b"through\n")
    client.close_stdin()
    assert client.read_all() == (b"through\n", b"err\n")
    assert shim.wait("e1") == 5
    assert shim.delete("e1")[2] == [5]
    with pytest.raises(RpcError) as caught:
        shim.state("e1")
    assert caught.value.code == 5
    assert shim.log_lines() == []
    shim.kill(signal.SIGKILL)
    assert shim.wait() == 137
    end(shim)
    events.expect("/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started",
                  "/tasks/exit", "/tasks/exit", "/tasks/delete")
    assert events.events[4][3][2] == [b"e1"] and events.events[4][3][3] == [pid]


def test_exec_ends_with_the_container(new_shim, events):
    """The exit of init comes after those of its execs."""
    shim = new_shim(with_events=True)
    run(shim, "sleep 100", stdout=shim.log_uri())
    for name in ("e1", "e2"):
        shim.exec(name, ["sleep", "100"])
        shim.start(name)
    shim.kill(signal.SIGKILL)
    assert shim.wait() == 137
    assert shim.wait("e1") == 137 and shim.wait("e2") == 137
    end(shim)
    wait_for(lambda: "/tasks/delete" in events.topics(), "the last event")
    exits = [event[3][2][0] for event in events.events if event[0] == "/tasks/exit"]
    assert sorted(exits[:2]) == [b"e1", b"e2"] and exits[2] == shim.id.encode()


def test_exec_in_a_shared_pid_namespace(shim):
    shim.create(spec(["sleep", "100"], namespaces=("mount", "ipc", "uts", "network")), stdout=shim.log_uri())
    shim.start()
    shim.exec("e1", ["sleep", "100"])
    pid = shim.start("e1")
    shim.kill(signal.SIGKILL)
    assert shim.wait() == 137 and shim.wait("e1") == 137
    assert not process_runs(pid)
    end(shim)


def test_exec_errors(shim):
    run(shim, "sleep 100")
    shim.exec("e1", ["/no/such"])
    with pytest.raises(RpcError) as caught:
        shim.start("e1")
    assert "/no/such" in caught.value.message
    shim.delete("e1")
    for bad in ("a/b", "", "x" * 80):
        with pytest.raises(RpcError) as caught:
            shim.exec(bad, ["true"])
        assert caught.value.code == 3
    shim.exec("e2", ["true"])
    with pytest.raises(RpcError) as caught:
        shim.exec("e2", ["true"])
    assert caught.value.code == 9
    with pytest.raises(RpcError) as caught:
        shim.kill(signal.SIGTERM, "e2")
    assert caught.value.code == 9
    shim.kill(signal.SIGKILL)
    shim.wait()
    with pytest.raises(RpcError) as caught:
        shim.start("e2")
    assert caught.value.code == 9 and "not running" in caught.value.message
    end(shim)


def test_exec_terminal_with_size_from_before(shim):
    run(shim, "sleep 100")
    shim.exec("t1", ["sh", "-c", "sleep 0.2; stty size"], terminal=True, stdin="attach:")
    shim.call("ResizePty", (1, shim.id), (2, "t1"), (3, 100), (4, 30))
    client = shim.attach("t1")
    shim.start("t1")
    assert client.read_until(b"30 100\r\n")
    assert shim.wait("t1") == 0
    shim.kill(signal.SIGKILL)
    shim.wait()
    end(shim)


def test_exec_that_leaves_a_process_behind(shim):
    """Its streams are held open by the one left: they end 2 s after the exec, and nobody dies of it."""
    run(shim, "sleep 100")
    shim.exec("e1", ["sh", "-c", "(while :; do echo beat; sleep 0.1; done) & echo main"])
    client = shim.attach("e1")
    begin = time.monotonic()
    shim.start("e1")
    assert shim.wait("e1") == 0
    assert 1.5 < time.monotonic() - begin < 60
    out, _ = client.read_all()
    assert out.startswith(b"main\n") or b"main\n" in out
    assert shim.state() == RUNNING
    shim.kill(signal.SIGKILL)
    shim.wait()
    end(shim)


def test_pids(shim):
    pid = shim.create(spec(["sleep", "100"]))
    shim.start()
    shim.exec("e1", ["sleep", "100"])
    exec_pid = shim.start("e1")
    found = {}
    for item in shim.call("Pids", (1, shim.id))[1]:
        info = decode(item)
        found[info[1][0]] = decode(info[2][0]) if 2 in info else None
    assert set(found) == {pid, exec_pid} and found[pid] is None
    assert decode(found[exec_pid][2][0]) == {1: [b"e1"]}
    shim.kill(signal.SIGKILL)
    shim.wait()
    end(shim)


# ---- resources ----

def test_oom(new_shim, events):
    shim = new_shim(with_events=True)
    limit = 16 << 20
    shim.create(spec(["sh", "-c", "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo survived"],
                     resources={"memory": {"limit": limit, "swap": limit}}), stdout=shim.log_uri())
    shim.start()
    assert shim.wait(timeout=60) != 0
    assert shim.exit_file()["oomKilled"] is True
    end(shim)
    wait_for(lambda: "/tasks/oom" in events.topics(), "the event")


def test_pause_and_resume(new_shim, events):
    shim = new_shim(with_events=True)
    run(shim, "while :; do echo x; sleep 0.02; done", stdout=shim.log_uri())
    shim.call("Pause", (1, shim.id))
    assert shim.state() == PAUSED
    sizes = [-1]

    def is_still():
        sizes.append(len(shim.log_lines()))
        time.sleep(0.3)
        return sizes[-1] == sizes[-2]

    wait_for(is_still, "it to be still: running, it writes every 0.02 s")
    size = sizes[-1]
    shim.call("Resume", (1, shim.id))
    assert shim.state() == RUNNING
    wait_for(lambda: len(shim.log_lines()) > size)
    shim.kill(signal.SIGKILL)
    shim.wait()
    end(shim)
    events.expect("/tasks/create", "/tasks/start", "/tasks/paused", "/tasks/resumed", "/tasks/exit", "/tasks/delete")


def test_update_and_stats(shim):
    shim.create(spec(["sleep", "100"], resources={"pids": {"limit": 30}}))
    shim.start()
    body = json.dumps({"pids": {"limit": 40}})
    shim.call("Update", (1, shim.id),
              (2, [(1, "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"), (2, body)]))
    any_stats = decode(shim.call("Stats", (1, shim.id))[1][0])
    assert any_stats[1][0] in (b"io.containerd.cgroups.v1.Metrics", b"io.containerd.cgroups.v2.Metrics")
    metrics = decode(any_stats[2][0])
    pids = decode(metrics[2 if b"v1" in any_stats[1][0] else 1][0])
    assert pids == {1: [1], 2: [40]}
    shim.kill(signal.SIGKILL)
    shim.wait()
    end(shim)


def test_netlink_socket_of_the_container(shim):
    """<bundle>/fds hands out sockets born in the container's network namespace; the first sees only its lo."""
    shim.create(spec(["sleep", "100"]), stdout=shim.log_uri())
    sock = connect(shim.bundle / "fds")
    data, fds, _, _ = socket.recv_fds(sock, 16, 8)
    sock.close()
    assert data == b"\x0f" and len(fds) == 4
    netlink, *others = [socket.socket(fileno=fd) for fd in fds]
    assert [(one.family, one.type) for one in others[1:]] == [
        (socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_INET, socket.SOCK_STREAM)]  # fmt: skip
    assert others[0].family == socket.AF_NETLINK
    for one in others:
        one.close()
    assert netlink.family == socket.AF_NETLINK
    netlink.settimeout(60)
    netlink.bind((0, 0))
    netlink.send(struct.pack("=IHHII", 16 + 16, 18, 0x301, 1, 0) + bytes(16))  # RTM_GETLINK, dump
    names = []
    for _ in range(4):
        reply = netlink.recv(65536)
        names += [name for name in (b"lo\0", b"eth0\0") if name in reply]
        if struct.unpack_from("=IH", reply)[1] == 3:
            break
    assert names == [b"lo\0"]
    netlink.close()
    shim.start()
    shim.kill(signal.SIGKILL)
    shim.wait()
    end(shim)


# ---- one of many, and killed ones ----

@pytest.mark.usefixtures("plain")
def test_shim_is_small(shim):
    run(shim, "sleep 100", stdout=shim.log_uri())
    client = shim.attach()
    text = pathlib.Path(f"/proc/{shim.pid}/smaps_rollup").read_text()
    dirty = sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_Dirty"))
    assert dirty <= 300, text
    assert len(os.listdir(f"/proc/{shim.pid}/task")) == 1
    client.close()
    shim.kill(signal.SIGKILL)
    shim.wait()
    end(shim)


def test_daemonised(shim):
    """Its own session, no descriptor of its parent's, and a name in the bundle while it lives."""
    found = json.loads((shim.bundle / "shim.json").read_text())
    assert found == {"pid": shim.pid, "address": shim.address}
    stat = pathlib.Path(f"/proc/{shim.pid}/stat").read_text().rsplit(")", 1)[1].split()
    assert int(stat[3]) == shim.pid  # session
    links = {os.readlink(f"/proc/{shim.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{shim.pid}/fd")}
    assert not any("pytest" in link or link.startswith("pipe:") for link in links), links
    second = shim.run("start", check=False)
    assert second.returncode == 1 and b"runs already" in second.stderr
    shim.shutdown()


def test_descriptors_do_not_leak(shim):
    run(shim, "sleep 100", stdout=shim.log_uri())
    before = len(os.listdir(f"/proc/{shim.pid}/fd"))
    for i in range(20):
        shim.exec(f"e{i}", ["true"], stdin="attach:")
        client = shim.attach(f"e{i}")
        shim.start(f"e{i}")
        shim.wait(f"e{i}")
        client.read_all()
        client.close()
        shim.delete(f"e{i}")
    wait_for(lambda: len(os.listdir(f"/proc/{shim.pid}/fd")) == before)
    shim.kill(signal.SIGKILL)
    shim.wait()
    end(shim)


def test_kill_9_of_the_engine_changes_nothing(shim):
    """Every client gone: the container goes on, its log has no gap, the exit code is there for the next."""
    run(shim, "for i in $(seq 1 300); do echo $i; sleep 0.001; done; exit 11", stdout=shim.log_uri())
    attached = shim.attach()
    attached.close()
    shim.client.close()
    wait_for((shim.bundle / "exit.json").exists)
    shim.client = Client(json.loads((shim.bundle / "shim.json").read_text())["address"])
    assert shim.wait() == 11
    assert [line["log"] for line in shim.log_lines()] == [f"{i}\n" for i in range(1, 301)]
    end(shim)


def test_kill_9_of_the_shim(shim):
    """Init outlives its shim until `delete` kills it and removes everything."""
    pid = shim.create(spec(["sleep", "100"]), stdout=shim.log_uri())
    shim.start()
    os.kill(shim.pid, signal.SIGKILL)
    wait_gone(shim.pid)
    assert process_runs(pid)
    answer = decode(shim.run("delete").stdout)
    assert answer[1] == [pid] and answer[2] == [137]
    wait_gone(pid)
    assert not (shim.bundle / "attach").exists() and not (shim.bundle / "shim.json").exists()
    for controller in pathlib.Path("/sys/fs/cgroup").iterdir():
        assert not (controller / shim.cgroup.lstrip("/")).exists()
    # again, and for a container that never was: containerd does both
    assert decode(shim.run("delete").stdout)[2] == [137]


def test_delete_tells_the_exit_code_the_shim_wrote(shim):
    run(shim, "exit 6", stdout=shim.log_uri())
    assert shim.wait() == 6
    os.kill(shim.pid, signal.SIGKILL)
    wait_gone(shim.pid)
    assert decode(shim.run("delete").stdout)[2] == [6]


# ---- how it is started ----

def test_bootstrap_of_containerd_2_3(tmp_root, program, busybox_rootfs):
    shim = Shim(program("kist-shim"), tmp_root, busybox_rootfs, "boot1")
    sockets = tmp_root / "sd"
    params = encode([(1, "boot1"), (2, "t-shim"), (4, "2.3.0"), (9, str(sockets))])
    result = decode(shim.run("start", data=params).stdout)
    assert result[1] == [3] and result[3] == [b"ttrpc"]
    shim.address = result[2][0].decode()
    assert shim.address.startswith(f"unix://{sockets}/")
    shim.client = Client(shim.address, "containerd.task.v3.Task")
    shim.pid = shim.call("Connect", (1, shim.id))[1][0]
    shim.shutdown()


def test_options_on_stdin_are_not_a_bootstrap(tmp_root, program, busybox_rootfs):
    shim = Shim(program("kist-shim"), tmp_root, busybox_rootfs, "boot2")
    options = encode([(1, "containerd.runc.v1.Options"), (2, encode([(7, "/run/x")]))])
    shim.address = shim.run("start", data=options).stdout.decode()
    assert shim.address.startswith("unix:///")
    shim.client = Client(shim.address)
    shim.pid = shim.call("Connect", (1, shim.id))[1][0]
    shim.shutdown()


def test_one_shim_per_pod(tmp_root, program, busybox_rootfs):
    first = Shim(program("kist-shim"), tmp_root, busybox_rootfs, "pod1")
    second = Shim(program("kist-shim"), tmp_root, busybox_rootfs, "pod2")
    configs = []
    for shim in (first, second):
        config = spec(["sh", "-c", f"echo {shim.id}; sleep 100"])
        config["annotations"] = {"io.kubernetes.cri.sandbox-id": "pod1"}
        (shim.bundle / "config.json").write_text(json.dumps(config))
        configs.append(config)
    first.start_shim()
    second.start_shim()
    assert first.pid == second.pid and first.address == second.address
    for shim, config in zip((first, second), configs):
        shim.create(config, stdout=shim.log_uri())
        shim.start()
    for shim in (first, second):
        wait_for(lambda: shim.log_lines() and shim.log_lines()[0]["log"] == f"{shim.id}\n")
        shim.kill(signal.SIGKILL)
        assert shim.wait() == 137
    second.delete()
    first.call("Shutdown", (1, "pod2"))  # ignored: pod1 is still there
    assert first.state() == STOPPED
    first.delete()
    first.shutdown()


def test_version_info_and_wrong_use(tmp_root, program, busybox_rootfs):
    shim = Shim(program("kist-shim"), tmp_root, busybox_rootfs, "v1")
    assert b"Version" in shim.run("-v").stdout
    info = decode(shim.run("-info").stdout)
    assert info[1] == [b"io.containerd.kist.v2"]
    for arguments, words in ((["fly"], b"unknown command fly"), (["start", "now"], b"one command"),
                             (["-nope"], b"nope"), (["-id", "../x", "start"], b"invalid"),
                             (["-bundle", "/nonexistent", "start"], b"/nonexistent")):
        done = shim.run(*arguments, check=False)
        assert done.returncode == 1 and words in done.stderr, done.stderr
