# SPDX-License-Identifier: Apache-2.0
"""A limit of a container's own files (--storage-opt size), by project quotas of ext4 and xfs under Debian's kernel, which has them."""
import os
import pathlib
import subprocess

import pytest

import vm
from vm import needs

BUILD = pathlib.Path(os.environ.get("KIST_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build"))
PROGRAMS = {"kist": "cli", "kistd": "daemon"}
HELPERS = {"kist-unpack": "archive", "kist-files": "archive", "kist-archive": "archive", "kist-shim": "shim", "kist-log": "logs",
           "kist-transfer": "transfer"}  # fmt: skip

SCRIPT = """#!/bin/busybox sh
fail() { echo "FAILED: $*"; tail -n 20 /tmp/kistd.log; exit 1; }
soon() { for i in $(seq 120); do "$@" >/tmp/soon 2>&1 && return 0; sleep 0.5; done; cat /tmp/soon; return 1; }
start() { kistd --data-root /data/kist --bridge none "$@" >>/tmp/kistd.log 2>&1 & soon kist version || fail "kistd does not answer"; }
gone() { ! pidof kistd; }
end() { kill $1 $(pidof kistd); soon gone || fail "kistd does not end"; }
run() { kist run --network none "$@"; }
write() { run --rm "$@" box busybox dd if=/dev/zero of=/f bs=1M count=20; }
left() { run --rm "$@" box busybox sh -c "busybox df -k / | busybox awk 'END { print \\$2 }'"; }
mkdir -p /data /run/kist
# A file system that was not mounted for it: said with its cause, before anything is made.
mount -t {type} /dev/vda /data || fail "mount"
start
mkdir -p /tmp/context/bin
cp /bin/busybox /tmp/context/bin/
echo 'FROM scratch
COPY bin /bin' >/tmp/context/Dockerfile
kist build -q -t box /tmp/context || fail "no image"
run --storage-opt size=8m box busybox true >/tmp/said 2>&1 && fail "not refused"
grep -q "storage-opt is supported only for overlay over xfs or ext4 with 'pquota' mount option: .*, and it is not mounted with prjquota" /tmp/said || fail "$(cat /tmp/said)"
[ -z "$(kist ps -aq)" ] || fail "a container is left"
end -TERM
kistd --data-root /data/kist --bridge none --storage-opt overlay2.size=8m >/tmp/said 2>&1 && fail "the engine's own was not refused"
grep -q "storage option overlay2.size not supported" /tmp/said || fail "$(cat /tmp/said)"
umount /data
mount -t {type} -o prjquota /dev/vda /data || fail "mount with prjquota"
start
run --storage-opt size=-1 box busybox true 2>&1 | grep -q "invalid size" || fail "a size below zero"
run --storage-opt dm.basesize=1g box busybox true 2>&1 | grep -q "unknown option dm.basesize" || fail "a foreign option"
# Each has its own limit; who says nothing has none.
write >/dev/null 2>&1 || fail "without a limit"
write --storage-opt size=8m >/tmp/said 2>&1 && fail "more than the limit was written"
grep -Eq "No space left|Disk quota exceeded" /tmp/said || fail "$(cat /tmp/said)"
write --storage-opt size=40m >/dev/null 2>&1 || fail "below the limit"
[ $(left --storage-opt size=16m) = 16384 ] || fail "df says $(left --storage-opt size=16m)"
kist run -d --network none --name kept --storage-opt size=8m box busybox sleep 100000 >/dev/null || fail "kept"
[ "$(kist inspect -f '{{json .HostConfig.StorageOpt}}' kept)" = '{"size":"8m"}' ] || fail "inspect"
kist exec kept busybox dd if=/dev/zero of=/a bs=1M count=6 >/dev/null 2>&1 || fail "6 of 8"
# A file of the image that is changed counts, and the limit is the container's after every kind of end.
end -KILL
start
kist exec kept busybox dd if=/dev/zero of=/b bs=1M count=6 >/dev/null 2>&1 && fail "12 of 8 after a kill"
kist exec kept busybox rm /a /b || fail "rm"
kist exec kept busybox dd if=/dev/zero of=/c bs=1M count=6 >/dev/null 2>&1 || fail "6 of 8 again"
kist restart -t 0 kept >/dev/null || fail "restart"
kist exec kept busybox dd if=/dev/zero of=/d bs=1M count=6 >/dev/null 2>&1 && fail "12 of 8 after a restart"
kist rm -f kept >/dev/null || fail "rm -f"
end -TERM
# The engine's own limit is for who says nothing.
start --storage-opt overlay2.size=8m
write >/dev/null 2>&1 && fail "more than the engine's limit"
write --storage-opt size=40m >/dev/null 2>&1 || fail "a container's own limit counts more"
kist build -q -t more /tmp/context >/dev/null || fail "a build has no limit"
exit 0
"""


@pytest.mark.parametrize("kind,make", [("ext4", ["mkfs.ext4", "-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota"]), ("xfs", ["mkfs.xfs", "-q", "-f"])])
def test_a_container_has_a_limit_of_its_own(tmp_path, kind, make):
    programs = {f"/usr/bin/{name}": str(BUILD / "src" / room / name) for name, room in PROGRAMS.items()}
    programs.update({f"/usr/libexec/kist/{name}": str(BUILD / "src" / room / name) for name, room in HELPERS.items()})
    disk = tmp_path / "disk"
    with open(disk, "wb") as file:
        file.truncate(512 << 20)
    subprocess.run([*needs.programs(make[0]), *make[1:], str(disk)], check=True)
    started = vm.initramfs(tmp_path, programs, {"quota": SCRIPT.replace("{type}", kind)}, ["quota_v2", "quota_tree", kind])
    results, _, output = vm.run_machine(vm.command(*started, disks=[disk]), 900)
    assert results.get("quota", (None, ""))[0] == 0, output[-6000:]
