# SPDX-License-Identifier: Apache-2.0
"""kist-runtime checkpoint and restore by Debian's CRIU, on Debian's kernel: cgroup v2, a cgroup namespace, pre-dumps."""
import json
import os
import pathlib

import pytest

import vm
from vm import needs

BUILD = pathlib.Path(os.environ.get("KIST_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build"))
RUNTIME = BUILD / "src" / "runtime" / "kist-runtime"
# CRIU asks the kernel for the sockets of a container, and keeps what a tmpfs holds in a tar archive.
MODULES = ["unix_diag", "inet_diag", "tcp_diag", "udp_diag", "raw_diag", "af_packet_diag", "netlink_diag"]
PROGRAMS = ["criu", "tar", "gzip"]

# One line per round, never the same twice: a second line 0 would be a second beginning.
COUNT = "i=0; while :; do echo $i >> /count; i=$((i+1)); sleep 0.1; done"


def spec(script, path="/kist-vm/c1", mount="ro", mounts=(), **resources):
    kinds = ["pid", "network", "mount", "ipc", "uts", "cgroup"]
    return json.dumps({
        "ociVersion": "1.0.2",
        "process": {"args": ["/bin/sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [mount, "nosuid"]},
            *mounts,
        ],
        "linux": {"namespaces": [{"type": kind} for kind in kinds], "cgroupsPath": path, "resources": resources,
                  "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/scsi"], "readonlyPaths": ["/proc/sys", "/proc/bus"]},
    })


PRELUDE = """#!/bin/busybox sh
# CRIU wants GNU's tar, not busybox's.
export PATH=/usr/bin:$PATH
r() { kist-runtime --root /tmp/state "$@"; }
fail() {
    echo "FAILED: $*"; tail -n 3 /tmp/img/dump.log /tmp/img/restore.log; grep -h -B 3 Error /tmp/before/*.log /tmp/img/*.log
    for id in $(r list -q); do r delete --force $id; done
    exit 1
}
lines() { wc -l < /tmp/b/rootfs/count; }
# grow N: until the container has written N lines more
grow() { n=$(($(lines) + $1)); for i in $(seq 600); do [ $(lines) -ge $n ] && return; sleep 0.1; done; fail "it does not count on"; }
in_order() {
    seen=$(cat /tmp/b/rootfs/count)
    [ "$seen" = "$(seq 0 $(($(echo "$seen" | wc -l) - 1)))" ] || fail "it began anew: $seen"
}
start() { : > /tmp/b/rootfs/count; r run -d -b /tmp/b c1 >/tmp/out 2>&1 </dev/null || fail "run: $(cat /tmp/out)"; grow 2; }
restore() { r restore -d -b /tmp/b --image-path /tmp/img "$@" >/tmp/out 2>&1 </dev/null || fail "restore: $(cat /tmp/out)"; }
rm -rf /tmp/b /tmp/state /tmp/img /tmp/before
mkdir -p /tmp/b/rootfs/bin /tmp/b/rootfs/dev
cp /bin/busybox /tmp/b/rootfs/bin/
for name in sh cat sleep echo ls mkdir; do ln -sf busybox /tmp/b/rootfs/bin/$name; done
cat > /tmp/b/config.json <<'CONFIG'
%s
CONFIG
"""


def script(config, body):
    return PRELUDE % config + body + "\n[ -z \"$(r list -q)\" ] || fail \"left: $(r list)\"\nexit 0\n"


