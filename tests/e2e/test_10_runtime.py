# SPDX-License-Identifier: Apache-2.0
"""kist-runtime: the life of a container and what it finds inside."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from lib import leaks
from lib.runtime_box import Box, ConsoleSocket, adopt_orphans, read_until, reap
from lib.wait import wait_for

ALL_CAPS = ["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]


@pytest.fixture
def box(tmp_root, program, busybox_rootfs):
    adopt_orphans()
    it = Box(tmp_root, program("kist-runtime"), busybox_rootfs)
    yield it
    it.finish()
    for name in it.names:
        assert not leaks.cgroups(name), f"cgroups of {name} are left"
    left = [entry.name for entry in it.state.iterdir() if not entry.name.startswith(".")] if it.state.exists() else []
    assert not left, f"state is left: {left}"


def links(*paths):
    """busybox' readlink takes one path."""
    return "; ".join(f"readlink {path}" for path in paths)


# ---- life ----


def test_run_gives_output_and_exit_code(box):
    run = box.run(["sh", "-c", "echo out; echo err >&2; exit 7"], check=False)
    assert (run.stdout, run.stderr, run.returncode) == ("out\n", "err\n", 7)


def test_run_reads_stdin(box):
    assert box.run(["cat"], input="hello").stdout == "hello"


