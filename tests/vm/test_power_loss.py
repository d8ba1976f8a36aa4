# SPDX-License-Identifier: Apache-2.0
"""
The power goes at random moments of import, tag, push, pull and rmi; after each boot the store is whole: what was
acknowledged is there with every byte, what was acknowledged as removed is gone, and every image that is there runs.

A machine on ext4 works and tells on its console what was acknowledged; QEMU is killed (what the guest had not synced is
lost with its memory); the next boot checks, and works on. KIST_POWER_CUTS: how often (2). Seen to fail with the syncs
of layers and rows taken out: "img-3aabe8d6-3:b is lost" after the first cut.
"""
import os
import pathlib
import random
import re
import shutil
import subprocess
import threading
import time

import pytest

import vm

BUILD = pathlib.Path(os.environ.get("KIST_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build"))
CUTS = int(os.environ.get("KIST_POWER_CUTS", "2"))
ROOMS = {"kist": "cli", "kistd": "daemon", "kist-shim": "shim", "kist-transfer": "transfer", "kist-unpack": "archive", "kist-registry": "registryd"}
PATIENCE = 120

WORK = r"""#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
export KIST_HOST=unix:///run/kist.sock
say() { echo "@ $*"; }
bad() { say "BAD $*"; tail -n 20 /tmp/kistd.log; exit 1; }
mkdir -p /data /run/x
mount -t ext4 /dev/vda /data || bad "no file system"
kistd --data-root /data/kist --exec-root /run/x --bridge none -H $KIST_HOST >/tmp/kistd.log 2>&1 &
kist-registry --root /tmp/registry --listen 127.0.0.1:5000 >/tmp/registry.log 2>&1 &
for i in $(seq 300); do kist version >/dev/null 2>&1 && break; sleep 0.1; done
kist version >/dev/null || bad "kistd does not start"

# ---- what the last power cut left ----
proves() { kist run --rm --network none $1 sha256sum -c /sum >/tmp/out 2>&1 || { cat /tmp/out; bad "$1 is not whole"; }; }
cat /dev/vdb >/tmp/expected
while read -r word name; do
    case $word in
    must) kist image inspect $name >/dev/null 2>&1 || bad "$name is lost" ;;
    not) kist image inspect $name >/dev/null 2>&1 && bad "$name is back" ;;
    end) break ;;
    esac
done </tmp/expected
kist images --format '{{.Repository}}:{{.Tag}}' >/tmp/images
while read -r name; do proves $name </dev/null; done </tmp/images
[ -z "$(kist ps -aq)" ] || bad "containers: $(kist ps -a)"
# The sweeper works beside us.
for i in $(seq 100); do [ -z "$(ls /data/kist/trash)" ] && break; sleep 0.1; done
[ -z "$(ls /data/kist/trash)" ] || bad "trash: $(ls /data/kist/trash)"
say "checked $(wc -l </tmp/images)"

# ---- and on, until the next one ----
make_image() { # name: content that proves itself
    rm -rf /tmp/i; mkdir -p /tmp/i/bin
    cp /bin/busybox /tmp/i/bin/sha256sum
    i=0; while [ $i -lt 20 ]; do head -c 20000 /dev/urandom >/tmp/i/file$i; i=$((i + 1)); done
    (cd /tmp/i && sha256sum file* >sum)
    tar -cf /tmp/i.tar -C /tmp/i .
    say "trying $1"
    kist import /tmp/i.tar $1 >/dev/null || bad "import $1"
    say "have $1"
}
remove() {
    say "removing $1"
    kist rmi $1 >/dev/null || bad "rmi $1"
    say "gone $1"
}
n=0
while :; do
    n=$((n + 1))
    me=img-$(cat /proc/sys/kernel/random/boot_id | cut -c1-8)-$n
    make_image $me:a
    say "trying $me:b"; kist tag $me:a $me:b || bad tag; say "have $me:b"
    remove $me:a
    remote=localhost:5000/$me
    say "trying $remote:r"; kist tag $me:b $remote:r || bad tag; say "have $remote:r"
    kist push $remote:r >/dev/null || bad push
    remove $remote:r
    remove $me:b
    say "trying $remote:r"; kist pull $remote:r >/tmp/pull 2>&1 || { cat /tmp/pull; bad pull; }; say "have $remote:r"
    [ $((n % 2)) = 0 ] && remove $remote:r
done
"""


class Ledger:
    """What the console said is acknowledged."""

    def __init__(self):
        self.have, self.maybe, self.gone = set(), set(), set()

    def read(self, line):
        word, _, name = line.partition(" ")
        for names in (self.have, self.maybe, self.gone):
            if word in ("trying", "removing", "have", "gone"):
                names.discard(name)
        if word in ("trying", "removing"):
            self.maybe.add(name)
        elif word == "have":
            self.have.add(name)
        elif word == "gone":
            self.gone.add(name)

    def write(self, path):
        lines = [f"must {name}" for name in sorted(self.have)] + [f"not {name}" for name in sorted(self.gone)] + ["end", ""]
        text = "\n".join(lines)
        path.write_text(text + " " * (-len(text) % 512))


def run_until(argv, ledger, cut_after):
    """Reads the console until `cut_after` acknowledgements came after the check, and a bit longer; kills the machine."""
    machine = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    alarm = threading.Timer(PATIENCE, machine.kill)
    alarm.start()
    seen, checked, count = [], False, 0
    for line in machine.stdout:
        line = line.decode(errors="replace").strip()
        seen.append(line)
        found = re.search(r"@ (\w+ .*)", line)
        if not found:
            continue
        if found.group(1).startswith("BAD"):
            time.sleep(2)
            machine.kill()
            seen += machine.stdout.read().decode(errors="replace").splitlines()[:40]
            break
        checked |= found.group(1).startswith("checked")
        ledger.read(found.group(1))
        count += checked and found.group(1).startswith(("have", "gone"))
        if count >= cut_after:
            time.sleep(random.uniform(0, 0.7))
            machine.kill()
            # What was said before the end was said.
            for late in re.findall(r"@ (\w+ .*)", machine.stdout.read().decode(errors="replace").replace("\r", "")):
                ledger.read(late)
            break
    alarm.cancel()
    machine.wait()
    machine.stdout.close()
    return checked, count, "\n".join(seen[-60:])


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no qemu")
def test_power_loss(tmp_path):
    programs = {f"/usr/bin/{name}": str(BUILD / "src" / room / name) for name, room in ROOMS.items()}
    vmlinuz, image = vm.initramfs(tmp_path, programs, {"work": WORK})
    disk, expected = tmp_path / "disk", tmp_path / "expected"
    subprocess.run(["truncate", "-s", "1G", disk], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
    ledger = Ledger()
    seed = random.randrange(1 << 32)
    random.seed(seed)
    for cut in range(CUTS + 1):
        ledger.write(expected)
        wanted = random.randint(4, 20) if cut < CUTS else 1
        checked, count, console = run_until(vm.command(vmlinuz, image, 1024, [disk, expected]), ledger, wanted)
        assert checked, f"seed {seed}, after cut {cut}: the check failed\n{console}"
        assert count >= wanted, f"seed {seed}, after cut {cut}: the work stopped\n{console}"
