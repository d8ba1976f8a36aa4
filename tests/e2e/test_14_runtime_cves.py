# SPDX-License-Identifier: Apache-2.0
"""
kist-runtime: one test for each escape that container runtimes have had.

Each docstring tells the hole, and what is in its way here. Every test was seen to fail with that taken out:
tools/check-mitigations takes them out one by one (in a copy of the sources) and runs the tests again.
Two of the list live next door: CVE-2019-5736 and CVE-2016-9962 in test_13_runtime_escape.py.
"""
import ctypes
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import pytest
from lib.runtime_box import Box, ConsoleSocket, adopt_orphans

AT_FDCWD, RENAME_EXCHANGE = -100, 2


@pytest.fixture
def box(tmp_root, program, busybox_rootfs):
    adopt_orphans()
    it = Box(tmp_root, program("kist-runtime"), busybox_rootfs)
    yield it
    it.finish()


def exchange(one, other):
    libc = ctypes.CDLL(None, use_errno=True)
    names = [os.fsencode(str(path)) for path in (one, other)]
    assert libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0, os.strerror(ctypes.get_errno())


def bind(source, destination):
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind"]}


def without_mounts(*prefixes):
    """A change that drops mounts at and below these folders."""
    def change(spec):
        spec["mounts"] = [m for m in spec["mounts"] if not m["destination"].startswith(prefixes)]
    return change


def run_bundle(box, bundle, check=False):
    return box.call("run", "--bundle", bundle, box.name(), check=check)


def run_slowly(box, bundle, call, trigger, act):
    """
    Runs the bundle with every `call` of it held back for a third of a second; act() is done once a line of the trace
    matches `trigger`, that is between the look at a path and its use.
    """
    words = ["strace", "-f", "-qq", "-o", "/dev/stderr", "-s", "300", "-e", f"trace=openat,openat2,{call}", "-e",
             f"inject={call}:delay_enter=300000", box.runtime, "--root", str(box.state), "run", "--bundle", str(bundle),
             box.name()]
    trace, done = [], []

    def read(stream):
        for line in stream:
            trace.append(line)
            if re.search(trigger, line) and not done:
                done.append(line)
                act()

    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        reader = threading.Thread(target=read, args=(run.stderr,))
        reader.start()
        out = run.stdout.read()
        reader.join(60)
    assert done, f"no {trigger} in the trace: {''.join(trace)[-4000:]}"
    return run.returncode, out, "".join(trace)


# ---- who the program is ----


@pytest.mark.parametrize("user", ["1000", "1000:1000"])
def test_number_is_not_looked_up_as_a_name(box, user):
    """
    CVE-2016-3697 (runc): the image's passwd has a root whose name is "1000". A number stays a number: find_user() looks
    at names only for what is none. Seen to fail without that.
    """
    out = box.run(["id", "-u"], lambda s: s["process"]["user"].update(username=user),
                  files={"etc/passwd": ("1000:x:0:0::/:/bin/sh\nroot:x:0:0::/:/bin/sh\n", 0o644)}).stdout
    assert out == "1000\n"


@pytest.mark.parametrize("user", ["4294967296", "18446744073709551616", "0:4294967296"])
def test_id_that_overflows_is_not_root(box, user):
    """
    CVE-2026-46680 (containerd): 2^32 as a user came out as 0. parse_id() has a limit; what is above is an error. Seen to
    fail without it.
    """
    run = box.run(["id"], lambda s: s["process"]["user"].update(username=user), check=False)
    assert run.returncode == 1 and "out of range" in run.stderr and not run.stdout


@pytest.mark.parametrize("user", ["1", "1:2", "01"])
def test_exec_user_is_assigned(box, user):
    """
    CVE-2026-30892 (crun): exec -u 1 ran as 0, because the number was parsed and not kept. parse_user() assigns both when
    both are right. Seen to fail without the assignment.
    """
    name = box.started()
    assert box.call("exec", "-u", user, name, "id", "-u").stdout == "1\n"


def capability_sets(text):
    return {line.split(":")[0]: int(line.split()[1], 16) for line in text.splitlines()}