def test_run_killed_by_signal_is_128_plus_n(box):
    assert box.run(["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], check=False).returncode == 137


def test_create_start_state_kill_delete(box):
    name = box.create(["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"])
    state = json.loads(box.call("state", name).stdout)
    assert state["status"] == "created" and state["id"] == name and state["ociVersion"].startswith("1.")
    assert os.readlink(f"/proc/{state['pid']}/exe")
    assert state["bundle"].startswith(str(box.root))
    box.call("start", name)
    assert box.status(name) == "running"
    again = box.call("start", name, check=False)
    assert again.returncode == 1 and "cannot start a container" in again.stderr
    refused = box.call("delete", name, check=False)
    assert refused.returncode == 1 and "that is not stopped: running" in refused.stderr
    box.call("kill", name, "TERM")
    box.wait_status(name, "stopped")
    dead = box.call("kill", name, "KILL", check=False)
    assert dead.returncode == 1 and "container not running" in dead.stderr
    box.call("delete", name)
    gone = box.call("state", name, check=False)
    assert gone.returncode == 1 and "does not exist" in gone.stderr


def test_zombie_init_counts_as_stopped(box):
    name = box.started(["true"])
    box.wait_status(name, "stopped")  # nobody has reaped it yet
    box.call("delete", name)
    reap()


def test_delete_of_a_created_container(box):
    name = box.create()
    box.call("delete", name)
    assert box.status(name) is None


def test_delete_force(box):
    name = box.started()
    pid = box.pid(name)
    box.call("delete", "--force", name)
    reap()
    assert not pathlib.Path(f"/proc/{pid}").exists()
    box.call("delete", "--force", name)
    assert box.call("delete", name, check=False).returncode == 1


def test_same_id_twice(box):
    name = box.create()
    second = box.call("create", "--bundle", box.bundle(), name, check=False)
    assert second.returncode == 1 and "container with given ID already exists" in second.stderr
    assert box.status(name) == "created"


def test_list(box):
    name = box.started()
    entries = json.loads(box.call("list", "--format", "json").stdout)
    assert [(e["id"], e["status"]) for e in entries] == [(name, "running")]
    assert box.call("list", "-q").stdout == name + "\n"
    table = box.call("list").stdout.splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"] and name in table[1]


def test_pid_file(box):
    file = box.root / "pid"
    name = box.create(options=["--pid-file", file])
    assert file.read_text() == str(box.pid(name))


def test_killed_create_leaves_nothing_running(box):
    """A create that dies between its steps takes init with it; delete --force clears the rest."""
    name = box.name()
    # A command line of its own: nobody else's sleep may be taken for it.
    hook = f"{name}-hook"
    bundle = box.bundle(
        ["sleep", "1000"],
        lambda s: s.update(hooks={"createRuntime": [{"path": "/bin/sleep", "args": [hook, "60"]}]}),
    )
    with subprocess.Popen([box.runtime, "--root", str(box.state), "create", "--bundle", str(bundle), name]) as create:
        wait_for(lambda: any(line.startswith(hook) for line in cmdlines()), what="the hook")
        create.kill()
    for pid, line in list(cmdlines_by_pid().items()):
        if line.startswith(hook):
            os.kill(pid, 9)
    reap()
    assert box.status(name) in ("creating", "stopped")
    box.call("delete", "--force", name)


def cmdlines_by_pid():
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found[int(entry)] = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                pass
    return found


def cmdlines():
    return cmdlines_by_pid().values()


# ---- exec ----


def test_exec(box):
    name = box.started()
    run = box.call("exec", "-e", "A=b", "--cwd", "/tmp", name, "sh", "-c", "echo $A $PWD; exit 5", check=False)
    assert (run.stdout, run.returncode) == ("b /tmp\n", 5)
    inside = box.call("exec", name, "sh", "-c", links(*[f"/proc/self/ns/{n}" for n in ("pid", "mnt", "net", "uts", "ipc")]))
    init = box.call("exec", name, "sh", "-c", links(*[f"/proc/1/ns/{n}" for n in ("pid", "mnt", "net", "uts", "ipc")]))
    assert inside.stdout == init.stdout
    own = [os.readlink(f"/proc/self/ns/{n}") for n in ("pid", "mnt", "net", "uts", "ipc")]
    assert not set(own) & set(inside.stdout.split())


def test_exec_is_in_the_cgroups(box):
    name = box.started()
    lines = box.call("exec", name, "cat", "/proc/self/cgroup").stdout
    init = box.call("exec", name, "cat", "/proc/1/cgroup").stdout
    assert lines == init


@pytest.mark.parametrize("user,wanted", [("7", "7:0"), ("7:8", "7:8"), ("0", "0:0")])
def test_exec_user(box, user, wanted):
    name = box.started()
    assert box.call("exec", "-u", user, name, "sh", "-c", "echo $(id -u):$(id -g)").stdout.strip() == wanted


@pytest.mark.parametrize("user", ["4294967296", "-1", "1:x", "", "0x0", "4294967295", "root"])
def test_exec_bad_user_is_never_root(box, user):
    name = box.started()
    run = box.call("exec", "--user=" + user, name, "id", check=False)
    assert run.returncode == 255 and "--user" in run.stderr and not run.stdout


def test_exec_process_file_and_detach(box):
    name = box.started()
    file = box.root / "p.json"
    pid_file = box.root / "pid"
    file.write_text(json.dumps({"args": ["sleep", "77"], "cwd": "/", "user": {"uid": 3, "gid": 3}, "env": ["A=b"]}))
    with open(box.root / "o", "wb") as out:
        box.call("exec", "--process", file, "--detach", "--pid-file", pid_file, name, capture_output=False, stdout=out)
    pid = int(pid_file.read_text())
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t3\t3\t3\t3" in status
    assert pid in json.loads(box.call("ps", "--format", "json", name).stdout)


def test_exec_never_adds_inheritable(box):
    name = box.started()
    text = box.call("exec", "--cap", "CAP_SYS_PTRACE", name, "grep", "Cap", "/proc/self/status").stdout
    sets = {line.split(":")[0]: int(line.split()[1], 16) for line in text.splitlines()}
    assert sets["CapInh"] == 0 and sets["CapAmb"] == 0 and sets["CapEff"] & (1 << 19)


def test_exec_failures(box):
    name = box.started()
    missing = box.call("exec", name, "nonesuch", check=False)
    assert missing.returncode == 255
    assert 'exec: "nonesuch": executable file not found in $PATH' in missing.stderr
    assert "exec args cannot be empty" in box.call("exec", name, check=False).stderr
    assert "does not exist" in box.call("exec", "t-rt-none", "true", check=False).stderr
    box.call("kill", name, "KILL")
    box.wait_status(name, "stopped")
    assert "cannot exec in a stopped container" in box.call("exec", name, "true", check=False).stderr


# ---- terminal ----


def test_tty_by_console_socket(box):
    socket = ConsoleSocket(box.root / "c")
    change = lambda s: s["process"].update(terminal=True, consoleSize={"height": 33, "width": 99})
    name = box.create(
        ["sh", "-c", "tty; stty size; ls -l /dev/console; test -t 0 && echo isatty; read x; echo got $x"],
        change,
        ["--console-socket", socket.path],
    )
    fd, payload = socket.receive()
    socket.close()
    assert payload == b"/dev/ptmx"
    box.call("start", name)
    seen = read_until(fd, b"isatty")
    assert b"/dev/pts/0" in seen or b"/dev/console" in seen
    assert b"33 99" in seen
    os.set_blocking(fd, True)
    os.write(fd, b"word\n")
    read_until(fd, b"got word")
    os.close(fd)
    box.wait_status(name, "stopped")


def test_tty_and_console_socket_belong_together(box):
    bundle = box.bundle(["true"], lambda s: s["process"].update(terminal=True))
    run = box.call("create", "--bundle", bundle, box.name(), check=False)
    assert "cannot allocate tty if runtime will detach without setting console socket" in run.stderr
    bundle = box.bundle(["true"])
    run = box.call("create", "--bundle", bundle, "--console-socket", "/x", box.name(), check=False)
    assert "cannot use console socket if runtime will not detach or allocate tty" in run.stderr


def test_exec_with_tty(box):
    name = box.started()
    socket = ConsoleSocket(box.root / "c")
    file = box.root / "p.json"
    file.write_text(json.dumps({"args": ["sh", "-c", "tty; echo done"], "cwd": "/", "terminal": True, "user": {}}))
    with open(box.root / "o", "wb") as out:
        box.call("exec", "-d", "--process", file, "--console-socket", socket.path, name, capture_output=False, stdout=out)
    fd, _ = socket.receive()
    socket.close()
    assert b"/dev/pts/" in read_until(fd, b"done")
    os.close(fd)


def test_foreground_tty_through_script(box):
    bundle = box.bundle(["sh", "-c", "test -t 0 && test -t 1 && echo terminal-inside"],
                        lambda s: s["process"].update(terminal=True))
    line = f"{box.runtime} --root {box.state} run --bundle {bundle} {box.name()}"
    run = subprocess.run(["script", "-qec", line, "/dev/null"], capture_output=True, text=True, timeout=120, check=True,
                         stdin=subprocess.DEVNULL)
    assert "terminal-inside" in run.stdout


# ---- namespaces ----


def test_new_namespaces(box):
    kinds = ["pid", "mnt", "net", "uts", "ipc", "cgroup"]
    change = lambda s: s["linux"]["namespaces"].append({"type": "cgroup"}) if not any(
        n["type"] == "cgroup" for n in s["linux"]["namespaces"]) else None
    inside = box.sh(links(*[f"/proc/self/ns/{k}" for k in kinds]), change).split()
    assert len(inside) == len(kinds)
    assert not set(inside) & {os.readlink(f"/proc/self/ns/{k}") for k in kinds}
    assert box.sh("echo $$; hostname; ip -o link | wc -l; ip addr show lo | grep -c 'inet 127'").split() == [
        "1", "kist", "1", "1"]


def test_namespaces_left_out_are_those_of_the_caller(box):
    def change(spec):
        spec["linux"]["namespaces"] = [{"type": "mount"}]
        del spec["hostname"]
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] not in ("/sys", "/dev/mqueue")]

    inside = box.sh(links("/proc/self/ns/net", "/proc/self/ns/pid", "/proc/self/ns/uts"), change).split()
    assert inside == [os.readlink(f"/proc/self/ns/{k}") for k in ("net", "pid", "uts")]


