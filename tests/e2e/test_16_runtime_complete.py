# SPDX-License-Identifier: Apache-2.0
"""kist-runtime: the rarer parts of the specification, and of the command lines of runc and crun."""
import json
import os
import pathlib
import subprocess
import threading

import pytest
from lib.runtime_box import Box, adopt_orphans, wait_for


@pytest.fixture
def box(tmp_root, program, busybox_rootfs):
    adopt_orphans()
    it = Box(tmp_root, program("kist-runtime"), busybox_rootfs)
    yield it
    it.finish()


def as_peer(box, name):
    """The program under the name of a peer."""
    path = box.root / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(box.runtime)
    return path


def add_mount(**mount):
    return lambda s: s["mounts"].append(mount)


# ---- names ----


@pytest.mark.parametrize("name", ["runc", "crun"])
def test_answers_to_the_names_of_peers(box, name):
    peer = as_peer(box, name)
    lines = subprocess.run([peer, "--version"], text=True, capture_output=True, check=True).stdout.splitlines()
    assert lines[0].startswith(f"{name} version 1.") and "kist" in lines[0] and lines[1].startswith("commit: ")
    help_text = subprocess.run([peer, "exec", "-h"], text=True, capture_output=True, check=True).stdout
    assert help_text.startswith(f"NAME:\n   {name} exec - ") and "--preserve-fds" in help_text
    unknown = subprocess.run([peer, "fly", "-h"], text=True, capture_output=True, check=False)
    assert unknown.returncode == 1 and "No help topic for 'fly'" in unknown.stderr


def test_runc_logs_as_logrus(box):
    peer = as_peer(box, "runc")
    log = box.root / "log"
    run = subprocess.run([peer, "--root", box.state, "state", "none"], text=True, capture_output=True, check=False)
    assert run.returncode == 1 and run.stderr.startswith("time=") and " level=error msg=" in run.stderr
    run = subprocess.run([peer, "--root", box.state, "--log", log, "--log-format", "json", "state", "none"], text=True,
                         capture_output=True, check=False)
    assert run.returncode == 1 and run.stderr == "container does not exist: none\n"
    assert json.loads(log.read_text())["msg"] == "container does not exist: none"
    # A state folder that was named must be there.
    run = subprocess.run([peer, "--root", box.root / "nowhere", "list"], text=True, capture_output=True, check=False)
    assert run.returncode == 1 and "no such file or directory" in run.stderr


def test_debug_tells_the_steps(box):
    log = box.root / "log"
    bundle = box.bundle(["true"])
    box.call("--debug", "--log", log, "run", "--bundle", bundle, box.name())
    assert "level=debug" in log.read_text() and "child process in init()" in log.read_text()
    assert "level=debug" in box.call("--debug", "run", "--bundle", bundle, box.name()).stderr


# ---- processes ----


def allowed_cpus():
    return sorted(os.sched_getaffinity(0))


CPUS = "grep Cpus_allowed_list: /proc/self/status"


@pytest.mark.skipif(len(allowed_cpus()) < 2, reason="needs two processors")
def test_affinity(box):
    first, second = allowed_cpus()[:2]
    everything = box.sh(CPUS)
    # What the caller may run on is not handed down.
    bundle = box.bundle(["sh", "-c", CPUS])
    one = subprocess.run(["taskset", "-c", str(first), box.runtime, "--root", box.state, "run", "--bundle", bundle,
                          box.name()], text=True, capture_output=True, check=True)
    assert one.stdout == everything
    affinity = {"initial": str(first), "final": str(second)}
    name = box.started(change=lambda s: s["process"].update(execCPUAffinity=affinity))
    assert box.call("exec", name, "sh", "-c", CPUS).stdout.split()[1] == str(second)
    process = box.root / "p.json"
    process.write_text(json.dumps({"args": ["sh", "-c", CPUS], "cwd": "/", "execCPUAffinity": {"final": str(first)}}))
    assert box.call("exec", "--process", process, name).stdout.split()[1] == str(first)
    process.write_text(json.dumps({"args": ["true"], "cwd": "/", "execCPUAffinity": {"final": "0,x"}}))
    assert "process.execCPUAffinity.final" in box.call("exec", "--process", process, name, check=False).stderr


