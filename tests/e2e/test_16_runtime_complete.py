# SPDX-License-Identifier: Apache-2.0
"""kist-runtime: the rarer parts of the specification, and of the command lines of runc and crun."""
import fcntl
import json
import os
import pathlib
import socket
import struct
import subprocess
import threading

import pytest
from lib.runtime_box import Box, adopt_orphans
from lib.wait import wait_for


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
    group = f"/kist-e2e-exec-{box.root.name}"
    name = box.started(change=lambda s: s["linux"].update(cgroupsPath=group))
    below = [pathlib.Path(f"/sys/fs/cgroup/{c}{group}/sub") for c in ("pids", "memory")]
    for path in below:
        path.mkdir()
    seen = box.call("exec", "--cgroup", "pids,memory:sub", name, "cat", "/proc/self/cgroup").stdout
    assert f":pids:{group}/sub" in seen and f":memory:{group}/sub" in seen
    assert f":freezer:{group}\n" in seen
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
        wait_for(lambda: any(line["type"] == "stats" for line in lines), "statistics")
        box.call("exec", name, "sh", "-c", "x=$(dd if=/dev/zero bs=1M count=64 | tr '\\0' x)", check=False)
        wait_for(lambda: {"type": "oom", "id": name} in lines, "an oom event")
        box.delete(name)
        reader.join(60)
        assert events.wait(120) == 0


def test_no_processes_is_a_limit_of_one(box):
    group = f"/kist-e2e-pids-{box.root.name}"
    limit = f"/sys/fs/cgroup/pids{group}/pids.max" if v1("pids") else f"/sys/fs/cgroup{group}/pids.max"

    def change(spec):
        spec["linux"]["cgroupsPath"] = group
        spec["linux"]["resources"]["pids"] = {"limit": 0}

    box.started(change=change)
    assert pathlib.Path(limit).read_text() == "1\n"


def test_processes_of_what_has_ended(box):
    name = box.started(["true"])
    box.wait_status(name, "stopped")
    assert box.call("ps", name).stdout.count("\n") == 1
    assert box.call("ps", "--format", "json", name).stdout == "[]\n"


# ---- seccomp agents ----

NOTIF_RECV, NOTIF_SEND = 0xC0502100, 0xC0182101
MKDIR, ENOMEDIUM = {"x86_64": 83, "aarch64": 34}[os.uname().machine], 123
CONTINUE = 1


class Agent:
    """Answers mkdir with ENOMEDIUM, and lets every other call it is asked about go on."""

    def __init__(self, path):
        self.states = []
        self.calls = []
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen(4)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            with peer:
                data, fds, _, _ = socket.recv_fds(peer, 65536, 4)
                self.states.append((json.loads(data), len(fds), peer.recv(1)))
            threading.Thread(target=self.answer, args=(fds[0],), daemon=True).start()

    def answer(self, fd):
        while True:
            request = bytearray(80)
            try:
                fcntl.ioctl(fd, NOTIF_RECV, request)
                number = struct.unpack_from("=i", request, 16)[0]
                self.calls.append(number)
                denied = number == MKDIR
                reply = struct.pack("=Qqii", struct.unpack_from("=Q", request)[0], 0, -ENOMEDIUM if denied else 0,
                                    0 if denied else CONTINUE)
                fcntl.ioctl(fd, NOTIF_SEND, bytearray(reply))
            except OSError:
                os.close(fd)
                return


def notify(path, *names, nnp=True):
    def change(spec):
        spec["process"]["noNewPrivileges"] = nnp
        spec["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(path), "listenerMetadata": "some \"words\"",
            "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY"}]}

    return change


