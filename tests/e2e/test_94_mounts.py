# SPDX-License-Identifier: Apache-2.0
"""What containers can have mounted: volumes with options, shared memory of a size, images, devices by CDI."""
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

import pytest

from lib.daemon import Daemon
from lib.wait import wait_for


@pytest.fixture
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="kt-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def is_mounted(daemon, name):
    return f"{daemon.root}/d/volumes/{name}/_data" in pathlib.Path("/proc/self/mountinfo").read_text()


def test_a_tmpfs_volume_is_one_for_all_while_it_is_used(shared):
    shared.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=5", "ram")
    assert json.loads(shared.docker("volume", "inspect", "ram").stdout)[0]["Options"] == {"device": "tmpfs", "o": "size=1m,uid=5", "type": "tmpfs"}
    shared.docker("run", "-d", "--name", "keeper", "-v", "ram:/m", "busybox", "sleep", "1000")
    shared.docker("run", "--rm", "-v", "ram:/n", "busybox", "sh", "-c", "stat -c %u /n && echo hello >/n/f")
    assert shared.docker("exec", "keeper", "cat", "/m/f").stdout == "hello\n"
    full = shared.docker("exec", "keeper", "dd", "if=/dev/zero", "of=/m/big", "bs=1k", "count=2000", check=False)
    assert full.returncode == 1 and "No space left" in full.stderr
    assert is_mounted(shared, "ram")
    shared.docker("rm", "-f", "keeper")
    wait_for(lambda: not is_mounted(shared, "ram"), "the volume to be unmounted")
    assert shared.docker("run", "--rm", "-v", "ram:/m", "busybox", "ls", "/m").stdout == ""
    shared.docker("volume", "rm", "ram")


def test_a_bound_volume_gets_what_the_image_has(shared, folder):
    shared.docker("volume", "create", "-o", "type=none", "-o", f"device={folder}", "-o", "o=bind", "there")
    shared.docker("run", "--rm", "-v", "there:/etc", "busybox", "touch", "/etc/made")
    assert (folder / "made").exists() and (folder / "passwd").exists()
    shared.docker("volume", "rm", "there")
    # Only the way there goes.
    assert (folder / "made").exists()
    shared.docker("run", "--rm", "--mount", f"type=volume,dst=/d,volume-opt=type=none,volume-opt=device={folder},volume-opt=o=bind",
                  "busybox", "touch", "/d/other")  # fmt: skip
    assert (folder / "other").exists()


def test_a_server_that_is_dead_holds_nothing_else_up(tmp_root, program, busybox_tar):
    """mount(8) is ours here, and never comes back for nfs."""
    tools = tmp_root / "tools"
    tools.mkdir()
    (tools / "mount").write_text(f"#!/bin/sh\necho $$ >>{tmp_root}/mounts\nexec sleep 1000\n")
    (tools / "mount").chmod(0o755)
    server = Daemon(tmp_root, program)
    server.environment["PATH"] = f"{tools}:{os.environ['PATH']}"
    server.start()
    server.docker("import", busybox_tar, "busybox:latest")
    server.docker("volume", "create", "-o", "type=nfs", "-o", "device=:/x", "-o", "o=addr=127.0.0.1", "dead")
    mount = "type=volume,src=dead,dst=/m,volume-nocopy"
    for name in ("first", "second"):
        server.docker("create", "--name", name, "--restart", "always", "--mount", mount, "busybox", "true")
    starts = [subprocess.Popen(["docker", "start", name], env=server.environment, stderr=subprocess.PIPE, text=True) for name in ("first", "second")]
    wait_for(lambda: (tmp_root / "mounts").exists(), "mount(8)")
    assert server.docker("run", "--rm", "busybox", "echo", "alive").stdout == "alive\n"
    server.docker("volume", "ls")
    server.docker("stop", "first", "second")
    for start in starts:
        assert start.wait(60) != 0
        assert "error while mounting volume" in start.stderr.read()
    server.docker("rm", "-f", "first", "second")
    server.docker("volume", "rm", "dead")
    # Nothing of it is left, even if it ends later.
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in (tmp_root / "mounts").read_text().split()), "the end of mount(8)")
    server.finish()


@pytest.mark.parametrize(
    "options,message",
    [
        (["-o", "nonsense=1"], 'invalid option: "nonsense"'),
        (["-o", "type=nfs"], 'missing required option: "device"'),
        (["-o", "o=bind", "-o", "type=none"], 'missing required option: "device"'),
        (["-o", "size=1g"], "quota size requested but no quota support"),
    ],
)
def test_wrong_volume_options(shared, options, message):
    run = shared.docker("volume", "create", *options, "wrong", check=False)
    assert run.returncode == 1 and message in run.stderr, run.stderr


def test_a_volume_that_cannot_be_mounted_is_the_start_error(shared):
    shared.docker("volume", "create", "-o", "type=none", "-o", "device=/nonexistent-here", "-o", "o=bind", "lost")
    run = shared.docker("run", "--rm", "-v", "lost:/m", "busybox", "true", check=False)
    assert run.returncode == 125 and "failed to mount local volume" in run.stderr, run.stderr
    assert shared.docker("ps", "-aq").stdout == ""
    shared.docker("volume", "rm", "lost")


