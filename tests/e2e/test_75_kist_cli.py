# SPDX-License-Identifier: Apache-2.0
"""kist against kistd: what a person types, what a script reads, beside the stock docker CLI on the same socket."""
import base64
import crypt
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from lib import images
from lib.registry import Registry
from lib.docker_cli import IS_28, needs_28

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def engine(daemon, busybox_rootfs, tmp_root):
    """A daemon with the image bb:latest."""
    tar = tmp_root / "bb.tar"
    tar.write_bytes(images.tar_of(busybox_rootfs))
    daemon.kist("import", "-c", 'CMD ["sh"]', tar, "bb:latest")
    yield daemon
    names = daemon.kist("ps", "-aq").stdout.split()
    if names:
        daemon.kist("rm", "-f", *names)


class Terminal:
    """A command under a terminal of 33 lines and 101 columns."""

    def __init__(self, engine, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(engine.program("kist"), ["kist", *args], engine.environment)
        self.size(33, 101)
        self.seen = b""

    def size(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, data):
        os.write(self.fd, data)

    def send_until(self, data, what):
        """For a command that may not listen yet: what it does not read at its start is lost."""
        end = time.monotonic() + 120
        while what not in self.seen:
            assert time.monotonic() < end, f"{what!r} is missing in {self.seen!r}"
            self.send(data)
            while what not in self.seen and select.select([self.fd], [], [], 1)[0]:
                self.seen += os.read(self.fd, 4096)
        self.seen = self.seen.split(what, 1)[1]

    def expect(self, what, patience=60):
        end = time.monotonic() + patience
        while what not in self.seen:
            assert time.monotonic() < end, f"{what!r} is missing in {self.seen!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 4096)
                except OSError:
                    break
        assert what in self.seen, f"{what!r} is missing in {self.seen!r}"
        self.seen = self.seen.split(what, 1)[1]

    def exit_code(self, patience=60):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.fd, 4096)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"the command does not end: {self.seen!r}")


# ---- run, exec, attach ----


@pytest.mark.parametrize(
    "command,code",
    [(["true"], 0), (["sh", "-c", "exit 7"], 7), (["nosuch"], 127), (["/etc"], 126), (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137)],
)
def test_exit_codes_of_run(engine, command, code):
    assert engine.kist("run", "--rm", "bb", *command, check=False).returncode == code


def test_streams_stay_apart(engine):
    run = engine.kist("run", "--rm", "bb", "sh", "-c", "echo out; echo err >&2")
    assert (run.stdout, run.stderr) == ("out\n", "err\n")


def test_stdin_reaches_the_end(engine):
    text = "x" * 300000
    assert engine.kist("run", "--rm", "-i", "bb", "cat", input=text).stdout == text
    assert engine.kist("run", "--rm", "-i", "bb", "wc", "-c", input=text).stdout.strip() == "300000"
    # A process that does not read must not block us.
    assert engine.kist("run", "--rm", "-i", "bb", "true", input=text).returncode == 0


def test_terminal_size_interrupt_and_exit(engine):
    terminal = Terminal(engine, "run", "-it", "--rm", "bb", "sh")
    terminal.expect(b"# ")
    terminal.send(b"stty size\n")
    terminal.expect(b"33 101")
    terminal.size(44, 120)
    os.kill(terminal.pid, signal.SIGWINCH)
    terminal.send(b'until [ "$(stty size)" = "44 120" ]; do sleep 0.1; done; echo si$((0))zed\n')
    terminal.expect(b"si0zed")
    # A program of its own that says when it can be interrupted: between two commands the shell itself would be.
    terminal.send(b"sh -c 'echo be$((0))gun; while :; do sleep 0.1; done'\n")
    terminal.expect(b"be0gun")
    terminal.send(b"\x03")
    terminal.expect(b"# ")
    terminal.send(b"exit 42\n")
    assert terminal.exit_code() == 42


def test_detach_and_attach_again(engine):
    terminal = Terminal(engine, "run", "-it", "--name", "d1", "bb", "sh")
    terminal.expect(b"# ")
    terminal.send(b"\x10\x11")
    assert terminal.exit_code() == 0
    assert engine.kist("inspect", "-f", "{{.State.Running}}", "d1").stdout == "true\n"
    terminal = Terminal(engine, "attach", "--detach-keys", "ctrl-x", "d1")
    terminal.send_until(b"echo ba$((40+2))ck\n", b"ba42ck")
    terminal.send(b"\x18")
    assert terminal.exit_code() == 0
    terminal = Terminal(engine, "attach", "d1")
    terminal.send_until(b"echo ag$((40+2))ain\n", b"ag42ain")
    terminal.send(b"exit 5\n")
    assert terminal.exit_code() == 5


