# SPDX-License-Identifier: Apache-2.0
"""kist-runtime: what it tells people: `check`, errors with their cause, what is known of the end."""
import json
import pathlib

import pytest
from lib.runtime_box import Box, adopt_orphans


@pytest.fixture
def box(tmp_root, program, busybox_rootfs):
    adopt_orphans()
    it = Box(tmp_root, program("kist-runtime"), busybox_rootfs)
    yield it
    it.finish()


# ---- check ----


def findings(box, change=None, args=("true",)):
    bundle = box.bundle(list(args), change)
    run = box.call("check", "--format", "json", bundle, check=False)
    found = json.loads(run.stdout)
    assert run.returncode == any(f["level"] == "error" for f in found), run.stderr
    return {f["pointer"]: (f["level"], f["message"]) for f in found}


def test_check_of_a_good_bundle(box):
    found = findings(box)
    assert all(level == "warning" for level, _ in found.values()), found
    assert box.call("list", "-q").stdout == ""


def test_check_lists_everything_at_once(box):
    def change(spec):
        spec["ociVersion"] = "7"
        spec["hostname"] = "x"
        spec["process"].update(cwd="relative", env=["A=1", "broken"], apparmorProfile="none-such", args=["nonesuch"])
        spec["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_X", "soft": 1, "hard": 1}]
        spec["process"]["execCPUAffinity"] = {"final": "1-"}
        spec["root"]["path"] = "nowhere"
        spec["mounts"] += [{"destination": "/a", "source": "/none-such", "options": ["bind"]},
                           {"destination": "/b", "type": "bind", "source": "/tmp", "options": ["size=1"]},
                           {"destination": "/c"}]
        spec["hooks"] = {"poststop": [{"path": "relative"}, {"path": "/none-such", "timeout": 0}]}
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "uts"]
        spec["linux"]["namespaces"] += [{"type": "user", "path": "/proc/self/ns/net"}, {"type": "mount"}]
        spec["linux"]["sysctl"] = {"kernel.foo": "1", "net/ipv4/ip_forward": "1"}
        spec["linux"]["timeOffsets"] = {"monotonic": {"secs": 1}}
        spec["linux"]["devices"] = [{"path": "x", "type": "z", "major": 1, "minor": 1}]
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_WHAT"}
        spec["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND"}
        spec["linux"]["netDevices"] = {"a/b": {}}
        spec["linux"]["typo"] = 1

    found = findings(box, change)
    mounts = len(box.bundle and json.loads((box.root / "b1/config.json").read_text())["mounts"])
    for pointer in ("/ociVersion", "/hostname", "/process/cwd", "/process/env/1", "/process/rlimits/1", "/root/path",
                    "/process/execCPUAffinity/final", f"/mounts/{mounts - 3}/source", f"/mounts/{mounts - 2}/options",
                    f"/mounts/{mounts - 1}/type", "/hooks/poststop/0/path", "/hooks/poststop/1/path",
                    "/hooks/poststop/1/timeout", "/linux/namespaces/4/path", "/linux/namespaces/5",
                    "/linux/sysctl/kernel.foo", "/linux/timeOffsets", "/linux/devices/0/path", "/linux/devices/0/type",
                    "/linux/seccomp", "/linux/memoryPolicy", "/linux/netDevices"):
        assert found.get(pointer, ("nothing",))[0] == "error", (pointer, found)
    assert found["/linux/typo"] == ("warning", "unknown property, is ignored")


def test_check_of_the_form(box):
    def change(spec):
        spec["process"]["user"]["uid"] = -1
        spec["process"]["args"] = ["true", 7]
        spec["process"]["terminal"] = "yes"
        spec["mounts"][0]["options"] = "ro"
        spec["linux"]["resources"]["pids"] = {"limit": 1.5}
        spec["annotations"] = {"a/b~c": 1}
        del spec["root"]["path"]

    found = findings(box, change)
    assert found["/process/user/uid"][1] == "must not be negative"
    assert found["/process/args/1"][1] == "expected a string"
    assert found["/process/terminal"][1] == "expected true or false"
    assert found["/mounts/0/options"][1] == "expected an array of strings"
    assert found["/linux/resources/pids/limit"][1] == "expected a whole number"
    assert found["/annotations/a~1b~0c"][1] == "expected a string"
    assert found["/root/path"][1] == "is missing"


def test_check_finds_the_program_in_the_rootfs(box):
    assert "/process/args/0" in findings(box, args=["/bin/nonesuch"])
    assert "/process/args/0" in findings(box, args=["nonesuch"])
    assert "/process/args/0" not in findings(box, args=["/bin/true"])
    # A mount may bring it.
    mount = {"destination": "/opt", "type": "tmpfs", "source": "tmpfs"}
    assert "/process/args/0" not in findings(box, lambda s: s["mounts"].append(mount), args=["/opt/it"])


