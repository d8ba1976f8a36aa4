# SPDX-License-Identifier: Apache-2.0
"""
kist-runtime: whoever makes a container is killed (kill -9) or stuck, at any point, and nothing of it stays.

KIST_SOAK=1000 makes the soak that long; the usual run takes a short one.
"""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import pytest
from lib import leaks
from lib.runtime_box import Box, adopt_orphans, kill, reap
from lib.wait import wait_for

SOAK = int(os.environ.get("KIST_SOAK", "40"))


@pytest.fixture
def box(tmp_root, program, busybox_rootfs):
    adopt_orphans()
    it = Box(tmp_root, program("kist-runtime"), busybox_rootfs)
    yield it
    it.finish()


def with_pid_namespace(kept):
    def change(spec):
        if not kept:
            spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]
    return change


def command(box, verb, bundle, name):
    words = [box.runtime, "--root", str(box.state), verb, "--bundle", str(bundle), "--pid-file", str(bundle / "pid")]
    return words + (["--detach", name] if verb == "run" else [name])


def settled(box, name):
    """No init is on its way any more: it is gone, or the container is complete."""
    reap()
    return not leaks.processes(name) or box.status(name) in ("created", "running")


def nothing_left(box, name, bundle):
    """After delete --force: what there is of the container."""
    reap()
    left = [f"process {pid}: {line}" for pid, line in leaks.processes(name).items()]
    left += leaks.cgroups(name) + leaks.mounts(str(box.root))
    left += [str(path) for path in box.state.iterdir() if path.name != ".seccomp"]
    return left + [path.name for path in bundle.iterdir() if path.name not in ("config.json", "rootfs", "pid")]


def clear_and_look(box, name, bundle):
    wait_for(lambda: settled(box, name), lambda: f"the init of {name} to end; {leaks.processes(name)}")
    box.delete(name)
    left = nothing_left(box, name, bundle)
    (bundle / "pid").unlink(missing_ok=True)
    assert not left, left


def test_killed_at_random_points(box):
    """The soak: create and run, with and without a pid namespace, killed some time between start and end."""
    dice = random.Random(os.environ.get("KIST_SOAK_SEED", "7"))
    bundles = [box.bundle(["sleep", "1000"], with_pid_namespace(kept)) for kept in (True, False)]
    started = time.monotonic()
    box.call("run", "--bundle", box.bundle(["true"]), box.name())
    span = (time.monotonic() - started) * 1.3
    for number in range(SOAK):
        name = box.name()
        bundle = bundles[number % 2]
        words = command(box, dice.choice(["create", "run"]), bundle, name)
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            time.sleep(dice.uniform(0, span))
            run.kill()
        clear_and_look(box, name, bundle)
        box.names.remove(name)


def calls_of(box, bundle):
    """The system calls of the creator itself: {name: how often}."""
    name = box.name()
    log = box.root / "trace"
    subprocess.run(["strace", "-qq", "-o", log, *command(box, "create", bundle, name)], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, check=True, timeout=120)
    box.delete(name)
    counts = {}
    for line in log.read_text().splitlines():
        word = re.match(r"[a-z0-9_]+", line)
        if word:
            counts[word.group()] = counts.get(word.group(), 0) + 1
    return counts


@pytest.mark.usefixtures("plain")
def test_killed_at_its_system_calls(box):
    """Not by chance: strace kills the creator at the n-th call of a kind. The usual run takes some of them."""
    bundle = box.bundle(["sleep", "1000"])
    counts = calls_of(box, bundle)
    assert counts.get("clone3") == 1 and counts.get("mkdir", 0) + counts.get("mkdirat", 0) > 1, counts
    points = [(call, at) for call, count in sorted(counts.items()) for at in range(1, count + 1)
              if call not in ("execve", "execveat", "brk", "arch_prctl", "exit_group", "close", "mmap")]
    step = 1 if SOAK >= 1000 else max(1, len(points) // SOAK)
    for call, at in points[::step]:
        name = box.name()
        subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                        f"inject={call}:signal=SIGKILL:when={at}", *command(box, "create", bundle, name)],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                       timeout=120)
        clear_and_look(box, name, bundle)
        box.names.remove(name)


@pytest.mark.usefixtures("plain")
def test_killed_exec(box):
    """Whoever asked for one more process is killed at its n-th call of a kind: there is one process more, or there is none."""
    name = box.started()
    pid = box.pid(name)
    words = [box.runtime, "--root", str(box.state), "exec", "--detach", name, "sleep", "77"]
    for call, at in [("clone3", 1), ("sendto", 1), ("recvmsg", 1), ("recvmsg", 2), ("read", 5), ("wait4", 1), ("waitid", 1)]:
        subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                        f"inject={call}:signal=SIGKILL:when={at}", *words], stdin=subprocess.DEVNULL, timeout=120,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        # What is in the container now is the program itself: nothing of ours is on its way, or waits for a word.
        wait_for(lambda: reap() or not leaks.processes(f"{name} sleep 77"), f"the exec to end, killed at {call} {at}")
        inside = json.loads(box.call("ps", "--format", "json", name).stdout)
        lines = {number: pathlib.Path(f"/proc/{number}/cmdline").read_bytes() for number in inside}
        assert lines.pop(pid) == b"sleep\0001000\0"
        assert set(lines.values()) <= {b"sleep\00077\0"}, lines


