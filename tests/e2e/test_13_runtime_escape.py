# SPDX-License-Identifier: Apache-2.0
"""kist-runtime: ways out that others had. See docs/decisions/0020-sealed-runtime-binary.md."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import uuid

import pytest
from lib.runtime_box import Box, adopt_orphans
from lib.wait import wait_for


@pytest.fixture
def box(tmp_root, program, busybox_rootfs):
    adopt_orphans()
    it = Box(tmp_root, program("kist-runtime"), busybox_rootfs)
    yield it
    it.finish()


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def test_program_is_not_the_runtime(box):
    """CVE-2019-5736, the plain form."""
    run = box.run(["/proc/self/exe", "--version"], check=False)
    assert run.returncode == 1 and "leads to the container runtime itself" in run.stderr
    name = box.started()
    run = box.call("exec", name, "/proc/self/exe", "--version", check=False)
    assert run.returncode == 255 and "leads to the container runtime itself" in run.stderr


@pytest.mark.usefixtures("plain")
def test_binary_cannot_be_written(box):
    """
    CVE-2019-5736 through a script: the kernel executes our file inside, another process of the container keeps it open
    and writes when nobody executes it any more. The file is a copy of this test's own: a file that somebody executes is
    "busy", which the kernel says before it looks at the mount.
    """
    box.runtime = shutil.copy2(box.runtime, box.root / "kist-runtime")
    before = digest(box.runtime)
    first = box.started()
    host_pid = box.pid(first)

    def share_pids(spec):
        for entry in spec["linux"]["namespaces"]:
            if entry["type"] == "pid":
                entry["path"] = f"/proc/{host_pid}/ns/pid"

    bundle = box.bundle(["/p", "-r", "-"], share_pids, {"p": ("#!/proc/self/exe update\n", 0o755)})
    name = box.name()
    read, write = os.pipe()
    with open(box.root / "o", "wb") as out:
        box.call("run", "-d", "--bundle", bundle, name, capture_output=False, stdin=read, stdout=out, stderr=out)
        os.close(read)
        line = pathlib.Path(f"/proc/{box.pid(name)}/cmdline").read_bytes()
        assert line.startswith(b"/proc/self/exe\0update\0/p"), line
        inside = pathlib.Path(f"/proc/{box.pid(name)}/status").read_text().split("NSpid:")[1].split()[1]
        attack = (f"exec 9</proc/{inside}/exe || exit 4; head -c 4 <&9 | tail -c 3; echo; kill -9 {inside};"
                  "while (: >> /proc/self/fd/9) 2>&1 | tee /tmp/said | grep busy; do sleep 0.1; done;"
                  "cat /tmp/said; echo done")
        file = box.root / "p.json"
        file.write_text(json.dumps({"args": ["sh", "-c", attack], "cwd": "/", "env": ["PATH=/bin"], "capabilities": {
            k: ["CAP_SYS_PTRACE", "CAP_KILL", "CAP_DAC_OVERRIDE"] for k in ("bounding", "effective", "permitted")}}))
        box.call("exec", "-d", "--process", file, first, capture_output=False, stdout=out, stderr=out)
        wait_for(lambda: b"done" in (box.root / "o").read_bytes(), patience=60, what="the attack")
    os.close(write)
    said = (box.root / "o").read_text()
    assert "ELF" in said  # it could be read: so the attack reached the file
    assert "Read-only file system" in said, said
    assert digest(box.runtime) == before


def test_joining_process_cannot_be_looked_into(box):
    """CVE-2016-9962: between setns and execve an exec is not dumpable; the container's own root has all rights there."""
    def change(spec):
        spec["linux"]["namespaces"].append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        spec["linux"].update(uidMappings=mapping, gidMappings=mapping)

    name = box.started(change=change)
    init = box.pid(name)
    box.call("pause", name)
    words = [box.runtime, "--root", str(box.state), "exec", "--ignore-paused", name, "true"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as run:
        # It is frozen on its way, inside the container's namespaces.
        children = pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children")
        wait_for(lambda: in_pid_namespace(children.read_text()), what="the joining process to be inside")
        pid = children.read_text().strip()
        seen, control = [
            subprocess.run(["nsenter", "-t", str(init), "-U", "-S", "0", "-G", "0", "readlink", f"/proc/{which}/exe"],
                           capture_output=True, text=True, check=False) for which in (pid, init)]
        box.call("resume", name)
        assert run.wait(60) == 0
    assert control.returncode == 0 and "busybox" in control.stdout
    assert seen.returncode != 0 and not seen.stdout


def in_pid_namespace(text):
    try:
        status = pathlib.Path(f"/proc/{text.strip()}/status").read_text()
    except OSError:
        return False
    return any(line.startswith("NSpid:") and len(line.split()) > 2 for line in status.splitlines())


def test_procfs_of_the_image_is_not_written(box):
    """CVE-2019-16884, CVE-2025-52881: sysctl and friends go to a /proc of our own."""
    def change(spec):
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/proc"]
        spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
        spec["linux"]["maskedPaths"] = []
        spec["linux"]["readonlyPaths"] = []

    bundle = box.bundle(["sh", "-c", "cat /proc/sys/net/ipv4/ip_forward"], change,
                        {"proc/sys/net/ipv4/ip_forward": ("fake", 0o644)})
    assert box.call("run", "--bundle", bundle, box.name()).stdout == "fake"


def test_passwd_that_is_a_fifo_does_not_hang(box):
    bundle = box.bundle(["id"], lambda s: s["process"].update(user={"uid": 0, "gid": 0, "username": "x"}))
    passwd = bundle / "rootfs/etc/passwd"
    passwd.unlink(missing_ok=True)
    subprocess.run(["mkfifo", passwd], check=True)
    run = box.call("run", "--bundle", bundle, box.name(), check=False, timeout=60)
    assert run.returncode == 1 and "unable to find user x" in run.stderr


@pytest.mark.parametrize("destination", ["/a/../../../../tmp/kt-escape", "../../tmp/kt-escape", "/tmp/../../kt-escape"])
def test_dots_in_destinations(box, destination):
    source = box.root / "v"
    source.mkdir()
    box.run(["true"], lambda s: s["mounts"].append({"destination": destination, "type": "bind", "source": str(source),
                                                    "options": ["bind"]}))
    assert not pathlib.Path("/tmp/kt-escape").exists() and not pathlib.Path("/kt-escape").exists()


def test_shim_is_sealed_too(tmp_root, program):
    bundle = tmp_root / "b"
    bundle.mkdir()
    name = "t-rt-seal-" + uuid.uuid4().hex
    subprocess.run([program("kist-shim"), "-namespace", "t-rt", "-id", name, "-address", "", "start"], cwd=bundle,
                   check=True, capture_output=True, timeout=120)
    found = []
    # It may still be on its way to its name when start has told the address.
    wait_for(lambda: found.extend(int(e) for e in os.listdir("/proc") if e.isdigit() and shim_of(e, name)) or found, what="the shim")
    assert len(found) == 1
    try:
        assert os.statvfs(f"/proc/{found[0]}/exe").f_flag & os.ST_RDONLY
    finally:
        os.kill(found[0], 9)


def shim_of(pid, name):
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0] == b"kist-shim" and name.encode() in words