@pytest.mark.parametrize("nnp", [True, False])
def test_seccomp_agent(box, nnp):
    agent = Agent(box.root / "agent")
    # Also calls that every program and the runtime itself makes on its way.
    change = notify(box.root / "agent", "mkdir", "mkdirat", "writev", "sendmsg", "execve", "close", "futex", nnp=nnp)
    run = box.run(["mkdir", "/tmp/x"], change, check=False)
    assert "No medium found" in run.stderr and run.returncode == 1, run.stderr
    state, count, rest = agent.states[0]
    assert state["fds"] == ["seccompFd"] and count == 1 and rest == b""
    assert state["metadata"] == 'some "words"' and state["ociVersion"].startswith("1.")
    assert state["state"]["status"] == "creating" and state["state"]["pid"] == state["pid"] > 1
    assert MKDIR in agent.calls


def test_seccomp_agent_of_an_exec(box):
    agent = Agent(box.root / "agent")
    name = box.started(change=notify(box.root / "agent", "mkdir"))
    run = box.call("exec", name, "mkdir", "/tmp/x", check=False)
    assert "No medium found" in run.stderr
    assert [state["state"]["status"] for state, _, _ in agent.states] == ["creating", "running"]
    assert agent.states[1][0]["state"]["pid"] == box.pid(name) != agent.states[1][0]["pid"]


def test_seccomp_agent_must_be_there(box):
    run = box.run(["true"], notify(box.root / "nobody", "mkdir"), check=False)
    assert run.returncode == 1 and "failed to connect with seccomp agent" in run.stderr
    run = box.run(["true"], notify("", "mkdir"), check=False)
    assert run.returncode == 1 and "linux.seccomp.listenerPath must be set" in run.stderr
    assert box.call("list", "-q").stdout == ""


# ---- memory policy, network devices, labels ----


def memory_policy(**policy):
    return lambda s: s["linux"].update(memoryPolicy=policy)


@pytest.mark.skipif(not pathlib.Path("/proc/self/numa_maps").exists(), reason="needs a kernel with NUMA")
def test_memory_policy(box):
    script = "head -n 1 /proc/self/numa_maps | cut -d ' ' -f 2"
    assert box.sh(script, memory_policy(mode="MPOL_INTERLEAVE", nodes="0")) == "interleave:0\n"
    assert "static" in box.sh(script, memory_policy(mode="MPOL_BIND", nodes="0", flags=["MPOL_F_STATIC_NODES"]))
    for policy, words in [({"mode": "X"}, "linux.memoryPolicy.mode"), ({"mode": "MPOL_BIND"}, "at least 1 node"),
                          ({"mode": "MPOL_LOCAL", "nodes": "0-7"}, "mode requires 0 nodes but got 8"),
                          ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["Y"]}, "linux.memoryPolicy.flags[0]")]:
        run = box.run(["true"], memory_policy(**policy), check=False)
        assert run.returncode == 1 and words in run.stderr


def ip(*words):
    return subprocess.run(["ip", *words], text=True, capture_output=True, check=True).stdout