def test_no_ambient_capabilities_unless_asked_for(box):
    """
    CVE-2016-8867 (docker): a plain user got its container's capabilities as ambient ones. They are set from
    capabilities.ambient alone. Seen to fail with the permitted set used for them.
    """
    sets = capability_sets(box.sh("grep Cap /proc/self/status", lambda s: s["process"].update(user={"uid": 5, "gid": 5})))
    assert sets["CapAmb"] == 0 and sets["CapEff"] == 0 and sets["CapPrm"] == 0 and sets["CapBnd"] != 0


def test_exec_adds_nothing_inheritable(box):
    """
    CVE-2022-27650 (crun), CVE-2022-29162 (runc), CVE-2025-27612 (youki): exec made its capabilities inheritable, which
    programs with file capabilities pass on. add_caps() leaves that set alone. Seen to fail with it added there.
    """
    name = box.started()
    for words in ([], ["--cap", "CAP_SYS_PTRACE"], ["--cap", "CAP_NET_RAW", "-u", "7"]):
        sets = capability_sets(box.call("exec", *words, name, "grep", "Cap", "/proc/self/status").stdout)
        assert sets["CapInh"] == 0 and sets["CapAmb"] == 0


# ---- what lies in the rootfs ----


@pytest.mark.parametrize("where", ["proc", "sys"])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_kernel_trees_only_on_real_directories(box, where, kind):
    """
    CVE-2019-19921, CVE-2023-27561, CVE-2023-28642 (runc), CVE-2025-54867 (youki): /proc of the image is a link, so the
    real one lies elsewhere and labels, masks and sysctls go to a fake. open_plain_directory() follows none. Seen to fail
    with the way of other mounts taken for these two.
    """
    bundle = box.bundle(["true"])
    target = bundle / "rootfs" / where
    if target.exists():
        target.rmdir()
    (bundle / "rootfs/elsewhere").mkdir()
    if kind == "link":
        target.symlink_to("/elsewhere")
    else:
        target.write_text("")
    run = run_bundle(box, bundle)
    assert run.returncode == 1 and "must be mounted on ordinary directory" in run.stderr


@pytest.mark.parametrize("link", ["{root}/victim", "/proc/1/root{root}/victim", "../../../../../../../../../..{root}/victim"])
@pytest.mark.parametrize("is_file", [True, False])
def test_mount_points_behind_links(box, link, is_file):
    """
    CVE-2019-18837, CVE-2025-24965 (crun), CVE-2024-45310 (runc), plain form: a mount point that is a link out makes files
    and folders on the host. mkdir_in_root() and touch_in_root() walk inside the root. Seen to fail with a plain open(2)
    and mkdir(2) below it.
    """
    victim = box.root / "victim"
    victim.mkdir()
    source = box.root / "source"
    source.write_text("x") if is_file else source.mkdir()
    bundle = box.bundle(["true"], lambda s: s["mounts"].append(bind(source, "/link/new")))
    (bundle / "rootfs/link").symlink_to(link.format(root=box.root))
    run_bundle(box, bundle)
    assert not list(victim.iterdir())


@pytest.mark.usefixtures("plain")
def test_mount_point_swapped_before_the_mount(box):
    """
    CVE-2021-30465 (runc): the mount point is exchanged for a link out of the root between look and mount. The mount goes
    onto a descriptor, wherever the folder is by then. Seen to fail with the mount done by path.
    """
    source = box.root / "source"
    source.mkdir()
    (source / "file").write_text("here\n")
    outside = box.root / "outside"
    outside.mkdir()
    bundle = box.bundle(["sh", "-c", "cat /v/*/file"], lambda s: s.update(mounts=[bind(source, "/v/point")]))
    volume = bundle / "rootfs/v"
    (volume / "point").mkdir(parents=True)
    (volume / "evil").symlink_to(outside)
    code, out, trace = run_slowly(box, bundle, "move_mount", 'point"',
                                  lambda: exchange(volume / "point", volume / "evil"))
    assert (code, out) == (0, "here\n"), trace[-3000:]
    assert not list(outside.iterdir())