def test_namespaces_joined_by_path(box):
    first = box.started()
    pid = box.pid(first)

    def change(spec):
        for entry in spec["linux"]["namespaces"]:
            file = {"network": "net", "pid": "pid", "ipc": "ipc", "uts": "uts"}.get(entry["type"])
            if file:
                entry["path"] = f"/proc/{pid}/ns/{file}"
        spec["hostname"] = "second"

    inside = box.sh(links("/proc/self/ns/net", "/proc/self/ns/pid", "/proc/self/ns/ipc") + "; ps | grep -c 'sleep 100[0]'", change)
    assert inside.split() == [os.readlink(f"/proc/{pid}/ns/{k}") for k in ("net", "pid", "ipc")] + ["1"]
    assert box.call("exec", first, "hostname").stdout == "second\n"


def test_shared_pid_namespace_leaves_no_process(box):
    first = box.started()
    pid = box.pid(first)

    def change(spec):
        for entry in spec["linux"]["namespaces"]:
            if entry["type"] == "pid":
                entry["path"] = f"/proc/{pid}/ns/pid"

    own = f"sleep {100000 + os.getpid()}"
    second = box.started(["sh", "-c", f"{own} & {own}"], change)
    wait_for(lambda: sum(own in line for line in cmdlines()) >= 2, what="both sleeps")
    box.call("delete", "--force", second)
    reap()
    wait_for(lambda: not any(line.strip() == own for line in cmdlines()), what="the sleeps to end")
    assert box.status(first) == "running"


def test_wrong_namespace_path(box):
    run = box.run(["true"], lambda s: s["linux"]["namespaces"][1].update(path="/proc/self/ns/uts"), check=False)
    assert "is not a network namespace" in run.stderr
    run = box.run(["true"], lambda s: s["linux"]["namespaces"][1].update(path="/nonesuch"), check=False)
    assert "/nonesuch" in run.stderr and "No such file" in run.stderr


def test_user_namespace(box):
    def change(spec):
        spec["linux"]["namespaces"].append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        spec["linux"].update(uidMappings=mapping, gidMappings=mapping)

    box.root.chmod(0o711)
    script = "id -u; cat /proc/self/uid_map; ls -ln /dev/null | cut -c1; echo x > /dev/null && echo wrote; hostname"
    out = box.sh(script, change).split()
    assert out == ["0", "0", "100000", "65536", "c", "wrote", "kist"]


def test_user_namespace_exec(box):
    def change(spec):
        spec["linux"]["namespaces"].append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        spec["linux"].update(uidMappings=mapping, gidMappings=mapping)

    name = box.started(change=change)
    assert box.call("exec", name, "sh", "-c", "id -u; cat /proc/self/uid_map").stdout.split() == [
        "0", "0", "100000", "65536"]
    host = pathlib.Path(f"/proc/{box.pid(name)}/status").read_text()
    assert "Uid:\t100000" in host


def test_time_namespace(box):
    def change(spec):
        spec["linux"]["namespaces"].append({"type": "time"})
        spec["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 0}}

    inside = float(box.sh("cat /proc/uptime", change).split()[0])
    assert inside > float(pathlib.Path("/proc/uptime").read_text().split()[0]) + 999000


# ---- mounts, devices ----


def test_default_mounts_and_devices(box):
    out = box.sh(
        "for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done;"
        "readlink /dev/fd; readlink /dev/stdin; readlink /dev/ptmx; mount | cut -d' ' -f3; echo x > /proc/sys/kernel/hostname || echo ro;"
        "wc -c < /proc/uptime; ls /sys/kernel | wc -l; touch /sys/x || echo sysro",
        lambda s: s["linux"]["maskedPaths"].extend(["/proc/uptime", "/sys/kernel", "/none/such"]),
    )
    words = out.split()
    assert "no" not in words
    for point in ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/proc/uptime", "/sys/kernel"):
        assert point in words, point
    assert "ro" in words and "sysro" in words and words.count("0") >= 2


def test_masked_null_cannot_be_swapped(box):
    """CVE-2025-31133: the image's /dev/null is not what covers a masked file."""
    def change(spec):
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/dev"
                          and not m["destination"].startswith("/dev/")]
        spec["linux"]["maskedPaths"] = ["/proc/uptime"]

    bundle = box.bundle(["sh", "-c", "wc -c < /proc/uptime"], change)
    dev = bundle / "rootfs/dev"
    dev.mkdir(exist_ok=True)
    (dev / "null").unlink(missing_ok=True)
    (dev / "null").symlink_to("/proc/sys/kernel/core_pattern")
    run = box.call("run", "--bundle", bundle, box.name(), check=False)
    assert run.returncode == 1 and "/dev/null" in run.stderr


