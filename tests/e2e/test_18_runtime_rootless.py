# SPDX-License-Identifier: Apache-2.0
"""
kist-runtime for an ordinary user: with and without ids to share out, with and without a cgroup of its own.

The user is one of these tests' own: /etc/passwd, subuid and subgid are copies, bound over the host's in a mount namespace
that ends with each command. cgroup v2 and a user's own systemd are tested in tests/vm.
"""
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from lib import leaks, needs

USER = 64321
FIRST, COUNT = 700000, 65536
CGROUPS = pathlib.Path("/sys/fs/cgroup")

WRAPPER = """set -e
mount --bind {root}/passwd /etc/passwd
mount --bind {root}/group /etc/group
mount --bind {root}/subid /etc/subuid
mount --bind {root}/subid /etc/subgid
cd {root}/b
exec setpriv --reuid {user} --regid {user} --clear-groups "$@"
"""


class Rootless:
    def __init__(self, root, runtime, rootfs):
        self.root = root
        self.name = "t-rt-own-" + root.name  # of this test alone: other workers look at the same cgroups
        root.chmod(0o755)
        for name in ("passwd", "group"):
            text = pathlib.Path(f"/etc/{name}").read_text()
            line = f"kt-user:x:{USER}:{USER}::/tmp:/bin/sh\n" if name == "passwd" else f"kt-user:x:{USER}:\n"
            (root / name).write_text(text + line)
        self.share_ids(True)
        # Its own copy: the build folder may be where an ordinary user cannot look.
        shutil.copy2(runtime, root / "kist-runtime")
        self.bundle = root / "b"
        self.bundle.mkdir()
        shutil.copytree(rootfs, self.bundle / "rootfs", symlinks=True)
        self.runtime_dir = root / "x"
        self.runtime_dir.mkdir(mode=0o700)
        subprocess.run(["chown", "-Rh", f"{USER}:{USER}", self.bundle, self.runtime_dir], check=True)
        (root / "wrapper").write_text(WRAPPER.format(root=root, user=USER))
        self.env = {"XDG_RUNTIME_DIR": str(self.runtime_dir), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}

    def share_ids(self, yes):
        (self.root / "subid").write_text(f"kt-user:{FIRST}:{COUNT}\n" if yes else "")

    def call(self, *words, check=True, **options):
        if not {"stdout", "stderr"} & set(options):
            options["capture_output"] = True
        line = ["unshare", "-m", "--propagation", "private", "sh", self.root / "wrapper", self.root / "kist-runtime", *words]
        run = subprocess.run(list(map(str, line)), env=self.env, text=True, timeout=120, check=False, **options)
        assert not check or run.returncode == 0, run.stderr
        return run

    def configure(self, args, ranges=False, change=None):
        config = self.bundle / "config.json"
        config.unlink(missing_ok=True)
        self.call("spec", "--rootless", "--bundle", self.bundle)
        spec = json.loads(config.read_text())
        spec["process"].update(terminal=False, args=args)
        spec["root"]["readonly"] = False
        if ranges:
            own = {"containerID": 0, "hostID": USER, "size": 1}
            spec["linux"]["uidMappings"] = spec["linux"]["gidMappings"] = [
                own, {"containerID": 1, "hostID": FIRST, "size": COUNT}]
        if change:
            change(spec)
        config.write_text(json.dumps(spec))

    def run(self, script, ranges=False, change=None, check=True, name=None):
        self.configure(["sh", "-c", script], ranges, change)
        return self.call("run", "--bundle", self.bundle, name or self.name, check=check)


@pytest.fixture
def user(tmp_root, program, busybox_rootfs):
    needs.programs("newuidmap", "newgidmap")
    it = Rootless(tmp_root, program("kist-runtime"), busybox_rootfs)
    yield it
    assert not leaks.cgroups(it.name)


def capabilities(*names):
    def change(spec):
        for kind in ("bounding", "effective", "permitted"):
            spec["process"]["capabilities"][kind] += names
    return change


def test_without_ids_to_share(user):
    """One id, its own; and no cgroup, which is said once and is no error."""
    user.share_ids(False)
    run = user.run("id -u; cat /proc/self/uid_map; touch /made; hostname")
    assert run.stdout.split() == ["0", "0", str(USER), "1", "kist"]
    assert run.stderr.count("the container runs without one") == 1
    assert (user.bundle / "rootfs/made").stat().st_uid == USER


def test_with_ids_to_share(user):
    """newuidmap and newgidmap write the maps: the container has users of its own."""
    def change(spec):
        capabilities("CAP_CHOWN", "CAP_SETUID", "CAP_SETGID")(spec)
        spec["process"]["user"]["additionalGids"] = [7]

    run = user.run("touch /made; chown 5:6 /made; stat -c %u:%g /made; id -G; cat /proc/self/gid_map", True, change)
    assert run.stdout.split()[:3] == ["5:6", "0", "7"]
    assert run.stdout.split()[3:] == ["0", str(USER), "1", "1", str(FIRST), str(COUNT)]
    made = (user.bundle / "rootfs/made").stat()
    assert (made.st_uid, made.st_gid) == (FIRST + 4, FIRST + 5)


def test_another_user_of_the_container(user):
    run = user.run("id -u; cat /proc/self/status | grep CapEff", True,
                   lambda s: s["process"].update(user={"uid": 1000, "gid": 1000}))
    assert run.stdout.split() == ["1000", "CapEff:", "0000000000000000"]


