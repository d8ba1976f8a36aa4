# SPDX-License-Identifier: Apache-2.0
"""Debian's containerd with kist-shim as its runtime, by name and by path."""
import contextlib
import itertools
import os
import pathlib
import pty
import re
import secrets
import select
import signal
import subprocess
import tarfile
import threading
import time

import pytest

from lib import criu
from lib.shim import process_runs, wait_gone
from lib.wait import wait_for

NAMESPACE = "t-shim-" + secrets.token_hex(3)
IMAGE = "localhost/busybox:test"

CONFIG = """
version = 2
root = "{root}/root"
state = "{root}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = "{root}/c.sock"
[debug]
level = "debug"
"""


class Containerd:
    def __init__(self, root, shim):
        self.root = root
        self.shim = shim
        links = root / "bin"
        links.mkdir(parents=True)
        (links / "containerd-shim-kist-v2").symlink_to(shim)
        self.env = {**os.environ, "PATH": f"{links}:{criu.path()}"}
        (root / "config.toml").write_text(CONFIG.format(root=root))
        self.log = open(root / "log", "ab")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(["containerd", "-c", self.root / "config.toml"], env=self.env,
                                        stdout=self.log, stderr=self.log)
        wait_for(lambda: self.ctr("version", check=False).returncode == 0, self.text)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def text(self):
        return (self.root / "log").read_text()

    def command(self, *arguments):
        return ["ctr", "-a", str(self.root / "c.sock"), "-n", NAMESPACE, *map(str, arguments)]

    def ctr(self, *arguments, check=True, data=b"", timeout=120):
        done = subprocess.run(self.command(*arguments), capture_output=True, timeout=timeout, input=data, env=self.env)
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stderr.decode()}\n{self.text()[-3000:]}"
        return done

    def run(self, name, *command, options=(), runtime="io.containerd.kist.v2", **rest):
        return self.ctr("run", "--runtime", runtime, *options, IMAGE, name, *command, **rest)

    def tasks(self):
        lines = self.ctr("task", "ls").stdout.decode().splitlines()[1:]
        return {line.split()[0]: (int(line.split()[1]), line.split()[2]) for line in lines}

    def shims(self):
        found = []
        for entry in os.listdir("/proc"):
            try:
                line = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().decode()
            except (OSError, ValueError):
                continue
            if line.startswith("kist-shim\0") and str(self.root) in line and process_runs(int(entry)):
                found.append(int(entry))
        return found

    def finish(self):
        for name in list(self.tasks()):
            self.ctr("task", "rm", "-f", name, check=False)
        for line in self.ctr("container", "ls", "-q").stdout.decode().split():
            self.ctr("container", "rm", line, check=False)
        wait_for(lambda: not self.shims())
        self.stop()
        self.log.close()
        for group in pathlib.Path("/sys/fs/cgroup").glob(f"*/{NAMESPACE}"):
            wait_for(lambda group=group: is_removed(group), f"{group} to be empty")  # containerd's parent of our containers' groups


def is_removed(group):
    with contextlib.suppress(OSError):
        group.rmdir()
        return True


@pytest.fixture(scope="module")
def containerd(session_root, program, busybox_layout):
    server = Containerd(session_root / "cd", program("kist-shim"))
    server.start()
    archive = session_root / "busybox-oci.tar"
    with tarfile.open(archive, "w") as tar:
        for entry in sorted(pathlib.Path(busybox_layout).rglob("*")):
            tar.add(entry, arcname=str(entry.relative_to(busybox_layout)), recursive=False)
    server.ctr("images", "import", "--digests", "--base-name", "localhost/busybox", archive)
    names = server.ctr("images", "ls", "-q").stdout.decode().split()
    server.ctr("images", "tag", names[0], IMAGE)
    yield server
    server.finish()