def test_readonly_rootfs(box):
    def change(spec):
        spec["root"]["readonly"] = True

    assert box.sh("touch /x 2>/dev/null || echo readonly", change) == "readonly\n"


@pytest.mark.parametrize("options,flags", [
    (["bind", "ro"], {"ro"}),
    (["rbind", "nosuid", "nodev", "noexec"], {"nosuid", "nodev", "noexec", "rw"}),
    (["bind", "noatime"], {"noatime"}),
    (["rbind", "rro"], {"ro"}),
])
def test_bind_options(box, options, flags):
    source = box.root / "v"
    source.mkdir()
    (source / "f").write_text("content")
    change = lambda s: s["mounts"].append(
        {"destination": "/deep/er/v", "type": "bind", "source": str(source), "options": options})
    out = box.sh("cat /deep/er/v/f; echo; grep ' /deep/er/v ' /proc/self/mounts", change).splitlines()
    assert out[0] == "content"
    assert flags <= set(out[1].split()[3].split(","))


def test_recursive_readonly_reaches_submounts(box):
    source = box.root / "v"
    (source / "sub").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "t-rt", source / "sub"], check=True)
    try:
        mount = {"destination": "/v", "type": "bind", "source": str(source)}
        plain = box.sh("touch /v/sub/x && echo wrote", lambda s: s["mounts"].append({**mount, "options": ["rbind", "ro"]}))
        assert plain == "wrote\n"
        deep = box.sh("touch /v/sub/y 2>/dev/null || echo no",
                      lambda s: s["mounts"].append({**mount, "options": ["rbind", "rro"]}))
        assert deep == "no\n"
    finally:
        subprocess.run(["umount", source / "sub"], check=True)


def test_bind_of_a_file_and_relative_source(box):
    change = lambda s: s["mounts"].append(
        {"destination": "/etc/motd-x", "type": "bind", "source": "note", "options": ["bind", "ro"]})
    bundle = box.bundle(["cat", "/etc/motd-x"], change)
    (bundle / "note").write_text("hi")
    assert box.call("run", "--bundle", bundle, box.name()).stdout == "hi"


def test_idmapped_bind(box):
    source = box.root / "v"
    source.mkdir()
    os.chown(source, 5000, 5000)
    mapping = [{"containerID": 5000, "hostID": 7000, "size": 10}]
    change = lambda s: s["mounts"].append({"destination": "/v", "type": "bind", "source": str(source),
                                           "options": ["bind"], "uidMappings": mapping, "gidMappings": mapping})
    assert box.sh("stat -c %u:%g /v", change) == "7000:7000\n"


def test_propagation_slave(box):
    source = box.root / "v"
    source.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "t-rt", source], check=True)
    subprocess.run(["mount", "--make-shared", source], check=True)
    try:
        change = lambda s: s["mounts"].append(
            {"destination": "/v", "type": "bind", "source": str(source), "options": ["rbind", "rslave"]})
        name = box.started(change=change)
        (source / "late").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "t-rt", source / "late"], check=True)
        assert "/v/late" in box.call("exec", name, "cat", "/proc/mounts").stdout
        box.call("delete", "--force", name)
    finally:
        subprocess.run(["umount", "-R", source], check=True)


