# SPDX-License-Identifier: Apache-2.0
"""User namespaces: one for each container (--userns auto), one for all (--userns-remap); nothing changes on disk."""
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from lib.daemon import Daemon

AUTO_BASE = 1879048192


def host_ids(daemon, name):
    pid = daemon.inspect(name)["State"]["Pid"]
    inside, outside, size = map(int, pathlib.Path(f"/proc/{pid}/uid_map").read_text().split())
    assert inside == 0
    return os.stat(f"/proc/{pid}").st_uid, outside, size


def upper(daemon, name):
    return pathlib.Path(daemon.inspect(name)["GraphDriver"]["Data"]["UpperDir"])


def test_each_container_has_its_own_ids(shared):
    # kist, for the docker CLI knows no mode but "host".
    for name in ("one", "two"):
        shared.kist("run", "-d", "--userns", "auto", "--name", name, "busybox", "sleep", "1000")
    seen = [host_ids(shared, name) for name in ("one", "two")]
    assert all(owner == base and size == 65536 for owner, base, size in seen), seen
    assert abs(seen[0][1] - seen[1][1]) >= 65536
    # Root inside writes, owns and sees the image's files; on disk they are root's.
    shared.docker("exec", "one", "sh", "-c", "id -u; stat -c %u /bin/busybox; echo x >/new; chown 5:6 /new; rm /bin/cat")
    assert shared.docker("exec", "one", "stat", "-c", "%u:%g", "/new", "/bin/busybox").stdout == "5:6\n0:0\n"
    file = os.stat(upper(shared, "one") / "new")
    assert (file.st_uid, file.st_gid) == (5, 6)
    assert "A /new" in shared.docker("diff", "one").stdout and "D /bin/cat" in shared.docker("diff", "one").stdout
    # An image made of it is like any other.
    shared.docker("commit", "one", "made:1")
    assert shared.docker("run", "--rm", "made:1", "stat", "-c", "%u:%g", "/new").stdout == "5:6\n"
    # Who left takes nothing with him: the range is free again.
    shared.docker("rm", "-f", "one", "two")
    shared.kist("run", "-d", "--userns", "auto:size=2000", "--name", "three", "busybox", "sleep", "1000")
    assert host_ids(shared, "three")[1:] == (min(s[1] for s in seen), 2000)
    shared.docker("rm", "-f", "three")


def test_what_a_container_needs_works_inside(shared):
    run = shared.kist("run", "--rm", "--userns", "auto", "--user", "7:8", "busybox", "sh", "-c",
                      "id -u; id -g; echo err >/dev/stderr; cat /etc/hosts >/dev/null && ls -ld /dev/null | cut -c1; hostname -i")  # fmt: skip
    lines = run.stdout.split()
    assert lines[:2] == ["7", "8"] and lines[2] == "c" and lines[3].count(".") == 3, run.stdout
    assert run.stderr == "err\n"
    # A root that has no power outside: the host's own files stay what they are.
    assert shared.kist("run", "--rm", "--userns", "auto", "busybox", "stat", "-c", "%u", "/proc/1", "/etc/hosts").stdout == "0\n0\n"
    assert shared.kist("run", "--rm", "--userns", "auto", "--read-only", "--tmpfs", "/t", "busybox", "touch", "/t/x").returncode == 0
    assert shared.kist("run", "--rm", "-t", "--userns", "auto", "busybox", "tty").stdout.strip() == "/dev/pts/0"


