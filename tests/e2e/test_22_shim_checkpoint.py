# SPDX-License-Identifier: Apache-2.0
"""kist-shim: Checkpoint, and Create from a checkpoint, with the root an overlay that only the container has."""
import itertools
import json
import os
import pathlib
import signal

import pytest

from lib import criu
from lib.shim import EventServer, RpcError, Shim, encode, spec
from lib.wait import wait_for

COUNTER = itertools.count()
COUNT = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"
CREATED, RUNNING, STOPPED = 1, 2, 3


@pytest.fixture
def new_shim(tmp_root, program, busybox_rootfs, monkeypatch):
    monkeypatch.setenv("PATH", criu.path())
    events = EventServer(tmp_root / "events.sock")
    shims = []

    def make():
        shim = Shim(program("kist-shim"), tmp_root, busybox_rootfs, f"k{next(COUNTER)}", events)
        shims.append(shim)
        return shim.start_shim()

    yield make
    for shim in shims:
        shim.finish()
    events.close()


@pytest.fixture
def working():
    if criu.why_not():
        pytest.skip(criu.why_not())


def images(shim):
    return str(shim.root / "images")


def checkpoint(shim, **options):
    numbers = {"exit": 1, "open_tcp": 2, "sockets": 3, "terminal": 4}
    value = encode([(numbers[name], on) for name, on in options.items()])
    shim.call("Checkpoint", (1, shim.id), (2, images(shim)), (3, [(1, "containerd.runc.v1.CheckpointOptions"), (2, value)]))


def counted(shim):
    return [int(line["log"]) for line in shim.log_lines()]


def create_from(shim, other, config):
    """As an engine does for the same container again: its upper directory and its id's cgroup are there."""
    config["linux"]["cgroupsPath"] = f"/t-shim-{os.getpid()}-{shim.id}"
    (shim.bundle / "config.json").write_text(json.dumps(config))
    options = [f"lowerdir={other.rootfs}", f"upperdir={other.bundle}/upper", f"workdir={other.bundle}/work"]
    rootfs = [(1, "overlay"), (2, "overlay")] + [(4, option) for option in options]
    shim.call("Create", (1, shim.id), (2, str(shim.bundle)), (3, rootfs), (4, config["process"]["terminal"]),
              (5, "attach:" if config["process"]["terminal"] else ""), (6, shim.log_uri()), (7, shim.log_uri()), (8, images(other)))


def test_ends_and_goes_on_in_another_shim(new_shim, working):
    first = new_shim()
    config = spec(["sh", "-c", "echo $$ > /kept; " + COUNT])
    first.create(config, stdout=first.log_uri(), stderr=first.log_uri())
    first.start()
    wait_for(lambda: len(counted(first)) > 3)
    checkpoint(first, exit=True)
    assert first.wait() == 137
    seen = counted(first)
    first.delete()
    first.shutdown()
    wait_for(lambda: "/tasks/checkpointed" in first.events.topics(), "the event")

    second = new_shim()
    create_from(second, first, config)
    assert second.state() == CREATED
    pid = second.start()
    assert pid > 0 and second.state() == RUNNING
    wait_for(lambda: len(counted(second)) > 3)
    numbers = counted(second)
    assert numbers[0] in (seen[-1], seen[-1] + 1), "it goes on where it was"
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert pathlib.Path(f"/proc/{pid}/root/kept").read_text() == "1\n"
    second.exec("e", ["cat", "/kept"], stdout=f"json-file://{second.bundle}/e.log")
    second.start("e")
    assert second.wait("e") == 0 and second.log_lines("e.log")[0]["log"] == "1\n"
    second.kill(signal.SIGKILL)
    assert second.wait() == 137 and 137 in second.exit_file().values()
    second.delete("e")
    second.delete()
    second.shutdown()


def test_leaves_running(new_shim, working):
    shim = new_shim()
    shim.create(spec(["sh", "-c", COUNT]), stdout=shim.log_uri(), stderr=shim.log_uri())
    shim.start()
    wait_for(lambda: len(counted(shim)) > 3)
    checkpoint(shim)
    before = len(counted(shim))
    wait_for(lambda: len(counted(shim)) > before + 3)
    assert shim.state() == RUNNING and counted(shim) == list(range(len(counted(shim))))
    assert not (shim.bundle / "criu-work").exists()


def test_a_terminal(new_shim, working):
    first = new_shim()
    config = spec(["sh", "-c", "echo one; read x; echo got $x; sleep 1000"], terminal=True)
    first.create(config, stdin="attach:", stdout=first.log_uri())
    first.start()
    wait_for(lambda: first.log_lines())
    checkpoint(first, exit=True, terminal=True)
    assert first.wait() == 137
    first.delete()
    second = new_shim()
    create_from(second, first, config)
    second.start()
    attach = second.attach()
    attach.write(b"word\n")
    attach.read_until(b"got word")
    attach.close()


def test_a_restore_that_fails_is_told_and_deleted(new_shim, working):
    shim = new_shim()
    (shim.root / "images").mkdir()
    (shim.root / "images" / "descriptors.json").write_text("[]")
    for name in ("upper", "work"):
        (shim.bundle / name).mkdir()
    create_from(shim, shim, spec(["sleep", "1000"]))
    with pytest.raises(RpcError) as caught:
        shim.start()
    assert "criu failed: type RESTORE" in caught.value.message and "criu-work/restore.log" in caught.value.message
    assert shim.state() == CREATED
    shim.delete()
    shim.shutdown()


def test_killed_before_its_start(new_shim):
    """There is no process: a signal that ends is the end all the same."""
    shim = new_shim()
    (shim.root / "images").mkdir()
    for name in ("upper", "work"):
        (shim.bundle / name).mkdir()
    create_from(shim, shim, spec(["sleep", "1000"]))
    # What would end no process that waits for its start ends this one neither.
    for harmless in (0, signal.SIGWINCH, signal.SIGUSR1, signal.SIGCONT):
        shim.kill(harmless)
        assert shim.state() == CREATED
    shim.kill(signal.SIGTERM)
    assert shim.wait() == 143 and shim.state() == STOPPED
    shim.delete()
    shim.shutdown()


def test_only_what_runs_is_checkpointed(new_shim):
    shim = new_shim()
    shim.create(spec(["sleep", "1000"]))
    with pytest.raises(RpcError) as caught:
        checkpoint(shim)
    assert caught.value.code == 9 and "is not running" in caught.value.message


def test_without_criu(new_shim, monkeypatch):
    monkeypatch.setenv("PATH", "/none")
    shim = new_shim()
    shim.create(spec(["sleep", "1000"]))
    shim.start()
    with pytest.raises(RpcError) as caught:
        checkpoint(shim)
    assert "there is no program criu in $PATH" in caught.value.message
    assert shim.state() == RUNNING
