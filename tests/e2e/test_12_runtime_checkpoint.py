# SPDX-License-Identifier: Apache-2.0
"""kist-runtime checkpoint and restore, as far as CRIU works here; tests/vm/test_checkpoint.py shows it where it does."""
import json
import os
import pathlib
import signal
import subprocess

import pytest
from lib import criu, leaks
from lib.runtime_box import Box, ConsoleSocket, adopt_orphans, kill, read_until
from lib.wait import wait_for

# One line per round, never the same twice: a second line 0 would be a second beginning.
COUNT = "i=0; while :; do echo $i >> /count; i=$((i+1)); sleep 0.02; done"


class CriuBox(Box):
    def call(self, *words, **options):
        options.setdefault("env", {**os.environ, "PATH": criu.path()})
        return super().call(*words, **options)

    def images(self):
        return self.root / "images"

    def bundle_of(self, name):
        return pathlib.Path(json.loads(self.call("state", name).stdout)["bundle"])

    def checkpoint(self, name, *options, **more):
        return self.call("checkpoint", "--image-path", self.images(), *options, name, **more)

    def restore(self, name, bundle, *options, check=True):
        """In the background; its stdio is a file, which the container keeps."""
        with open(self.root / "restored", "wb") as out:
            words = [self.runtime, "--root", self.state, "restore", "--detach", "--image-path", self.images(), "--bundle", bundle, *options, name]
            run = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, timeout=120,
                                 env={**os.environ, "PATH": criu.path()})
        text = (self.root / "restored").read_text()
        assert not check or run.returncode == 0, text
        return run.returncode, text


@pytest.fixture
def box(tmp_root, program, busybox_rootfs):
    adopt_orphans()
    it = CriuBox(tmp_root, program("kist-runtime"), busybox_rootfs)
    yield it
    it.finish()


@pytest.fixture
def working():
    if criu.why_not():
        pytest.skip(criu.why_not())


def counted(bundle):
    """The whole lines: one may be in the middle of being written."""
    file = bundle / "rootfs" / "count"
    return [int(line) for line in file.read_text().rpartition("\n")[0].split()] if file.exists() else []


def wait_count(bundle, least):
    wait_for(lambda: len(counted(bundle)) > least, f"{least} lines")
    return len(counted(bundle))


def goes_on(bundle):
    before = len(counted(bundle))
    wait_count(bundle, before + 3)
    numbers = counted(bundle)
    return numbers == list(range(len(numbers)))


# ---- where CRIU works ----


def test_goes_on_where_it_was(box, working):
    name = box.started(["sh", "-c", COUNT])
    bundle = box.bundle_of(name)
    wait_count(bundle, 3)
    box.checkpoint(name)
    assert box.status(name) is None, "the container lives in its files now"
    still = len(counted(bundle))
    assert json.loads((box.images() / "descriptors.json").read_text())[1].startswith("file[")
    box.restore(name, bundle, "--pid-file", box.root / "pid")
    assert box.status(name) == "running" and int((box.root / "pid").read_text()) == box.pid(name)
    assert goes_on(bundle) and len(counted(bundle)) > still
    assert box.call("exec", name, "sh", "-c", "echo $$ here").stdout.endswith("here\n")
    # With a process of an exec, in the time namespace CRIU made: a second checkpoint takes it along.
    box.call("exec", name, "sh", "-c", "sleep 1000 </dev/null >/dev/null 2>&1 &")
    assert box.call("exec", name, "readlink", "/proc/self/ns/time").stdout.strip() == os.readlink(f"/proc/{box.pid(name)}/ns/time")
    box.checkpoint(name)
    box.restore(name, bundle)
    assert goes_on(bundle) and "sleep 1000" in box.call("exec", name, "ps").stdout
    lines = pathlib.Path(f"/proc/{box.pid(name)}/cgroup").read_text().split()
    assert lines and all(line.endswith("/" + name) for line in lines)
    root = json.loads((bundle / "config.json").read_text())["root"]["path"]
    assert root and name not in pathlib.Path("/proc/self/mountinfo").read_text()
    box.call("kill", name, "KILL")
    box.wait_status(name, "stopped")
    box.call("delete", name)


def test_leave_running_and_what_changed_since(box, working):
    name = box.started(["sh", "-c", COUNT])
    bundle = box.bundle_of(name)
    wait_count(bundle, 3)
    run = box.call("checkpoint", "--pre-dump", "--image-path", box.root / "before", name, check=False)
    if run.returncode and "MemTrack" in run.stderr:
        box.checkpoint(name, "--leave-running")
    else:
        assert run.returncode == 0, run.stderr
        assert box.status(name) == "running"
        box.checkpoint(name, "--leave-running", "--parent-path", "../before", "--work-path", box.root / "work")
        assert (box.images() / "parent").exists() and (box.root / "work" / "dump.log").exists()
    assert box.status(name) == "running" and goes_on(bundle)
    box.delete(name)
    (bundle / "rootfs" / "count").unlink()
    box.restore(name, bundle, "--manage-cgroups-mode", "ignore")
    wait_count(bundle, 3)
    assert counted(bundle)[0] > 0, "it began anew"
    lines = pathlib.Path(f"/proc/{box.pid(name)}/cgroup").read_text().split()
    assert all(line.endswith("/" + name) for line in lines)


