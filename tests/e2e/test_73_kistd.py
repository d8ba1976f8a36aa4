# SPDX-License-Identifier: Apache-2.0
"""kistd itself: flags, daemon.json, sockets, signals, and that containers outlive it however it ends."""
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess

import pytest

from lib.daemon import Daemon
from lib.ports import free_port
from lib.wait import wait_for


def run_kistd(program, *args, **options):
    return subprocess.run(
        [program("kistd"), *map(str, args)], capture_output=True, text=True, timeout=120, check=False, **options
    )


def ping(address):
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(60)
        probe.connect(str(address))
        probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in probe.recv(64)


def with_image(daemon, registry):
    daemon.docker("pull", "-q", f"{registry.address}/busybox:latest")
    daemon.docker("tag", f"{registry.address}/busybox:latest", "bb")


# ---- configuration ----


def test_version_help_validate(program, tmp_root):
    assert run_kistd(program, "--version").stdout.startswith("kistd version ")
    assert "--data-root" in run_kistd(program, "--help").stdout
    file = tmp_root / "daemon.json"
    file.write_text('{"debug": true}')
    run = run_kistd(program, "--validate", "--config-file", file)
    assert (run.returncode, run.stdout) == (0, "configuration OK\n")
    run = run_kistd(program, "--validate", "--config-file", file, "--debug")
    assert run.returncode == 1
    assert "specified both as a flag and in the configuration file: debug: (from flag: true, from file: true)" in run.stderr
    file.write_text('{"no-such-thing": 1}')
    run = run_kistd(program, "--validate", "--config-file", file)
    assert run.returncode == 1
    assert "don't match any configuration option: no-such-thing" in run.stderr


def test_not_root(program, tmp_root):
    os.chmod(tmp_root, 0o755)
    # A checkout may stand in a folder that only root may enter.
    copy = shutil.copy(program("kistd"), tmp_root / "kistd")
    run = run_kistd(lambda name: copy, "--data-root", tmp_root / "d", "--exec-root", tmp_root / "x", user=65534, group=65534)
    assert run.returncode == 1
    assert "kistd needs to be started with root privileges" in run.stderr


def test_socket_pidfile_and_data_root_in_use(program, daemon, tmp_root):
    common = ["--bridge", daemon.bridge, "--firewall-table", daemon.table]
    run = run_kistd(
        program, "--data-root", tmp_root / "d2", "--exec-root", tmp_root / "x2", "-H", f"unix://{daemon.socket}", *common
    )
    assert run.returncode == 1
    assert f"{daemon.socket} is in use" in run.stderr
    run = run_kistd(
        program, "--data-root", tmp_root / "d2", "--exec-root", tmp_root / "x2", "-p", tmp_root / "kistd.pid", *common
    )
    assert run.returncode == 1
    assert f"process with PID {daemon.process.pid} is still running" in run.stderr
    run = run_kistd(program, "--data-root", tmp_root / "d", "--exec-root", tmp_root / "x2", *common)
    assert run.returncode == 1
    assert str(tmp_root / "d") in run.stderr
    assert ping(daemon.socket)


def test_stale_socket_and_pidfile_do_not_matter(daemon):
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()
    assert ping(daemon.socket)


def test_socket_is_private_and_goes_away(daemon):
    assert os.stat(daemon.socket).st_mode & 0o777 == 0o660
    daemon.stop()
    assert not daemon.socket.exists()
    assert not (daemon.root / "kistd.pid").exists()


def test_several_hosts_and_the_tcp_warning(program, tmp_root):
    loopback, everywhere = free_port(), free_port()
    addresses = ["-H", f"tcp://127.0.0.1:{loopback}", "-H", f"tcp://0.0.0.0:{everywhere}"]
    run = run_kistd(program, "--validate", *addresses)
    assert run.returncode == 1
    assert "use --tlsverify with certificates, or say --tls=false" in run.stderr
    server = Daemon(tmp_root, program, [*addresses, "--tls=false"])
    server.start()
    for port in (loopback, everywhere):
        run = server.docker("-H", f"tcp://127.0.0.1:{port}", "version", "--format", "{{.Server.APIVersion}}")
        assert run.stdout == "1.51\n"
    warnings = [line for line in server.log.read_text().splitlines() if "DANGER" in line]
    assert len(warnings) == 1
    assert str(everywhere) in warnings[0]
    server.finish()


def test_socket_activation_and_readiness(program, tmp_root):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_root / "a.sock"))
    listener.listen(8)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_root / "n.sock"))
    notify.settimeout(120)
    name = f"kt{os.getpid() % 100000}"
    argv = [
        program("kistd"), "-H", "fd://", "--data-root", str(tmp_root / "d"), "--exec-root", str(tmp_root / "x"),
        "--bridge", name, "--firewall-table", name,
    ]  # fmt: skip

    def hand_over():
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", NOTIFY_SOCKET=str(tmp_root / "n.sock"))
        os.execv(argv[0], argv)

    pid = os.fork()
    if pid == 0:
        try:
            hand_over()
        finally:
            os._exit(99)
    try:
        assert notify.recv(100) == b"READY=1"
        assert ping(tmp_root / "a.sock")
    finally:
        os.kill(pid, signal.SIGTERM)
        assert notify.recv(100) == b"STOPPING=1"
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    listener.close()
    notify.close()


