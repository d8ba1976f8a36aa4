# SPDX-License-Identifier: Apache-2.0
"""kist-runtime: bad input, each with an error that names the cause."""
import pathlib
import struct
import subprocess

import pytest
from lib import leaks
from lib.runtime_box import Box, adopt_orphans


@pytest.fixture
def box(tmp_root, program, busybox_rootfs):
    adopt_orphans()
    it = Box(tmp_root, program("kist-runtime"), busybox_rootfs)
    yield it
    it.finish()
    for name in it.names:
        assert not leaks.cgroups(name), f"cgroups of {name} are left"


def elf(machine=62, interpreter=b"/lib/ld-nonesuch.so\0"):
    """A 64 bit ELF file with one PT_INTERP segment."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01" + bytes(9), 2, machine, 1, 0x400078, 64, 0, 0, 64, 56,
                         2, 0, 0, 0)
    offset = 64 + 2 * 56
    segments = struct.pack("<IIQQQQQQ", 3, 4, offset, 0x400000 + offset, 0, len(interpreter), len(interpreter), 1)
    segments += struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0, offset + len(interpreter), offset + len(interpreter), 4096)
    return header + segments + interpreter


PROGRAMS = {
    "missing command": (["nonesuch"], {}, 'exec: "nonesuch": executable file not found in $PATH'),
    "missing path": (["/no/such"], {}, 'exec: "/no/such": stat /no/such: no such file or directory'),
    "directory": (["/bin"], {}, "is a directory"),
    "no exec bit": (["/p"], {"p": ("#!/bin/sh\n", 0o644)}, "the file is not executable (mode 0644): permission denied"),
    "missing interpreter of a script": (["/p"], {"p": ("#!/bin/nonesuch -x\n", 0o755)},
                                        "its interpreter /bin/nonesuch does not exist"),
    "CRLF": (["/p"], {"p": ("#!/bin/sh\r\necho x\r\n", 0o755)}, "ends in CRLF"),
    "missing ELF interpreter": (["/p"], {"p": (elf(), 0o755)}, "its ELF interpreter /lib/ld-nonesuch.so does not exist"),
    "wrong architecture": (["/p"], {"p": (elf(machine=183), 0o755)}, "the program is built for arm64"),
    "not a program": (["/p"], {"p": ("just text", 0o755)}, "neither an ELF program nor a script"),
    "empty file": (["/p"], {"p": ("", 0o755)}, "neither an ELF program nor a script"),
    "truncated ELF": (["/p"], {"p": (elf()[:70], 0o755)}, "exec /p"),
}


@pytest.mark.parametrize("case", PROGRAMS)
def test_program_that_cannot_run(box, case):
    args, files, words = PROGRAMS[case]
    run = box.run(args, files=files, check=False)
    assert run.returncode == 1 and words in run.stderr, run.stderr


@pytest.mark.parametrize("case", ["missing ELF interpreter", "CRLF"])
def test_start_tells_why(box, case):
    """What only execve can find out reaches the caller of start."""
    args, files, words = PROGRAMS[case]
    bundle = box.bundle(args, files=files)
    name = box.name()
    with open(box.root / "o", "wb") as out:
        box.call("create", "--bundle", bundle, name, capture_output=False, stdout=out, stderr=out)
    run = box.call("start", name, check=False)
    assert run.returncode == 1 and words in run.stderr
    box.wait_status(name, "stopped")


def test_noexec_mount(box):
    source = box.root / "v"
    source.mkdir()
    (source / "p").write_text("#!/bin/sh\n")
    (source / "p").chmod(0o755)
    change = lambda s: s["mounts"].append({"destination": "/v", "type": "bind", "source": str(source),
                                           "options": ["bind", "noexec"]})
    run = box.run(["/v/p"], change, check=False)
    assert run.returncode == 1 and "mount with noexec" in run.stderr and "permission denied" in run.stderr


def test_not_for_this_user(box):
    run = box.run(["/p"], lambda s: s["process"].update(user={"uid": 5, "gid": 5}), files={"p": ("#!/bin/sh\n", 0o700)},
                  check=False)
    assert run.returncode == 1 and "does not let user 5 execute it" in run.stderr


CONFIGS = {
    "no version": (lambda s: s.pop("ociVersion"), "ociVersion"),
    "version 2": (lambda s: s.update(ociVersion="2.0.0"), "not supported"),
    "no root": (lambda s: s.pop("root"), "root.path"),
    "missing rootfs": (lambda s: s["root"].update(path="/none/such"), "rootfs (/none/such) does not exist"),
    "no args": (lambda s: s["process"].update(args=[]), "process.args must not be empty"),
    "relative cwd": (lambda s: s["process"].update(cwd="tmp"), "cwd must be an absolute path"),
    "empty cwd": (lambda s: s["process"].update(cwd=""), "cwd property must not be empty"),
    "exec CPU affinity": (lambda s: s["process"].update(execCPUAffinity={"initial": "0-"}), "execCPUAffinity.initial"),
    "bad env": (lambda s: s["process"].update(env=["=x"]), "process.env[0]"),
    "bad rlimit": (lambda s: s["process"].update(rlimits=[{"type": "RLIMIT_X", "soft": 1, "hard": 1}]), "invalid rlimit type"),
    "double rlimit": (lambda s: s["process"].update(rlimits=[{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2), "twice"),
    "uid is text": (lambda s: s["process"]["user"].update(uid="0"), "process.user.uid: expected a number"),
    "negative uid": (lambda s: s["process"]["user"].update(uid=-1), "process.user.uid"),
    "bad namespace": (lambda s: s["linux"]["namespaces"].append({"type": "planet"}), 'invalid type "planet"'),
    "double namespace": (lambda s: s["linux"]["namespaces"].append({"type": "pid"}), "duplicated namespace"),
    "relative namespace path": (lambda s: s["linux"]["namespaces"][0].update(path="x"), "not absolute"),
    "no mount namespace": (lambda s: s["linux"].update(namespaces=[]), "private MNT namespace"),
    "hostname without uts": (lambda s: s["linux"].update(namespaces=[{"type": "mount"}]), "UTS namespace"),
    "mappings without userns": (lambda s: s["linux"].update(uidMappings=[{"containerID": 0, "hostID": 0, "size": 1}]),
                                "user namespace isn't enabled"),
    "userns without mappings": (lambda s: s["linux"]["namespaces"].append({"type": "user"}), "no uidMappings"),
    "offsets without timens": (lambda s: s["linux"].update(timeOffsets={"boottime": {"secs": 1}}), "time namespace"),
    "host sysctl": (lambda s: s["linux"].update(sysctl={"kernel.panic": "1"}), "not in a separate kernel namespace"),
    "sysctl with dots": (lambda s: s["linux"].update(sysctl={"net/../kernel/panic": "1"}), "no sysctl name"),
    "unknown sysctl": (lambda s: s["linux"].update(sysctl={"net.nonesuch": "1"}), "linux.sysctl"),
    "bad propagation": (lambda s: s["linux"].update(rootfsPropagation="wild"), "rootfsPropagation"),
    "bind with data": (lambda s: s["mounts"].append({"destination": "/x", "type": "bind", "source": "/etc",
                                                     "options": ["bind", "wild=1"]}), "unknown options for a bind mount"),
    "missing bind source": (lambda s: s["mounts"].append({"destination": "/x", "type": "bind", "source": "/none/such",
                                                          "options": ["bind"]}), "/none/such"),
    "unknown file system": (lambda s: s["mounts"].append({"destination": "/x", "type": "nonesuchfs", "source": "x"}),
                            "nonesuchfs"),
    "bad tmpfs option": (lambda s: s["mounts"].append({"destination": "/x", "type": "tmpfs", "source": "x",
                                                       "options": ["size=lots"]}), "/x"),
    "mount over the root": (lambda s: s["mounts"].append({"destination": "/..", "type": "tmpfs", "source": "x"}),
                            "rootfs itself"),
    "bad device type": (lambda s: s["linux"].update(devices=[{"path": "/dev/x", "type": "x", "major": 1, "minor": 1}]),
                        "linux.devices"),
    "bad device rule": (lambda s: s["linux"]["resources"].update(devices=[{"allow": True, "access": "q"}]), "may hold only"),
    "cgroup escape": (lambda s: s["linux"].update(cgroupsPath="/a/../../b"), "cgroupsPath"),
    "bad seccomp action": (lambda s: s["linux"].update(seccomp={"defaultAction": "SCMP_ACT_WISH"}), "SCMP_ACT_WISH"),
    "bad seccomp arch": (lambda s: s["linux"].update(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["VAX"]}),
                         "VAX"),
    "bad scheduler": (lambda s: s["process"].update(scheduler={"policy": "SCHED_X"}), "process.scheduler"),
    "bad io class": (lambda s: s["process"].update(ioPriority={"class": "X", "priority": 1}), "process.ioPriority"),
    "bad personality": (lambda s: s["linux"].update(personality={"domain": "VMS"}), "linux.personality"),
    "unsupported resctrl": (lambda s: s["linux"].update(intelRdt={"closID": "x"}), "linux.intelRdt"),
    "umask": (lambda s: s["process"]["user"].update(umask=0o7777), "umask"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_bad_config(box, case):
    change, words = CONFIGS[case]
    run = box.run(["true"], change, check=False)
    assert run.returncode == 1 and words in run.stderr, run.stderr
    assert box.call("list", "-q").stdout == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"ociVersion": 1}', '{"ociVersion":"1.0.0"} x', "\xff\xfe"])
def test_malformed_config(box, text):
    bundle = box.bundle()
    (bundle / "config.json").write_bytes(text.encode("latin-1"))
    run = box.call("run", "--bundle", bundle, box.name(), check=False)
    assert run.returncode == 1 and "config.json" in run.stderr


def test_missing_config(box):
    run = box.call("run", "--bundle", box.root, box.name(), check=False)
    assert run.returncode == 1 and "config.json not found" in run.stderr


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a b", "ä", "a\n", ".hidden", "x" * 2000])
def test_bad_ids(box, name):
    run = box.call("create", "--bundle", box.bundle(), name, check=False)
    assert run.returncode == 1 and "container id" in run.stderr


COMMANDS = [
    (["nonesuch"], "unknown command"),
    (["create"], "requires at least 1 argument"),
    (["create", "a", "b"], "takes at most 1 argument"),
    (["create", "--nonesuch", "a"], "unknown flag"),
    (["kill", "a", "SIGNONE"], "unknown signal"),
    (["kill", "a", "99"], "unknown signal"),
    (["kill", "none", "TERM"], "does not exist"),
    (["start", "none"], "does not exist"),
    (["delete", "none"], "does not exist"),
    (["pause", "none"], "does not exist"),
    (["list", "--format", "xml"], "invalid format"),
    (["events", "--interval", "0s", "none"], "greater than 0"),
    (["update", "--memory", "lots", "none"], "--memory"),
    (["update", "-r", "/none/such", "none"], "/none/such"),
    (["exec", "--process", "/none/such", "none"], "/none/such"),
    (["create", "--preserve-fds", "-1", "a"], "preserve-fds"),
]


@pytest.mark.parametrize("words,message", COMMANDS, ids=[" ".join(w) for w, _ in COMMANDS])
def test_bad_command_line(box, words, message):
    run = box.call(*words, check=False)
    assert run.returncode in (1, 255) and message in run.stderr


def test_full_disk(box):
    """A state folder without room: a clear error, and nothing runs."""
    box.state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=20", "t-rt", box.state], check=True)
    try:
        run = box.run(["true"], check=False)
        assert run.returncode == 1 and "No space left on device" in run.stderr
    finally:
        subprocess.run(["umount", box.state], check=True)


def test_damaged_state(box):
    name = box.started()
    pid = box.pid(name)
    file = box.state / name / "state.json"
    good = file.read_text()
    file.write_text(good[: len(good) // 2])
    run = box.call("state", name, check=False)
    assert run.returncode == 1 and "is damaged" in run.stderr
    file.write_text(good)
    assert box.pid(name) == pid
    assert pathlib.Path(f"/proc/{pid}").exists()