def test_network_devices(box):
    """In a network namespace of our own: the interface ends with the container."""
    script = f"""
        ip link add kistx type veth peer name kisty
        ip link set kistx mtu 1400 address 02:00:00:00:00:07
        ip address add 10.99.0.7/24 dev kistx
        ip address add 127.0.0.77 dev kistx
        exec {box.runtime} --root {box.state} run --bundle "$1" "$2"
    """

    def change(spec):
        spec["linux"]["netDevices"] = {"kistx": {"name": "inner%d"}}

    bundle = box.bundle(["ip", "address", "show"], change)
    run = subprocess.run(["unshare", "-n", "sh", "-euc", script, "sh", bundle, box.name()], text=True,
                         capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "inner0" in run.stdout and "mtu 1400" in run.stdout and "02:00:00:00:00:07" in run.stdout
    assert "10.99.0.7/24" in run.stdout and "127.0.0.77" not in run.stdout and "UP" in run.stdout.split("inner0")[1]


@pytest.mark.parametrize("devices,words", [({"kist-none": {}}, "link not found for interface kist-none"),
                                           ({"a/b": {}}, "invalid network device name"),
                                           ({"x": {"name": "a" * 16}}, "linux.netDevices.x.name")])
def test_bad_network_devices(box, devices, words):
    run = box.run(["true"], lambda s: s["linux"].update(netDevices=devices), check=False)
    assert run.returncode == 1 and words in run.stderr


@pytest.mark.skipif(pathlib.Path("/sys/fs/selinux/enforce").exists(), reason="needs a host without SELinux")
def test_labels_are_not_dropped_silently(box):
    label = "system_u:system_r:container_t:s0:c1,c2"
    run = box.run(["true"], lambda s: s["linux"].update(mountLabel=label), check=False)
    assert run.returncode == 1 and "linux.mountLabel" in run.stderr and "selinux" in run.stderr
    run = box.run(["true"], lambda s: s["process"].update(selinuxLabel=label), check=False)
    assert run.returncode == 1 and "process.selinuxLabel" in run.stderr


@pytest.mark.skipif(pathlib.Path("/sys/fs/resctrl/schemata").exists(), reason="needs a host without resctrl")
def test_resctrl_is_asked_for_in_vain(box):
    run = box.run(["true"], lambda s: s["linux"].update(intelRdt={"closID": "gold"}), check=False)
    assert run.returncode == 1 and "linux.intelRdt" in run.stderr and "not enabled" in run.stderr


def test_rdma_without_a_controller(box):
    rdma = {"mlx5_9": {"hcaHandles": 3}}
    run = box.run(["true"], lambda s: s["linux"]["resources"].update(rdma=rdma), check=False)
    assert run.returncode == 1 and "linux.resources.rdma.mlx5_9" in run.stderr


def test_idmap_of_a_joined_user_namespace(box):
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]

    def userns(spec):
        spec["linux"]["namespaces"].append({"type": "user"})
        spec["linux"].update(uidMappings=maps, gidMappings=maps)

    source = box.root / "owned"
    source.mkdir()
    os.chmod(box.root, 0o755)
    first = box.started(change=userns)

    def joined(spec):
        spec["linux"]["namespaces"].append({"type": "user", "path": f"/proc/{box.pid(first)}/ns/user"})
        spec["mounts"].append({"destination": "/tmp", "source": str(source), "options": ["bind", "idmap"]})

    assert box.sh("stat -c %u /tmp", joined) == "0\n"


# ---- readiness ----


class Systemd:
    """The other end of $NOTIFY_SOCKET: keeps what is said, and answers barriers."""

    def __init__(self, path):
        self.said = []
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.server.bind(str(path))
        self.env = {**os.environ, "NOTIFY_SOCKET": str(path)}
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.server, 4096, 4)
            self.said.append(data.decode())
            for fd in fds:
                os.close(fd)

    def words(self):
        return "".join(self.said)


