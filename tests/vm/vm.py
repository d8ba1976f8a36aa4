# SPDX-License-Identifier: Apache-2.0
"""Boots Debian's cloud kernel in QEMU (no KVM needed) with programs of ours in an initramfs.

The kernel comes from Debian's archive by `apt-get download`; nothing is installed. Inside,
the one cgroup2 tree has every controller, and the kernel is Debian's, not the machine's.
"""
import fcntl
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from lib import needs  # noqa: E402

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
    (cd /tmp && exec timeout 300 $test) </dev/null 2>&1
    echo "@@ end ${test##*/} $?"
done
echo "@@ done"
poweroff -f
"""


def _run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options).stdout


def _one_at_a_time(make):
    """What is made once is not made by two test runs at the same time."""

    @functools.wraps(make)
    def locked():
        CACHE.mkdir(parents=True, exist_ok=True)
        with open(CACHE / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return make()

    return locked


@_one_at_a_time
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


def _module_order(modules, more=()):
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

    for module in [*MODULES, *more]:
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


def _copy_tests(root, tests):
    (root / "tests").mkdir(parents=True, exist_ok=True)
    for number, (name, test) in enumerate(tests.items()):
        place = f"/tests/{number:02}-{name}"
        if isinstance(test, pathlib.Path):
            _copy_program(root, test, place)
        else:
            (root / place.lstrip("/")).write_text(test)
        (root / place.lstrip("/")).chmod(0o755)


def _archive(root, out):
    """Appends a cpio archive of the tree: the kernel unpacks one after the other."""
    names = _run("find", ".", cwd=root)
    subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), stdout=out, cwd=root, check=True)
    # Each archive begins at a multiple of four.
    out.write(b"\0" * (-out.tell() % 4))


def initramfs(folder, programs, tests, modules_more=(), folders=None):
    """Writes folder/initramfs: programs {path inside: path here}, tests {name: path here or script text}, folders as programs."""
    root = folder / "root"
    for name in ("bin", "etc", "lib", "lib64", "usr", "tests", "modules"):
        (root / name).mkdir(parents=True, exist_ok=True)
    _copy_program(root, shutil.which("busybox"), "/bin/busybox")
    for target, source in programs.items():
        _copy_program(root, source, target)
    _copy_tests(root, tests)
    for target, source in (folders or {}).items():
        shutil.copytree(source, root / target.lstrip("/"))
    vmlinuz, modules = kernel()
    order = _module_order(modules, modules_more)
    for path in order:
        shutil.copy2(path, root / "modules" / path.name)
    (root / "modules" / "order").write_text("\n".join(path.name for path in order) + "\n")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\n")
    for name, text in (("init", INIT), ("second", SECOND)):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    with open(folder / "initramfs", "wb") as out:
        _archive(root, out)
    return vmlinuz, folder / "initramfs"


# ---- Debian's systemd as PID 1 ----

# systemd, a message bus, and what these are linked to: unpacked, not installed; no script of a package runs.
SYSTEMD_PACKAGES = """systemd dbus dbus-bin dbus-daemon dbus-session-bus-common dbus-system-bus-common libacl1 libapparmor1
libargon2-1 libaudit1 libblkid1 libc6 libcap-ng0 libcap2 libcrypt1 libcryptsetup12 libdbus-1-3 libdevmapper1.02.1 libexpat1
libfdisk1 libgcc-s1 libgcrypt20 libgpg-error0 libip4tc2 libjson-c5 libkmod2 liblz4-1 liblzma5 libmount1 libpam0g libp11-kit0
libffi8 libpcre2-8-0 libseccomp2 libselinux1 libsmartcols1 libssl3 libsystemd-shared libsystemd0 libudev1 libuuid1 libzstd1
mount zlib1g""".split()
USELESS = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/lib/x86_64-linux-gnu/gconv",
           "usr/lib/udev", "usr/share/bash-completion", "usr/share/zsh", "usr/lib/x86_64-linux-gnu/perl-base"]
# Units that a machine of some seconds does not need.
MASKED = """systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service
systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket
systemd-journal-flush.service systemd-journal-catalog-update.service systemd-tmpfiles-setup.service
systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.timer systemd-sysusers.service systemd-hwdb-update.service
systemd-random-seed.service systemd-update-utmp.service systemd-update-done.service systemd-modules-load.service
systemd-binfmt.service systemd-sysctl.service kmod-static-nodes.service getty.target systemd-timesyncd.service
sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount
sys-kernel-config.mount proc-sys-fs-binfmt_misc.automount systemd-remount-fs.service systemd-machine-id-commit.service
systemd-firstboot.service systemd-boot-system-token.service systemd-ask-password-console.path
systemd-ask-password-wall.path systemd-pstore.service modprobe@configfs.service modprobe@dm_mod.service
modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service modprobe@loop.service ldconfig.service
systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-pcrmachine.service systemd-logind.service
systemd-user-sessions.service e2scrub_reap.service dpkg-db-backup.timer""".split()

SYSTEMD_INIT = """#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# pivot_root refuses the initramfs itself: move to a tmpfs.
/bin/busybox mkdir -p /new /proc /sys /dev
/bin/busybox mount -t tmpfs -o size=80%,mode=755 tmpfs /new
cd /
/bin/busybox cp -a bin etc lib lib64 sbin usr tests /new/
cd /new
/bin/busybox mkdir -p proc sys dev run tmp root mnt var/lib/dbus var/log home/vm
/bin/busybox chmod 1777 tmp
/bin/busybox chown 1000:1000 home/vm
/bin/busybox chroot /new /bin/busybox --install -s /usr/bin
exec /bin/busybox switch_root /new /lib/systemd/systemd
"""

RUNNER = """#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
export PATH=/usr/bin:/usr/sbin:/bin HOME=/root
ip link set lo up
echo "@@ kernel $(uname -r) controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
for test in /tests/*; do
    echo "@@ start ${test##*/}"
    (cd /tmp && exec timeout 300 $test) </dev/null 2>&1
    echo "@@ end ${test##*/} $?"