@pytest.fixture
def open_folder():
    """Below nothing that only the host's root may walk."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="kt-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_volumes_and_binds(shared, open_folder):
    shared.kist("run", "--rm", "--userns", "auto", "-v", "mapped:/data", "busybox", "sh", "-c", "echo a >/data/f; chown 3 /data/f")
    # Another one, with other ids, and one without any see the same.
    for mode in (("--userns", "auto"), ()):
        assert shared.kist("run", "--rm", *mode, "-v", "mapped:/data", "busybox", "stat", "-c", "%u", "/data/f").stdout == "3\n"
    shared.docker("volume", "rm", "mapped")
    (open_folder / "mine").write_text("x")
    where = f"{open_folder}:/b"
    assert shared.kist("run", "--rm", "--userns", "auto", "-v", where, "busybox", "stat", "-c", "%u", "/b/mine").stdout == "65534\n"
    shared.kist("run", "--rm", "--userns", "auto", "-v", f"{where}:idmap", "busybox", "touch", "/b/made")
    assert os.stat(open_folder / "made").st_uid == 0


def test_cp_both_ways(shared, tmp_path):
    shared.kist("run", "-d", "--userns", "auto", "--name", "copied", "busybox", "sleep", "1000")
    (tmp_path / "in").write_text("hello")
    shared.docker("cp", tmp_path / "in", "copied:/root-file")
    assert shared.docker("exec", "copied", "stat", "-c", "%u", "/root-file").stdout == "0\n"
    shared.docker("exec", "copied", "sh", "-c", "echo 1 >/own; chown 9 /own")
    stream = subprocess.run(["docker", "cp", "copied:/own", "-"], env=shared.environment, capture_output=True, check=True, timeout=120)
    with tarfile.open(fileobj=io.BytesIO(stream.stdout)) as tar:
        assert [(m.name, m.uid, m.gid) for m in tar] == [("own", 9, 0)]
    shared.docker("rm", "-f", "copied")


@pytest.mark.parametrize(
    "options,message",
    [
        (["--privileged"], "privileged mode is incompatible with user namespaces"),
        (["--network", "host"], "cannot share the host's network namespace"),
        (["--pid", "host"], "cannot share the host PID namespace"),
    ],
)
def test_what_cannot_be_had_together(shared, options, message):
    run = shared.kist("create", "--userns", "auto", *options, "busybox", check=False)
    assert run.returncode == 1 and message in run.stderr
    bad = shared.kist("create", "--userns", "auto:size=x", "busybox", check=False)
    assert bad.returncode == 1 and "invalid userns mode" in bad.stderr


def test_remap_for_all(tmp_root, program, busybox_tar):
    """By the numbers of a user who has a range here, or else the reason why not."""
    subuid = pathlib.Path("/etc/subuid").read_text() if os.path.exists("/etc/subuid") else ""
    ranges = [line.split(":") for line in subuid.splitlines() if line.count(":") == 2]
    groups = pathlib.Path("/etc/subgid").read_text() if os.path.exists("/etc/subgid") else ""
    name = next((r[0] for r in ranges if f"{r[0]}:" in groups), None)
    daemon = Daemon(tmp_root, program, options=["--userns-remap", name or "nobody-here"])
    if name is None:
        daemon.start(wait=False)
        assert daemon.process.wait(60) != 0 and "no subuid ranges found" in daemon.log.read_text()
        return
    daemon.start()
    try:
        daemon.docker("import", "-c", 'CMD ["sh"]', busybox_tar, "busybox:latest")
        assert "name=userns" in json.loads(daemon.docker("info", "--format", "{{json .}}").stdout)["SecurityOptions"]
        base = int(next(r[1] for r in ranges if r[0] == name))
        daemon.docker("run", "-d", "--name", "mapped", "busybox", "sleep", "1000")
        assert host_ids(daemon, "mapped")[0] == base
        # The whole host's, if asked for.
        daemon.docker("run", "-d", "--userns", "host", "--name", "plain", "busybox", "sleep", "1000")
        assert host_ids(daemon, "plain")[:2] == (0, 0)
        # Sharing a network works: both have the same ids.
        run = daemon.docker("run", "--rm", "--network", "container:mapped", "busybox", "hostname", "-i", check=False)
        assert run.returncode == 0, run.stderr
    finally:
        daemon.finish()