# busybox has no way to send a datagram: the container's process stays, and a friend on the host speaks for it.
def speak(box, name, text):
    path = box.state / name / "notify/notify.sock"
    wait_for(path.exists, "the notify socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as us:
        us.sendto(text.encode(), str(path))


def test_readiness_goes_on_to_systemd(box):
    systemd = Systemd(box.root / "systemd")
    name = box.create(["sh", "-c", "echo $NOTIFY_SOCKET > /tmp/where; exec sleep 1000"], env=systemd.env)
    with subprocess.Popen([box.runtime, "--root", box.state, "start", name], env=systemd.env) as start:
        speak(box, name, "STATUS=warming up\nMAINPID=1\nFDSTORE=1")
        wait_for(lambda: "STATUS=warming up" in systemd.words(), "the status")
        assert start.poll() is None
        speak(box, name, "READY=1")
        assert start.wait(120) == 0
    wait_for(lambda: "BARRIER=1" in systemd.said, "the barrier")
    assert f"READY=1\nMAINPID={box.pid(name)}\n" in systemd.words()
    # The number that counts is ours; what concerns the service itself does not come through.
    assert "MAINPID=1\n" not in systemd.words() and "FDSTORE" not in systemd.words()
    assert box.call("exec", name, "cat", "/tmp/where").stdout == "/run/notify/notify.sock\n"
    assert box.call("exec", name, "ls", "/run/notify").stdout == "notify.sock\n"


def test_readiness_of_a_foreground_run(box):
    systemd = Systemd(box.root / "systemd")
    bundle, name = box.bundle(["sleep", "1000"]), box.name()
    words = [box.runtime, "--root", box.state, "run", "--bundle", bundle, name]
    with subprocess.Popen(words, env=systemd.env, stdin=subprocess.DEVNULL) as run:
        speak(box, name, "READY=1\n")
        wait_for(lambda: f"READY=1\nMAINPID={run.pid}\n" in systemd.words(), "readiness")
        speak(box, name, "WATCHDOG=1\n")
        wait_for(lambda: "WATCHDOG=1" in systemd.words(), "the watchdog")
        box.call("kill", name, "KILL")
        assert run.wait(120) == 137


def test_who_never_gets_ready_ends_the_start(box):
    systemd = Systemd(box.root / "systemd")
    name = box.create(["true"], env=systemd.env)
    box.call("start", name, env=systemd.env)
    assert "READY" not in systemd.words()


# ---- crun's commands and options ----


def test_mounts_of_a_running_container(box):
    source = box.root / "late"
    source.mkdir()
    (source / "file").write_text("hot\n")
    name = box.started()
    mounts = [{"destination": "/hot", "source": str(source), "options": ["bind", "ro"]},
              {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "nosuid"]}]
    file = box.root / "mounts.json"
    file.write_text(json.dumps({"mounts": mounts}))
    box.call("mounts", "add", name, file)
    assert box.call("exec", name, "cat", "/hot/file").stdout == "hot\n"
    assert "Read-only" in box.call("exec", name, "touch", "/hot/x", check=False).stderr
    assert "nosuid" in flags_of(box.call("exec", name, "grep", " /scratch ", "/proc/mounts").stdout)
    assert str(source) not in pathlib.Path("/proc/mounts").read_text()
    # An array alone is fine too.
    file.write_text(json.dumps(mounts))
    box.call("mounts", "remove", name, file)
    assert box.call("exec", name, "ls", "/hot", "/scratch").stdout.split() == ["/hot:", "/scratch:"]
    run = box.call("mounts", "remove", name, file, check=False)
    assert run.returncode == 1 and "nothing is mounted there" in run.stderr
    file.write_text(json.dumps([{"destination": "/x", "source": "/none-such", "options": ["bind"]}]))
    assert "No such file" in box.call("mounts", "add", name, file, check=False).stderr
    file.write_text("[]")
    assert "no mounts are in it" in box.call("mounts", "add", name, file, check=False).stderr
    assert "neither add nor remove" in box.call("mounts", "move", name, file, check=False).stderr


def test_mounts_do_not_leave_the_root(box):
    """A symlink of the container's leads to its own /etc, not to the host's."""
    name = box.started(["sh", "-c", "ln -s /../../etc /way; exec sleep 1000"])
    file = box.root / "mounts.json"
    file.write_text(json.dumps([{"destination": "/way/kist-e2e", "type": "tmpfs", "source": "tmpfs"}]))
    wait_for(lambda: box.call("exec", name, "test", "-L", "/way", check=False).returncode == 0, "the link")
    box.call("mounts", "add", name, file)
    assert " /etc/kist-e2e " in box.call("exec", name, "cat", "/proc/mounts").stdout
    assert not pathlib.Path("/etc/kist-e2e").exists()