done
echo "@@ done"
exec /usr/bin/systemctl poweroff -ff
"""

SYSTEMD_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nmessagebus:x:101:101::/:/bin/false\nvm:x:1000:1000::/home/vm:/bin/sh\n",
    "etc/group": "root:x:0:\nmessagebus:x:101:\nvm:x:1000:\n",
    "etc/shadow": "root:*:1::::::\nvm:*:1::::::\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/hostname": "vm\n",
    "etc/systemd/system/default.target": "[Unit]\nRequires=kist-test.service\nAllowIsolate=yes\n",
    "etc/systemd/system/kist-test.service": "[Unit]\nRequires=dbus.socket\nAfter=dbus.socket basic.target\n[Service]\n"
                                            "Type=oneshot\nExecStart=/usr/bin/kist-test\nStandardOutput=tty\n"
                                            "StandardError=tty\nTTYPath=/dev/ttyS0\nDelegate=yes\n",
    # Without logind: its helper makes no folder, PAM sets no variable.
    "etc/systemd/system/user-runtime-dir@.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    "etc/systemd/system/user@.service.d/plain.conf": "[Service]\nPAMName=\n"
                                                     "Environment=XDG_RUNTIME_DIR=/run/user/%i\n",
    "usr/bin/kist-test": RUNNER,
    "init": SYSTEMD_INIT,
}


@_one_at_a_time
def systemd_archive():
    """A cpio archive with Debian's systemd, made once per set of package versions."""
    versions = sorted(_run("apt-cache", "show", "--no-all-versions", "systemd", "dbus-daemon", "libc6").split("\n"))
    stamp = "-".join(line.split(": ")[1] for line in versions if line.startswith("Version: ")).replace(":", "_")
    folder = CACHE / f"systemd-{stamp}"
    if (folder / "complete").exists():
        return folder / "archive"
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "root"
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (folder / "debs").mkdir()
    _run("apt-get", "download", *SYSTEMD_PACKAGES, cwd=folder / "debs")
    for deb in sorted((folder / "debs").glob("*.deb")):
        data = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root], input=data, check=True)
    for name in USELESS:
        shutil.rmtree(root / name, ignore_errors=True)
    with open(folder / "archive", "wb") as out:
        _archive(root, out)
    shutil.rmtree(root)
    shutil.rmtree(folder / "debs")
    (folder / "complete").touch()
    return folder / "archive"


def systemd_initramfs(folder, programs, tests):
    root = folder / "root"
    # As in the archive before it: a plain folder would take the link's place.
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc/systemd/system"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    _copy_program(root, shutil.which("busybox"), "/usr/bin/busybox")
    for target, source in programs.items():
        _copy_program(root, source, target)
    _copy_tests(root, tests)
    for name, text in SYSTEMD_FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(0o755 if text.startswith("#!") else 0o644)
    for unit in MASKED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    with open(folder / "initramfs", "wb") as out:
        with open(systemd_archive(), "rb") as base:
            shutil.copyfileobj(base, out)
        _archive(root, out)
    return kernel()[0], folder / "initramfs"


# ---- boot ----


def command(vmlinuz, image, memory_mb=1024, disks=(), words=""):
    """QEMU's argv; disks are raw files, /dev/vda and so on inside."""
    argv = [
        needs.programs("qemu-system-x86_64")[0], "-M", "pc", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", str(memory_mb),
        "-nographic", "-no-reboot", "-nic", "none", "-kernel", str(vmlinuz), "-initrd", str(image),
        "-append", f"console=ttyS0 quiet panic=-1 no_timer_check swapaccount=1 psi=1 {words}",
    ]
    for disk in disks:
        argv += ["-drive", f"file={disk},format=raw,if=virtio,cache=writeback"]
    return argv


def boot(folder, programs, tests, timeout=1200, memory_mb=1024, modules=()):
    """Runs the tests inside; returns ({name: (exit code, output)}, the kernel line, everything)."""
    return run_machine(command(*initramfs(folder, programs, tests, modules), memory_mb), timeout)


def boot_systemd(folder, programs, tests, timeout=1200, more=""):
    """The same with Debian's systemd as PID 1, which runs the tests as a service; more: words for the kernel."""
    words = f"systemd.show_status=0 systemd.log_target=console {more}"
    return run_machine(command(*systemd_initramfs(folder, programs, tests), 1536, words=words), timeout)


def run_machine(argv, timeout):
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


def boot_with_disk(started, disk, words):
    """Starts a machine of an initramfs() pair with a disk that outlives it; words: more for the kernel's command line."""
    vmlinuz, image = started
    return subprocess.Popen(
        [
            needs.programs("qemu-system-x86_64")[0], "-M", "pc", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "1024",
            "-nographic", "-no-reboot", "-nic", "none", "-kernel", str(vmlinuz), "-initrd", str(image),
            "-drive", f"file={disk},format=raw,if=virtio,cache=writeback",
            "-append", f"console=ttyS0 quiet panic=-1 no_timer_check {words}",
        ],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