def test_signals_are_passed_on(engine):
    script = 'trap "echo got; exit 9" TERM; echo ready; while :; do sleep 0.1; done'
    run = subprocess.Popen(
        [engine.program("kist"), "run", "--rm", "bb", "sh", "-c", script],
        stdout=subprocess.PIPE, text=True, env=engine.environment,
    )  # fmt: skip
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGTERM)
    assert run.communicate(timeout=60)[0] == "got\n"
    assert run.returncode == 9


def test_exec(engine):
    engine.kist("run", "-d", "--name", "e1", "bb", "sleep", "1000")
    run = engine.kist("exec", "-e", "A=b", "-w", "/tmp", "e1", "sh", "-c", "echo $A; pwd")
    assert run.stdout == "b\n/tmp\n"
    assert engine.kist("exec", "-i", "e1", "cat", input="hello").stdout == "hello"
    assert engine.kist("exec", "e1", "sh", "-c", "exit 4", check=False).returncode == 4
    assert engine.kist("exec", "e1", "nosuch", check=False).returncode == 127
    terminal = Terminal(engine, "exec", "-it", "e1", "sh")
    terminal.expect(b"# ")
    terminal.send(b"stty size; exit 3\n")
    terminal.expect(b"33 101")
    assert terminal.exit_code() == 3


def test_logs_follow_until_the_end(engine):
    engine.kist("run", "-d", "--name", "l1", "bb", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.3; done; echo e >&2")
    run = engine.kist("logs", "-f", "l1")
    assert (run.stdout, run.stderr) == ("1\n2\n3\n", "e\n")
    assert engine.kist("logs", "--tail", "1", "-t", "l1").stderr.endswith(" e\n")
    assert engine.kist("wait", "l1").stdout == "0\n"


def test_cidfile_name_conflict_and_pull_never(engine, tmp_root):
    file = tmp_root / "cid"
    identity = engine.kist("create", "--cidfile", file, "--name", "n1", "bb").stdout.strip()
    assert file.read_text() == identity
    again = engine.kist("create", "--cidfile", file, "bb", check=False)
    assert again.returncode == 1 and "container ID file found" in again.stderr
    conflict = engine.kist("run", "--name", "n1", "bb", check=False)
    assert conflict.returncode == 125 and "is already in use by container" in conflict.stderr
    missing = engine.kist("run", "--pull", "never", "nosuch:x", check=False)
    assert missing.returncode == 125 and "No such image: nosuch:x" in missing.stderr


# ---- pull, login ----


def _shape(output, name):
    """Progress without what differs between two pulls: which of the words of a layer were seen, sizes."""
    lines = [line for line in output.replace(name, "NAME").splitlines() if line]
    layer = re.compile(r"[0-9a-f]{12}: (Pulling fs layer|Waiting|Downloading|Verifying Checksum|Download complete|"
                       r"Extracting|Pull complete|Already exists)")  # fmt: skip
    return [line for line in lines if not layer.match(line)]


def test_pull_prints_what_docker_prints(daemon, registry):
    name = f"{registry.address}/busybox"
    docker = daemon.docker("pull", name)
    daemon.docker("rmi", name)
    kist = daemon.kist("pull", name)
    assert _shape(docker.stdout, name) == _shape(kist.stdout, name)
    assert "Status: Downloaded newer image" in kist.stdout
    assert re.search(r"^[0-9a-f]{12}: Pull complete$", kist.stdout, re.M), kist.stdout
    again = daemon.kist("pull", name)
    assert again.stdout == daemon.docker("pull", name).stdout
    assert daemon.kist("pull", "-q", f"{name}:1").stdout == f"{name}:1\n"
    missing = [daemon.docker("pull", f"{name}:none", check=False), daemon.kist("pull", f"{name}:none", check=False)]
    assert missing[0].stderr == missing[1].stderr and missing[1].returncode == 1


def test_pull_draws_bars_on_a_terminal(daemon, registry):
    terminal = Terminal(daemon, "pull", f"{registry.address}/busybox:latest")
    assert terminal.exit_code(60) == 0
    text = terminal.seen.decode(errors="replace")
    assert "\x1b[2K" in text and "\x1b[1A" in text and "Pull complete" in text
    assert text.rstrip().endswith(f"{registry.address}/busybox:latest")


def test_run_pulls_what_is_missing(daemon, registry):
    name = f"{registry.address}/busybox:1"
    run = daemon.kist("run", "--rm", name, "echo", "hi")
    assert run.stdout == "hi\n"
    assert run.stderr.startswith(f"Unable to find image '{name}' locally\n")
    assert daemon.kist("run", "--rm", "-q", "--pull", "always", name, "echo", "hi").stderr == ""


def test_login_pull_logout(daemon, tmp_root, busybox_layout):
    hashed = crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH))
    (tmp_root / "htpasswd").write_text(f"anna:{hashed}\n")
    server = Registry(tmp_root / "registry", htpasswd=tmp_root / "htpasswd")
    server.start()
    try:
        wrong = daemon.kist("login", "-u", "anna", "--password-stdin", server.address, input="no", check=False)
        assert wrong.returncode == 1 and "nauthorized" in wrong.stderr, wrong.stderr
        file = pathlib.Path(daemon.environment["DOCKER_CONFIG"]) / "config.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text('{"HttpHeaders": {"X-Kept": "1"}}')
        run = daemon.kist("login", "-u", "anna", "--password-stdin", server.address, input="secret\n")
        assert run.stdout == "Login Succeeded\n" and "stored unencrypted" in run.stderr
        stored = json.loads(file.read_text())
        assert stored["HttpHeaders"] == {"X-Kept": "1"}
        assert base64.b64decode(stored["auths"][server.address]["auth"]) == b"anna:secret"
        assert file.stat().st_mode & 0o777 == 0o600
        # With the credentials the registry answers: the image is missing, not forbidden.
        known = daemon.kist("pull", f"{server.address}/nosuch", check=False).stderr
        daemon.kist("logout", server.address)
        assert server.address not in file.read_text()
        unknown = daemon.kist("pull", f"{server.address}/nosuch", check=False).stderr
        assert "no basic auth credentials" in unknown and "no basic auth credentials" not in known
    finally:
        server.stop()