def test_check_text_and_failures(box):
    bundle = box.bundle(["nonesuch"])
    run = box.call("check", bundle, check=False)
    assert run.returncode == 1 and 'error   /process/args/0: "nonesuch"' in run.stdout
    (bundle / "config.json").write_text("{")
    run = box.call("check", bundle, check=False)
    assert run.returncode == 1 and "invalid JSON: line 1" in run.stderr
    assert "No such file" in box.call("check", box.root, check=False).stderr


# ---- the end ----


def state(box, name):
    return json.loads(box.call("state", name).stdout)


def test_state_tells_how_a_kept_container_ended(box):
    bundle, first, second = box.bundle(["sh", "-c", "exit 7"]), box.name(), box.name()
    assert box.call("run", "--keep", "--bundle", bundle, first, check=False).returncode == 7
    assert state(box, first)["exitStatus"] == 7 and "signal" not in state(box, first)
    assert state(box, first)["oomKilled"] is False
    bundle = box.bundle(["sh", "-c", "kill -9 $$"], lambda s: s["linux"].update(namespaces=[{"type": "mount"}], hostname=None))
    spec = json.loads((bundle / "config.json").read_text())
    del spec["hostname"]
    (bundle / "config.json").write_text(json.dumps(spec))
    assert box.call("run", "--keep", "--bundle", bundle, second, check=False).returncode == 137
    assert state(box, second)["signal"] == 9 and "exitStatus" not in state(box, second)


def test_state_reads_the_end_of_a_zombie(box):
    """Nobody has waited for it yet: it counts as stopped, and the kernel still knows."""
    adopt_orphans()
    name = box.create(["sh", "-c", "exit 3"])
    box.call("start", name)
    box.wait_status(name, "stopped")
    assert state(box, name)["exitStatus"] == 3
    assert "container not running" in box.call("kill", name, "KILL", check=False).stderr


@pytest.mark.skipif(not pathlib.Path("/sys/fs/cgroup/memory").is_dir(), reason="needs the v1 memory controller")
def test_state_tells_of_the_oom_killer(box):
    def change(spec):
        spec["linux"]["resources"]["memory"] = {"limit": 16 << 20, "swap": 16 << 20}

    bundle, name = box.bundle(["sh", "-c", "x=$(dd if=/dev/zero bs=1M count=64 | tr '\\0' x)"], change), box.name()
    assert box.call("run", "--keep", "--bundle", bundle, name, check=False).returncode != 0
    assert state(box, name)["oomKilled"] is True


# ---- learning a seccomp profile ----


def learn(box, file, args, **more):
    bundle = box.bundle(args)
    return box.call("run", "--seccomp-learn", file, "--bundle", bundle, box.name(), **more)


def test_seccomp_learn(box):
    file = box.root / "profile.json"
    assert learn(box, file, ["sh", "-c", "mkdir /tmp/x; echo done"]).stdout == "done\n"
    profile = json.loads(file.read_text())
    names = profile["syscalls"][0]["names"]
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO" and profile["syscalls"][0]["action"] == "SCMP_ACT_ALLOW"
    assert {"execve", "exit_group"} <= set(names) and {"mkdir", "mkdirat"} & set(names) and names == sorted(names)
    assert "symlink" not in names and len(profile["architectures"]) == 1

    # What was learned is enough to run it, and denies the rest.
    def use(spec):
        spec["linux"]["seccomp"] = profile

    assert box.sh("mkdir /tmp/x; echo done", use) == "done\n"
    assert "not permitted" in box.run(["ln", "-s", "a", "/tmp/b"], use, check=False).stderr
    # A second lesson is added.
    learn(box, file, ["ln", "-s", "a", "/tmp/b"])
    more = json.loads(file.read_text())["syscalls"][0]["names"]
    assert set(names) < set(more) and {"symlink", "symlinkat"} & set(more)


def test_seccomp_learn_sees_failures_and_signals(box):
    file = box.root / "profile.json"
    assert learn(box, file, ["sh", "-c", "exit 5"], check=False).returncode == 5
    assert "execve" in file.read_text()
    run = learn(box, box.root / "none/profile.json", ["true"], check=False)
    assert run.returncode == 1 and "--seccomp-learn: write" in run.stderr
    file.write_text("[]")
    run = learn(box, file, ["true"], check=False)
    assert run.returncode == 1 and "no profile to add to" in run.stderr and file.read_text() == "[]"
    run = box.call("run", "--detach", "--seccomp-learn", box.root / "x", box.name(), check=False)
    assert run.returncode == 1 and "not with --detach" in run.stderr
    # A container that cannot be made teaches nothing, and nobody waits for it.
    run = learn(box, box.root / "y", ["nonesuch"], check=False)
    assert run.returncode == 1 and "executable file not found" in run.stderr


# ---- why a program is not found ----


def test_the_file_in_path_that_cannot_be_executed(box):
    run = box.run(["script"], files={"bin/script": ("#!/bin/sh\n", 0o644)}, check=False)
    assert run.returncode == 1
    assert 'exec: "script": executable file not found in $PATH (/bin/script: permission denied)' in run.stderr