TESTS = {
    "criu_works_here": "#!/bin/busybox sh\nexec criu check\n",
    "goes_on": script(spec(COUNT), """start
r checkpoint --image-path /tmp/img c1 || fail checkpoint
r state c1 >/dev/null 2>&1 && fail "it is still there"
[ -d /sys/fs/cgroup/kist-vm/c1 ] && fail "its cgroup is left"
before=$(lines); sleep 1; [ $(lines) = $before ] || fail "it counts on in its files"
restore --pid-file /tmp/pid c1
grow 3; in_order
[ "$(r state c1 | grep -c '"running"')" = 1 ] || fail "state: $(r state c1)"
r state c1 | grep -q "\\"pid\\": $(cat /tmp/pid)," || fail "pid file"
[ "$(cat /proc/$(cat /tmp/pid)/cgroup)" = 0::/kist-vm/c1 ] || fail "cgroup $(cat /proc/$(cat /tmp/pid)/cgroup)"
[ "$(r exec c1 cat /proc/self/cgroup)" = 0::/ ] || fail "cgroup namespace $(r exec c1 cat /proc/self/cgroup)"
[ "$(r exec c1 echo here)" = here ] || fail exec
grep -q criu-root /proc/mounts && fail "a mount is left"
r pause c1 && [ "$(r state c1 | grep -c paused)" = 1 ] || fail pause
r resume c1; grow 1
r kill c1 KILL
for i in $(seq 600); do r state c1 | grep -q stopped && break; sleep 0.1; done
r state c1 | grep -q stopped || fail "kill"
r delete c1 || fail delete
[ -d /sys/fs/cgroup/kist-vm ] && [ -d /sys/fs/cgroup/kist-vm/c1 ] && fail "the cgroup is left" """),
    "memory_first": script(spec(COUNT), """start
r checkpoint --pre-dump --image-path /tmp/before c1 || fail pre-dump
[ "$(r state c1 | grep -c '"running"')" = 1 ] || fail "it ended with the pre-dump"
grow 2
r checkpoint --leave-running --parent-path ../before --image-path /tmp/img c1 || fail "checkpoint with a parent"
[ "$(readlink /tmp/img/parent)" = ../before ] || fail "no parent"
at=$(lines); grow 3; in_order
r delete --force c1 || fail delete
restore c1
grow 3
[ "$(grep -c '^0$' /tmp/b/rootfs/count)" = 1 ] || fail "it began anew"
[ "$(sort -n /tmp/b/rootfs/count | uniq -d | head -n 1)" -ge $((at - 5)) ] || fail "it did not go on from the checkpoint"
r checkpoint --image-path /tmp/img c1 || fail "a second checkpoint"
restore c1; grow 2
r delete --force c1 || fail delete"""),
    "limits_and_groups": script(
        spec("mkdir /sys/fs/cgroup/below && echo $$ > /sys/fs/cgroup/below/cgroup.procs && echo kept > /dev/shm/word; " + COUNT, mount="rw",
             pids={"limit": 3}, memory={"limit": 67108864}),
        """start
r checkpoint --image-path /tmp/img c1 || fail checkpoint
sed -i 's|/kist-vm/c1|/kist-vm/other|; s|67108864|33554432|' /tmp/b/config.json
restore --work-path /tmp/work c2
[ -f /tmp/work/restore.log ] || fail "no log in the work folder"
grow 2; in_order
cd /sys/fs/cgroup/kist-vm/other || fail "its group"
[ "$(cat memory.max pids.max | tr '\\n' ' ')" = "33554432 3 " ] || fail "limits $(cat memory.max pids.max)"
pid=$(r state c2 | sed -n 's/.*"pid": \\([0-9]*\\),.*/\\1/p')
[ "$(cat /proc/$pid/cgroup)" = 0::/kist-vm/other/below ] || fail "groups of its own: $(cat /proc/$pid/cgroup)"
[ "$(cat /proc/$pid/root/dev/shm/word)" = kept ] || fail "its tmpfs"
r delete --force c2 || fail delete
[ -d /sys/fs/cgroup/kist-vm/other ] && fail "its group is left"
rm -rf /tmp/work"""),
    "mode_ignore": script(spec(COUNT), """start
r checkpoint --manage-cgroups-mode ignore --image-path /tmp/img c1 || fail checkpoint
restore --manage-cgroups-mode ignore c1
grow 2; in_order
pid=$(r state c1 | sed -n 's/.*"pid": \\([0-9]*\\),.*/\\1/p')
[ "$(cat /proc/$pid/cgroup)" = 0::/kist-vm/c1 ] || fail "cgroup $(cat /proc/$pid/cgroup)"
r delete --force c1 || fail delete"""),
    "a_dump_that_fails": script(spec(COUNT), """start
pid=$(r state c1 | sed -n 's/.*"pid": \\([0-9]*\\),.*/\\1/p')
nsenter -t $pid -m /bin/busybox mount -t ramfs r /dev/shm || fail "a mount CRIU does not know"
out=$(r checkpoint --image-path /tmp/img c1 2>&1) && fail "went well"
case "$out" in *"criu failed: type DUMP"*"/tmp/img/dump.log"*) ;; *) fail "says: $out" ;; esac
[ "$(r state c1 | grep -c '"running"')" = 1 ] || fail "it did not survive"
r delete --force c1"""),
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    programs = {f"/usr/bin/{name}": path for name, path in zip(PROGRAMS, needs.programs(*PROGRAMS))}
    return vm.boot(tmp_path_factory.mktemp("vm"), {**programs, "/usr/bin/kist-runtime": str(RUNTIME)}, TESTS, modules=MODULES)


@pytest.mark.parametrize("name", TESTS)
def test_checkpoint(machine, name):
    code, output = machine[0].get(name, (None, machine[2][-3000:]))
    assert code == 0, output
