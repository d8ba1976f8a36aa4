# SPDX-License-Identifier: Apache-2.0
"""kist-runtime: --trace, and what is done at once or left out for the sake of speed. No test measures time."""
import json
import os
import pathlib
import subprocess

import pytest
from lib.runtime_box import Box, adopt_orphans, reap
from lib.wait import wait_for


@pytest.fixture
def box(tmp_root, program, busybox_rootfs):
    adopt_orphans()
    it = Box(tmp_root, program("kist-runtime"), busybox_rootfs)
    yield it
    it.finish()


def steps_of(path):
    steps = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    assert steps == sorted(steps, key=lambda step: step["begin_us"])
    assert all(step["took_us"] >= 0 and step["begin_us"] >= 0 for step in steps)
    for side in ("host", "init"):
        # Without a gap: what is in no step would be time that nobody accounts for.
        mine = [step for step in steps if step["side"] == side]
        for one, next_one in zip(mine, mine[1:]):
            assert abs(one["begin_us"] + one["took_us"] - next_one["begin_us"]) < 0.2, (one, next_one)
    return {side: [step["step"] for step in steps if step["side"] == side] for side in ("host", "init")}


def test_trace_of_run(box):
    out = box.root / "trace"
    bundle = box.bundle(["true"])
    box.call("--trace", out, "run", "--bundle", bundle, box.name())
    steps = steps_of(out)
    assert {"config.json", "clone", "wait for init", "wait for execve", "the program", "delete"} <= set(steps["host"])
    assert {"clone", "namespaces", "mount /proc", "mount /dev/pts", "pivot_root", "privileges, filter"} <= set(steps["init"])


