# SPDX-License-Identifier: Apache-2.0
"""Commands of kist that look: explain, doctor, stats, system df; and several operands at once."""
import contextlib
import http.client
import json
import os
import pty
import re
import subprocess
import time
import uuid

import pytest

from lib.wait import wait_for


@pytest.mark.parametrize(
    "options,command,words",
    [
        ((), ("true",), ["said that all went well", "no restart policy"]),
        ((), ("sh", "-c", "echo the reason >&2; exit 3"), ["exit code 3", "the reason"]),
        ((), ("sh", "-c", "nosuch"), ["was not found (exit code 127)"]),
        ((), ("nosuch",), ["Its start failed", "executable file not found"]),
        (("--init",), ("sh", "-c", "kill -SEGV $$"), ["SIGSEGV"]),
        (("--init",), ("sh", "-c", "kill -9 $$"), ["was killed (SIGKILL)"]),
        (("-m", "10m"), ("sh", "-c", "head -c 100m /dev/zero | tail; exit 137"), ["memory limit of 10MiB", "kist update --memory"]),
    ],
)
def test_explain_an_end(shared, options, command, words):
    shared.docker("run", "--name", "ex", *options, "busybox", *command, check=False)
    try:
        said = shared.kist("explain", "ex").stdout
        for word in words:
            assert word in said, said
    finally:
        shared.docker("rm", "-f", "ex")


@pytest.mark.parametrize("action,words", [("SCMP_ACT_KILL_PROCESS", "that its seccomp profile forbids (SIGSYS)"), ("SCMP_ACT_ERRNO", "that its seccomp profile denies")])
def test_explain_a_denied_system_call(shared, tmp_path, action, words):
    profile = tmp_path / "profile.json"
    calls = [{"names": ["mkdir", "mkdirat"], "action": action}]
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls}))
    name = f"denied-{uuid.uuid4().hex[:8]}"
    shared.docker("run", "--name", name, "--security-opt", f"seccomp={profile}", "busybox", "mkdir", "/x", check=False)
    try:
        said = shared.kist("explain", name).stdout
        assert words in said, said
    finally:
        shared.docker("rm", "-f", name)


def test_explain_other_states(shared):
    shared.docker("create", "--name", "st", "--health-cmd", "echo sick; false", "--health-interval", "100ms", "--health-retries", "1", "busybox", "sleep", "1000")
    try:
        assert "never ran: `kist start NAME`" in shared.kist("explain", "st").stdout
        shared.docker("start", "st")
        wait_for(lambda: "unhealthy" in shared.kist("explain", "st").stdout, "unhealthy")
        said = shared.kist("explain", "st").stdout
        assert "It runs, since" in said and "said: sick" in said
        shared.docker("pause", "st")
        assert "kist unpause" in shared.kist("explain", "st").stdout
    finally:
        shared.docker("rm", "-f", "st")
    failed = shared.kist("explain", "st", check=False)
    assert failed.returncode == 1 and "No such container: st" in failed.stderr


def test_doctor(shared):
    said = shared.kist("doctor", check=False)
    assert "overlay" in said.stdout and f"an engine answers at unix://{shared.socket}" in said.stdout
    assert "its storage driver is overlay2" in said.stdout
    assert (said.returncode == 0) == ("BAD" not in said.stdout)


def test_doctor_without_an_engine(shared, tmp_path):
    said = shared.kist("-H", f"unix://{tmp_path}/nobody", "doctor", check=False)
    assert "note  no engine" in said.stdout


def test_stats_and_df(shared):
    shared.docker("run", "-d", "--name", "s1", "-m", "64m", "busybox", "sh", "-c", "while :; do :; done")
    shared.docker("create", "--name", "s2", "busybox")
    try:
        ours = shared.kist("stats", "--no-stream", "--format", "json", "s1", "s2").stdout.splitlines()
        busy, idle = [json.loads(line) for line in ours]
        assert float(busy["CPUPerc"].rstrip("%")) > 5 and busy["MemUsage"].endswith(" / 64MiB") and busy["PIDs"] == "1"
        assert idle["CPUPerc"] == "--" and idle["Name"] == "s2"
        assert shared.kist("stats", "--no-stream", "nosuch", check=False).returncode == 1
        assert shared.kist("stats", "--no-stream").stdout.count("\n") == 2
        rows = [json.loads(line) for line in shared.kist("system", "df", "--format", "json").stdout.splitlines()]
        assert [row["Type"] for row in rows] == ["Images", "Containers", "Local Volumes", "Build Cache"]
        assert rows[1]["TotalCount"] == "2" and rows[1]["Active"] == "1"
        assert "busybox" in shared.kist("system", "df", "-v").stdout
    finally:
        shared.docker("rm", "-f", "s1", "s2")


