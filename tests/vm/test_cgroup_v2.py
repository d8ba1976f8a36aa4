# SPDX-License-Identifier: Apache-2.0
"""The kernel features of src/sys, src/network and kist-runtime under Debian's own kernel and cgroup v2."""
import json
import os
import pathlib
import shutil

import pytest

import vm

BUILD = pathlib.Path(os.environ.get("KIST_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build"))
UNIT = {
    "cgroup": "sys/sys-test_cgroup",
    "device_bpf": "sys/sys-test_device_bpf",
    "seccomp": "sys/sys-test_seccomp",
    "in_root": "sys/sys-test_in_root",
    "mount_api": "sys/sys-test_mount_api",
    "namespace": "sys/sys-test_namespace",
    "netlink": "sys/sys-test_netlink",
    "network": "network/network-test_network",
}
# tmpfs takes id-mapped mounts since Linux 6.3.
MAY_SKIP = {"mount_api"}
RUNTIME = BUILD / "src" / "runtime" / "kist-runtime"


def spec(args, **resources):
    """A small config.json with limits."""
    devices = [{"allow": False, "access": "rwm"}]
    kinds = ["pid", "network", "mount", "ipc", "uts", "cgroup"]
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
    ]
    return json.dumps({
        "ociVersion": "1.0.2",
        "process": {"args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "mounts": mounts,
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            "cgroupsPath": "/kist-vm/c1",
            "devices": [{"path": "/dev/log0", "type": "c", "major": 1, "minor": 11}],
            "resources": {"devices": devices, **resources},
        },
    })


def runtime_script(config, checks):
    """Makes a bundle, runs it, then what `checks` says (r is the exit code, out its output)."""
    return f"""#!/bin/busybox sh
set -u
mkdir -p /tmp/b/rootfs/bin && cp /bin/busybox /tmp/b/rootfs/bin/
cd /tmp/b && for name in sh cat dd sleep true echo head mkdir; do ln -sf busybox rootfs/bin/$name; done
mkdir -p rootfs/proc rootfs/dev rootfs/sys/fs/cgroup
cat > config.json <<'CONFIG'
{config}
CONFIG
out=$(kist-runtime --root /tmp/state run -b /tmp/b c1 2>&1)
r=$?
echo "exit $r: $out"
fail() {{ echo "FAILED: $*"; exit 1; }}
{checks}
[ -d /sys/fs/cgroup/kist-vm/c1 ] && fail "the cgroup is left"
rm -rf /tmp/b /tmp/state
exit 0
"""


RUNTIME_TESTS = {
    "runtime_limits": runtime_script(
        spec(["/bin/sh", "-c", "cd /sys/fs/cgroup && for f in memory.max memory.swap.max pids.max cpu.max cpu.weight;"
                               " do echo $f=$(cat $f); done"],
             memory={"limit": 33554432, "swap": 50331648}, pids={"limit": 17},
             cpu={"shares": 1024, "quota": 25000, "period": 50000}),
        """[ $r = 0 ] || fail "exit code"
for line in memory.max=33554432 memory.swap.max=16777216 pids.max=17 "cpu.max=25000 50000" cpu.weight=100; do
    case "$out" in *"$line"*) ;; *) fail "no $line" ;; esac
done"""),
    "runtime_memory": runtime_script(
        spec(["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"], memory={"limit": 16777216, "swap": 16777216}),
        '[ $r = 137 ] || fail "was not killed for its memory"'),
    "runtime_pids": runtime_script(
        spec(["/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo all"], pids={"limit": 4}),
        'case "$out" in *"an\'t fork"*) ;; *) fail "could fork on" ;; esac'),
    "runtime_devices": runtime_script(
        spec(["/bin/sh", "-c", "echo x > /dev/null && echo null works; cat < /dev/log0 || echo log denied"]),
        """case "$out" in *"null works"*) ;; *) fail "/dev/null is denied" ;; esac
case "$out" in *"not permitted"*"log denied"*) ;; *) fail "the kernel log is allowed" ;; esac"""),
}


def own_script(config, checks):
    """Only makes the bundle, /tmp/b, for scripts that start containers in ways of their own."""
    head = runtime_script(config, "").split("out=$(kist-runtime")[0]
    return head + f"""fail() {{ echo "FAILED: $*"; exit 1; }}
{checks}
rm -rf /tmp/b /tmp/state
exit 0
"""


def for_user(config, path):
    """The same for user 1000, who maps just itself."""
    config = json.loads(config)
    mapping = [{"containerID": 0, "hostID": 1000, "size": 1}]
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "network"] + [{"type": "user"}]
    config["linux"].update(cgroupsPath=path, uidMappings=mapping, gidMappings=mapping, devices=[])
    return json.dumps(config)


