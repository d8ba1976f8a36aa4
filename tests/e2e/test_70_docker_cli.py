# SPDX-License-Identifier: Apache-2.0
"""The stock docker CLI against kistd: what people type, byte for byte what they expect."""
import json
import os
import pty
import re
import secrets
import select
import subprocess
import threading
import time
import urllib.request

import pytest

from lib.ports import free_port
from lib.registry import Registry
from lib.docker_cli import IS_28
from lib.wait import wait_for


@pytest.fixture(scope="module")
def cli(shared_daemon, registry):
    """A daemon that holds the image `bb`, pulled from the registry."""
    full = f"{registry.address}/busybox:latest"
    pulled = shared_daemon.docker("pull", full)
    assert "Pulling from busybox" in pulled.stdout
    assert "Pull complete" in pulled.stdout
    assert "Digest: sha256:" in pulled.stdout
    assert f"Status: Downloaded newer image for {full}" in pulled.stdout
    shared_daemon.docker("tag", full, "bb")
    return shared_daemon


def name():
    return "t" + secrets.token_hex(4)


class Terminal:
    """A program on a pseudo terminal, as a person uses it."""

    def __init__(self, argv, environment):
        self.output = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, environment)

    def expect(self, needle, patience=60):
        end = time.monotonic() + patience
        while needle not in self.output:
            left = end - time.monotonic()
            assert left > 0, f"no {needle!r} in {self.output!r}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    self.output += os.read(self.fd, 4096)
                except OSError:
                    assert needle in self.output, f"ended without {needle!r}: {self.output!r}"
        seen, self.output = self.output.split(needle, 1)
        return seen

    def type(self, data):
        os.write(self.fd, data)

    def end(self, patience=60):
        """The exit code."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.output += os.read(self.fd, 4096)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"does not end: {self.output!r}")


# ---- images ----


def test_pull_again_is_up_to_date(cli, registry):
    out = cli.docker("pull", f"{registry.address}/busybox:latest").stdout
    assert "Status: Image is up to date for" in out


def test_pull_of_unknown_image(cli, registry):
    run = cli.docker("pull", f"{registry.address}/nosuch:1", check=False)
    assert run.returncode == 1
    assert "Error response from daemon: " in run.stderr
    assert "not found" in run.stderr or "unknown" in run.stderr


def test_run_pulls_what_is_missing(cli, registry):
    image = f"{registry.address}/busybox:1"
    run = cli.docker("run", "--rm", image, "echo", "pulled")
    assert run.stdout == "pulled\n"
    assert "Unable to find image" in run.stderr


def test_images_inspect_history_rmi(cli):
    cli.docker("tag", "bb", "gone:1")
    assert "gone" in cli.docker("images", "--format", "{{.Repository}}").stdout.split()
    assert json.loads(cli.docker("image", "inspect", "gone:1").stdout)[0]["Os"] == "linux"
    assert cli.docker("history", "-q", "gone:1").stdout
    assert "Untagged: gone:1" in cli.docker("rmi", "gone:1").stdout
    run = cli.docker("rmi", "gone:1", check=False)
    assert run.returncode == 1
    assert "No such image: gone:1" in run.stderr


def test_import_from_stdin(cli, busybox_rootfs):
    from lib import images

    run = subprocess.run(
        ["docker", "import", "-c", 'CMD ["echo","imported"]', "-", "imp:1"],
        input=images.tar_of(busybox_rootfs),
        env=cli.environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert re.fullmatch(rb"sha256:[0-9a-f]{64}\n", run.stdout)
    assert cli.docker("run", "--rm", "imp:1").stdout == "imported\n"
    cli.docker("rmi", "imp:1")


def test_login_and_authenticated_pull(cli, busybox_layout, tmp_path):
    htpasswd = tmp_path / "htpasswd"
    # "secret", bcrypt: the only form that Debian's registry reads.
    htpasswd.write_text(subprocess.run(["htpasswd", "-Bbn", "me", "secret"], capture_output=True, text=True, check=True).stdout)
    server = Registry(tmp_path / "r", htpasswd=htpasswd)
    server.start()
    try:
        subprocess.run(
            ["skopeo", "copy", "-q", "--dest-tls-verify=false", "--dest-creds", "me:secret",
             f"oci:{busybox_layout}:busybox", f"docker://{server.address}/private:1"],
            check=True,
        )  # fmt: skip
        assert cli.docker("pull", f"{server.address}/private:1", check=False).returncode == 1
        run = cli.docker("login", "-u", "me", "--password-stdin", server.address, input="wrong", check=False)
        assert run.returncode == 1
        assert "401 Unauthorized" in run.stderr
        run = cli.docker("login", "-u", "me", "--password-stdin", server.address, input="secret")
        assert "Login Succeeded" in run.stdout
        cli.docker("pull", f"{server.address}/private:1")
        cli.docker("rmi", f"{server.address}/private:1")
        cli.docker("logout", server.address)
    finally:
        server.stop()


# ---- run ----


def test_run_output_and_exit_code(cli):
    run = cli.docker("run", "--rm", "bb", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (run.returncode, run.stdout, run.stderr) == (7, "out\n", "err\n")


def test_run_much_output_is_whole(cli):
    run = cli.docker("run", "--rm", "bb", "sh", "-c", "seq 1 200000")
    assert run.stdout == "".join(f"{i}\n" for i in range(1, 200001))


def test_run_stdin_is_passed_and_half_closed(cli):
    data = "".join(f"line {i}\n" for i in range(5000))
    run = cli.docker("run", "--rm", "-i", "bb", "sh", "-c", "cat; echo end", input=data)
    assert run.stdout == data + "end\n"


def test_run_removes_itself(cli):
    n = name()
    cli.docker("run", "--rm", "--name", n, "bb", "true")
    assert f"No such container: {n}" in cli.docker("container", "inspect", n, check=False).stderr


@pytest.mark.parametrize(
    "argv,code,text",
    [
        (["bb", "/nosuch"], 127, "no such file or directory"),
        (["bb", "nosuch"], 127, "executable file not found"),
        # docker CLI 20.10 knows no such reason.
        (["bb", "/etc"], 126 if IS_28 else 125, "is a directory"),
        (["bb", "/etc/passwd"], 126, "permission denied"),
        (["--badflag", "bb"], 125, "unknown flag: --badflag"),
        (["-v", "relative/../x:y", "bb"], 125, ""),
    ],
)
def test_run_exit_codes(cli, argv, code, text):
    n = name()
    run = cli.docker("run", "--name", n, *argv, check=False)
    cli.docker("rm", "-f", n, check=False)
    assert run.returncode == code, run.stderr
    assert text in run.stderr


def test_run_killed_by_signal(cli):
    run = cli.docker("run", "--rm", "bb", "sh", "-c", "sh -c 'kill -9 $$'; exit $?", check=False)
    assert run.returncode == 137


def test_run_interactive_terminal(cli):
    shell = Terminal(["docker", "run", "--rm", "-it", "bb", "sh"], cli.environment)
    shell.expect(b"# ")
    shell.type(b"echo $((6*7)); tty\n")
    shell.expect(b"42")
    shell.expect(b"/dev/pts/0")
    shell.expect(b"# ")
    shell.type(b"exit 5\n")
    assert shell.end() == 5


def test_terminal_is_resized(cli):
    import fcntl
    import struct
    import termios

    n = name()
    shell = Terminal(["docker", "run", "--rm", "-it", "--name", n, "bb", "sh"], cli.environment)
    shell.expect(b"# ")
    fcntl.ioctl(shell.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    wait_for(lambda: "33 77" in cli.docker("exec", n, "sh", "-c", "stty size < /proc/1/fd/0", check=False).stdout)
    shell.type(b"exit\n")
    assert shell.end() == 0


def test_detach_keys_leave_it_running(cli):
    n = name()
    shell = Terminal(["docker", "run", "-it", "--name", n, "bb", "sh"], cli.environment)
    shell.expect(b"# ")
    shell.type(b"\x10\x11")
    assert shell.end() == 0
    assert cli.inspect(n)["State"]["Running"]
    again = Terminal(["docker", "attach", n], cli.environment)
    again.type(b"echo again\n")
    again.expect(b"again")
    again.type(b"exit 3\n")
    assert again.end() == 3
    cli.docker("rm", n)


def test_run_detached_with_port(cli):
    n, port = name(), free_port()
    cli.docker(
        "run", "-d", "--name", n, "-p", f"127.0.0.1:{port}:8080", "bb",
        "sh", "-c", "mkdir /w; echo served > /w/index.html; httpd -f -p 8080 -h /w",
    )  # fmt: skip
    assert cli.docker("port", n).stdout.strip() == f"8080/tcp -> 127.0.0.1:{port}"
    assert f"127.0.0.1:{port}->8080/tcp" in cli.docker("ps", "--filter", f"name={n}").stdout

    def fetch():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as page:
                return page.read() == b"served\n"
        except OSError:
            return False

    wait_for(fetch)
    cli.docker("rm", "-f", n)


# ---- life ----


@pytest.fixture
def sleeper(cli):
    n = name()
    cli.docker("run", "-d", "--name", n, "--label", f"who={n}", "bb", "sh", "-c", "trap 'exit 4' TERM; touch /ready; sleep 1000 & wait")
    wait_for(lambda: cli.docker("exec", n, "test", "-e", "/ready", check=False).returncode == 0)
    yield n
    cli.docker("rm", "-f", n, check=False)


def test_ps_and_filters(cli, sleeper):
    def names(*args):
        return cli.docker("ps", "--format", "{{.Names}}", *args).stdout.split()

    assert sleeper in names()
    assert names("--filter", f"label=who={sleeper}") == [sleeper]
    assert names("--filter", f"name={sleeper}", "--filter", "status=exited") == []
    assert sleeper in names("-a", "--filter", "status=running")
    run = cli.docker("ps", "--filter", "nonsense=1", check=False)
    assert run.returncode == 1
    assert "invalid filter 'nonsense'" in run.stderr


def test_stop_start_restart(cli, sleeper):
    assert cli.docker("stop", "-t", "10", sleeper).stdout == f"{sleeper}\n"
    state = cli.inspect(sleeper)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 4)
    assert cli.docker("stop", sleeper).returncode == 0
    cli.docker("start", sleeper)
    assert cli.docker("start", sleeper).returncode == 0
    pid = cli.inspect(sleeper)["State"]["Pid"]
    cli.docker("restart", "-t", "1", sleeper)
    state = cli.inspect(sleeper)["State"]
    assert state["Running"]
    assert state["Pid"] != pid


def test_kill_and_wait(cli, sleeper):
    codes = []
    waiter = threading.Thread(target=lambda: codes.append(cli.docker("wait", sleeper).stdout.strip()))
    waiter.start()
    time.sleep(0.5)
    cli.docker("kill", sleeper)
    waiter.join(60)
    assert codes == ["137"]
    run = cli.docker("kill", sleeper, check=False)
    assert run.returncode == 1
    assert "is not running" in run.stderr
    assert "invalid signal: FOO" in cli.docker("kill", "-s", "FOO", sleeper, check=False).stderr


def test_pause_and_unpause(cli, sleeper):
    cli.docker("pause", sleeper)
    assert cli.inspect(sleeper)["State"]["Status"] == "paused"
    assert "is already paused" in cli.docker("pause", sleeper, check=False).stderr
    assert "is paused" in cli.docker("exec", sleeper, "true", check=False).stderr
    cli.docker("unpause", sleeper)
    assert "is not paused" in cli.docker("unpause", sleeper, check=False).stderr
    assert cli.docker("exec", sleeper, "echo", "on").stdout == "on\n"


def test_rename(cli, sleeper):
    other = name()
    cli.docker("rename", sleeper, other)
    assert cli.inspect(other)["Name"] == f"/{other}"
    cli.docker("rename", other, sleeper)
    run = cli.docker("rename", sleeper, "bad/name", check=False)
    assert "Invalid container name (bad/name), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed" in run.stderr


def test_top(cli, sleeper):
    out = cli.docker("top", sleeper).stdout
    assert out.splitlines()[0].split()[:3] == ["UID", "PID", "PPID"]
    assert "sleep 1000" in out


def test_names_are_unique_and_removal_is_guarded(cli, sleeper):
    run = cli.docker("create", "--name", sleeper, "bb", check=False)
    assert run.returncode == 1
    full = cli.inspect(sleeper)["Id"]
    assert (
        f'Conflict. The container name "/{sleeper}" is already in use by container "{full}". You have to remove (or '
        "rename) that container to be able to reuse that name." in run.stderr
    )
    run = cli.docker("rm", sleeper, check=False)
    assert run.returncode == 1
    assert "container is running: stop the container before removing or force remove" in run.stderr
    assert cli.inspect(full[:12])["Id"] == full


def test_create_start_attached(cli):
    n = name()
    cli.docker("create", "--name", n, "bb", "sh", "-c", "echo hello; exit 9")
    run = cli.docker("start", "-a", n, check=False)
    assert (run.returncode, run.stdout) == (9, "hello\n")
    cli.docker("rm", n)


def test_prune(cli):
    n = name()
    cli.docker("run", "--name", n, "--label", f"p={n}", "bb", "true")
    out = cli.docker("container", "prune", "-f", "--filter", f"label=p={n}").stdout
    assert "Deleted Containers:" in out
    assert "Total reclaimed space:" in out
    assert cli.docker("inspect", n, check=False).returncode == 1


# ---- logs ----


def test_logs_tail_since_timestamps(cli):
    n = name()
    cli.docker("run", "--name", n, "bb", "sh", "-c", "for i in 1 2 3 4 5; do echo o$i; done; echo e >&2")
    run = cli.docker("logs", n)
    assert (run.stdout, run.stderr) == ("o1\no2\no3\no4\no5\n", "e\n")
    assert cli.docker("logs", "--tail", "2", n).stdout == "o5\n"
    assert cli.docker("logs", "--tail", "0", n).stdout == ""
    assert cli.docker("logs", "--since", "2100-01-01T00:00:00Z", n).stdout == ""
    assert cli.docker("logs", "--until", "1h", n).stdout == ""
    first = cli.docker("logs", "-t", n).stdout.splitlines()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z o1", first)
    cli.docker("rm", n)


def test_logs_follow_until_the_end(cli):
    n = name()
    cli.docker("run", "-d", "--name", n, "bb", "sh", "-c", "for i in 1 2 3; do echo l$i; sleep 0.3; done")
    run = cli.docker("logs", "-f", n, timeout=120)
    assert run.stdout == "l1\nl2\nl3\n"
    cli.docker("rm", n)


def test_logs_follow_is_live(cli, sleeper):
    follower = subprocess.Popen(
        ["docker", "logs", "-f", sleeper], env=cli.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    cli.docker("exec", sleeper, "sh", "-c", "echo live > /proc/1/fd/1")
    ready = select.select([follower.stdout], [], [], 60)[0]
    assert ready
    assert follower.stdout.readline() == b"live\n"
    follower.terminate()
    follower.wait(60)


# ---- exec ----


def test_exec_streams_and_codes(cli, sleeper):
    run = cli.docker("exec", sleeper, "sh", "-c", "echo o; echo e >&2; exit 6", check=False)
    assert (run.returncode, run.stdout, run.stderr) == (6, "o\n", "e\n")
    assert cli.docker("exec", "-i", sleeper, "cat", input="in\n").stdout == "in\n"
    run = cli.docker("exec", "-e", "A=b", "-w", "/tmp", "-u", "1000", sleeper, "sh", "-c", "echo $A $PWD $(id -u)")
    assert run.stdout == "b /tmp 1000\n"
    assert cli.docker("exec", sleeper, "nosuch", check=False).returncode == 127
    assert cli.docker("exec", sleeper, "/etc/passwd", check=False).returncode == 126
    run = cli.docker("exec", "nosuchcontainer", "true", check=False)
    assert run.returncode == 1
    assert "No such container: nosuchcontainer" in run.stderr


def test_exec_terminal(cli, sleeper):
    shell = Terminal(["docker", "exec", "-it", sleeper, "sh"], cli.environment)
    shell.expect(b"# ")
    shell.type(b"echo $((40+2))\n")
    shell.expect(b"42")
    shell.type(b"exit 8\n")
    assert shell.end() == 8


def test_exec_detached(cli, sleeper):
    cli.docker("exec", "-d", sleeper, "touch", "/tmp/made")
    wait_for(lambda: cli.docker("exec", sleeper, "ls", "/tmp/made", check=False).returncode == 0)


# ---- the rest ----


def test_events(cli):
    n = name()
    start = time.time()
    cli.docker("run", "--rm", "--name", n, "bb", "sh", "-c", "exit 2", check=False)

    def told():
        out = cli.docker(
            "events", "--since", f"{start:.3f}", "--until", f"{time.time():.3f}",
            "--filter", f"container={n}", "--format", "{{json .}}",
        ).stdout  # fmt: skip
        return [json.loads(line) for line in out.splitlines()]

    wait_for(lambda: any(event["Action"] == "destroy" for event in told()), "the last event")
    events = told()
    actions = [e["Action"] for e in events if e["Type"] == "container"]
    assert [a for a in actions if a in ("create", "attach", "start", "die", "destroy")] == [
        "create", "attach", "start", "die", "destroy",
    ]  # fmt: skip
    die = next(e for e in events if e["Action"] == "die")
    assert die["Actor"]["Attributes"]["exitCode"] == "2"
    assert die["Actor"]["Attributes"]["name"] == n


def test_events_are_live(cli):
    watcher = subprocess.Popen(
        ["docker", "events", "--filter", "type=volume"], env=cli.environment, stdout=subprocess.PIPE, text=True
    )
    # Until it listens: what came before is not told.
    made = []

    def is_told():
        made.append(name())
        cli.docker("volume", "create", made[-1])
        return select.select([watcher.stdout], [], [], 0.5)[0]

    wait_for(is_told)
    line = watcher.stdout.readline()
    assert any(n in line for n in made)
    watcher.terminate()
    watcher.wait(60)
    cli.docker("volume", "rm", *made)


def test_inspect_shape(cli, sleeper):
    inspect = cli.inspect(sleeper)
    for key in (
        "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver Platform "
        "MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings"
    ).split():
        assert key in inspect, key
    assert inspect["Config"]["Labels"] == {"who": sleeper}
    assert inspect["State"]["Pid"] > 0
    run = cli.docker("inspect", "nosuchthing", check=False)
    assert run.returncode == 1
    assert run.stdout.strip() == "[]"
    assert "No such object: nosuchthing" in run.stderr


def test_networks_and_volumes(cli):
    assert set(cli.docker("network", "ls", "--format", "{{.Name}}").stdout.split()) == {"bridge", "host", "none"}
    bridge = json.loads(cli.docker("network", "inspect", "bridge").stdout)[0]
    assert bridge["IPAM"]["Config"][0]["Gateway"]
    n = name()
    assert cli.docker("volume", "create", n).stdout == f"{n}\n"
    cli.docker("run", "--rm", "-v", f"{n}:/v", "bb", "sh", "-c", "echo kept > /v/f")
    assert cli.docker("run", "--rm", "-v", f"{n}:/v", "bb", "cat", "/v/f").stdout == "kept\n"
    cli.docker("volume", "rm", n)
    assert "no such volume" in cli.docker("volume", "inspect", n, check=False).stderr.lower()


def test_system_commands(cli):
    assert "1.51" in cli.docker("version").stdout
    assert "Storage Driver: overlay2" in cli.docker("info").stdout
    assert "Images" in cli.docker("system", "df").stdout
    run = cli.docker("service", "ls", check=False)
    assert run.returncode == 1
    assert "This node is not a swarm manager" in run.stderr
    run = cli.docker("stats", "--no-stream", "nosuch", check=False)
    assert run.returncode == 1


def test_platform(cli):
    assert cli.docker("run", "--rm", "--pull", "never", "--platform", "linux/amd64", "bb", "echo", "x").stdout == "x\n"
    run = cli.docker("create", "--pull", "never", "--platform", "linux/s390x", "bb", check=False)
    assert run.returncode == 1
    assert "does not provide the specified platform (linux/s390x)" in run.stderr


def test_network_ids_agree(cli, sleeper):
    endpoint = cli.inspect(sleeper)["NetworkSettings"]["Networks"]["bridge"]
    bridge = json.loads(cli.docker("network", "inspect", "bridge").stdout)[0]
    assert endpoint["NetworkID"] == bridge["Id"]
    member = next(m for i, m in bridge["Containers"].items() if m["Name"] == sleeper)
    assert member["IPv4Address"].split("/")[0] == endpoint["IPAddress"]


def test_errors_name_the_cause(cli):
    assert "No such container: nosuch" in cli.docker("start", "nosuch", check=False).stderr
    assert "No such container: nosuch" in cli.docker("logs", "nosuch", check=False).stderr
    run = cli.docker("run", "--pull", "never", "nosuch:1", check=False)
    assert run.returncode == 125
    assert "No such image: nosuch:1" in run.stderr