def test_in_the_foreground_with_pipes(box, working):
    script = "echo one; while ! test -e /go; do sleep 0.02; done; echo two; read x; echo $x; exit 7"
    bundle = box.bundle(["sh", "-c", script])
    name = box.name()
    words = [box.runtime, "--root", str(box.state), "run", "--bundle", str(bundle), name]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"one\n"
        box.checkpoint(name)
        first.wait(60)
    (bundle / "rootfs" / "go").touch()
    run = box.call("restore", "--image-path", box.images(), "--bundle", bundle, name, check=False, input="three\n")
    assert (run.returncode, run.stdout) == (7, "two\nthree\n"), run.stderr
    assert box.status(name) is None


def test_stdio_of_another_kind(box, working):
    """The null device is there again whatever is given; a file must be given for a file."""
    null = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "capture_output": False}
    name = box.name()
    bundle = box.bundle(["sh", "-c", "while ! test -e /go; do sleep 0.02; done; echo lost; exit 7"])
    box.call("run", "--detach", "--bundle", bundle, name, **null)
    box.checkpoint(name)
    (bundle / "rootfs" / "go").touch()
    run = box.call("restore", "--image-path", box.images(), "--bundle", bundle, name, check=False)
    assert run.returncode == 7 and "it was /dev/null at the checkpoint" in run.stderr and run.stdout == "", run
    name = box.started()
    box.checkpoint(name)
    run = box.call("restore", "--image-path", box.images(), "--bundle", bundle, name, check=False)
    assert run.returncode == 1 and "stdout was a file of mode 100644 at the checkpoint" in run.stderr


def test_a_terminal_comes_back(box, working):
    console = ConsoleSocket(box.root / "console")

    def terminal(spec):
        spec["process"]["terminal"] = True

    name = box.started(["sh", "-c", "echo first; read x; echo got $x; sleep 1000"], terminal, ["--console-socket", console.path])
    bundle = box.bundle_of(name)
    master, _ = console.receive()
    read_until(master, b"first")
    box.checkpoint(name)
    os.close(master)
    box.restore(name, bundle, "--console-socket", console.path)
    master, _ = console.receive()
    os.write(master, b"word\n")
    read_until(master, b"got word")
    os.close(master)
    console.close()


def test_mounts_hooks_and_namespaces_from_outside(box, working):
    """A folder, a file behind a link, a network namespace by its path; the rootfs comes without the mount points."""
    shared = box.root / "shared"
    shared.mkdir()
    (shared / "inner").mkdir()
    (box.root / "file").write_text("host\n")
    hook = box.root / "hook"
    hook.write_text(f"#!/bin/sh\ncat > {box.root}/state\n")
    hook.chmod(0o755)
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; sleep 1000"], stdout=subprocess.PIPE) as net:
        net.stdout.readline()

        def change(spec):
            spec["mounts"] += [{"destination": "/data", "type": "bind", "source": str(shared), "options": ["rbind"]},
                               {"destination": "/data/inner", "type": "tmpfs", "source": "t"},
                               {"destination": "/link/file", "type": "bind", "source": str(box.root / "file"), "options": ["bind", "ro"]}]
            for namespace in spec["linux"]["namespaces"]:
                if namespace["type"] == "network":
                    namespace["path"] = f"/proc/{net.pid}/ns/net"
            spec["hooks"] = {"createRuntime": [{"path": str(hook)}]}

        bundle = box.bundle(["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i > /data/number; cat /link/file > /data/inner/copy; sleep 0.02; done"], change)
        (bundle / "rootfs" / "place").mkdir()
        (bundle / "rootfs" / "link").symlink_to("place")
        name = box.name()
        with open(box.root / "out", "wb") as out:
            subprocess.run([box.runtime, "--root", box.state, "run", "--detach", "--bundle", bundle, name], stdin=subprocess.DEVNULL, stdout=out,
                           stderr=out, check=True, timeout=120)
        wait_for(lambda: (shared / "number").exists() and (shared / "number").read_text() > "")
        box.checkpoint(name)
        (bundle / "rootfs" / "data").rmdir()
        (bundle / "rootfs" / "place" / "file").unlink()
        (box.root / "state").unlink()
        stopped_at = int((shared / "number").read_text() or 0)
        box.restore(name, bundle)
        wait_for(lambda: int((shared / "number").read_text() or 0) > stopped_at)
        # It is written again and again: there are moments at which it is empty.
        wait_for(lambda: box.call("exec", name, "cat", "/data/inner/copy").stdout == "host\n", "the copy")
        assert os.readlink(f"/proc/{box.pid(name)}/ns/net") == os.readlink(f"/proc/{net.pid}/ns/net")
        assert json.loads((box.root / "state").read_text())["pid"] == box.pid(name)
        net.kill()


