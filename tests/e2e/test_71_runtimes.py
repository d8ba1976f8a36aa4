# SPDX-License-Identifier: Apache-2.0
"""Other OCI runtimes than kist's own, by name: runtimes of daemon.json, --add-runtime, --default-runtime."""
import json
import os
import shutil
import signal

import pytest

from lib import images
from lib.daemon import Daemon
from lib.engine_api import Api
from lib.wait import wait_for

# Debian's crun refuses hosts with both versions of cgroups. Our own runtime as a program is one more of runc's kind.
HYBRID = os.path.ismount("/sys/fs/cgroup/unified") or os.path.ismount("/sys/fs/cgroup/memory") and "cgroup2" in open("/proc/mounts").read()
BINARIES = [name for name in ("runc", "crun") if shutil.which(name) and not (name == "crun" and HYBRID)] + ["kist-runtime"]


@pytest.fixture(scope="module")
def server(session_root, busybox_rootfs, program):
    """One kistd that knows them all, in one case with words of its own and a log of the calls."""
    root = session_root / "runtimes"
    root.mkdir()
    calls = root / "calls"
    wrapper = root / "logged"
    paths = {name: shutil.which(name) or program(name) for name in BINARIES}
    wrapper.write_text(f'#!/bin/sh\necho "$@" >>{calls}\nshift\nexec {paths[BINARIES[0]]} "$@"\n')
    wrapper.chmod(0o755)
    runtimes = {f"a-{name}": {"path": path} for name, path in paths.items()}
    runtimes |= {"typed": {"runtimeType": "io.containerd.runc.v2", "options": {"BinaryName": paths[BINARIES[0]], "SystemdCgroup": False}}}
    runtimes |= {"logged": {"path": str(wrapper), "runtimeArgs": ["--first"]}, "lost": {"path": "/no/such/runtime"}}
    config = root / "daemon.json"
    config.write_text(json.dumps({"runtimes": runtimes}))
    daemon = Daemon(root, program, ["--config-file", str(config), "--add-runtime", f"added={paths[BINARIES[0]]}"])
    daemon.start()
    tar = root / "bb.tar"
    tar.write_bytes(images.tar_of(busybox_rootfs))
    daemon.docker("import", "-c", 'CMD ["sh"]', tar, "bb")
    daemon.calls, daemon.names = calls, [name for name in runtimes if name not in ("lost", "logged")]
    yield daemon
    daemon.finish()


def test_a_type_that_kist_shim_is(server):
    assert server.docker("run", "--rm", "--runtime", "typed", "bb", "echo", "typed").stdout == "typed\n"
    assert server.docker("run", "--rm", "--runtime", "io.containerd.runc.v2", "bb", "echo", "own").stdout == "own\n"


def mounts_of(server, identity):
    bundle = f"{server.root}/x/shim/{identity[:16]}"
    with open("/proc/self/mountinfo") as file:
        return [line.split()[4] for line in file if line.split()[4].startswith(bundle)]


def check_control(server, name):
    assert "sleep" in server.docker("top", name).stdout
    server.docker("pause", name)
    assert server.inspect(name)["State"]["Status"] == "paused"
    server.docker("unpause", name)
    server.docker("update", "--memory", "96m", "--memory-swap", "96m", name)
    status, stats = Api(server).call("GET", f"/containers/{name}/stats?stream=0&one-shot=1")
    assert status == 200 and stats["memory_stats"]["limit"] == 96 << 20 and stats["pids_stats"]["current"] >= 1


@pytest.mark.parametrize("binary", BINARIES)
def test_a_container_of_another_runtime_is_like_any_other(server, binary):
    runtime = f"a-{binary}"
    name = f"life-{binary}"
    script = "id; cat /etc/hostname; ip -4 addr show eth0; echo words >&2; trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done"
    options = ["--runtime", runtime, "--memory", "64m", "--user", "nobody:ping", "--group-add", "audio", "--hostname", "other"]
    group = ["-v", f"{server.root}/group-{binary}:/etc/group:ro"]
    (server.root / f"group-{binary}").write_text("root:x:0:\nping:x:999:\naudio:x:29:\n")
    # The group is looked up before anything of the container's own is mounted over it, as dockerd does.
    refused = server.docker("run", "--rm", *options, *group, "bb", "true", check=False)
    assert refused.returncode == 125 and "unable to find group ping" in refused.stderr, refused
    options[options.index("nobody:ping")] = "1234:999"
    options[options.index("audio")] = "29"
    server.docker("run", "-d", "--name", name, *options, "bb", "sh", "-c", script)
    wait_for(lambda: "\nup\n" in server.docker("logs", name).stdout, "the container is up")
    said = server.docker("logs", name)
    assert "uid=1234 gid=999 groups=29,999" in said.stdout and "other" in said.stdout and "words" in said.stderr, said
    found = server.inspect(name)
    assert found["HostConfig"]["Runtime"] == runtime and found["State"]["Pid"] > 0
    assert f"inet {found['NetworkSettings']['IPAddress'] or found['NetworkSettings']['Networks']['bridge']['IPAddress']}" in said.stdout
    # exec, with another user, a terminal's size, its code; top; pause; update; stats
    assert server.docker("exec", "-u", "0", name, "sh", "-c", "id -u; exit 3", check=False).returncode == 3
    assert server.docker("exec", "-u", "5:6", name, "id").stdout.startswith("uid=5 gid=6")
    missing = server.docker("exec", name, "no-such-program", check=False)
    assert missing.returncode == 127 and "OCI runtime exec failed" in missing.stdout + missing.stderr, missing
    assert server.docker("exec", "-t", name, "tty").stdout.strip() == "/dev/pts/0"
    check_control(server, name)
    server.docker("cp", "/etc/hostname", f"{name}:/tmp/copied")
    assert server.docker("exec", name, "ls", "/tmp").stdout.strip() == "copied"
    # stop is its own signal; a second start, the files it wrote, another end
    server.docker("stop", "-t", "60", name)
    assert server.inspect(name)["State"]["ExitCode"] == 7
    assert not mounts_of(server, found["Id"])
    server.docker("start", name)
    wait_for(lambda: server.docker("exec", name, "ls", "/tmp", check=False).stdout.strip() == "copied", "it runs again")
    server.docker("kill", name)
    assert server.docker("wait", name).stdout.strip() == "137"
    server.docker("rm", name)
    assert not mounts_of(server, found["Id"])