def test_operands_run_side_by_side_and_print_in_order(shared):
    names = [f"p{i}" for i in range(6)]
    for name in names:
        shared.docker("run", "-d", "--name", name, "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    start = time.monotonic()
    done = shared.kist("stop", "-t", "4", *names, "nosuch", check=False)
    took = time.monotonic() - start
    assert done.stdout.split() == names and done.returncode == 1 and "No such container: nosuch" in done.stderr
    assert took < 20, "six times four seconds, one after the other"
    assert shared.kist("rm", *names).stdout.split() == names
    forgiven = shared.kist("rm", "-f", "nosuch", check=False)
    assert forgiven.returncode == 0 and "No such container" in forgiven.stderr


def test_dial_stdio(shared, program):
    request = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    done = subprocess.run([program("kist"), "system", "dial-stdio"], input=request, capture_output=True, env=shared.environment, timeout=120, check=True)
    assert done.stdout.startswith(b"HTTP/1.1 200") and done.stdout.endswith(b"OK")


@pytest.mark.parametrize(
    "method,path,words",
    [
        ("GET", "/containers/x/checkpoints", "experimental"),
    ],
)
def test_what_kist_has_not_is_said(shared, method, path, words):
    import socket

    connection = http.client.HTTPConnection("localhost", timeout=120)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(shared.socket))
    connection.request(method, path)
    reply = connection.getresponse()
    assert reply.status == 501 and words in json.loads(reply.read())["message"]
    connection.close()


def on_terminal(shared, *args, stdout=False, code=0, **environment):
    """What kist writes to a terminal on stderr, or on stdout (the other one is a pipe)."""
    main, side = pty.openpty()
    streams = {"stdout": side, "stderr": subprocess.STDOUT} if stdout else {"stdout": subprocess.PIPE, "stderr": side}
    run = subprocess.Popen([shared.program("kist"), *map(str, args)], stdin=subprocess.DEVNULL, env=shared.environment | {"TERM": "xterm"} | environment, **streams)
    os.close(side)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the last writer is gone
        while piece := os.read(main, 65536):
            shown += piece
    os.close(main)
    if run.stdout:
        run.stdout.read()
    assert run.wait(120) == code, shown
    return shown.decode()


def test_progress_on_a_terminal_only(shared, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY big /\n")
    (tmp_path / "big").write_bytes(os.urandom(3 << 20))
    name = f"more-{uuid.uuid4().hex[:8]}"
    shared.kist("create", "--name", name, "busybox")
    image, archive = f"{name}:1", tmp_path / "saved"
    commands = {
        "Sending build context to Docker daemon  ": ["build", "-t", image, tmp_path],
        "Saving - ": ["save", "-o", archive, image],
        "Exporting - ": ["export", "-o", tmp_path / "out", name],
        "Copying to container - ": ["cp", tmp_path / "big", f"{name}:/big"],
        "Copying from container - ": ["cp", f"{name}:/big", tmp_path / "back"],
        "Removing containers...": ["container", "prune", "-f", "--filter", f"label={name}"],
        "Removing build cache...": ["builder", "prune", "-f", "--filter", "until=9000h"],
    }
    for words, args in commands.items():
        shown = on_terminal(shared, *args)
        sized = "..." not in words
        assert re.search(re.escape(words) + (r"[0-9.]+[kM]?B" if sized else ""), shown), (args, shown)
        assert shown.endswith("\r\x1b[2K"), (args, shown)  # the line is taken away
        assert words not in shared.kist(*args).stderr, args
    assert "Copying" not in on_terminal(shared, "cp", "-q", tmp_path / "big", f"{name}:/big")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()
    shared.kist("rm", name)
    shared.kist("rmi", image)


@pytest.mark.parametrize(
    "command,code,words",
    [
        ("exec nosuch true", 1, "'kist ps -a' lists"),
        ("run --nmae x busybox true", 125, "did you mean --name?"),
        ("run --network nosuch busybox true", 125, "'kist network create NAME'"),
        ("run --rm busybox nosuch", 127, "is that the command's name"),
        ("rmi nosuch", 1, "'kist images' lists"),
        ("cp a b", 1, "CONTAINER:PATH"),
        ("ps --filter foo=bar", 1, "containers have ancestor"),
    ],
)
def test_errors_say_what_to_do_next(shared, command, code, words):
    """To people; scripts get docker's words and nothing else."""
    assert words in on_terminal(shared, *command.split(), code=code)
    refused = shared.kist(*command.split(), check=False)
    assert refused.returncode == code and "Hint" not in refused.stderr


def test_colours_on_a_terminal_only(shared):
    name = f"colour-{uuid.uuid4().hex[:8]}"
    shared.kist("run", "-d", "--name", name + "-up", "--label", name, "busybox", "sleep", "1000")
    shared.kist("run", "--name", name + "-bad", "--label", name, "busybox", "false", check=False)
    shared.kist("run", "--name", name + "-good", "--label", name, "busybox", "true")
    words = ("ps", "-a", "--filter", f"label={name}")
    try:
        shown = on_terminal(shared, *words, stdout=True, NO_COLOR="").replace("\r\n", "\n")
        title, *lines, _ = shown.split("\n")
        assert re.fullmatch(r"\x1b\[1mCONTAINER ID .*NAMES\x1b\[0m", title)
        coloured = {line.split()[-1]: re.findall(r"\x1b\[(\d+)m(.*?)\x1b\[0m", line) for line in lines}
        assert coloured[name + "-up"][0][0] == "32" and coloured[name + "-up"][0][1].startswith("Up ")
        assert coloured[name + "-bad"][0][0] == "31" and coloured[name + "-bad"][0][1].startswith("Exited (1)")
        assert coloured[name + "-good"] == []
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            assert "\x1b" not in on_terminal(shared, *words, stdout=True, **environment)
        assert "\x1b" not in on_terminal(shared, *words, "--format", "{{.Names}} {{.Status}}", stdout=True)
        assert "\x1b" not in shared.kist(*words).stdout
    finally:
        shared.kist("rm", "-f", *(f"{name}-{end}" for end in ("up", "bad", "good")))
