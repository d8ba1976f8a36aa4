# SPDX-License-Identifier: Apache-2.0
"""Boots Debian's cloud kernel in QEMU (no KVM needed) with programs of ours in an initramfs.

The kernel comes from Debian's archive by `apt-get download`; nothing is installed. Inside,
the one cgroup2 tree has every controller, and the kernel is Debian's, not the machine's.
"""
import os
import pathlib
import re
import shutil
import subprocess

CACHE = pathlib.Path(os.environ.get("KIST_VM_CACHE", pathlib.Path.home() / ".cache" / "kist" / "vm"))

# What the tests need beyond the kernel proper; modules that these need come with them.
MODULES = [
    "overlay", "veth", "bridge", "br_netfilter", "dummy", "nf_tables", "nft_chain_nat", "nft_nat", "nft_masq",
    "nft_ct", "nft_fib", "nft_fib_ipv4", "nft_fib_ipv6", "nft_fib_inet", "nf_nat", "nf_conntrack", "nf_conntrack_netlink",
    "virtio_pci", "virtio_blk", "crc32c_generic", "ext4",
]

INIT = """#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# pivot_root refuses the initramfs itself: move to a tmpfs.
/bin/busybox mkdir /new
/bin/busybox mount -t tmpfs -o size=80% tmpfs /new
cd /
/bin/busybox cp -a bin etc lib lib64 usr tests modules second /new/ 2>/dev/null
exec /bin/busybox switch_root /new /second
"""

SECOND = """#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/usr/sbin HOME=/root
mkdir -p /proc /sys /dev /tmp /run /root /mnt /sbin /var/lib
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
chmod 1777 /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
ip link set lo up
for module in $(cat /modules/order); do insmod /modules/$module || echo "@@ module $module failed"; done
echo "@@ kernel $(uname -r) controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
for test in /tests/*; do
    echo "@@ start ${test##*/}"
    (cd /tmp && exec timeout 100 $test) </dev/null 2>&1
    echo "@@ end ${test##*/} $?"
done
echo "@@ done"
poweroff -f
"""


def _run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options).stdout


def kernel():
    """(vmlinuz, modules folder) of Debian's cloud kernel, downloaded once; KIST_VM_KERNEL: an unpacked package to use instead."""
    if "KIST_VM_KERNEL" in os.environ:
        folder = pathlib.Path(os.environ["KIST_VM_KERNEL"])
        (vmlinuz,) = folder.glob("boot/vmlinuz-*")
        return vmlinuz, folder / "lib" / "modules" / vmlinuz.name.removeprefix("vmlinuz-")
    depends = _run("apt-cache", "depends", "linux-image-cloud-amd64")
    package = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
    folder = CACHE / package
    release = package.removeprefix("linux-image-")
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run("apt-get", "download", package, cwd=folder)
        (deb,) = folder.glob("*.deb")
        _run("dpkg-deb", "-x", str(deb), str(folder))
        deb.unlink()
        (folder / "complete").touch()
    return folder / "boot" / f"vmlinuz-{release}", folder / "lib" / "modules" / release


def _module_order(modules):
    """Paths of MODULES and what they need, in the order to insert them."""
    paths = {path.name.split(".")[0].replace("-", "_"): path for path in modules.rglob("*.ko*")}
    order = []

    def add(name):
        path = paths.get(name)
        if path is None or path in order:
            return
        for needed in _run("/sbin/modinfo", "-F", "depends", str(path)).strip().split(","):
            if needed:
                add(needed.replace("-", "_"))
        order.append(path)

    for module in MODULES:
        add(module)
    return order


def _copy_program(root, source, target):
    """Copies a program and the libraries it is linked to."""
    target = root / target.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    libraries = subprocess.run(["ldd", source], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(/\S+) \(0x", libraries):
        place = root / library.lstrip("/")
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(library, place)


def initramfs(folder, programs, tests):
    """Writes folder/initramfs: programs {path inside: path here}, tests {name: path here or script text}."""
    root = folder / "root"
    for name in ("bin", "etc", "lib", "lib64", "usr", "tests", "modules"):
        (root / name).mkdir(parents=True, exist_ok=True)
    _copy_program(root, shutil.which("busybox"), "/bin/busybox")
    for target, source in programs.items():
        _copy_program(root, source, target)
    for number, (name, test) in enumerate(tests.items()):
        place = f"/tests/{number:02}-{name}"
        if isinstance(test, pathlib.Path):
            _copy_program(root, test, place)
        else:
            (root / place.lstrip("/")).write_text(test)
        (root / place.lstrip("/")).chmod(0o755)
    vmlinuz, modules = kernel()
    order = _module_order(modules)
    for path in order:
        shutil.copy2(path, root / "modules" / path.name)
    (root / "modules" / "order").write_text("\n".join(path.name for path in order) + "\n")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\n")
    for name, text in (("init", INIT), ("second", SECOND)):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    names = _run("find", ".", cwd=root)
    with open(folder / "initramfs", "wb") as out:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), stdout=out, cwd=root, check=True)
    return vmlinuz, folder / "initramfs"


def command(vmlinuz, image, memory_mb=1024, disks=()):
    """QEMU's argv; disks are raw files, /dev/vda and so on inside."""
    argv = [
        "qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", str(memory_mb),
        "-nographic", "-no-reboot", "-nic", "none", "-kernel", str(vmlinuz), "-initrd", str(image),
        "-append", "console=ttyS0 quiet panic=-1 swapaccount=1",
    ]
    for disk in disks:
        argv += ["-drive", f"file={disk},format=raw,if=virtio,cache=writeback"]
    return argv


def boot(folder, programs, tests, timeout=150, memory_mb=1024):
    """Runs the tests inside; returns ({name: (exit code, output)}, the kernel line, everything)."""
    argv = command(*initramfs(folder, programs, tests), memory_mb)
    try:
        output = subprocess.run(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=timeout, check=False).stdout
    except subprocess.TimeoutExpired as late:
        output = late.stdout or b""
    output = output.decode(errors="replace").replace("\r", "")
    results = {}
    for name, text, code in re.findall(r"@@ start \d\d-(\S+)\n(.*?)@@ end \d\d-\S+ (\d+)\n", output, re.S):
        results[name] = (int(code), text)
    kernel_line = re.search(r"@@ kernel (.*)", output)
    return results, kernel_line.group(1) if kernel_line else "", output