SHOW = ["/bin/sh", "-c", "cd /sys/fs/cgroup && cat memory.max pids.max cgroup.procs; mkdir below && echo may make groups"]
RUNTIME_TESTS["runtime_oom_events"] = own_script(
    spec(["/bin/sh", "-c", "while [ ! -e /go ]; do sleep 0.2; done; dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 1000"],
         memory={"limit": 16777216, "swap": 16777216}),
    """r() { kist-runtime --root /tmp/state "$@"; }
r run -d -b /tmp/b c1 >/dev/null 2>&1 </dev/null || fail run
r events c1 >/tmp/events 2>&1 &
for i in $(seq 600); do [ -s /tmp/events ] && break; sleep 0.1; done
touch /tmp/b/rootfs/go
for i in $(seq 600); do grep -q '"type":"oom"' /tmp/events && break; sleep 0.1; done
grep -q '"type":"oom"' /tmp/events || fail "no event: $(cat /tmp/events)"
r events --stats c1 | grep -q '"limit":16777216' || fail "stats: $(r events --stats c1)"
grep -q "oom_kill 1" /sys/fs/cgroup/kist-vm/c1/memory.events || fail "memory.events"
r delete --force c1 || fail delete""")
RUNTIME_TESTS["runtime_stats"] = own_script(
    spec(["/bin/sleep", "1000"], cpu={"shares": 1024, "quota": 50000, "period": 100000, "burst": 1000},
         hugepageLimits=[{"pageSize": "2MB", "limit": 2097152}], unified={"memory.high": "33554432"}),
    """r() { kist-runtime --root /tmp/state "$@"; }
r run -d -b /tmp/b c1 >/dev/null 2>&1 </dev/null || fail run
cd /sys/fs/cgroup/kist-vm/c1
[ "$(cat cpu.max cpu.max.burst hugetlb.2MB.max memory.high cpu.weight | tr '\\n' ' ')" = "50000 100000 1000 2097152 33554432 100 " ] ||
    fail "limits: $(cat cpu.max cpu.max.burst hugetlb.2MB.max memory.high cpu.weight)"
r update --cpu-idle 1 c1 && [ "$(cat cpu.idle)" = 1 ] || fail "idle"
out=$(r events --stats c1)
for word in '"hugetlb":{' '"2MB":{"usage":0' '"psi":{"some":{"avg10":' '"full":{"avg10":' '"total":'; do
    case "$out" in *"$word"*) ;; *) fail "no $word: $out" ;; esac
done
cd /; r delete --force c1 || fail delete""")
RUNTIME_TESTS["runtime_user_delegated"] = own_script(
    for_user(spec(SHOW, memory={"limit": 33554432}, pids={"limit": 17}), "/del/c1").replace('["ro", "nosuid"]', '["nosuid"]'),
    """cd /sys/fs/cgroup
echo "+memory +pids" > cgroup.subtree_control
mkdir -p del/shell
chown -R 1000 del
echo "+memory +pids" > del/cgroup.subtree_control
chown -R 1000:1000 /tmp/b; mkdir -p /tmp/run; chown 1000 /tmp/run; cd /tmp
cat > /tmp/as <<'AS'
echo $$ > $1/cgroup.procs; shift
XDG_RUNTIME_DIR=/tmp/run exec /usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups "$@"
AS
out=$(sh /tmp/as /sys/fs/cgroup/del/shell kist-runtime run -b /tmp/b c1 2>&1) || fail "$out"
for word in 33554432 17 "may make groups"; do case "$out" in *"$word"*) ;; *) fail "no $word: $out" ;; esac; done
case "$out" in *"without one"*) fail "warns: $out" ;; esac
out=$(sh /tmp/as /sys/fs/cgroup kist-runtime run -b /tmp/b c1 2>&1) && fail "entered from outside"
case "$out" in *"limits need a cgroup that is delegated to user 1000"*"cgroup.procs"*) ;; *) fail "says: $out" ;; esac
sed -i 's|"cgroupsPath": "/del/c1"|"cgroupsPath": ""|; s|"memory": {"limit": 33554432}, "pids": {"limit": 17}|"network": {}|;
  s|cat memory.max pids.max cgroup.procs; mkdir below && echo may make groups|ls; echo runs|' /tmp/b/config.json
out=$(sh /tmp/as /sys/fs/cgroup kist-runtime run -b /tmp/b c1 2>&1) || fail "without a cgroup: $out"
case "$out" in *"without one"*runs*) ;; *) fail "says: $out" ;; esac
[ -d /sys/fs/cgroup/del/c1 ] && fail "left"
rmdir /sys/fs/cgroup/del/shell /sys/fs/cgroup/del""")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """One boot for all tests."""
    programs = {"/usr/sbin/nft": shutil.which("nft"), "/usr/bin/setpriv": shutil.which("setpriv")}
    tests = {name: BUILD / "tests" / "unit" / path for name, path in UNIT.items()}
    if RUNTIME.exists():
        programs["/usr/bin/kist-runtime"] = str(RUNTIME)
        tests.update(RUNTIME_TESTS)
    return vm.boot(tmp_path_factory.mktemp("vm"), programs, tests)


def test_boots_with_cgroup_v2(machine):
    _, kernel, output = machine
    assert "memory" in kernel and "pids" in kernel and "cpu " in kernel + " ", output[-3000:]
    assert "@@ done" in output


@pytest.mark.parametrize("name", UNIT)
def test_unit(machine, name):
    code, output = machine[0].get(name, (None, machine[2][-3000:]))
    assert code == 0, output
    # A test that found no cgroup, or was no root, skips: here nothing may.
    assert "SKIPPED" not in output or name in MAY_SKIP, output


@pytest.mark.parametrize("name", RUNTIME_TESTS)
def test_runtime(machine, name):
    code, output = machine[0].get(name, (None, machine[2][-3000:]))
    assert code == 0, output