def test_another_name_for_the_configuration(box):
    bundle = box.bundle(["echo", "one"])
    other = (bundle / "config.json").read_text().replace('"one"', '"two"')
    (bundle / "other.json").write_text(other)
    assert box.call("run", "--bundle", bundle, "--config", "other.json", box.name()).stdout == "two\n"
    (box.root / "third.json").write_text(other)
    assert box.call("run", "--bundle", bundle, "-f", box.root / "third.json", box.name()).stdout == "two\n"
    run = box.call("run", "--bundle", bundle, "-f", "none.json", box.name(), check=False)
    assert run.returncode == 1 and "JSON specification file none.json not found" in run.stderr


def test_regular_expressions_for_ids(box):
    first, second, third = (box.started() for _ in range(3))
    box.call("kill", "--regex", f"^({first}|{second})$", "KILL")
    box.wait_status(first, "stopped")
    box.wait_status(second, "stopped")
    assert box.status(third) == "running"
    box.call("delete", "--regex", f"{first[5:]}|{second[5:]}")
    assert box.call("list", "-q").stdout.split() == [third]
    assert "no regular expression" in box.call("delete", "--regex", "(", check=False).stderr


@pytest.mark.parametrize("option", ["--l3-cache-schema", "--mem-bw-schema"])
def test_update_of_what_was_not_asked_for(box, option):
    name = box.started()
    run = box.call("update", option, "L3:0=f", name, check=False)
    assert run.returncode == 1 and "non-existent Intel RDT configuration" in run.stderr
    assert "ignored" in box.call("update", "--kernel-memory", "1m", name).stderr


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_proc_is_not_replaced(box, kind):
    """Whoever wants another /proc gets an error: labels and sysctls would go into the fake."""
    def change(spec):
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/proc"]
        spec["mounts"].append({"destination": "/proc", "type": kind, "source": "/tmp", "options": ["rbind"] if kind == "bind" else []})

    run = box.run(["true"], change, check=False)
    assert run.returncode == 1 and "inside /proc" in run.stderr
    run = box.run(["true"], lambda s: s["mounts"].append({"destination": "/proc/x", "type": "tmpfs", "source": "t"}), check=False)
    assert run.returncode == 1 and "/proc/x" in run.stderr


def test_idmap_of_a_new_file_system(box):
    maps = [{"containerID": 0, "hostID": 300000, "size": 1000}]
    mount = {"destination": "/mapped", "type": "tmpfs", "source": "t", "options": ["idmap"], "uidMappings": maps,
             "gidMappings": maps}
    assert box.sh("stat -c %u /mapped", add_mount(**mount)) == "300000\n"


# ---- checkpoints ----


@pytest.mark.parametrize("command,flag", [("checkpoint", "--pre-dump"), ("restore", "--lsm-mount-context")])
def test_checkpoints_are_announced(box, command, flag):
    """Callers probe the help and the features."""
    assert flag in box.call(command, "--help").stdout
    annotations = json.loads(box.call("features").stdout)["annotations"]
    assert annotations["org.opencontainers.runc.checkpoint.enabled"] == "true"


# ---- namespaces of different owners ----


def test_user_namespace_and_a_network_of_the_host(box):
    """The network belongs to the host, the user namespace to another container: each is entered with who may."""
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]

    def userns(spec):
        spec["linux"]["namespaces"].append({"type": "user"})
        spec["linux"].update(uidMappings=maps, gidMappings=maps)

    first = box.started(change=userns)

    def joined(spec):
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "network"]
        spec["linux"]["namespaces"] += [{"type": "user", "path": f"/proc/{box.pid(first)}/ns/user"},
                                        {"type": "network", "path": "/proc/self/ns/net"}]
        spec["mounts"] = [m for m in spec["mounts"] if m["type"] != "sysfs" and m["destination"] != "/sys/fs/cgroup"]
        spec["linux"]["maskedPaths"] = spec["linux"]["readonlyPaths"] = []

    os.chmod(box.root, 0o755)
    name = box.started(change=joined)
    ours = os.readlink("/proc/self/ns/net")
    theirs = os.readlink(f"/proc/{box.pid(first)}/ns/user")
    seen = [box.call("exec", name, "readlink", f"/proc/self/ns/{kind}").stdout.strip() for kind in ("net", "user")]
    assert seen == [ours, theirs]