@pytest.mark.usefixtures("plain")
def test_folder_swapped_before_mkdir(box):
    """
    CVE-2024-45310 (runc): a folder on the way to a mount point is exchanged for a link out of the root while the rest is
    made, which then is made on the host. in_root.c holds a descriptor of each folder on its way. Seen to fail with mkdir
    done by path.
    """
    source = box.root / "source"
    source.mkdir()
    outside = box.root / "outside"
    outside.mkdir()
    bundle = box.bundle(["true"], lambda s: s.update(mounts=[bind(source, "/v/way/new/point")]))
    volume = bundle / "rootfs/v"
    (volume / "way").mkdir(parents=True)
    (volume / "evil").symlink_to(outside)
    run_slowly(box, bundle, "mkdirat", r'openat\(.*"way"|mkdirat.*way/new/point"', lambda: exchange(volume / "way", volume / "evil"))
    assert not list(outside.iterdir())


def test_dev_that_leads_out(box):
    """
    CVE-2026-41579 (runc), CVE-2026-47766 (crun): /dev of the image is a link to a folder of the host, where nodes and links
    are made and ptmx is deleted. /dev is opened inside the root, everything below by its descriptor. Seen to fail with
    /dev opened by path.
    """
    victim = box.root / "victim"
    victim.mkdir()
    (victim / "ptmx").write_text("keep")
    bundle = box.bundle(["true"], without_mounts("/dev"))
    shutil.rmtree(bundle / "rootfs/dev", ignore_errors=True)
    (bundle / "rootfs/dev").symlink_to(victim)
    run_bundle(box, bundle)
    assert [entry.name for entry in victim.iterdir()] == ["ptmx"] and (victim / "ptmx").read_text() == "keep"


def shared_dev(box, spec):
    """A /dev that another container can write to, too: bound, so that it is not filled by us."""
    dev = box.root / "dev"
    dev.mkdir()
    subprocess.run(["mknod", "-m", "666", dev / "tty", "c", "5", "0"], check=True)
    spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/dev"]
    spec["mounts"].insert(1, bind(dev, "/dev"))
    for name in ("pts", "shm", "mqueue"):
        (dev / name).mkdir()
    return dev


def test_null_of_the_container_masks_nothing(box):
    """
    CVE-2025-31133 (runc), CVE-2025-62161 (youki): /dev/null of the container, by which a file is masked, is a link to
    another file, which then can be read or written under the masked name. The host's is taken, its device number
    checked. Seen to fail with the container's.
    """
    def change(spec):
        dev = shared_dev(box, spec)
        (dev / "null").symlink_to("/proc/sys/kernel/ostype")
        spec["linux"]["maskedPaths"] = ["/proc/uptime", "/proc/bus"]

    look = "stat -c %t:%T /proc/uptime; cat /proc/uptime; ls /proc/bus | wc -l; touch /proc/bus/x || echo closed"
    assert box.run(["sh", "-c", look], change, check=False).stdout == "1:3\n0\nclosed\n"


