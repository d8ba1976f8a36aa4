# SPDX-License-Identifier: Apache-2.0
"""The power goes while images are pulled, built, tagged and removed: after each boot the store is whole, what was
acknowledged is there, and what was built runs.

qemu is killed at a random moment, so all that the machine had not yet written to its disk is lost. KIST_POWER_CUTS:
how often (default 2; a long run: 100). KIST_POWER_SEED: which moments.
(With fsync, fdatasync and syncfs made to do nothing in kistd, an acknowledged pull is missing after the first cut.)
"""
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

import pytest

import vm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from lib import images  # noqa: E402
from lib.kist_registry import KistRegistry  # noqa: E402

BUILD = pathlib.Path(os.environ.get("KIST_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build"))
CUTS = int(os.environ.get("KIST_POWER_CUTS", "2"))
IMAGES = 3
ADDRESS = "127.0.0.1:5000"
PATIENCE = 900

# Says what it begins and what was acknowledged; before that, what it found.
WORK = f"""#!/bin/busybox sh
exec 2>&1
mkdir -p /data /run/kist
mount -t ext4 -o errors=panic /dev/vda /data || echo "@@ no disk"
kist-registry --root /registry --listen {ADDRESS} >/dev/null &
kistd --data-root /data/kist --bridge none >/tmp/kistd.log &
for i in $(seq 3000); do kist version >/dev/null && break; sleep 0.2; done
kist images -a --no-trunc --format '@@ found {{{{.Repository}}}}:{{{{.Tag}}}}'
for n in {" ".join(str(n) for n in range(IMAGES))}; do
    kist image inspect built/$n:1 >/dev/null 2>&1 || continue
    kist run --rm --network none built/$n:1 /bin/busybox cat /made >/tmp/made; grep -q "^$n " /tmp/made && echo "@@ runs $n" || {{ echo "@@ broken $n"; cat /tmp/made /tmp/kistd.log; }}
done
kist store check && echo "@@ whole" || {{ echo "@@ broken"; cat /tmp/kistd.log; }}
mkdir -p /context
cp /bin/busybox /context/
echo "@@ work"
step() {{ echo "@@ begin $*"; kist "$@" >/tmp/out && echo "@@ acked $*" || {{ echo "@@ failed $*"; cat /tmp/out /tmp/kistd.log; }}; }}
while true; do
    for n in {" ".join(str(n) for n in range(IMAGES))}; do
        step pull -q {ADDRESS}/i$n:1
        turn=$((turn + 1))
        # The first steps come from the cache after the first time, the last are new each time.
        cat >/context/Dockerfile <<END
FROM {ADDRESS}/i$n:1
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo $n $turn >/made; /bin/busybox head -c 300000 /dev/urandom >/random"]
RUN ["/bin/busybox", "rm", "/shared"]
END
        step build -q --network none -t built/$n:1 /context
        step tag {ADDRESS}/i$n:1 mine/$n:t
        step rmi {ADDRESS}/i$n:1
        step pull -q {ADDRESS}/i$n:1
        step rmi mine/$n:t
        step rmi {ADDRESS}/i$n:1
        step pull -q {ADDRESS}/i$n:1
    done
    step rmi built/0:1
    kist builder prune -f >/dev/null
done
"""