def test_tmpcopyup(box):
    change = lambda s: s["mounts"].append(
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m"]})
    out = box.sh("cat /data/a/b; ln -s x /data/l && echo ok; stat -f -c %T /data", change,
                 files={"data/a/b": ("deep\n", 0o640)})
    assert out.split() == ["deep", "ok", "tmpfs"]


def test_extra_device_node(box):
    change = lambda s: s["linux"].update(devices=[
        {"path": "/dev/my/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
        {"path": "/dev/pipe", "type": "p"}])
    assert box.sh("stat -c '%F %a %u:%g %t:%T' /dev/my/zero; test -p /dev/pipe && echo fifo", change).splitlines() == [
        "character special file 640 3:4 1:5", "fifo"]


@pytest.mark.parametrize("where", ["proc", "sys"])
def test_proc_and_sys_only_on_real_directories(box, where):
    """CVE-2019-19921, CVE-2025-54867."""
    bundle = box.bundle(["true"])
    target = bundle / "rootfs" / where
    if target.exists():
        target.rmdir()
    (bundle / "rootfs/elsewhere").mkdir()
    target.symlink_to("/elsewhere")
    run = box.call("run", "--bundle", bundle, box.name(), check=False)
    assert run.returncode == 1 and "must be mounted on ordinary directory" in run.stderr


@pytest.mark.parametrize("destination", ["/proc/self", "/proc/sys", "/link/sys", "/proc/version"])
def test_nothing_is_mounted_inside_proc(box, destination):
    source = box.root / "v"
    source.mkdir()
    (box.root / "f").write_text("x")
    file = "version" in destination
    change = lambda s: s["mounts"].append({"destination": destination, "type": "bind",
                                           "source": str(box.root / "f" if file else source), "options": ["bind"]})
    bundle = box.bundle(["true"], change)
    (bundle / "rootfs/link").symlink_to("/proc")
    run = box.call("run", "--bundle", bundle, box.name(), check=False)
    assert run.returncode == 1 and "inside /proc" in run.stderr


@pytest.mark.parametrize("link", ["/etc/target", "../../../../../../etc/target", "/proc/1/root/etc/target"])
def test_symlinks_in_the_image_lead_nowhere_outside(box, link):
    """CVE-2018-15664, CVE-2019-18837, CVE-2021-30465, CVE-2024-45310: a mount point that is a link."""
    outside = box.root / "etc"
    outside.mkdir()
    source = box.root / "v"
    source.mkdir()
    change = lambda s: s["mounts"].append(
        {"destination": "/mnt/here", "type": "bind", "source": str(source), "options": ["bind"]})
    bundle = box.bundle(["true"], change)
    (bundle / "rootfs/mnt").mkdir(exist_ok=True)
    (bundle / "rootfs/mnt/here").symlink_to(link)
    box.call("run", "--bundle", bundle, box.name(), check=False)
    assert not pathlib.Path("/etc/target").exists()
    assert not list(outside.iterdir())


def test_dev_symlink_in_the_image(box):
    """CVE-2026-41579: /dev of the image is a link to a folder of the host."""
    victim = box.root / "victim"
    victim.mkdir()

    def change(spec):
        spec["mounts"] = [m for m in spec["mounts"] if not m["destination"].startswith("/dev")]

    bundle = box.bundle(["true"], change)
    for entry in (bundle / "rootfs/dev").iterdir() if (bundle / "rootfs/dev").exists() else []:
        entry.unlink()
    if (bundle / "rootfs/dev").exists():
        (bundle / "rootfs/dev").rmdir()
    (bundle / "rootfs/dev").symlink_to(str(victim))
    box.call("run", "--bundle", bundle, box.name(), check=False)
    assert not list(victim.iterdir())


def test_root_propagation_shared_does_not_break_pivot(box):
    root = "awk '$5 == \"/\"' /proc/self/mountinfo"
    assert " unbindable - " in box.sh(root, lambda s: s["linux"].update(rootfsPropagation="unbindable"))
    assert box.sh("echo ok", lambda s: s["linux"].update(rootfsPropagation="shared")) == "ok\n"
    assert box.sh("grep ' / / ' /proc/self/mountinfo; echo ok",
                  lambda s: s["linux"].update(rootfsPropagation="slave")).endswith("ok\n")


def test_no_pivot(box):
    assert box.sh("ls / | grep -c bin", options=["--no-pivot"]).strip() == "1"


# ---- process ----


def test_capabilities(box):
    def change(spec):
        caps = ["CAP_KILL", "CAP_NET_RAW"]
        spec["process"]["capabilities"] = {k: caps for k in ("bounding", "effective", "permitted")}

    lines = dict(line.split(":\t") for line in box.sh("grep Cap /proc/self/status", change).splitlines())
    wanted = (1 << 5) | (1 << 13)
    assert {k: int(v, 16) for k, v in lines.items()} == {
        "CapInh": 0, "CapPrm": wanted, "CapEff": wanted, "CapBnd": wanted, "CapAmb": 0}


def test_ambient_capabilities_for_a_plain_user(box):
    def change(spec):
        spec["process"]["user"] = {"uid": 1000, "gid": 1000}
        caps = ["CAP_NET_RAW"]
        spec["process"]["capabilities"] = {k: caps for k in ("bounding", "effective", "permitted", "inheritable",
                                                             "ambient")}

    lines = dict(line.split(":\t") for line in box.sh("grep Cap /proc/self/status", change).splitlines())
    assert all(int(v, 16) == 1 << 13 for v in lines.values())


def test_plain_user_has_no_capabilities(box):
    def change(spec):
        spec["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o027}

    out = box.sh("id -u; id -g; id -G; umask; grep CapEff /proc/self/status; echo $HOME", change).split()
    assert out == ["1000", "1001", "1001", "5", "6", "0027", "CapEff:", "0000000000000000", "/home/user"]


def test_username_is_looked_up_in_the_container(box):
    files = {
        "etc/passwd": ("root:x:0:0:r:/root:/bin/sh\nana:x:1234:2345:a:/home/ana:/bin/sh\n77:x:0:0:evil:/:/bin/sh\n", 0o644),
        "etc/group": ("wheel:x:10:bob,ana\nteam:x:999:\n", 0o644),
    }

    def ids(user, annotations=None):
        def change(spec):
            spec["process"]["user"] = {"uid": 0, "gid": 0, "username": user}
            if annotations:
                spec["annotations"] = annotations

        return box.sh("echo $(id -u) $(id -g) $(id -G) $HOME", change, files=files).strip()

    assert ids("ana") == "1234 2345 2345 10 /home/ana"
    assert ids("ana:team") == "1234 999 999 /home/ana"
    assert ids("1234") == "1234 2345 2345 10 /home/ana"
    assert ids("77") == "77 0 0 /"  # CVE-2016-3697: a number is a number
    assert ids("5:6", {"run.kist.groups": "wheel,44"}) == "5 6 6 10 44 /"


@pytest.mark.parametrize("user,words", [("bob", "unable to find user bob"), ("ana:nosuch", "unable to find group nosuch"),
                                        ("4294967296", "out of range"), ("99999999999999999999", "out of range")])
def test_bad_usernames(box, user, words):
    files = {"etc/passwd": ("ana:x:1:1::/:/bin/sh\n", 0o644)}
    run = box.run(["id"], lambda s: s["process"].update(user={"uid": 0, "gid": 0, "username": user}), files=files,
                  check=False)
    assert run.returncode == 1 and words in run.stderr and "uid=" not in run.stdout


def test_rlimits(box):
    def change(spec):
        spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                                      {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]

    assert box.sh("ulimit -Sn; ulimit -Hn; ulimit -c", change).split() == ["100", "200", "0"]


def test_no_new_privs_and_umask(box):
    assert "NoNewPrivs:\t1" in box.sh("cat /proc/self/status")
    out = box.sh("cat /proc/self/status; umask", lambda s: s["process"].update(noNewPrivileges=False))
    assert "NoNewPrivs:\t0" in out and out.endswith("0022\n")


def test_cwd_is_made_with_its_owner(box):
    def change(spec):
        spec["process"]["cwd"] = "/made/here"
        spec["process"]["user"] = {"uid": 9, "gid": 8}

    assert box.sh("pwd; stat -c %u:%g .", change).split() == ["/made/here", "9:8"]


@pytest.mark.parametrize("cwd", ["/proc/self/fd/3", "/proc/self/fd/7", "/proc/self/fd/9", "/proc/self/fd/16"])
def test_cwd_through_leaked_descriptors(box, cwd):
    """CVE-2024-21626."""
    run = box.run(["sh", "-c", "ls ../../../../../../../../../.. | tr '\\n' ' '; readlink /proc/self/cwd"],
                  lambda s: s["process"].update(cwd=cwd), check=False)
    if run.returncode == 0:
        assert "work" not in run.stdout.split() and "boot" not in run.stdout.split()
    else:
        assert "cwd" in run.stderr


def test_no_descriptor_leaks_into_the_container(box):
    with open("/etc/hostname", "rb") as secret:
        os.set_inheritable(secret.fileno(), True)
        run = box.run(["sh", "-c", "ls /proc/self/fd | wc -l; ls -l /proc/self/fd"], close_fds=False)
    assert run.stdout.split()[0] == "4"  # 0 1 2 and the folder itself


def test_preserve_fds(box):
    bundle = box.bundle(["sh", "-c", "cat <&3; cat <&4 || echo closed"])
    (box.root / "f").write_text("through ")
    line = f"exec 3<{box.root}/f 4<{box.root}/f; exec {box.runtime} --root {box.state} run --preserve-fds 1"
    run = subprocess.run(["sh", "-c", f"{line} --bundle {bundle} {box.name()}"], capture_output=True, text=True, timeout=120,
                         check=True)
    assert run.stdout == "through closed\n"
    missing = box.call("run", "--preserve-fds", "9", "--bundle", bundle, box.name(), check=False)
    assert missing.returncode == 1 and "unable to stat preserved-fd" in missing.stderr


def test_socket_activation(box):
    bundle = box.bundle(["sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; cat <&3"])
    (box.root / "f").write_text("fd3")
    line = f"exec 3<{box.root}/f; LISTEN_FDS=1 exec {box.runtime} --root {box.state} run --bundle {bundle} {box.name()}"
    run = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout == "1 1\nfd3"


def test_environment_is_that_of_the_spec(box):
    out = box.sh("env | sort", lambda s: s["process"].update(env=["B=2", "PATH=/bin", "A=1"]), env={"SECRET": "x", "PATH": "/bin"})
    lines = set(out.splitlines())
    assert {"A=1", "B=2", "PATH=/bin", "HOME=/root"} <= lines or {"A=1", "B=2", "PATH=/bin", "HOME=/"} <= lines
    assert "SECRET=x" not in lines


def test_repeated_and_empty_variables(box):
    out = box.sh("env", lambda s: s["process"].update(env=["A=1", "PATH=/bin", "A=2", "HOME=/x", "HOME="]))
    assert sorted(l for l in out.splitlines() if l[:2] in ("A=", "HO")) == ["A=2", "HOME=/root"]


def test_created_container_ends_by_sigterm(box):
    name = box.create()
    box.call("kill", name, "TERM")
    box.wait_status(name, "stopped")


def test_nothing_of_the_host_is_open_while_created(box):
    name = box.create()
    folder = f"/proc/{box.pid(name)}/fd"
    targets = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder) if int(fd) > 2]
    assert targets and all(target.startswith("socket:") for target in targets)


def test_readonly_tmpfs_gets_its_content_first(box):
    def change(spec):
        for mount in spec["mounts"]:
            if mount["destination"] == "/dev":
                mount["options"].append("ro")

    assert box.sh("touch /dev/x 2>/dev/null || echo ro; test -c /dev/null && test -d /dev/pts && echo there", change) == "ro\nthere\n"


def test_oom_score_adj_and_sysctl(box):
    def change(spec):
        spec["process"]["oomScoreAdj"] = 321
        spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "net/ipv4/ip_default_ttl": "70"}

    out = box.sh("cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_default_ttl", change)
    assert out.split() == ["321", "1", "70"]
    assert pathlib.Path("/proc/sys/net/ipv4/ip_default_ttl").read_text().strip() != "70"