def with_terminal(box, bundle):
    console = ConsoleSocket(box.root / "c.sock")
    try:
        name = box.name()
        with open(box.root / "o", "wb") as out:
            run = box.call("create", "--bundle", bundle, "--console-socket", console.path, name, check=False,
                           capture_output=False, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        return name, run.returncode, (box.root / "o").read_text()
    finally:
        console.close()


def test_console_is_the_terminal_we_made(box):
    """
    CVE-2025-52565 (runc): what /dev/console is bound from, or the place it is bound on, is a link to another file. It is
    bound from the terminal's own descriptor onto a name that is no link. Seen to fail with the link followed.
    """
    def change(spec):
        dev = shared_dev(box, spec)
        (dev / "console").symlink_to("/proc/sys/kernel/ostype")
        spec["process"]["terminal"] = True

    _, code, text = with_terminal(box, box.bundle(["true"], change))
    assert code == 1 and "/dev/console" in text and "symbolic links" in text


def test_terminal_comes_from_a_real_devpts(box):
    """
    CVE-2025-52565, the other half: /dev/pts of the container is a plain folder whose ptmx leads elsewhere. It must be a
    devpts. Seen to fail without the check (the error is then of what comes next, a look at the terminal made).
    """
    def change(spec):
        dev = shared_dev(box, spec)
        subprocess.run(["mknod", "-m", "666", dev / "pts/ptmx", "c", "5", "2"], check=True)
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/dev/pts"]
        spec["process"]["terminal"] = True

    _, code, text = with_terminal(box, box.bundle(["true"], change))
    assert code == 1 and "is not a devpts" in text


def test_sysctl_is_not_written_to_the_images_proc(box):
    """
    CVE-2025-52881 (runc), CVE-2025-62596 (youki): a write to /proc is led to another file: here one of the image. They
    go to a proc mount of our own. Seen to fail with /proc of the container.
    """
    def change(spec):
        without_mounts("/proc")(spec)
        spec["linux"].update(sysctl={"net.ipv4.ip_forward": "1"}, maskedPaths=[], readonlyPaths=[])

    bundle = box.bundle(["cat", "/proc/sys/net/ipv4/ip_forward"], change, {"proc/sys/net/ipv4/ip_forward": ("fake", 0o644)})
    assert run_bundle(box, bundle, check=True).stdout == "fake"


@pytest.mark.parametrize("key", ["../../etc/passwd", "net/../../../../victim", "net/ipv4/../../../victim"])
def test_sysctl_stays_in_proc_sys(box, key):
    """CVE-2025-52881, another way: a key that climbs. RESOLVE_BENEATH, and a proc mount has nothing else above."""
    run = box.run(["true"], lambda s: s["linux"].update(sysctl={key: "1"}), check=False)
    assert run.returncode == 1 and "sysctl" in run.stderr


@pytest.mark.parametrize("process", [{"apparmorProfile": "kist-nonesuch"}, {"selinuxLabel": "a:b:c:d"}])
def test_labels_are_not_written_to_a_fake_proc(box, process):
    """
    CVE-2019-16884 (runc): /proc of the image is a folder of plain files, so the label is "written" and nothing is confined.
    Labels go through a proc of our own, checked to be one. Seen to fail without both.
    """
    plain = {f"proc/{task}/attr/{file}": ("", 0o666) for task in ("thread-self", "self")
             for file in ("exec", "apparmor/exec")}

    def change(spec):
        without_mounts("/proc")(spec)
        spec["process"].update(process)
        spec["linux"].update(maskedPaths=[], readonlyPaths=[])

    run = run_bundle(box, box.bundle(["echo", "unconfined"], change, plain))
    assert run.returncode == 1 and not run.stdout and list(process)[0] in run.stderr


# ---- what is open, where we stand ----


@pytest.mark.parametrize("number", range(3, 13))
def test_cwd_through_a_descriptor_of_ours(box, number):
    """
    CVE-2024-21626 (runc), GHSA-xr7r-f8xq-vfvv (youki): process.cwd is /proc/self/fd/N, a folder of the host that happens
    to be open. After chdir the kernel is asked whether we are below the root. Seen to fail without verify_cwd().
    """
    run = box.run(["sh", "-c", "cd ../../../../..; ls -d boot work home 2>/dev/null; readlink /proc/self/cwd"],
                  lambda s: s["process"].update(cwd=f"/proc/self/fd/{number}"), check=False)
    # A number may also be that of one of init's own folders inside the container: then there is nothing of the host.
    assert (run.returncode == 1 and "cwd" in run.stderr) or "boot" not in run.stdout, run.stdout


def test_exec_cwd_through_a_descriptor_of_ours(box):
    """CVE-2024-21626, by exec. The same check."""
    name = box.started()
    for number in range(3, 13):
        run = box.call("exec", "--cwd", f"/proc/self/fd/{number}", name, "pwd", check=False)
        assert run.returncode == 255 and "cwd" in run.stderr and not run.stdout


def test_descriptors_of_the_caller_stay_outside(box):
    """
    CVE-2024-21626, the leak: whatever the caller left open is closed before the program runs. Seen to fail without
    close_range(2), in the program and while the container waits for its start.
    """
    with open("/etc/hostname", "rb") as secret:
        os.set_inheritable(secret.fileno(), True)
        assert box.run(["sh", "-c", "ls /proc/self/fd | wc -l"], close_fds=False).stdout == "4\n"  # 0 1 2, the folder
        name = box.create(close_fds=False)
        fds = pathlib.Path(f"/proc/{box.pid(name)}/fd")
        open_now = {os.readlink(entry) for entry in fds.iterdir() if int(entry.name) > 2}
        assert all(target.startswith("socket:") for target in open_now), open_now
        box.call("start", name)
        assert box.call("exec", name, "sh", "-c", "ls /proc/self/fd | wc -l", close_fds=False).stdout == "4\n"


# ---- cgroups, ids, sizes ----


@pytest.mark.parametrize("namespace", [True, False])
def test_groups_of_others_are_not_in_the_container(box, namespace):
    """
    CVE-2023-25809 (runc): without a cgroup of its own, a container whose /sys is the host's had all the user's groups,
    writable. What is mounted there instead is an empty folder, or the container's own group. Seen to fail without.
    """
    def change(spec):
        without_mounts("/sys")(spec)
        spec["mounts"] += [{"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind"]},
                           {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}]
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "cgroup"]
        if namespace:
            spec["linux"]["namespaces"].append({"type": "cgroup"})

    name = f"kt-other-{box.root.name}"
    bundle = box.bundle(["sh", "-c", f"find /sys/fs/cgroup -type d -name {name}"], change)
    other = [pathlib.Path(line.split()[1]) / name for line in pathlib.Path("/proc/mounts").read_text().splitlines()
             if line.split()[2] in ("cgroup", "cgroup2")][0]
    other.mkdir()
    try:
        for options in (["--cgroup-manager", "disabled"], []):
            run = box.call(*options, "run", "--bundle", bundle, box.name())
            assert run.stdout == "", options
    finally:
        other.rmdir()