def test_credential_helper(daemon, tmp_root):
    """The helper's answer is what the engine gets; a login goes to the helper, not to the file."""
    helper = tmp_root / "bin/docker-credential-box"
    helper.parent.mkdir()
    helper.write_text(f'#!/bin/sh\ncat > {tmp_root}/said.$1\necho \'{{"Username":"anna","Secret":"s3"}}\'\n')
    helper.chmod(0o755)
    daemon.environment["PATH"] = f"{helper.parent}:{daemon.environment['PATH']}"
    folder = pathlib.Path(daemon.environment["DOCKER_CONFIG"])
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"credHelpers": {"127.0.0.1:1": "box"}}')
    daemon.kist("pull", "127.0.0.1:1/x", check=False)
    assert (tmp_root / "said.get").read_text() == "127.0.0.1:1"
    daemon.kist("logout", "127.0.0.1:1")
    assert (tmp_root / "said.erase").read_text() == "127.0.0.1:1"


# ---- no engine ----


def test_names_the_engine_that_does_not_answer(program, tmp_root):
    run = subprocess.run(
        [program("kist"), "-H", f"unix://{tmp_root}/none", "ps"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert f"Cannot connect to the engine at unix://{tmp_root}/none" in run.stderr
    assert "No such file or directory" in run.stderr


def test_starts_the_engine_by_itself(program):
    """On the default socket, in mount and network namespaces of their own, so that the host's engine is not met."""
    script = """
        mount -t tmpfs t /run && mount -t tmpfs t /var/lib && ip link set lo up || exit 9
        unset KIST_HOST DOCKER_HOST
        "$0" ps -q && "$0" info --format '{{.DockerRootDir}}'
        code=$?
        kill "$(cat /run/kist/kistd.pid)"
        for i in $(seq 600); do test -e /run/kist/kistd.pid || break; sleep 0.1; done
        test ! -e /run/kist/kistd.pid || exit 8
        exit $code
    """
    run = subprocess.run(
        ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", script, program("kist")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "/var/lib/kist\n"), run.stderr


def test_says_why_it_cannot_start_the_engine(program):
    script = 'mount -t tmpfs t /run && unset KIST_HOST DOCKER_HOST && exec setpriv --reuid 65534 --clear-groups "$0" ps'
    run = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, program("kist")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 1, run.stderr
    assert "only root can start it" in run.stderr and "/run/kist/kist.sock" in run.stderr


def test_unknown_commands_get_a_hint(program):
    run = subprocess.run([program("kist"), "imgaes"], capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "Did you mean this?" in run.stderr and "kist images" in run.stderr
    run = subprocess.run([program("kist"), "ps", "--nosuch"], capture_output=True, text=True, check=False)
    assert run.returncode == 125 and run.stderr.startswith("unknown flag: --nosuch\n")


# ---- documents made from the tables ----


def test_manual_is_up_to_date(program):
    made = subprocess.run([CHECKOUT / "man/make-kist.1", program("kist")], capture_output=True, text=True, check=True)
    assert made.stdout == (CHECKOUT / "man/kist.1").read_text(), "run: man/make-kist.1 build/src/cli/kist > man/kist.1"


@pytest.mark.parametrize("words,expected", [("kist", "run"), ("kist run --netw", "--network"), ("kist volume", "prune")])
def test_bash_completion(program, words, expected):
    script = subprocess.run([program("kist"), "completion", "bash"], capture_output=True, text=True, check=True).stdout
    parts = words.split()
    if not words.split()[-1].startswith("--"):
        parts.append("")
    array = " ".join(f"'{part}'" for part in parts)
    shell = f"{script}\nCOMP_WORDS=({array}); COMP_CWORD={len(parts) - 1}; _kist; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    run = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert expected in run.stdout.split()


# ---- the same line through docker and kist prints the same ----

SAME = [
    ["ps"],
    ["ps", "-a", "--no-trunc"],
    ["ps", "-aq"],
    ["ps", "-as"],
    ["ps", "-n", "1"],
    ["ps", "-a", "--format", "json"],
    ["ps", "-a", "--format", "table {{.Names}}\t{{.Ports}}\t{{.Status}}"],
    ["ps", "-a", "--format", '{{.Names}} {{.Label "x"}} {{upper .Image}} {{.Mounts}} {{.Networks}}'],
    ["ps", "-a", "-f", "status=exited"],
    ["images"],
    ["images", "-q"],
    ["images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"],
    ["history", "bb"],
    ["inspect", "s1"],
    ["inspect", "s1", "nosuch"],
    ["image", "inspect", "bb"],
    ["inspect", "-f", "{{.State.Status}} {{.HostConfig.Memory}} {{json .Config.Labels}}", "s1"],
    ["inspect", "-f", "{{range $p, $c := .NetworkSettings.Ports}}{{$p}} -> {{(index $c 0).HostPort}} {{end}}", "s1"],
    ["inspect", "-f", "{{.Nosuch}}", "s1"],
    ["inspect", "-f", "{{.HostConfig.Binds}} {{.Config.Volumes}} {{.State.Health}}", "s1"],
    ["logs", "s1"],
    ["port", "s1"],
    ["port", "s1", "81"],
    ["volume", "ls"],
    ["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"],
    ["info", "--format", "{{.ServerVersion}} {{.NCPU}} {{.Driver}}"],
    ["exec", "s1", "sh", "-c", "exit 4"],
    ["exec", "s2", "true"],
    ["wait", "s2"],
    ["start", "nosuch"],
    ["stop", "nosuch", "s2"],
    ["rm", "nosuch"],
    ["rm", "-f", "nosuch"],
    ["rm", "s1"],
    ["rmi", "nosuch"],
    ["rename", "nosuch", "x"],
    ["tag", "nosuch", "x"],
    ["run", "--rm", "bb", "sh", "-c", "echo e >&2; exit 9"],
    ["run", "--rm", "bb", "nosuch"],
    ["run", "--name", "s1", "bb"],
    ["create", "-p", "x:80", "bb"],
    ["create", "--restart", "always", "--rm", "bb"],
    ["create", "--mount", "type=bind", "bb"],
    ["ps", "extra"],
    ["rm"],
]


@pytest.fixture
def two_containers(engine):
    engine.kist(
        "run", "-d", "--name", "s1", "-p", "127.0.0.1::80", "-l", "x=y", "-m", "64m",
        "bb", "sh", "-c", "echo out; sleep 1000",
    )  # fmt: skip
    engine.kist("run", "--name", "s2", "bb", "sh", "-c", "exit 3", check=False)
    return engine


def _comparable(run):
    # Ages may differ by the second between two calls; the program's name must.
    def mask(text):
        text = re.sub(r"\b(Less than a second|About a minute|About an hour|\d+ (second|minute)s?)", "AGE", text)
        return re.sub(" {2,}", "  ", text).replace("docker", "kist")

    return run.returncode, mask(run.stdout), mask(run.stderr)


@needs_28
def test_prints_what_docker_prints(two_containers):
    different = []
    for args in SAME:
        docker = _comparable(two_containers.docker(*args, check=False))
        kist = _comparable(two_containers.kist(*args, check=False))
        if docker != kist:
            different.append(f"{args}\n  docker {docker}\n  kist   {kist}")
    assert not different, "\n".join(different)


def test_configuration_of_docker_is_read(engine):
    folder = pathlib.Path(engine.environment["DOCKER_CONFIG"])
    folder.mkdir(exist_ok=True)
    engine.kist("run", "-d", "--name", "c1", "bb", "sleep", "1000")
    (folder / "config.json").write_text(json.dumps({"psFormat": "{{.Names}}!", "detachKeys": "ctrl-x"}))
    assert engine.kist("ps").stdout == engine.docker("ps").stdout == "c1!\n"


# ---- what is taken is acted on, or refused ----


def refused(engine, *args):
    run = engine.kist(*args, check=False)
    assert run.returncode != 0, args
    return run.stderr


def test_names_are_no_requests(engine):
    engine.kist("run", "-d", "--name", "live", "--network", "none", "bb", "sleep", "1000")
    assert "No such container: live?force=1" in refused(engine, "rm", "live?force=1")
    assert "No such container: liv%65" in refused(engine, "stop", "liv%65")
    for command in (("rm",), ("rmi",), ("stop",), ("inspect",), ("logs",), ("volume", "rm"), ("exec",)):
        words = [*command, "", "true"] if command == ("exec",) else [*command, ""]
        assert "value is empty" in refused(engine, *words)
    assert engine.kist("inspect", "-f", "{{.State.Status}}", "live").stdout == "running\n"
    assert "bb" in engine.kist("images", "b?").stdout, "a pattern is none of them"


def test_options_without_effect_are_refused(engine):
    assert "content trust" in refused(engine, "pull", "--disable-content-trust=false", "bb")
    assert "content trust" in refused(engine, "run", "--disable-content-trust=false", "bb", "true")
    engine.kist("create", "--disable-content-trust", "bb", "true")
    assert 'context "far"' in refused(engine, "--context", "far", "ps")
    engine.kist("--context", "default", "ps")
    assert "logging level: loud" in refused(engine, "-l", "loud", "ps")
    assert "link-local" in refused(engine, "create", "--link-local-ip", "169.254.1", "bb", "true")
    assert "user defined networks only" in refused(engine, "create", "--ip6", "fd00::2", "bb", "true")
    assert "hostname and the UTS mode" in refused(engine, "create", "--uts", "host", "-h", "me", "bb", "true")


def test_kernel_memory_is_discarded_with_a_warning(engine):
    """As dockerd 28: the kernel has no such limit any longer."""
    made = engine.kist("create", "--kernel-memory", "10m", "bb", "true")
    assert "Your kernel does not support kernel memory limit capabilities" in made.stderr and "Limitation discarded." in made.stderr
    name = made.stdout.strip()
    assert engine.inspect(name)["State"]["Status"] == "created" and not engine.inspect(name)["HostConfig"].get("KernelMemory")
    assert engine.kist("rm", name).stdout == f"{name}\n"


def test_lines_in_words(engine):
    for option in ("--hostname", "--domainname", "--dns-search", "--dns-opt"):
        assert "control character" in refused(engine, "create", option, "a\nnameserver 9.9.9.9", "bb", "true")
    assert "control character" in refused(engine, "create", "--add-host", "a\nb:1.2.3.4", "bb", "true")


def test_inspect_of_a_platform(engine):
    host = engine.kist("image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", "bb").stdout.strip()
    other = "linux/s390x"
    assert engine.kist("image", "inspect", "--platform", host, "-f", "{{.Os}}", "bb").stdout == "linux\n"
    assert f"does not provide the specified platform ({other})" in refused(
        engine, "image", "inspect", "--platform", other, "bb"
    )
    if IS_28:
        run = engine.docker("image", "inspect", "--platform", other, "bb", check=False)
        assert run.returncode == 1 and "does not provide" in run.stderr