@pytest.mark.skipif(not v1("pids"), reason="needs cgroup v1")
def test_mounts_and_masks_in_the_groups_come_after_them(box):
    """The groups are shown when they are made, which is late: what lies in /sys/fs/cgroup comes after them all the same."""
    def change(spec):
        spec["linux"]["maskedPaths"] = ["/sys/fs/cgroup/pids/tasks", "/proc/keys"]
        spec["linux"]["readonlyPaths"] = ["/proc/sys"]
        spec["mounts"].append({"destination": "/sys/fs/cgroup/cpu/tasks", "type": "bind", "source": "/dev/null", "options": ["bind"]})

    out = box.sh("wc -c </sys/fs/cgroup/pids/tasks; wc -c </sys/fs/cgroup/cpu/tasks; wc -l </sys/fs/cgroup/memory/tasks;"
                 "wc -c </proc/keys; echo x >/proc/sys/kernel/domainname || echo fixed", change)
    assert out.split()[0] == "0" and out.split()[1] == "0" and int(out.split()[2]) >= 1 and out.split()[3:] == ["0", "fixed"], out


@pytest.mark.skipif(not v1("memory"), reason="needs cgroup v1")
@pytest.mark.parametrize("path", ["/sys", "/sys/fs", "/proc/../sys", "/"])
def test_groups_are_in_a_read_only_folder_above_them(box, path):
    """It is a copy of the mounts below that folder: of one without the groups, if these came later."""
    out = box.sh("wc -l </sys/fs/cgroup/memory/tasks; mkdir /sys/fs/cgroup/memory/x 2>&1 | grep -o Read-only",
                 lambda s: s["linux"].update(readonlyPaths=[path], maskedPaths=[]))
    assert int(out.split()[0]) >= 1 and out.split()[1:] == ["Read-only"], out


def test_hooks_have_all_capabilities(box):
    """The bounding set of the container is dropped early only if no hook runs with our privileges."""
    seen = box.root / "seen"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"grep CapBnd /proc/self/status >{seen}"]}
    box.run(["true"], lambda s: s.update(hooks={"createContainer": [hook]}))
    ours = next(line for line in open("/proc/self/status") if line.startswith("CapBnd"))
    assert seen.read_text() == ours


def test_events_tell_of_huge_pages_and_pressure(box):
    name = box.started(["sleep", "1000"])
    stats = json.loads(box.call("events", "--stats", name).stdout)["data"]
    for size, numbers in stats["hugetlb"].items():
        assert size[-2:] in ("KB", "MB", "GB") and set(numbers) == {"usage", "max", "failcnt"}
    if any(path.name.startswith("hugetlb.") for path in pathlib.Path("/sys/fs/cgroup").glob(f"*/{name}/hugetlb.*")):
        assert stats["hugetlb"]
    if pathlib.Path(f"/sys/fs/cgroup/{name}/cpu.pressure").exists():
        assert set(stats["cpu"]["psi"]["some"]) == {"avg10", "avg60", "avg300", "total"}
        assert stats["memory"]["psi"]["full"]["total"] >= 0 and stats["blkio"]["psi"]["some"]["avg10"] >= 0


def test_pids_limit_during_the_start_is_named(box):
    """A hook inside needs a process that the limit of the container refuses."""
    hook = {"path": "/bin/true", "args": ["true"]}
    run = box.call("run", "--bundle", box.bundle(["true"], lambda s: (
        s["linux"]["resources"].update(pids={"limit": 1}), s.update(hooks={"startContainer": [hook]}))), box.name(), check=False)
    assert run.returncode == 1 and "the pids limit of cgroup" in run.stderr, run.stderr