def test_exec_cgroup_stays_below_the_containers(box):
    """
    crun 1.28's "..": exec --cgroup leads into somebody else's group, also one whose name only begins the same. Compared by
    whole names after cleaning. Seen to fail with a comparison by bytes.
    """
    name = box.name()
    box.names.append(name + "2")
    for this in (name, name + "2"):
        bundle = box.bundle(["sleep", "1000"])
        with open(box.root / "out", "ab") as out:
            box.call("run", "-d", "--bundle", bundle, this, capture_output=False, stdin=subprocess.DEVNULL, stdout=out,
                     stderr=out)
    for path in (f"../{name}2", "..", "../..", "/../" + name + "2", "x/../../" + name + "2"):
        run = box.call("exec", "--cgroup", path, name, "true", check=False)
        assert run.returncode == 255 and "bad sub cgroup path" in run.stderr, path


@pytest.mark.parametrize("name", ["../x", "..", ".", "a/b", "a\nb", "", "-x/../..", "é"])
def test_ids_are_names_of_folders(box, name):
    """An id that walks: state folders are named by it. record_check_id() has a list of bytes. Seen to fail without."""
    bundle = box.bundle(["true"])
    run = box.call("run", "--bundle", bundle, "--", name, check=False)
    assert run.returncode == 1 and "container id" in run.stderr
    assert box.call("delete", "--force", "--", name, check=False).returncode == 1


def test_sizes_that_a_message_cannot_hold(box):
    """
    CVE-2021-43784 (runc): a length of 16 bits overflowed in the message that tells the child its namespaces, and the rest
    of the configuration was read as more of it. Nothing is packed here, init reads its parent's memory: there is no
    mitigation to take out; the test stays for the day that changes.
    """
    def long_path(spec):
        for entry in spec["linux"]["namespaces"]:
            if entry["type"] == "uts":
                entry["path"] = "/proc/" + "1/../" * 20000 + "self/ns/uts"

    run = box.run(["true"], long_path, check=False)
    assert run.returncode == 1 and "too long" in run.stderr
    out = box.run(["sh", "-c", "readlink /proc/self/ns/pid; readlink /proc/self/ns/net; id -G | wc -w"], lambda s: (
        s["process"]["user"].update(additionalGids=list(range(1000, 21000))), s.update(annotations={"a": "x" * 200000}))).stdout
    assert out.split()[2] == "20001"
    assert not {os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/net")} & set(out.split())


def test_uid_map_is_written_whole_or_not(box):
    """CVE-2021-43784, the map: what the kernel does not take whole is an error, and nobody runs with less of it."""
    def change(spec):
        spec["linux"]["namespaces"].append({"type": "user"})
        ranges = [{"containerID": i * 2, "hostID": 100000 + i * 2, "size": 1} for i in range(400)]
        spec["linux"].update(uidMappings=ranges, gidMappings=ranges[:1])

    run = box.run(["true"], change, check=False)
    assert run.returncode == 1 and "uid_map" in run.stderr
    assert json.loads(box.call("list", "--format", "json").stdout or "[]") in ([], None)