def test_mounts_are_counted_anew_after_kill(daemon, busybox_tar):
    daemon.docker("import", "-c", 'CMD ["sh"]', busybox_tar, "busybox:latest")
    for name in ("kept", "unused"):
        daemon.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", name)
    daemon.docker("run", "-d", "--name", "user", "-v", "kept:/m", "busybox", "sleep", "1000")
    daemon.docker("run", "-d", "--name", "gone", "-v", "unused:/m", "busybox", "sleep", "1000")
    pid = daemon.inspect("gone")["State"]["Pid"]
    daemon.kill()
    os.kill(pid, 9)
    daemon.start()
    assert is_mounted(daemon, "kept")
    daemon.docker("wait", "gone", check=False)
    wait_for(lambda: not is_mounted(daemon, "unused"), "the volume of one that ended to be unmounted")
    daemon.docker("rm", "-f", "user", "gone")
    wait_for(lambda: not is_mounted(daemon, "kept"), "the volume to be unmounted")


def test_shared_memory_has_its_size(shared):
    shared.docker("run", "-d", "--name", "giver", "--ipc", "shareable", "--shm-size", "2m", "busybox", "sh", "-c",
                  "echo word >/dev/shm/f; sleep 1000")  # fmt: skip
    taken = shared.docker("run", "--rm", "--ipc", "container:giver", "busybox", "sh", "-c",
                          "cat /dev/shm/f; df -k /dev/shm | tail -n1")  # fmt: skip
    assert taken.stdout.split()[0] == "word" and taken.stdout.split()[2] == "2048", taken.stdout
    shared.docker("rm", "-f", "giver")
    wait_for(lambda: f"{shared.root}/x/shim" not in pathlib.Path("/proc/self/mountinfo").read_text(), "its mounts to go")


@pytest.fixture(scope="module")
def cdi(program, busybox_tar, tmp_path_factory):
    """An engine with CDI files of its own, for devices every machine has."""
    folder = tmp_path_factory.mktemp("cdi")
    root = pathlib.Path(tempfile.mkdtemp(prefix="kt-", dir="/tmp"))
    daemon = Daemon(root, program, options=["--cdi-spec-dir", str(folder)])
    daemon.start()
    daemon.docker("import", "-c", 'CMD ["sh"]', busybox_tar, "busybox:latest")
    edits = {"env": ["GPU_ALL=1"], "mounts": [{"hostPath": str(folder), "containerPath": "/vendor", "options": ["ro", "rbind"]}]}
    node = {"path": "/dev/given", "hostPath": "/dev/null", "permissions": "rw"}
    devices = [{"name": name, "containerEdits": {"deviceNodes": [node], "env": [f"GPU={name}"], "additionalGids": [77]}} for name in ("0", "1", "all")]
    (folder / "gpu.json").write_text(json.dumps({"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "containerEdits": edits, "devices": devices}))
    yield daemon
    daemon.finish()
    shutil.rmtree(root)


def test_devices_by_cdi(cdi):
    show = 'echo $GPU $GPU_ALL; id -G; ls /vendor; test -c /dev/given && echo x >/dev/given && echo writable'
    run = cdi.kist("run", "--rm", "--device", "nvidia.com/gpu=1", "busybox", "sh", "-c", show)
    assert run.stdout.split() == ["1", "1", "0", "77", "gpu.json", "writable"], run.stdout
    assert cdi.docker("run", "--rm", "--gpus", "all", "busybox", "sh", "-c", "echo $GPU").stdout == "all\n"
    assert cdi.docker("run", "--rm", "--gpus", "device=0", "busybox", "sh", "-c", "echo $GPU").stdout == "0\n"
    assert call(cdi, "GET", "/info")[1]["CDISpecDirs"][0].startswith("/")


def test_devices_that_cdi_does_not_know(cdi, shared):
    run = cdi.kist("run", "--rm", "--device", "nvidia.com/gpu=9", "busybox", "true", check=False)
    assert run.returncode == 125 and "unresolvable CDI devices nvidia.com/gpu=9" in run.stderr
    run = shared.docker("run", "--rm", "--gpus", "all", "busybox", "true", check=False)
    assert run.returncode == 125 and 'could not select device driver "" with capabilities: [[gpu]]' in run.stderr


def call(daemon, method, path, body=None):
    connection = http.client.HTTPConnection("localhost", timeout=120)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(daemon.socket))
    connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, json.loads(data) if data else None


def test_an_image_as_a_mount(daemon, busybox_tar):
    daemon.docker("import", "-c", 'CMD ["sh"]', busybox_tar, "busybox:latest")
    daemon.docker("run", "--name", "made", "busybox", "sh", "-c", "echo tool >/tool")
    daemon.docker("commit", "made", "tools:1")
    daemon.docker("rm", "made")
    mount = {"Type": "image", "Source": "tools:1", "Target": "/mnt/tools"}
    body = {"Image": "busybox", "Cmd": ["sh", "-c", "cat /mnt/tools/tool; touch /mnt/tools/x 2>/dev/null || echo read-only"],
            "HostConfig": {"Mounts": [mount]}}  # fmt: skip
    assert call(daemon, "POST", "/containers/create?name=user", body)[0] == 201
    # Its layers stay as long as somebody has them mounted, also over a kill.
    daemon.docker("rmi", "tools:1")
    daemon.kill()
    daemon.start()
    assert daemon.docker("start", "-a", "user").stdout == "tool\nread-only\n"
    (shown,) = daemon.inspect("user")["Mounts"]
    assert (shown["Type"], shown["Source"], shown["RW"]) == ("image", "tools:1", False)
    daemon.docker("rm", "user")
    assert call(daemon, "POST", "/containers/create", {**body, "HostConfig": {"Mounts": [{**mount, "Source": "absent"}]}})[0] == 404
    assert call(daemon, "POST", "/containers/create", {**body, "HostConfig": {"Mounts": [{**mount, "Source": ""}]}})[0] == 400