def hooked(box, kind, path="/bin/sleep"):
    """A bundle one of whose hooks never ends, and the word its process has."""
    word = f"kt-hook-{os.getpid()}-{box.count}"
    return box.bundle(["sleep", "1000"], lambda s: s.update(hooks={kind: [{"path": path, "args": [word, "600"]}]})), word


def end_hooks(word):
    for pid in leaks.processes(word):
        kill(pid)
    reap()


def stuck_create(box, bundle, name, word):
    run = subprocess.Popen(command(box, "create", bundle, name), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    wait_for(lambda: leaks.processes(word), "the hook")
    return run


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer"])
def test_killed_while_a_hook_runs(box, kind):
    """In a hook init is busy, or waits: it dies with its creator all the same, and the id can be used again at once."""
    bundle, word = hooked(box, kind)
    name = box.name()
    with stuck_create(box, bundle, name, word) as run:
        assert box.status(name) == "creating"
        refused = box.call("delete", name, check=False)
        assert refused.returncode == 1 and "not stopped: creating" in refused.stderr
        run.kill()
    wait_for(lambda: reap() or not leaks.processes(name), "init to end")
    end_hooks(word)
    assert box.status(name) == "stopped"
    spec = json.loads((bundle / "config.json").read_text())
    del spec["hooks"]
    (bundle / "config.json").write_text(json.dumps(spec))
    subprocess.run(command(box, "create", bundle, name), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    assert box.status(name) == "created"
    clear_and_look(box, name, bundle)


@pytest.mark.parametrize("sign", [None, signal.SIGSTOP])
def test_stuck_creator_is_ended_by_delete(box, sign):
    """A create that does not come to an end (a hook hangs, or it was stopped) goes by delete --force, and all it made."""
    bundle, word = hooked(box, "createRuntime")
    name = box.name()
    with stuck_create(box, bundle, name, word) as run:
        if sign:
            run.send_signal(sign)
        box.call("delete", "--force", name)
        assert run.wait(120) == -signal.SIGKILL
    end_hooks(word)
    assert not nothing_left(box, name, bundle)


def test_abandoned_is_deleted_without_force(box):
    """Killed before it was complete: stopped, as far as others can see."""
    bundle, word = hooked(box, "createRuntime")
    name = box.name()
    with stuck_create(box, bundle, name, word) as run:
        run.kill()
    wait_for(lambda: reap() or not leaks.processes(name), "init to end")
    end_hooks(word)
    box.call("delete", name)
    assert not nothing_left(box, name, bundle)


@pytest.mark.parametrize("text", ["", "{", "\0" * 100, '{"pid": "x"}'], ids=["empty", "cut", "zeros", "wrong"])
def test_damaged_record_is_deleted_by_force(box, text):
    """The record is lost; the kept specification still tells the cgroup, and who is in it."""
    bundle = box.bundle(["sleep", "1000"])
    name = box.name()
    subprocess.run(command(box, "run", bundle, name), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    pid = box.pid(name)
    (box.state / name / "state.json").write_text(text)
    box.delete(name)
    assert not nothing_left(box, name, bundle)
    assert not pathlib.Path(f"/proc/{pid}").exists()


def test_cgroup_with_processes_is_emptied(box):
    """rmdir says EBUSY as long as somebody is in there: also below, also frozen, also forking."""
    name = box.create(["sh", "-c", "while :; do sleep 0.01 & done"], with_pid_namespace(False))
    box.call("start", name)
    groups = leaks.cgroups(name)
    strays = []
    for group in groups:
        below = pathlib.Path(group) / "below"
        below.mkdir()
        if "cpuset" in group:
            for file in ("cpuset.cpus", "cpuset.mems"):
                (below / file).write_text((pathlib.Path(group) / file).read_text())
        stray = subprocess.Popen(["sleep", "1000"])
        strays.append(stray)
        (below / "cgroup.procs").write_text(str(stray.pid))
    freezer = [g for g in groups if "freezer" in g]
    if freezer:
        pathlib.Path(freezer[0], "freezer.state").write_text("FROZEN")
    box.delete(name)
    assert not leaks.cgroups(name)
    for stray in strays:
        kill(stray.pid)
        stray.wait(60)