class Expectation:
    """Which names there are, as far as it was acknowledged."""

    def __init__(self):
        self.there = set()
        self.open = None

    def _change(self, words):
        verb, name = self._name(words)
        if verb == "rmi":
            self.there.discard(name)
        else:
            self.there.add(name)

    @staticmethod
    def _name(words):
        verb, *rest = words.split()
        return verb, rest[rest.index("-t") + 1 if verb == "build" else -1]

    def take(self, line):
        if line.startswith("@@ begin "):
            self.open = line.removeprefix("@@ begin ")
        elif line.startswith("@@ acked "):
            self._change(line.removeprefix("@@ acked "))
            self.open = None

    def check(self, found):
        """What was under way may have happened or not."""
        if self.open:
            _, name = self._name(self.open)
            self.there.discard(name)
            if name in found:
                self.there.add(name)
        assert found == self.there, (found, self.there, self.open)
        self.open = None


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("power")
    registry = KistRegistry(folder / "registry", str(BUILD / "src/registryd/kist-registry"))
    registry.start()
    shared = os.urandom(300_000)
    for n in range(IMAGES):
        rootfs = folder / f"rootfs{n}"
        for part in range(20):
            (rootfs / f"d{part}").mkdir(parents=True)
            (rootfs / f"d{part}/own").write_bytes(os.urandom(20_000))
        base = folder / f"base{n}"
        base.mkdir()
        (base / "shared").write_bytes(shared)
        images.Layout(folder / f"layout{n}").add_image("busybox", [images.tar_of(base), images.tar_of(rootfs)])
        registry.push(folder / f"layout{n}", f"i{n}:1")
    registry.stop()
    programs = {f"/usr/bin/{name}": str(BUILD / "src" / room / name) for name, room in (("kist", "cli"), ("kistd", "daemon"), ("kist-registry", "registryd"))}  # fmt: skip
    programs.update({f"/usr/libexec/kist/{name}": str(BUILD / "src" / room / name) for name, room in (("kist-transfer", "transfer"), ("kist-unpack", "archive"), ("kist-files", "archive"), ("kist-shim", "shim"), ("kist-log", "logs"))})  # fmt: skip
    # Copied with the programs, so that it is in the root the machine works in.
    started = vm.initramfs(folder, programs, {"work": WORK.replace("/registry ", "/usr/registry ")}, ["virtio_pci", "virtio_blk", "ext4", "crc32c_generic"], {"/usr/registry": registry.root / "data"})  # fmt: skip
    disk = folder / "disk"
    with open(disk, "wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(disk)], check=True)
    return started, disk


def run_until_cut(started, disk, after_s):
    """Lines of one life: the power goes after_s seconds after the work began."""
    process = vm.boot_with_disk(started, disk, "")
    lines = []
    working = threading.Event()

    def read():
        for line in process.stdout:
            lines.append(line.strip().replace("\r", ""))
            if lines[-1] == "@@ work":
                working.set()

    reader = threading.Thread(target=read)
    reader.start()
    worked = working.wait(PATIENCE)
    if worked:
        time.sleep(after_s)
    process.kill()
    process.wait()
    reader.join()
    process.stdout.close()
    assert worked, "\n".join(lines[-60:])
    return lines


def test_the_store_is_whole_after_each_cut(machine):
    started, disk = machine
    seed = int(os.environ.get("KIST_POWER_SEED", random.randrange(1 << 30)))
    print(f"KIST_POWER_SEED={seed}")
    moments = random.Random(seed)
    expected = Expectation()
    acknowledged = built = 0
    for life in range(CUTS + 1):
        lines = run_until_cut(started, disk, moments.uniform(0.5, 8) if life < CUTS else 0)
        assert "@@ whole" in lines, "\n".join(lines[-60:])
        assert not [line for line in lines if line.startswith(("@@ failed", "@@ broken"))], "\n".join(lines[-60:])
        expected.check({line.removeprefix("@@ found ") for line in lines if line.startswith("@@ found ")} - {"<none>:<none>"})
        for line in lines[lines.index("@@ work") :]:
            expected.take(line)
        acknowledged += sum(line.startswith("@@ acked") for line in lines)
        built += sum(line.startswith("@@ acked build") for line in lines)
        assert sum(line.startswith("@@ runs ") for line in lines) == sum(line.startswith("@@ found built/") for line in lines)
    print(f"{acknowledged} acknowledged, {built} of them builds")
    assert acknowledged > 0, "the power went before anything was done: nothing was tested"
