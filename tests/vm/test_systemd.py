# SPDX-License-Identifier: Apache-2.0
"""kist-runtime --systemd-cgroup on a machine whose PID 1 is Debian's systemd: cgroup v2, hybrid, v1."""
import json
import os
import pathlib
import shutil

import pytest

import vm

BUILD = pathlib.Path(os.environ.get("KIST_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build"))
RUNTIME = BUILD / "src" / "runtime" / "kist-runtime"
HELPER = BUILD / "src" / "systemd" / "kist-systemd-scope"


def spec(args, path="kist-vm.slice:kist:c1", user=None, mount="ro", hooks=None, annotations=None, **resources):
    """A small config.json; the device rules are those of every container."""
    kinds = ["pid", "network", "mount", "ipc", "uts", "cgroup"] + (["user"] if user else [])
    mapping = [{"containerID": 0, "hostID": user, "size": 1000}] if user else []
    return json.dumps({
        "ociVersion": "1.0.2",
        "process": {"args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "hooks": hooks or {},
        "annotations": annotations or {},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [mount, "nosuid"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            "uidMappings": mapping,
            "gidMappings": mapping,
            "cgroupsPath": path,
            "resources": {"devices": [{"allow": False, "access": "rwm"}], **resources},
        },
    })


PRELUDE = """#!/bin/busybox sh
# r runs our runtime; fail says why; the bundle is /tmp/b.
r() { kist-runtime --root /tmp/state --systemd-cgroup "$@"; }
fail() { echo "FAILED: $*"; exit 1; }
has() { case "$1" in *"$2"*) ;; *) fail "no $2 in: $1" ;; esac; }
show() { systemctl show "$1" -p "$2" --value; }
config() { mkdir -p /tmp/b && cat > /tmp/b/config.json; }
# running WORDS: processes whose command line holds these
running() { for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q "$1" && echo ${p#/proc/}; done; }
gone() {
    for i in $(seq 600); do [ "$(show $1 LoadState)" = not-found ] && break; sleep 0.1; done
    [ "$(show $1 ActiveState)" = inactive ] || fail "unit $1 is $(show $1 ActiveState)"
    [ "$(show $1 LoadState)" = not-found ] || fail "unit $1 is still loaded"
    [ -z "$(find /sys/fs/cgroup -name $1)" ] || fail "cgroup of $1 is left"
    [ -z "$(ls /tmp/state 2>/dev/null)" ] || fail "state is left: $(ls /tmp/state)"
}
rm -rf /tmp/b /tmp/state
mkdir -p /tmp/b/rootfs/bin /tmp/b/rootfs/proc /tmp/b/rootfs/dev /tmp/b/rootfs/sys/fs/cgroup
cp /bin/busybox /tmp/b/rootfs/bin/
for name in sh cat dd sleep true echo head mkdir ls; do ln -sf busybox /tmp/b/rootfs/bin/$name; done
"""


def script(config, body):
    return f"{PRELUDE}config <<'CONFIG'\n{config}\nCONFIG\n{body}\nexit 0\n"


HANGING = {"createRuntime": [{"path": "/bin/busybox", "args": ["sleep", "1000"]}]}
SLEEP = ["/bin/sleep", "1000"]
TESTS = {
    "limits": script(
        spec(["/bin/sh", "-c", "cd /sys/fs/cgroup; for f in memory.max memory.swap.max memory.low pids.max cpu.max"
                               " cpu.weight cpuset.cpus; do echo $f=$(cat $f); done; cat cgroup.procs | head -n 9"],
             memory={"limit": 33554432, "swap": 50331648, "reservation": 16777216}, pids={"limit": 17},
             cpu={"shares": 1024, "quota": 25000, "period": 50000, "cpus": "0"}),
        """out=$(r run -b /tmp/b c1) || fail "run"
for line in memory.max=33554432 memory.swap.max=16777216 memory.low=16777216 pids.max=17 "cpu.max=25000 50000" \\
    cpu.weight=100 cpuset.cpus=0; do has "$out" "$line"; done
gone kist-c1.scope"""),
    "life": script(
        spec(SLEEP, memory={"limit": 33554432}, pids={"limit": 9}, annotations={
            "org.systemd.property.TimeoutStopUSec": "uint64 7000000", "org.systemd.property.Documentation": "['man:a(1)']",
            "org.systemd.property.SendSIGHUP": "true"}),
        """r create -b /tmp/b --pid-file /tmp/pid c1 >/dev/null 2>&1 </dev/null || fail "create"
pid=$(cat /tmp/pid)
for pair in ActiveState=active Slice=kist-vm.slice MemoryMax=33554432 TasksMax=9 Delegate=yes DevicePolicy=strict \\
    TimeoutStopUSec=7s SendSIGHUP=yes "Description=kist container c1"; do
    [ "$(show kist-c1.scope ${pair%%=*})" = "${pair#*=}" ] || fail "$pair is $(show kist-c1.scope ${pair%%=*})"
done
has "$(show kist-c1.scope Documentation)" "man:a(1)"
group=/sys/fs/cgroup$(show kist-c1.scope ControlGroup)
[ "$(cat $group/cgroup.procs)" = "$pid" ] || fail "others are in the group: $(cat $group/cgroup.procs), not $pid"
[ "$group" = /sys/fs/cgroup/kist.slice/kist-vm.slice/kist-c1.scope ] || fail "$group"
r start c1 || fail start
r update --memory 67108864 --pids-limit 11 --cpu-quota 30000 --cpu-period 100000 c1 || fail update
[ "$(cat $group/memory.max) $(cat $group/pids.max) $(cat $group/cpu.max)" = "67108864 11 30000 100000" ] || fail "files"
[ "$(show kist-c1.scope MemoryMax) $(show kist-c1.scope CPUQuotaPerSecUSec)" = "67108864 300ms" ] || fail "properties"
systemctl daemon-reload
[ "$(cat $group/memory.max) $(cat $group/pids.max)" = "67108864 11" ] || fail "systemd put its limits back"
has "$(r exec c1 cat /proc/self/cgroup)" "0::/"
r pause c1 && [ "$(r state c1 | grep -c paused)" = 1 ] || fail pause
r resume c1 || fail resume
r kill c1 KILL
for i in $(seq 600); do r state c1 | grep -q stopped && break; sleep 0.1; done
r delete c1 || fail delete
gone kist-c1.scope"""),
    "one_pid": script(spec(["/bin/true"], pids={"limit": 1}), """r run -b /tmp/b c1 || fail "with a limit of one process"
gone kist-c1.scope"""),
    "memory": script(
        spec(["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"], memory={"limit": 16777216, "swap": 16777216}),
        """r run -b /tmp/b c1
[ $? = 137 ] || fail "was not killed for its memory"
gone kist-c1.scope
r run -b /tmp/b c1
[ $? = 137 ] || fail "the same unit again\""""),
    "devices": script(
        spec(["/bin/sh", "-c", "echo x > /dev/null && echo works; cat < /dev/mem | head -c 1 || true; cat < /dev/kmsg"]),
        """mknod /tmp/b/rootfs/kmsg c 1 11; sed -i 's|/dev/kmsg|/kmsg|' /tmp/b/config.json
out=$(r run -b /tmp/b c1 2>&1); has "$out" works; has "$out" "not permitted"; gone kist-c1.scope"""),
    "killed_create": script(spec(SLEEP, hooks=HANGING), """r create -b /tmp/b c1 >/dev/null 2>&1 </dev/null &
creator=$!
for i in $(seq 600); do [ "$(running 'sleep 1000')" ] && break; sleep 0.1; done
[ "$(show kist-c1.scope ActiveState)" = active ] || fail "no unit"
kill -9 $(running 'kist-runtime.*[c]reate'); wait $creator
kill -9 $(running '[s]leep 1000')
r delete --force c1 || fail delete
gone kist-c1.scope"""),
    "failed_create": script(spec(["/bin/nonesuch"]), """out=$(r run -b /tmp/b c1 2>&1) && fail "ran"
has "$out" nonesuch
gone kist-c1.scope"""),
    "delegation": script(
        spec(["/bin/sh", "-c", "cd /sys/fs/cgroup; mkdir below && echo made; echo $$ > below/cgroup.procs && echo moved;"
                               " echo 9 > memory.max || echo not mine; ls -ln | head -n 3"], user=200000, mount="rw",
             memory={"limit": 33554432}),
        """chmod 755 /tmp/b; chown -R 200000:200000 /tmp/b/rootfs
out=$(r run -b /tmp/b c1 2>&1); echo "$out"
has "$out" made; has "$out" moved; has "$out" "not mine"
gone kist-c1.scope"""),
    "names": script(
        spec(SLEEP), """for path in "a:b" "/a/b" "a/b.slice:c:d" "x:y:z" "--.slice:a:b" ":a:"; do
    sed -i "s|\\"cgroupsPath\\": \\"[^\\"]*\\"|\\"cgroupsPath\\": \\"$path\\"|" /tmp/b/config.json
    out=$(r create -b /tmp/b c1 2>&1 </dev/null) && fail "took $path"
    has "$out" linux.cgroupsPath
done
sed -i "s|\\"cgroupsPath\\": \\"[^\\"]*\\"|\\"cgroupsPath\\": \\"::plain\\"|" /tmp/b/config.json
r create -b /tmp/b c1 >/dev/null 2>&1 </dev/null || fail "::plain"
[ "$(show plain.scope Slice)" = system.slice ] || fail "default slice"
r create -b /tmp/b c2 >/tmp/out 2>&1 </dev/null && fail "two containers in one unit"
has "$(cat /tmp/out)" plain.scope
r delete --force c1
gone plain.scope
mv /usr/libexec/kist/kist-systemd-scope /usr/libexec/kist/x
out=$(r create -b /tmp/b c1 2>&1 </dev/null) && fail "without the helper"
mv /usr/libexec/kist/x /usr/libexec/kist/kist-systemd-scope
has "$out" "kist-systemd-scope is not installed"
gone plain.scope"""),
    "user": script(
        spec(["/bin/sh", "-c", "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"], path="", memory={"limit": 33554432},
             pids={"limit": 17}),
        """mkdir -p /run/user/1000; chown 1000:1000 /run/user/1000; chmod 700 /run/user/1000
systemctl start user@1000.service || fail "the user's systemd"
sed -i 's|"uidMappings": \\[\\]|"uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]|;
  s|"gidMappings": \\[\\]|"gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]|;
  s|{"type": "pid"}|{"type": "pid"}, {"type": "user"}|' /tmp/b/config.json
chown -R 1000:1000 /tmp/b
as() { XDG_RUNTIME_DIR=/run/user/1000 /usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
out=$(as kist-runtime --root /run/user/1000/s --systemd-cgroup run -b /tmp/b c1 2>&1) || fail "$out"
has "$out" 33554432; has "$out" 17
ours() { as kist-runtime --root /run/user/1000/s --systemd-cgroup "$@"; }
sed -i 's|"args": .*"cwd"|"args": ["/bin/sleep", "1000"], "cwd"|' /tmp/b/config.json
ours run -d -b /tmp/b c1 >/dev/null 2>&1 </dev/null || fail "in the background"
has "$(ours exec c1 cat /proc/self/cgroup)" 0::/
[ "$(ours exec c1 cat /sys/fs/cgroup/pids.max)" = 17 ] || fail "exec"
ours update --pids-limit 12 c1 || fail update
[ "$(ours exec c1 cat /sys/fs/cgroup/pids.max)" = 12 ] || fail "exec after update"
ours delete --force c1 || fail delete
[ -z "$(find /sys/fs/cgroup -name 'kist-c1.scope')" ] || fail "cgroup is left"
systemctl stop user@1000.service"""),
}


# Where v1 hierarchies hold the controllers, beside a cgroup2 tree or alone.
V1_TESTS = {
    "life": script(
        spec(["/bin/sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max; exec sleep 1000"],
             memory={"limit": 33554432}, pids={"limit": 17}),
        """r run -d -b /tmp/b c1 >/tmp/out 2>&1 </dev/null || fail "$(cat /tmp/out)"
pid=$(r state c1 | sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p')
[ "$(show kist-c1.scope ActiveState)" = active ] || fail "no unit"
for i in $(seq 600); do grep -q 17 /tmp/out && break; sleep 0.1; done
has "$(cat /tmp/out)" 33554432; has "$(cat /tmp/out)" 17
for name in memory pids devices cpu,cpuacct; do
    has "$(grep ":$name:" /proc/$pid/cgroup)" "/kist.slice/kist-vm.slice/kist-c1.scope"
done
has "$(grep name=systemd /proc/$pid/cgroup)" kist-c1.scope
r exec c1 true || fail exec
r update --memory 67108864 c1 || fail update
dir=$(find /sys/fs/cgroup/memory -name kist-c1.scope)
[ "$(cat $dir/memory.limit_in_bytes)" = 67108864 ] || fail "limit after update"
[ "$(cat $dir/cgroup.procs)" = "$pid" ] || fail "who is in the group: $(cat $dir/cgroup.procs)"
r pause c1 && [ "$(cat $(find /sys/fs/cgroup/freezer -name kist-c1.scope)/freezer.state)" = FROZEN ] || fail pause
r resume c1 && r delete --force c1 || fail delete
gone kist-c1.scope"""),
    "one_pid": TESTS["one_pid"],
    "failed_create": TESTS["failed_create"],
    "devices": TESTS["devices"],
}
LAYOUTS = {
    "hybrid": "systemd.unified_cgroup_hierarchy=0",
    "v1": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
}


def boot(folder, tests, words=""):
    programs = {"/usr/bin/kist-runtime": str(RUNTIME), "/usr/libexec/kist/kist-systemd-scope": str(HELPER),
                "/usr/bin/setpriv": shutil.which("setpriv")}
    return vm.boot_systemd(folder, programs, tests, more=words)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return boot(tmp_path_factory.mktemp("vm"), TESTS)


@pytest.fixture(scope="module", params=LAYOUTS)
def v1_machine(request, tmp_path_factory):
    return boot(tmp_path_factory.mktemp("vm"), V1_TESTS, LAYOUTS[request.param])


@pytest.mark.parametrize("name", TESTS)
def test_systemd(machine, name):
    code, output = machine[0].get(name, (None, machine[2][-3000:]))
    assert code == 0, output


@pytest.mark.parametrize("name", V1_TESTS)
def test_systemd_with_v1_hierarchies(v1_machine, name):
    code, output = v1_machine[0].get(name, (None, v1_machine[2][-3000:]))
    assert code == 0, output