def test_rootless_takes_a_bool(box):
    for word in ("true", "false", "auto", "1", "F"):
        box.call("--rootless", word, "run", "--bundle", box.bundle(["true"]), box.name())
    refused = box.call("--rootless=maybe", "list", check=False)
    assert refused.returncode == 1 and "none of true, false and auto" in refused.stderr


def test_debug_does_not_write_into_the_terminal(box, tmp_root):
    """Without --log the debug lines go to standard error, which in the container is its terminal."""
    bundle = box.bundle(["echo", "only-this"], lambda s: s["process"].update(terminal=True))
    run = subprocess.run([box.runtime, "--debug", "--root", str(box.state), "run", "--bundle", bundle, box.name()],
                         capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
    assert run.stdout.split() == ["only-this"], run.stdout
    assert "level=debug" in run.stderr


def test_log_to_syslog(box):
    """crun's --log=syslog:NAME; /dev/log is that of a mount namespace of this test."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(box.root / "log"))
        listener.settimeout(60)
        subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c",
                        'mkdir "$1/dev" && mount -t tmpfs tmpfs "$1/dev" && : >"$1/dev/log" && : >"$1/dev/null" &&'
                        'mount --bind /dev/null "$1/dev/null" && mount --bind "$1/log" "$1/dev/log" && mount --move "$1/dev" /dev &&'
                        '"$2" --log=syslog:peer --root "$1/none" state nobody', "sh", str(box.root), box.runtime],
                       check=False, capture_output=True, timeout=120)
        message = listener.recv(4096).decode()
    assert message.startswith("<11>peer: ") and "does not exist" in message, message


def test_list_sweeps_abandoned_creates(box):
    """What a create that was killed left is nobody's: list takes it away."""
    name = box.name()
    folder = box.state / name
    folder.mkdir(parents=True, mode=0o711)
    (folder / "state.json").write_text(json.dumps({"ociVersion": "1.3.0", "id": name, "bundle": "/", "rootfs": "/", "created": "",
                                                   "cgroupPath": "/" + name, "unit": "", "pid": 0, "startTime": 0,
                                                   "creator": 2 ** 22 - 1, "creatorStart": 1, "owner": 0}))
    empty = box.state / box.name()
    empty.mkdir()
    os.utime(empty, (1, 1))
    fresh = box.state / box.name()
    fresh.mkdir()
    assert box.call("list", "-q").stdout.split() == [fresh.name]
    assert not folder.exists() and not empty.exists() and fresh.exists()
    fresh.rmdir()


def test_words_of_crun(box):
    crun = as_peer(box, "crun")
    def call(*words):
        return subprocess.run([crun, *words], capture_output=True, text=True, timeout=120, check=False)
    assert call("-V").stdout.startswith("crun version ")
    assert call("--usage").returncode == 0 and call("state", "--usage").returncode == 0
    assert call("spec", "-f", str(box.root / "spec.json")).returncode == 0
    assert json.loads((box.root / "spec.json").read_text())["process"]
    assert call("--root", str(box.state), "delete", "-r", "^none$").returncode == 0
    assert "unknown" not in call("--root", str(box.state), "create", "--no-subreaper", "-b", str(box.root / "none"), box.name()).stderr


def test_features_name_every_architecture(box):
    archs = json.loads(box.call("features").stdout)["linux"]["seccomp"]["archs"]
    assert {"SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB", "SCMP_ARCH_X86_64"} <= set(archs)
    assert len(archs) == len(set(archs)) == 23


def test_empty_list_of_seccomp_flags(box):
    """runc: none given means SPEC_ALLOW, an empty list means none."""
    def seccomp(**more):
        return lambda s: s["linux"].update(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO"}], **more})

    def flags(change):
        lines = box.call("--debug", "run", "--bundle", box.bundle(["true"], change), box.name()).stderr
        return lines.split("seccomp filter flags: ")[1].split('"')[0]
    assert flags(seccomp()) == "4" and flags(seccomp(flags=[])) == "0"