def test_run_by_name(containerd):
    client = subprocess.Popen(containerd.command("run", "--rm", "--runtime", "io.containerd.kist.v2", IMAGE, "r1",
                                                 "sh", "-c", "echo out; echo err >&2; cat"), env=containerd.env,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert client.stdout.readline() == b"out\n"
    # ctr forgets to tell the end of an input that ends before its task is made, with every runtime
    out, err = client.communicate(b"in\n", timeout=120)
    assert (out, err) == (b"in\n", b"err\n")
    wait_for(lambda: not containerd.shims())


def test_run_by_path(containerd):
    done = containerd.run("r2", "sh", "-c", "exit 42", options=["--rm"], runtime=containerd.shim, check=False)
    assert done.returncode == 42


def test_much_output(containerd):
    done = containerd.run("r3", "seq", "1", "200000", options=["--rm"])
    assert done.stdout.split()[-1] == b"200000" and len(done.stdout.split()) == 200000


def test_detached_exec_kill_and_events(containerd):
    watcher = subprocess.Popen(containerd.command("events"), stdout=subprocess.PIPE, env=containerd.env, text=True)
    lines = []
    threading.Thread(target=lambda: lines.extend(iter(watcher.stdout.readline, "")), daemon=True).start()
    # It listens when it tells of something.
    probes = itertools.count()
    wait_for(lambda: lines or not containerd.ctr("namespaces", "create", f"probe{next(probes)}"), "the first event")
    containerd.run("d1", "sleep", "100", options=["-d"])
    pid, status = containerd.tasks()["d1"]
    assert status == "RUNNING" and process_runs(pid)
    done = containerd.ctr("task", "exec", "--exec-id", "e1", "d1", "sh", "-c", "echo in exec; hostname; exit 3",
                          check=False)
    assert done.returncode == 3 and done.stdout.startswith(b"in exec\n")
    assert f"{pid}".encode() in containerd.ctr("task", "ps", "d1").stdout
    metrics = containerd.ctr("task", "metrics", "d1").stdout
    assert b"memory.usage_in_bytes" in metrics
    containerd.ctr("task", "pause", "d1")
    assert containerd.tasks()["d1"][1] == "PAUSED"
    containerd.ctr("task", "resume", "d1")
    containerd.ctr("task", "kill", "-s", "KILL", "d1")
    wait_for(lambda: containerd.tasks()["d1"][1] == "STOPPED")
    assert containerd.ctr("task", "rm", "d1", check=False).returncode in (0, 137)
    containerd.ctr("container", "rm", "d1")
    wait_for(lambda: any("/tasks/delete" in line for line in lines))
    watcher.send_signal(signal.SIGINT)
    watcher.wait(60)
    topics = [topic for line in lines for topic in re.findall(r"/tasks/[a-z-]+", line)[:1]]
    assert topics == ["/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started", "/tasks/exit",
                      "/tasks/paused", "/tasks/resumed", "/tasks/exit", "/tasks/delete"]
    wait_for(lambda: not containerd.shims())


def test_checkpoint_and_restore(containerd):
    """containerd keeps the images as content, and gives the shim a folder of them at Create."""
    if criu.why_not():
        pytest.skip(criu.why_not())
    script = "i=0; while :; do echo $i >> /count; i=$((i+1)); sleep 0.05; done"
    containerd.run("k1", "sh", "-c", script, options=["-d"])
    count = ["cat", f"/proc/{containerd.tasks()['k1'][0]}/root/count"]
    wait_for(lambda: len(subprocess.run(count, capture_output=True, check=False).stdout.split()) > 3)
    containerd.ctr("containers", "checkpoint", "--task", "--rw", "--image", "k1", "localhost/checkpoint:k1", timeout=120)
    assert containerd.tasks()["k1"][1] == "RUNNING"
    containerd.ctr("task", "kill", "-s", "KILL", "k1")
    wait_for(lambda: containerd.tasks()["k1"][1] == "STOPPED")
    containerd.ctr("task", "rm", "k1", check=False)
    containerd.ctr("container", "rm", "k1")
    containerd.ctr("containers", "restore", "--live", "--rw", "k2", "localhost/checkpoint:k1", timeout=120)
    pid, status = containerd.tasks()["k2"]
    assert status == "RUNNING"
    file = pathlib.Path(f"/proc/{pid}/root/count")
    before = len(file.read_text().split())
    wait_for(lambda: len(file.read_text().split()) > before + 3)
    numbers = [int(word) for word in file.read_text().split()]
    assert numbers.count(0) <= 1 and numbers[-1] >= before, numbers
    containerd.ctr("task", "kill", "-s", "KILL", "k2")
    wait_for(lambda: containerd.tasks()["k2"][1] == "STOPPED")
    containerd.ctr("task", "rm", "k2", check=False)
    containerd.ctr("container", "rm", "k2")
    containerd.ctr("image", "rm", "localhost/checkpoint:k1")


def test_terminal(containerd):
    master, slave = pty.openpty()
    client = subprocess.Popen(containerd.command("run", "--rm", "-t", "--runtime", "io.containerd.kist.v2", IMAGE,
                                                 "t1", "sh"), stdin=slave, stdout=slave, stderr=slave,
                              env=containerd.env, start_new_session=True)
    os.close(slave)
    got = b""
    os.write(master, b"tty; echo $((6 * 7)); exit 5\n")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            try:
                got += os.read(master, 4096)
            except OSError:
                break
        elif client.poll() is not None:
            break
    os.close(master)
    assert client.wait(60) == 5
    assert b"/dev/pts/0" in got and b"42" in got


def test_errors_reach_the_user(containerd):
    done = containerd.run("x1", "/no/such", options=["--rm"], check=False)
    assert done.returncode != 0 and b"/no/such" in done.stderr
    wait_for(lambda: not containerd.shims())
    containerd.ctr("container", "rm", "x1", check=False)


def test_restart_of_containerd(containerd):
    """Containers go on; the new containerd finds their shims, and an exit in between is not lost."""
    containerd.run("k1", "sleep", "100", options=["-d"])
    containerd.run("k2", "sh", "-c", "sleep 4; exit 8", options=["-d"])
    pid = containerd.tasks()["k1"][0]
    ends = containerd.tasks()["k2"][0]
    containerd.process.kill()
    containerd.process.wait()
    wait_gone(ends)
    assert process_runs(pid)
    containerd.start()
    assert containerd.tasks()["k1"] == (pid, "RUNNING")
    assert containerd.tasks()["k2"][1] == "STOPPED"
    assert containerd.ctr("task", "rm", "k2", check=False).returncode in (0, 8)
    containerd.ctr("task", "rm", "-f", "k1", check=False)
    for name in ("k1", "k2"):
        containerd.ctr("container", "rm", name)
    wait_for(lambda: not containerd.shims())


def test_kill_9_of_the_shim(containerd):
    """containerd calls `delete`, which ends the container: no process, mount or cgroup stays."""
    containerd.run("s1", "sleep", "100", options=["-d"])
    pid = containerd.tasks()["s1"][0]
    [shim] = containerd.shims()
    os.kill(shim, signal.SIGKILL)
    wait_gone(shim)
    wait_gone(pid)
    wait_for(lambda: containerd.tasks().get("s1", (0, "STOPPED"))[1] in ("STOPPED", "UNKNOWN"))
    containerd.ctr("task", "rm", "-f", "s1", check=False)
    containerd.ctr("container", "rm", "s1")
    wait_for(lambda: "s1" not in containerd.tasks(), "the task to go")
    wait_for(lambda: not list(pathlib.Path("/sys/fs/cgroup").glob(f"*/{NAMESPACE}/s1")), "its cgroups to go")


def test_limits_and_oom(containerd):
    done = containerd.run("o1", "sh", "-c", "x=$(head -c 200000000 /dev/zero | tr '\\0' x)",
                          options=["--rm", "--memory-limit", str(16 << 20)], check=False)
    assert done.returncode != 0


def test_many_at_once(containerd):
    clients = [subprocess.Popen(containerd.command("run", "--rm", "--runtime", "io.containerd.kist.v2", IMAGE,
                                                   f"m{i}", "sh", "-c", f"echo {i}; exit {i}"),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=containerd.env)
               for i in range(10)]
    for i, client in enumerate(clients):
        out, err = client.communicate(timeout=120)
        assert (client.returncode, out) == (i, f"{i}\n".encode()), err
    wait_for(lambda: not containerd.shims())