def test_start_hooks_have_the_privileges_of_the_process(box):
    """startContainer runs a program of the image: as the container's user, without the runtime's capabilities."""
    script = "echo hook $(id -u) $(grep CapEff /proc/self/status) $ONE > /tmp/seen"

    def change(spec):
        spec["process"]["user"] = {"uid": 33, "gid": 33}
        spec["process"]["env"].append("ONE=1")
        spec["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}

    assert box.sh("cat /tmp/seen", change).split() == ["hook", "33", "CapEff:", "0000000000000000", "1"]


def test_create_container_hooks_stand_in_the_root(box):
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "touch ./made-by-hook"]}
    assert box.sh("ls /made-by-hook", lambda s: s.update(hooks={"createContainer": [hook]})) == "/made-by-hook\n"


def test_foreground_terminal_does_not_add_carriage_returns(box):
    bundle = box.bundle(["sh", "-c", "test -t 1 && printf 'a\\nb\\n'"], lambda s: s["process"].update(terminal=True))
    run = box.call("run", "--bundle", bundle, box.name(), stdin=subprocess.DEVNULL)
    assert run.stdout == "a\nb\n"


# ---- mounts ----


def flags_of(text):
    return set(text.split()[3].split(","))


def test_a_bind_with_flags_has_these_and_no_others(box):
    """As in runc and crun; a bind without flags has those of its source."""
    folder = box.root / "source"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,noexec", "none", folder], check=True)
    try:
        look = "grep ' /mnt ' /proc/mounts"
        plain = flags_of(box.sh(look, add_mount(destination="/mnt", source=str(folder), options=["bind"])))
        assert {"rw", "nosuid", "noexec"} <= plain
        asked = flags_of(box.sh(look, add_mount(destination="/mnt", source=str(folder), options=["bind", "ro"])))
        assert "ro" in asked and not {"nosuid", "noexec"} & asked
    finally:
        subprocess.run(["umount", folder], check=True)


def test_tmpfs_takes_the_mode_of_the_folder_it_covers(box):
    tmpfs = {"type": "tmpfs", "source": "tmpfs", "destination": "/covered"}
    bundle = box.bundle(["stat", "-c", "%a", "/covered"], lambda s: s["mounts"].append({**tmpfs, "options": ["rw"]}))
    (bundle / "rootfs/covered").mkdir()
    (bundle / "rootfs/covered").chmod(0o710)
    assert box.call("run", "--bundle", bundle, box.name()).stdout == "710\n"
    assert box.sh("stat -c %a /covered", add_mount(**tmpfs, options=["mode=1500"])) == "1500\n"
    assert box.sh("stat -c %a /covered", add_mount(**tmpfs)) == "1777\n"


def test_sources_in_the_root_are_what_earlier_mounts_made_of_it(box):
    source = box.root / "a"
    source.mkdir()
    (source / "file").write_text("from a\n")
    bundle = box.bundle(["cat", "/final/file"])
    config = json.loads((bundle / "config.json").read_text())
    inside = str(bundle / "rootfs/first")
    config["mounts"] += [{"destination": "/first", "source": str(source), "options": ["bind"]},
                         {"destination": "/final", "source": inside, "options": ["rbind"]}]
    (bundle / "config.json").write_text(json.dumps(config))
    assert box.call("run", "--bundle", bundle, box.name()).stdout == "from a\n"
    # The same with an id map, which only the host side can make.
    maps = [{"containerID": 0, "hostID": 77, "size": 10}]
    config["mounts"][-1].update(options=["bind", "idmap"], uidMappings=maps, gidMappings=maps)
    config["process"]["args"] = ["stat", "-c", "%u", "/final/file"]
    (bundle / "config.json").write_text(json.dumps(config))
    assert box.call("run", "--bundle", bundle, box.name()).stdout == "77\n"