@pytest.mark.parametrize("binary", BINARIES)
def test_terminals_stdin_and_missing_programs(server, binary):
    runtime = f"a-{binary}"
    assert server.docker("run", "--rm", "-i", "--runtime", runtime, "bb", "cat", input="through\n").stdout == "through\n"
    assert server.docker("run", "--rm", "-t", "--runtime", runtime, "bb", "tty").stdout.strip() == "/dev/pts/0"
    run = server.docker("run", "--name", f"no-{binary}", "--runtime", runtime, "bb", "no-such-program", check=False)
    assert run.returncode == 127 and "failed to create shim task: OCI runtime create failed" in run.stderr, run
    assert "no-such-program" in run.stderr and not mounts_of(server, server.inspect(f"no-{binary}")["Id"])


def test_what_is_known_and_what_is_not(server):
    info = json.loads(server.docker("info", "--format", "{{json .}}").stdout)
    assert info["DefaultRuntime"] == "runc" and {"runc", "added", "logged", "lost", *server.names} == set(info["Runtimes"])
    assert info["Runtimes"]["logged"] == {"path": str(server.root / "logged"), "runtimeArgs": ["--first"]}
    assert Api(server).call("POST", "/containers/create", {"Image": "bb", "HostConfig": {"Runtime": "nvidia"}}) == (
        400, {"message": "unknown or invalid runtime name: nvidia"})  # fmt: skip
    assert Api(server).call("POST", "/containers/create", {"Image": "bb", "HostConfig": {"Runtime": "/bin/sh"}})[0] == 400
    lost = server.docker("run", "--rm", "--runtime", "lost", "bb", "true", check=False)
    assert lost.returncode != 0 and "/no/such/runtime" in lost.stderr and "o such file or directory" in lost.stderr, lost
    server.docker("run", "--rm", "--runtime", "logged", "bb", "true")
    assert server.calls.read_text().startswith("--first --root ")
    for words, message in (
        (["--userns", "auto"], "only kist's own runtime mounts"),
        (["--mount", "type=volume,src=v,dst=/v,volume-subpath=a"], "only by kist's own runtime"),
    ):
        body = {"Image": "bb", "HostConfig": {"Runtime": "added"}}
        if words[0] == "--userns":
            body["HostConfig"]["UsernsMode"] = "auto"
        else:
            body["HostConfig"]["Mounts"] = [{"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"Subpath": "a"}}]
        status, answer = Api(server).call("POST", "/containers/create", body)
        assert status != 201 and message in answer["message"], answer


def test_kills_at_any_moment_leave_nothing(server):
    """The shim gone: its container, its mounts and its cgroup go with it. The engine gone: nothing happens to it."""
    server.docker("run", "-d", "--name", "tough", "--runtime", "added", "--restart", "always", "bb", "sleep", "1000")
    found = server.inspect("tough")
    pid = found["State"]["Pid"]
    server.kill()
    server.start()
    assert server.inspect("tough")["State"]["Pid"] == pid
    assert server.docker("exec", "tough", "echo", "still").stdout == "still\n"
    with open(f"/proc/{pid}/stat") as file:
        shim = int(file.read().rpartition(")")[2].split()[1])
    os.kill(shim, signal.SIGKILL)
    wait_for(lambda: server.inspect("tough")["State"]["Pid"] not in (0, pid), "it was started again")
    assert not os.path.exists(f"/proc/{pid}/root/bin/sh")
    assert len(mounts_of(server, found["Id"])) == 1
    server.docker("rm", "-f", "tough")
    assert not mounts_of(server, found["Id"])


def test_the_default_is_a_choice_and_a_reload_changes_it(tmp_root, program, busybox_rootfs):
    config = tmp_root / "daemon.json"
    path = str(program("kist-runtime"))
    config.write_text(json.dumps({"runtimes": {"theirs": {"path": path}}, "default-runtime": "theirs"}))
    daemon = Daemon(tmp_root, program, ["--config-file", str(config)])
    daemon.start()
    tar = tmp_root / "bb.tar"
    tar.write_bytes(images.tar_of(busybox_rootfs))
    daemon.docker("import", tar, "bb")
    daemon.docker("run", "--name", "one", "bb", "true")
    assert daemon.inspect("one")["HostConfig"]["Runtime"] == "theirs"
    config.write_text(json.dumps({}))
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration reloaded" in daemon.log.read_text(), "reload")
    assert daemon.docker("info", "--format", "{{.DefaultRuntime}}").stdout == "runc\n"
    daemon.docker("run", "--name", "two", "bb", "true")
    assert daemon.inspect("two")["HostConfig"]["Runtime"] == "runc"
    gone = daemon.docker("start", "one", check=False)
    assert gone.returncode != 0 and "unknown or invalid runtime name: theirs" in gone.stderr
    daemon.finish()