def test_what_criu_cannot_do_is_told_in_its_words(box, working):
    """A file of the host on descriptor 3: the container goes on, and the log says why."""
    bundle = box.bundle(["sh", "-c", COUNT])
    name = box.name()
    words = ["sh", "-c", 'exec 3>"$0"; exec "$@"', box.root / "host", box.runtime, "--root", box.state, "run", "--detach", "--preserve-fds", "1", "--bundle", bundle, name]
    with open(box.root / "out", "wb") as out:
        subprocess.run(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True, timeout=120)
    run = box.checkpoint(name, check=False)
    assert run.returncode == 1 and f"log file: {box.images()}/dump.log" in run.stderr, run.stderr
    assert "criu failed: type DUMP" in run.stderr and "Can't lookup mount=" in run.stderr
    assert box.status(name) == "running" and goes_on(bundle)


def test_a_failed_restore_leaves_nothing(box, working):
    bundle = box.bundle(["sleep", "1000"])
    name = box.name()
    box.images().mkdir()
    (box.images() / "descriptors.json").write_text('["/dev/null","/dev/null","/dev/null"]')
    code, text = box.restore(name, bundle, check=False)
    assert code == 1 and "criu failed: type RESTORE" in text and "restore.log" in text, text
    assert not (box.state / name).exists() and not leaks.cgroups(name)


def test_kill_9_of_a_restore(box, working):
    """Its hook hangs; what is left has no process, and delete takes it away."""
    hook = box.root / "hook"
    hook.write_text(f"#!/bin/sh\necho $$ > {box.root}/hook-pid.new; mv {box.root}/hook-pid.new {box.root}/hook-pid; exec sleep 1000\n")
    name = box.started(["sh", "-c", COUNT])
    bundle = box.bundle_of(name)
    wait_count(bundle, 3)
    box.checkpoint(name)
    hook.chmod(0o755)
    spec = json.loads((bundle / "config.json").read_text())
    spec["hooks"] = {"createRuntime": [{"path": str(hook)}]}
    (bundle / "config.json").write_text(json.dumps(spec))
    with open(box.root / "restored", "wb") as out:
        words = [box.runtime, "--root", box.state, "restore", "--detach", "--image-path", box.images(), "--bundle", bundle, name]
        with subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                              env={**os.environ, "PATH": criu.path()}) as run:
            wait_for((box.root / "hook-pid").exists)
            run.send_signal(signal.SIGKILL)
    kill(int((box.root / "hook-pid").read_text()))
    assert box.status(name) == "stopped"
    box.delete(name)
    wait_for(lambda: not leaks.cgroups(name), "its cgroups to go")
    assert not (box.state / name).exists()
    spec["hooks"] = {}
    (bundle / "config.json").write_text(json.dumps(spec))
    box.restore(name, bundle)
    assert goes_on(bundle)


# ---- everywhere ----


@pytest.mark.parametrize("words,message", [
    (["checkpoint", "--parent-path", "/x"], "--parent-path must be relative"),
    (["checkpoint", "--parent-path", "../none"], "invalid --parent-path"),
    (["checkpoint", "--page-server", "x"], "ADDRESS:PORT"),
    (["checkpoint", "--page-server", "a:70000"], "ADDRESS:PORT"),
    (["checkpoint", "--manage-cgroups-mode", "x"], "invalid manage-cgroups-mode value"),
    (["restore", "--network-lock", "x"], "unknown network lock method"),
    (["restore", "--empty-ns", "pid"], 'namespace "pid" is not supported'),
])
def test_options_are_checked(box, words, message):
    name = box.started() if "none" in words[-1] else "none"
    run = box.call(*words, "--image-path", box.images(), name, check=False)
    assert run.returncode == 1 and message in run.stderr, run.stderr


def test_only_what_runs_can_be_checkpointed(box):
    run = box.call("checkpoint", "--image-path", box.images(), "none", check=False)
    assert run.returncode == 1 and "container does not exist" in run.stderr
    name = box.create()
    run = box.checkpoint(name, check=False)
    assert run.returncode == 1 and "Container cannot be checkpointed in created state" in run.stderr


def test_without_criu(box):
    name = box.started()
    for words in (["checkpoint", name], ["restore", "--bundle", box.bundle_of(name), name + "x"]):
        run = box.call(words[0], "--image-path", box.images(), *words[1:], check=False, env={**os.environ, "PATH": "/none"})
        assert run.returncode == 1 and "there is no program criu in $PATH" in run.stderr
    assert box.status(name) == "running" and not (box.state / (name + "x")).exists()


def test_a_criu_that_cannot_work_says_why(box):
    """As Debian's 3.17 does on a newer kernel: it ends before it listens."""
    fake = box.root / "bin" / "criu"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'Error (criu/kerndat.c:1): kerndat_vdso failed when initializing kerndat.' >&2; exit 1\n")
    fake.chmod(0o755)
    name = box.started()
    run = box.checkpoint(name, check=False, env={**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}"})
    assert run.returncode == 1 and "CRIU ended without an answer: kerndat_vdso failed when initializing kerndat." in run.stderr
    assert box.status(name) == "running"