def test_trace_of_the_other_commands(box):
    out = box.root / "trace"
    bundle = box.bundle(["sleep", "1000"])
    name = box.name()
    words = [box.runtime, "--root", str(box.state), "--trace", str(out)]
    subprocess.run([*words, "create", "--bundle", bundle, name], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    steps = steps_of(out)
    assert "clone" in steps["host"] and "pivot_root" in steps["init"] and "the program" not in steps["host"]
    box.call("--trace", out, "start", name)
    assert "wait for execve" in steps_of(out)["host"]
    box.call("--trace", out, "exec", name, "true")
    steps = steps_of(out)
    assert "clone" in steps["host"] and "user, program" in steps["init"]


def test_trace_of_a_failure(box):
    """What was done until then is told; the error is as without it."""
    out = box.root / "trace"
    bundle = box.bundle(["/no/such/program"])
    run = box.call("--trace", out, "run", "--bundle", bundle, box.name(), check=False)
    assert run.returncode == 1 and "no such file or directory" in run.stderr
    assert "pivot_root" in steps_of(out)["init"]


def test_trace_to_nowhere(box):
    run = box.call("--trace", "/no/such/folder/t", "run", "--bundle", box.bundle(["true"]), box.name(), check=False)
    assert run.returncode == 1 and "--trace: open /no/such/folder/t" in run.stderr
    assert not list(box.state.glob("t-*"))


@pytest.mark.usefixtures("plain")
def test_starts_in_512_kib(box):
    """What init does counts against the container's memory: it must not take much."""
    def change(spec):
        spec["linux"]["resources"]["memory"] = {"limit": 512 * 1024}

    for _ in range(5):
        assert box.run(["true"], change).returncode == 0


@pytest.mark.usefixtures("plain")
def is_sealed(box, pid):
    """On the read-only mount, and nothing mapped from elsewhere: /proc/PID/map_files leads to files too."""
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    return (bool(os.statvfs(f"/proc/{pid}/exe").f_flag & os.ST_RDONLY) and "r-xp" in maps
            and str(pathlib.Path(box.runtime).resolve()) not in maps)


def test_init_runs_from_a_readonly_mount(box):
    """The decision 0020: without a second execve too, our file cannot be written through /proc/PID/exe."""
    name = box.create(["sleep", "1000"])
    assert is_sealed(box, box.pid(name))
    box.call("delete", "--force", name)


def test_the_runtime_runs_from_a_readonly_mount(box):
    """Where the container sees it too: in the host's pid namespace."""
    def change(spec):
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]

    with subprocess.Popen([box.runtime, "--root", str(box.state), "run", "--bundle", box.bundle(["sleep", "1000"], change), name := box.name()],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        try:
            box.wait_status(name, "running")
            assert is_sealed(box, run.pid)
            # Arguments and environment are where they were.
            assert pathlib.Path(f"/proc/{run.pid}/cmdline").read_bytes().split(b"\0")[3] == b"run"
        finally:
            box.call("kill", name, "KILL", check=False)
            run.wait(60)


def test_the_runtime_stays_in_its_network(box):
    """The host side makes the network namespace, and comes back from it."""
    with subprocess.Popen([box.runtime, "--root", str(box.state), "run", "--bundle", box.bundle(["sleep", "1000"]), name := box.name()],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        box.wait_status(name, "running")
        ours = os.readlink("/proc/self/ns/net")
        assert os.readlink(f"/proc/{run.pid}/ns/net") == ours
        assert os.readlink(f"/proc/{box.pid(name)}/ns/net") != ours
        box.call("kill", name, "KILL")
        run.wait(60)


def test_lo_is_up_and_sys_is_of_the_namespace(box):
    out = box.sh("cat /sys/class/net/lo/flags; ls /sys/class/net; cat /proc/net/dev | wc -l")
    flags, *names = out.split()
    assert int(flags, 16) & 1 and names[0] == "lo" and names[1:] == ["3"], out


def test_run_does_not_delete_another_of_its_name(box):
    """`run` keeps hold of what it made: what somebody else made of the same name meanwhile is not its own."""
    with subprocess.Popen([box.runtime, "--root", str(box.state), "run", "--bundle", box.bundle(["sleep", "1000"]), name := box.name()],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        box.wait_status(name, "running")
        os.kill(run.pid, 19)  # SIGSTOP: it cannot clean up yet
        box.call("kill", name, "KILL")
        pid = run.pid
        wait_for(lambda: box.status(name) == "stopped", what="the end of the first")
        box.call("delete", name)
        again = box.bundle(["sleep", "1000"])
        box.call("run", "-d", "--bundle", again, name, capture_output=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.kill(pid, 18)
        assert run.wait(60) == 137
    assert box.status(name) == "running"
    box.call("kill", name, "KILL")
    reap()


def test_a_full_group_of_v1_is_refused_and_stays(box):
    """The groups are made while init lives already: a refusal ends it, and takes away only what was made."""
    name = box.started()
    group = pathlib.Path("/proc/self/cgroup").read_text()
    if "pids" not in group:
        pytest.skip("this host has cgroup v2")
    path = json.loads((box.state / name / "state.json").read_text())["cgroupPath"]
    run = box.run(["true"], lambda spec: spec["linux"].update(cgroupsPath=path), check=False)
    assert run.returncode == 1 and "not empty" in run.stderr
    assert box.status(name) == "running"
    assert str(box.pid(name)) in pathlib.Path(f"/sys/fs/cgroup/pids{path}/cgroup.procs").read_text().split()


@pytest.mark.parametrize("what, change", [
    ("rlimit", lambda spec: spec["process"].update(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 1 << 40}])),
    ("mount", lambda spec: spec["mounts"].insert(0, {"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]})),
    ("limit", lambda spec: spec["linux"]["resources"].update(cpu={"cpus": "4000"})),
])
def test_failures_on_either_side(box, what, change):
    """Both sides work at the same time: whichever fails first says why, and nothing is left."""
    run = box.run(["true"], change, check=False)
    wanted = {"rlimit": "rlimit", "mount": "/no/such", "limit": "cpuset"}[what]
    assert run.returncode == 1 and wanted in run.stderr, run.stderr
    assert not [path for name in box.names for path in pathlib.Path("/sys/fs/cgroup").glob(f"*/{name}")]
    assert not list(box.state.glob("t-*"))
