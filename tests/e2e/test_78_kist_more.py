# SPDX-License-Identifier: Apache-2.0
"""Commands of kist that look: explain, doctor, stats, system df; and several operands at once."""
import http.client
import json
import subprocess
import time

import pytest

from lib import images


@pytest.fixture(scope="module")
def shared(shared_daemon, session_root, busybox_rootfs):
    tar = session_root / "busybox.tar"
    tar.write_bytes(images.tar_of(busybox_rootfs))
    shared_daemon.docker("import", "-c", 'CMD ["sh"]', tar, "busybox:latest")
    return shared_daemon


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


def test_explain_other_states(shared):
    shared.docker("create", "--name", "st", "--health-cmd", "echo sick; false", "--health-interval", "100ms", "--health-retries", "1", "busybox", "sleep", "1000")
    try:
        assert "never ran: `kist start NAME`" in shared.kist("explain", "st").stdout
        shared.docker("start", "st")
        end = time.monotonic() + 30
        while "unhealthy" not in shared.kist("explain", "st").stdout:
            assert time.monotonic() < end
            time.sleep(0.05)
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
        ("GET", "/images/search?term=x", "Docker Hub"),
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