def test_no_pivot_leaves_no_bare_proc(box):
    """A user namespace may mount a new proc only where a whole one can be seen: the host's must not be."""
    def change(spec):
        for kind in ("bounding", "effective", "permitted"):
            spec["process"]["capabilities"][kind] += ["CAP_SETFCAP", "CAP_SYS_ADMIN"]

    script = "unshare -mrpf sh -c 'mount -t proc none /proc' 2>&1; echo $?"
    bundle = box.bundle(["sh", "-c", script], change)
    run = box.call("run", "--no-pivot", "--bundle", bundle, box.name())
    assert "ermission denied" in run.stdout or "not permitted" in run.stdout, run.stdout
    assert pathlib.Path("/proc/self/status").exists()


def test_without_a_mount_namespace(box):
    def change(spec):
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "mount"]
        spec["linux"]["maskedPaths"] = spec["linux"]["readonlyPaths"] = []
        spec["mounts"] = []

    # In a namespace that ends: the mounts on the root would stay.
    bundle = box.bundle(["ls", "/bin/busybox"], change)
    run = subprocess.run(["unshare", "-m", box.runtime, "--root", box.state, "run", "--bundle", bundle, box.name()],
                         text=True, capture_output=True, check=False)
    assert run.returncode == 0 and run.stdout == "/bin/busybox\n", run.stderr


# ---- control groups ----


def v1(controller):
    return pathlib.Path("/sys/fs/cgroup", controller).is_dir()


@pytest.mark.skipif(not v1("pids"), reason="needs cgroup v1")
def test_exec_into_groups_by_controller(box):
    name = box.started(change=lambda s: s["linux"].update(cgroupsPath="/kist-e2e-exec"))
    below = [pathlib.Path("/sys/fs/cgroup", c, "kist-e2e-exec/sub") for c in ("pids", "memory")]
    for path in below:
        path.mkdir()
    seen = box.call("exec", "--cgroup", "pids,memory:sub", name, "cat", "/proc/self/cgroup").stdout
    assert ":pids:/kist-e2e-exec/sub" in seen and ":memory:/kist-e2e-exec/sub" in seen
    assert ":freezer:/kist-e2e-exec\n" in seen
    for option, words in {"..": "bad sub cgroup path", "none": "no such file or directory",
                          "cpu:none": "no such file or directory", "whaat:/": "unknown controller",
                          ":x": "empty <controller> prefix"}.items():
        assert words in box.call("exec", "--cgroup", option, name, "true", check=False).stderr


@pytest.mark.skipif(not v1("memory"), reason="needs cgroup v1")
def test_events_tell_of_lack_of_memory(box):
    def change(spec):
        spec["linux"]["resources"]["memory"] = {"limit": 16 << 20, "swap": 16 << 20}

    name = box.started(["sh", "-c", "sleep 1000"], change)
    lines = []
    words = [box.runtime, "--root", box.state, "events", "--interval", "100ms", name]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as events:
        reader = threading.Thread(target=lambda: lines.extend(map(json.loads, events.stdout)))
        reader.start()
        wait_for(lambda: any(line["type"] == "stats" for line in lines), 10, "statistics")
        box.call("exec", name, "sh", "-c", "x=$(dd if=/dev/zero bs=1M count=64 | tr '\\0' x)", check=False)
        wait_for(lambda: {"type": "oom", "id": name} in lines, 10, "an oom event")
        box.delete(name)
        reader.join(10)
        assert events.wait(10) == 0


def test_no_processes_is_a_limit_of_one(box):
    limit = "/sys/fs/cgroup/pids/kist-e2e-pids/pids.max" if v1("pids") else "/sys/fs/cgroup/kist-e2e-pids/pids.max"

    def change(spec):
        spec["linux"]["cgroupsPath"] = "/kist-e2e-pids"
        spec["linux"]["resources"]["pids"] = {"limit": 0}

    box.started(change=change)
    assert pathlib.Path(limit).read_text() == "1\n"


def test_processes_of_what_has_ended(box):
    name = box.started(["true"])
    box.wait_status(name, "stopped")
    assert box.call("ps", name).stdout.count("\n") == 1
    assert box.call("ps", "--format", "json", name).stdout == "[]\n"