def test_scheduler_ioprio_personality(box):
    def change(spec):
        spec["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7}
        spec["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
        spec["linux"]["personality"] = {"domain": "LINUX32"}

    out = box.sh("cut -d' ' -f19,41 /proc/self/stat; ionice -p $$; uname -m", change)
    assert out.splitlines()[0] == "7 3" and "prio 6" in out and "i686" in out


def test_seccomp(box):
    def change(spec):
        spec["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
                         {"names": ["nonesuchcall"], "action": "SCMP_ACT_ERRNO"}],
        }

    for privileged in (True, False):
        def both(spec, nnp=not privileged):
            change(spec)
            spec["process"]["noNewPrivileges"] = nnp

        run = box.run(["sh", "-c", "mkdir /x; grep Seccomp: /proc/self/status"], both)
        assert "Operation not supported" in run.stderr or "not supported" in run.stderr
        assert "2" in run.stdout
    assert any((box.state / ".seccomp").iterdir())


def test_keyring_is_new(box):
    assert box.sh("echo ok") == "ok\n"
    assert box.sh("echo ok", options=["--no-new-keyring"]) == "ok\n"


# ---- limits ----


def test_limits_are_set(box):
    def change(spec):
        spec["linux"]["resources"].update(
            memory={"limit": 64 << 20, "swap": 64 << 20}, pids={"limit": 20},
            cpu={"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"})

    name = box.started(change=change)
    files = box.call("exec", name, "sh", "-c",
                     "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max"
                     " /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpuset/cpuset.cpus"
                     " 2>/dev/null").stdout.split()
    if len(files) == 5:  # cgroup v1, as on a hybrid host
        assert files == [str(64 << 20), "20", "50000", "512", "0"]
    stats = json.loads(box.call("events", "--stats", name).stdout)
    assert stats["data"]["memory"]["usage"]["limit"] == 64 << 20 and stats["data"]["pids"]["limit"] == 20
    box.call("update", "--memory", "32m", "--memory-swap", "32m", "--pids-limit", "30", name)
    box.call("update", "-r", "-", name, input=json.dumps({"cpu": {"shares": 300}}))
    stats = json.loads(box.call("events", "--stats", name).stdout)
    assert stats["data"]["memory"]["usage"]["limit"] == 32 << 20 and stats["data"]["pids"]["limit"] == 30


def test_update_by_zeros_changes_nothing(box):
    """What dockerd sends for all that an update does not name."""
    name = box.started(change=lambda s: s["linux"]["resources"].update(
        memory={"limit": 1 << 25}, cpu={"shares": 512, "quota": 50000, "period": 100000}))
    files = [pathlib.Path(group) / file for group in leaks.cgroups(name) for file in (
        "memory.limit_in_bytes", "cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.max", "cpu.weight", "cpu.max")]
    before = {file: file.read_text() for file in files if file.exists()}
    assert before
    box.call("update", "--resources", "-", name, input=json.dumps({
        "memory": {"limit": 0, "reservation": 0, "swap": 0}, "blockIO": {"weight": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "", "mems": ""}}))
    assert {file: file.read_text() for file in before} == before


def test_pids_limit_bites(box):
    run = box.sh("for i in 1 2 3 4 5 6 7 8 9; do sleep 0.3 & done 2>&1; wait", check=False,
                 change=lambda s: s["linux"]["resources"].update(pids={"limit": 5}))
    assert "can't fork" in run or "Resource temporarily unavailable" in run or run == ""


def test_memory_limit_kills(box):
    def change(spec):
        spec["linux"]["resources"].update(memory={"limit": 16 << 20, "swap": 16 << 20})

    run = box.run(["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; tail -c 60000000 /dev/zero"], change,
                  check=False)
    assert run.returncode != 0


def test_small_memory_limit_still_starts(box):
    change = lambda s: s["linux"]["resources"].update(memory={"limit": 1 << 20, "swap": 1 << 20})
    assert box.sh("echo small", change) == "small\n"


def test_devices_are_denied(box):
    out = box.sh("mknod /tmp/m c 1 1; cat /tmp/m 2>&1 | head -c 60; echo x > /dev/null && echo null-ok",
                 lambda s: s["process"]["capabilities"].update(
                     {k: ["CAP_MKNOD"] for k in ("bounding", "effective", "permitted")}))
    assert "null-ok" in out and "not permitted" in out


def test_pause_resume(box):
    name = box.started(["sh", "-c", "while :; do echo x >> /tmp/n; sleep 0.02; done"])
    box.call("pause", name)
    assert box.status(name) == "paused"
    refused = box.call("exec", name, "true", check=False)
    assert refused.returncode == 255 and "paused container" in refused.stderr
    box.call("resume", name)
    assert box.status(name) == "running"
    box.call("pause", name)
    box.call("delete", "--force", name)


def test_kill_all(box):
    own = f"sleep {200000 + os.getpid()}"
    name = box.started(["sh", "-c", f"{own} & wait"])
    wait_for(lambda: any(line.strip() == own for line in cmdlines()), what="the child")
    box.call("kill", "--all", name, "KILL")
    box.wait_status(name, "stopped")


def test_ps(box):
    name = box.started()
    pids = json.loads(box.call("ps", "--format", "json", name).stdout)
    assert pids == [box.pid(name)]
    table = box.call("ps", name).stdout.splitlines()
    assert "PID" in table[0] and len(table) == 2


def test_cgroups_path(box):
    parent = f"t-rt-parent-{box.root.name}"
    name = box.started(change=lambda s: s["linux"].update(cgroupsPath=f"/{parent}/child"))
    assert f":/{parent}/child" in pathlib.Path(f"/proc/{box.pid(name)}/cgroup").read_text()
    box.call("delete", "--force", name)
    folders = leaks.cgroups(parent)
    assert folders
    for folder in folders:
        os.rmdir(folder)  # the child in it is gone


def test_busy_cgroup_is_refused(box):
    path = f"/t-rt-busy-{box.root.name}"
    first = box.started(change=lambda s: s["linux"].update(cgroupsPath=path))
    second = box.run(["true"], lambda s: s["linux"].update(cgroupsPath=path), check=False)
    assert second.returncode == 1 and path in second.stderr
    assert box.status(first) == "running"


# ---- hooks ----


def test_hooks_order_state_and_namespace(box):
    log = box.root / "hooks"
    script = f"cat > {log}.state; echo $0 $(readlink /proc/self/ns/mnt) $(cat {log}.state) >> {log}"
    outside = lambda kind: [{"path": "/bin/sh", "args": ["sh", "-c", script, kind], "env": ["PATH=/bin:/usr/bin"]}]
    inside = [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /startContainer; echo hooked"], "env": ["PATH=/bin"]}]

    def change(spec):
        spec["hooks"] = {k: outside(k) for k in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")}
        spec["hooks"]["startContainer"] = inside
        spec["annotations"] = {"a": "b"}

    name = box.create(["sh", "-c", "cat /startContainer > /seen; sleep 1000"], change)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["prestart", "createRuntime", "createContainer"]
    box.call("start", name)
    box.call("delete", "--force", name)
    lines = log.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
    own = os.readlink("/proc/self/ns/mnt")
    assert [line.split()[1] == own for line in lines] == [True, True, False, True, True]
    states = [json.loads(line.split(" ", 2)[2]) for line in lines]
    assert [s["status"] for s in states] == ["creating", "creating", "creating", "running", "stopped"]
    assert all(s["id"] == name and s["annotations"] == {"a": "b"} for s in states)
    assert states[0]["pid"] > 1 and states[2]["pid"] == 1


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"])
def test_failing_hook_names_itself(box, kind):
    hook = [{"path": "/bin/sh", "args": ["sh", "-c", "echo the reason >&2; exit 4"], "env": ["PATH=/bin"]}]
    run = box.run(["sleep", "5"], lambda s: s.update(hooks={kind: hook}), check=False)
    assert run.returncode == 1
    assert f"error running {kind} hook #0: /bin/sh: exit status 4: the reason" in run.stderr


def test_hook_timeout(box):
    hook = [{"path": "/bin/sleep", "args": ["sleep", "30"], "timeout": 1}]
    run = box.run(["true"], lambda s: s.update(hooks={"createRuntime": hook}), check=False)
    assert run.returncode == 1 and "timed out after 1 s" in run.stderr


# ---- program ----


def test_version_features_spec_help(box):
    version = box.call("--version").stdout.splitlines()
    assert version[0].startswith("kist-runtime version ") and version[1].startswith("commit: ")
    assert version[2].startswith("spec: 1.")
    features = json.loads(box.call("features").stdout)
    assert features["ociVersionMax"].startswith("1.") and "time" in features["linux"]["namespaces"]
    assert features["linux"]["seccomp"]["enabled"] and "rro" in features["mountOptions"]
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"]
    for words in (["--help"], ["help"], ["create", "--help"], ["exec", "--help"], ["run", "-h"]):
        assert "USAGE" in box.call(*words).stdout
    box.call("spec", "--bundle", box.root)
    assert "exists" in box.call("spec", "--bundle", box.root, check=False).stderr


def test_log_json(box):
    log = box.root / "log"
    run = subprocess.run([box.runtime, "--root", str(box.state), "--log", str(log), "--log-format", "json", "state", "none"],
                         capture_output=True, text=True, check=False)
    assert run.returncode == 1
    entry = json.loads(log.read_text().splitlines()[-1])
    assert entry["level"] == "error" and "does not exist" in entry["msg"] and "T" in entry["time"]


def test_root_slash_is_refused(box):
    run = subprocess.run([box.runtime, "--root", "/", "list"], capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "--root" in run.stderr


@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="tests/vm/test_systemd.py has a systemd of its own")
def test_systemd_cgroup_without_systemd(box):
    bundle = box.bundle(["true"])
    run = subprocess.run([box.runtime, "--root", str(box.state), "--systemd-cgroup", "run", "--bundle", str(bundle),
                          box.name()], capture_output=True, text=True, check=False)
    assert run.returncode == 1 and ("connect to the system's systemd over D-Bus" in run.stderr
                                    or "kist-systemd-scope is not installed" in run.stderr)
    assert box.status(box.names[-1]) is None


# ---- without privileges ----


def test_rootless(box):
    """A plain user with a user namespace of its own: no cgroup, one id, and still a container."""
    bundle = box.root / "r"
    bundle.mkdir()
    subprocess.run(["cp", "-a", box.rootfs, bundle / "rootfs"], check=True)
    shutil.copy(box.runtime, bundle / "program")
    box.root.chmod(0o755)
    subprocess.run(["chown", "-R", "1000:1000", bundle], check=True)

    def call(*words, check=True):
        line = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", bundle / "program", *words]
        run = subprocess.run(line, cwd=bundle, env={"XDG_RUNTIME_DIR": str(bundle), "PATH": "/bin"}, text=True,
                             capture_output=True, timeout=120, check=False)
        assert not check or run.returncode == 0, run.stderr
        return run

    call("spec", "--rootless")
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"].update(terminal=False, args=["sh", "-c", "id -u; cat /proc/self/uid_map; hostname; ls /sys | wc -l"])
    (bundle / "config.json").write_text(json.dumps(spec))
    run = call("run", "t-rt-rootless")
    assert run.stdout.split()[:5] == ["0", "0", "1000", "1", "kist"]
    assert "without one" in run.stderr
    spec["linux"]["resources"] = {"memory": {"limit": 1 << 25}}
    (bundle / "config.json").write_text(json.dumps(spec))
    refused = call("run", "t-rt-rootless", check=False)
    assert refused.returncode == 1 and "limits need a cgroup that is delegated to user 1000" in refused.stderr


def test_notify_socket_that_nobody_listens_to(box, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/t-rt-nobody")
    bundle, name = box.bundle(["true"]), box.name()
    with open(box.root / "said", "w+") as said:
        box.call("run", "--detach", "--bundle", bundle, name, capture_output=False, stdout=said, stderr=said)
    assert "NOTIFY_SOCKET: connect to /run/t-rt-nobody" in (box.root / "said").read_text()