def test_ids_of_others_are_refused(user):
    """The reason is newuidmap's own."""
    user.share_ids(False)
    run = user.run("true", True, check=False)
    assert run.returncode == 1 and "newuidmap" in run.stderr and "not allowed" in run.stderr
    assert not list((user.runtime_dir / "kist-runtime").glob("t-rt*"))


def test_newuidmap_is_missing(user):
    user.env["PATH"] = str(user.root)
    for name in ("unshare", "sh", "mount", "setpriv"):
        (user.root / name).symlink_to(shutil.which(name))
    run = user.run("true", True, check=False)
    assert run.returncode == 1 and "newuidmap" in run.stderr and "No such file" in run.stderr


def test_state_lies_in_the_runtime_dir(user):
    user.run("true")
    root = user.runtime_dir / "kist-runtime"
    assert root.stat().st_mode & 0o7777 == 0o1700 and root.stat().st_uid == USER
    assert json.loads(user.call("list", "--format", "json").stdout or "null") in (None, [])


def test_state_folder_of_somebody_else(user):
    """What others may write to is no place for records: they would tell us whom to kill."""
    root = user.root / "shared"
    root.mkdir()
    root.chmod(0o777)
    user.configure(["true"])
    run = user.call("--root", root, "run", "--bundle", user.bundle, user.name, check=False)
    assert run.returncode == 1 and "others may write to it" in run.stderr and not list(root.iterdir())


def test_life(user):
    """create, start, exec, ps, kill, delete: each by a process of its own."""
    user.configure(["sleep", "1000"], True)
    with open(user.root / "out", "wb") as out:
        user.call("create", "--bundle", user.bundle, user.name, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    state = json.loads(user.call("state", user.name).stdout)
    assert state["status"] == "created" and state["owner"] in (str(USER), "kt-user")
    user.call("start", user.name)
    run = user.call("exec", "-u", "3:4", user.name, "sh", "-c", "id -u; id -g; exit 7", check=False)
    assert (run.returncode, run.stdout.split()) == (7, ["3", "4"])
    user.call("kill", "--all", user.name, "KILL")
    user.call("delete", "--force", user.name)
    assert not pathlib.Path(f"/proc/{state['pid']}/root/bin/sh").exists()


@pytest.mark.parametrize("asked", [{"resources": {"memory": {"limit": 1 << 25}}}, {"resources": {"pids": {"limit": 9}}},
                                   {"cgroupsPath": "/t-rt-asked"}])
def test_what_needs_a_cgroup_is_an_error(user, asked):
    """A limit, or a path, that somebody asked for is never dropped silently."""
    run = user.run("true", change=lambda s: s["linux"].update(asked), check=False)
    assert run.returncode == 1 and f"delegated to user {USER}" in run.stderr
    assert run.stderr.count("Permission denied") == 1


@pytest.fixture
def delegated(user):
    """A cgroup of every hierarchy that root made and gave to the user."""
    name = user.name + "-given"
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    made = []
    for point, kind in [(m[1], m[2]) for m in mounts if m[2] in ("cgroup", "cgroup2") and m[1].startswith(str(CGROUPS))]:
        group = pathlib.Path(point) / name
        group.mkdir()
        made.append(group)
        if kind == "cgroup" and "cpuset" in point:
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((group.parent / file).read_text())
        subprocess.run(["chown", "-R", str(USER), group], check=True)
    yield name
    for group in made:
        group.rmdir()


def test_delegated_cgroup(user, delegated):
    """Limits hold; also beside a cgroup2 tree that the user may not enter from outside (no limit lies there)."""
    if (CGROUPS / "cgroup.controllers").exists():
        pytest.skip("tests/vm has this for cgroup v2")

    def change(spec):
        spec["linux"].update(cgroupsPath=f"/{delegated}/c1", resources={
            "memory": {"limit": 1 << 25}, "pids": {"limit": 11}, "cpu": {"shares": 512}})

    run = user.run("cat /proc/self/cgroup; for i in 1 2 3 4 5 6 7 8 9 0 1 2; do sleep 3 & done", change=change, check=False)
    lines = dict(line.split(":")[1:] for line in run.stdout.splitlines())
    assert all(path == f"/{delegated}/c1" for name, path in lines.items() if name), run.stdout + run.stderr
    assert "can't fork" in run.stderr and "without one" not in run.stderr
    user.configure(["sleep", "1000"], change=change)
    with open(user.root / "out", "wb") as out:
        user.call("run", "-d", "--bundle", user.bundle, user.name, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    limits = [group for group in leaks.cgroups("c1") if delegated in group and "/memory/" in group]
    if limits:
        assert (pathlib.Path(limits[0]) / "memory.limit_in_bytes").read_text() == f"{1 << 25}\n"
        user.call("update", "--memory", str(1 << 26), user.name)
        assert (pathlib.Path(limits[0]) / "memory.limit_in_bytes").read_text() == f"{1 << 26}\n"
    assert f"/{delegated}/c1" in user.call("exec", user.name, "cat", "/proc/self/cgroup").stdout
    user.call("pause", user.name)
    user.call("resume", user.name)
    user.call("delete", "--force", user.name)
    assert not [group for group in leaks.cgroups("c1") if delegated in group]


def test_privileges_are_not_to_be_had(user):
    """Without a user namespace there is nothing to make a container with; the reason says so."""
    def change(spec):
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "user"]
        del spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]

    run = user.run("true", change=change, check=False)
    assert run.returncode == 1 and "user namespace" in run.stderr
    assert not os.listdir(user.runtime_dir / "kist-runtime")