def test_fd_host_without_sockets(program, tmp_root):
    run = run_kistd(program, "-H", "fd://", "--data-root", tmp_root / "d", "--exec-root", tmp_root / "x")
    assert run.returncode == 1
    assert "no socket was handed over" in run.stderr


def test_descriptors(program, tmp_root):
    """A shell's soft limit of 1024 is enough for some 400 containers only."""
    server = Daemon(tmp_root, lambda name: program(name))
    argv = server.argv
    server.argv = lambda: ["prlimit", "--nofile=256:4096", *argv()]
    server.start()
    try:
        limits = pathlib.Path(f"/proc/{server.process.pid}/limits").read_text()
        assert [line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")] == [["4096", "4096"]]
    finally:
        server.argv = argv
        server.finish()


def test_reload_of_debug(program, tmp_root):
    file = tmp_root / "daemon.json"
    file.write_text("{}")
    server = Daemon(tmp_root, program, ["--config-file", str(file)])
    server.start()

    def debug_lines():
        ping(server.socket)
        return sum(" debug " in line for line in server.log.read_text().splitlines())

    assert debug_lines() == 0
    file.write_text('{"debug": true}')
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: debug_lines() > 0, "a line of that level")
    file.write_text("{ broken")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration not reloaded" in server.log.read_text(), "the refusal")
    assert ping(server.socket)
    server.finish()


# ---- containers outlive it ----


def corrupt(daemon, name, document):
    """Puts `document` into a container's row; returns what was there."""
    with sqlite3.connect(daemon.root / "d" / "meta.db") as database:
        [(good,)] = database.execute("SELECT document FROM containers WHERE name = ?", (name,)).fetchall()
        database.execute("UPDATE containers SET document = ? WHERE name = ?", (document, name))
    database.close()
    return good


@pytest.mark.parametrize("document", ['{"id": 5}', "{}"])
def test_a_row_that_cannot_be_read_costs_nothing(daemon, registry, document):
    with_image(daemon, registry)
    daemon.docker("run", "--name", "stopped", "bb", "sh", "-c", "cat /kept; echo precious > /kept")
    daemon.docker("run", "-d", "--name", "runs", "bb", "sleep", "1000")
    pid = daemon.inspect("runs")["State"]["Pid"]
    daemon.stop()
    good = {name: corrupt(daemon, name, document) for name in ("stopped", "runs")}
    daemon.start()
    assert daemon.docker("ps", "-aq").stdout == ""
    assert daemon.log.read_text().count("a stored container cannot be read") == 2
    daemon.stop()
    for name, text in good.items():
        corrupt(daemon, name, text)
    daemon.start()
    assert daemon.docker("start", "-a", "stopped").stdout == "precious\n"
    assert daemon.docker("logs", "stopped").stdout == "precious\n"
    assert daemon.inspect("runs")["State"]["Pid"] == pid
    assert daemon.docker("exec", "runs", "echo", "alive").stdout == "alive\n"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_containers_outlive_the_daemon(daemon, registry, end):
    with_image(daemon, registry)
    count = 20 if end == "kill" else 3
    script = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; sleep 0.01; done; exit 33"
    for i in range(count):
        daemon.docker("run", "-d", "--name", f"c{i}", "bb", "sh", "-c", script)
    daemon.docker("run", "-d", "--name", "long", "bb", "sleep", "1000")
    pid = daemon.inspect("long")["State"]["Pid"]
    getattr(daemon, end)()
    os.kill(pid, 0)
    daemon.start()
    assert daemon.inspect("long")["State"] | {"Running": True, "Pid": pid} == daemon.inspect("long")["State"]
    codes = daemon.docker("wait", *[f"c{i}" for i in range(count)]).stdout.split()
    assert codes == ["33"] * count
    expected = "".join(f"{i}\n" for i in range(1, 401))
    for i in range(count):
        assert daemon.docker("logs", f"c{i}").stdout == expected
    assert daemon.docker("exec", "long", "echo", "still").stdout == "still\n"
    daemon.docker("stop", "-t", "0", "long")
    assert daemon.inspect("long")["State"]["ExitCode"] == 137


def test_exit_while_the_daemon_is_away(daemon, registry):
    with_image(daemon, registry)
    go = daemon.root / "go"
    go.mkdir()
    script = "until [ -e /go/on ]; do sleep 0.05; done; echo bye; exit 5"
    for options in (["--name", "aa"], ["--rm", "--name", "gone"]):
        daemon.docker("run", "-d", "-v", f"{go}:/go", *options, "bb", "sh", "-c", script)
    daemon.kill()
    (go / "on").touch()
    wait_for(lambda: len(list((daemon.root / "x/shim").glob("*/exit.json"))) == 2, "exit.json of both")
    daemon.start()
    state = daemon.inspect("aa")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 5)
    assert daemon.docker("logs", "aa").stdout == "bye\n"
    wait_for(lambda: json.loads(daemon.docker("inspect", "gone", check=False).stdout) == [], "its removal")


@pytest.mark.usefixtures("plain")
def test_idle_memory(daemon):
    def resident():
        with open(f"/proc/{daemon.process.pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Rss:"))

    # Resident is the most that the proportional size can be, whoever shares the libraries. Budget: 8 MB.
    wait_for(lambda: resident() <= 8192, lambda: f"8192 kB, are {resident()}")
