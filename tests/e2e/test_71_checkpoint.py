# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the engine: docker checkpoint create, ls, rm; docker start --checkpoint; the same of kist."""
import http.client
import os

import pytest
from lib import criu, images
from lib.daemon import Daemon
from lib.engine_api import Api
from lib.wait import wait_for

COUNT = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"


@pytest.fixture
def engine(tmp_root, program, busybox_rootfs):
    server = Daemon(tmp_root, program, ["--experimental"])
    server.environment["PATH"] = criu.path()
    (tmp_root / "bb.tar").write_bytes(images.tar_of(busybox_rootfs))
    server.start()
    try:
        server.docker("import", "-c", 'CMD ["sh"]', tmp_root / "bb.tar", "bb")
        yield server
    finally:
        server.finish()


@pytest.fixture
def working():
    if criu.why_not():
        pytest.skip(criu.why_not())


def counted(engine, name):
    return [int(line) for line in engine.docker("logs", name).stdout.split()]


def wait_count(engine, name, least):
    wait_for(lambda: len(counted(engine, name)) > least, lambda: f"{name} to count: {engine.docker('logs', name).stdout[-200:]}")


def test_a_container_goes_on(engine, working):
    """With a network, a port, a volume, a restart policy; twice; with its log in one piece."""
    engine.docker("run", "-d", "--name", "cc", "-p", "127.0.0.1::80", "-v", "vol:/v", "--restart", "always", "bb", "sh", "-c",
                  "echo kept > /v/word; mkdir /www; echo page > /www/index.html; httpd -p 80 -h /www; " + COUNT)
    wait_count(engine, "cc", 3)
    assert engine.docker("checkpoint", "create", "cc", "one").stdout == "one\n"
    state = engine.inspect("cc")["State"]
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 137, 0)
    before = counted(engine, "cc")
    assert engine.docker("checkpoint", "ls", "cc").stdout.split() == ["CHECKPOINT", "NAME", "one"]
    assert engine.kist("checkpoint", "ls", "cc").stdout.split() == ["CHECKPOINT", "NAME", "one"]
    assert engine.docker("start", "--checkpoint", "one", "cc").stdout == ""
    state = engine.inspect("cc")["State"]
    assert state["Running"] and os.path.exists(f"/proc/{state['Pid']}")
    wait_count(engine, "cc", len(before) + 3)
    numbers = counted(engine, "cc")
    assert numbers.count(0) == 1 and numbers == sorted(numbers)
    assert engine.docker("exec", "cc", "cat", "/v/word").stdout == "kept\n"
    assert "inet 172." in engine.docker("exec", "cc", "ip", "-4", "addr", "show", "eth0").stdout
    port = engine.docker("port", "cc", "80").stdout.strip()
    assert engine.docker("exec", "cc", "wget", "-qO-", "http://127.0.0.1/").stdout == "page\n"
    connection = http.client.HTTPConnection(port, timeout=60)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"page\n"
    connection.close()
    engine.kist("checkpoint", "create", "--leave-running", "cc", "two")
    assert engine.inspect("cc")["State"]["Running"]
    refused = engine.docker("checkpoint", "create", "cc", "two", check=False)
    assert refused.returncode == 1 and "checkpoint with name two already exists for container cc" in refused.stderr
    engine.docker("checkpoint", "rm", "cc", "one")
    assert engine.docker("checkpoint", "ls", "cc").stdout.split()[2:] == ["two"]
    engine.docker("kill", "cc")
    engine.kist("start", "--checkpoint", "two", "cc")
    wait_count(engine, "cc", len(counted(engine, "cc")) + 2)
    events = engine.docker("events", "--since", "10m", "--until", "0s", "--filter", "event=checkpoint", "--format", "{{.Action}}").stdout
    assert events == "checkpoint\ncheckpoint\n"


def test_a_folder_of_the_callers(engine, working, tmp_root):
    """--tmpfs, --tty, and the engine killed between the two."""
    folder = tmp_root / "there"
    engine.docker("run", "-dt", "--name", "cc", "--net", "none", "--tmpfs", "/t", "bb", "sh", "-c", "echo word > /t/file; sleep 1000")
    wait_for(lambda: engine.docker("exec", "cc", "cat", "/t/file", check=False).stdout == "word\n", "the file")
    engine.docker("checkpoint", "create", "--checkpoint-dir", folder, "cc", "one")
    engine.kill()
    engine.start()
    engine.docker("start", "--checkpoint", "one", "--checkpoint-dir", folder, "cc")
    assert engine.docker("exec", "cc", "cat", "/t/file").stdout == "word\n"
    assert engine.docker("checkpoint", "ls", "--checkpoint-dir", folder, "cc").stdout.split()[2:] == ["one"]
    engine.docker("checkpoint", "rm", "--checkpoint-dir", folder, "cc", "one")
    assert not (folder / "one").exists() and folder.exists()


def test_what_fails_leaves_the_container_as_it_was(engine, tmp_root):
    """A CRIU that cannot work: the container runs on, no folder is left, the start says why."""
    engine.docker("run", "-d", "--name", "cc", "--restart", "always", "bb", "sleep", "1000")
    ident = engine.inspect("cc")["Id"]
    own = tmp_root / "d" / "containers" / ident / "checkpoints"
    api = Api(engine)
    (tmp_root / "bin").mkdir()
    engine.stop()
    engine.environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    fake = tmp_root / "bin" / "criu"
    fake.write_text("#!/bin/sh\necho 'Error (criu/kerndat.c:1): no such kernel' >&2; exit 1\n")
    fake.chmod(0o755)
    engine.environment["PATH"] = f"{fake.parent}:{engine.environment['PATH']}"
    engine.start()
    engine.docker("restart", "-t", "0", "cc")
    status, body = api.call("POST", f"/containers/{ident}/checkpoints", {"CheckpointID": "one", "Exit": True})
    assert status == 501 and body["message"].startswith("Cannot checkpoint container cc: ") and "no such kernel" in body["message"], body
    assert engine.inspect("cc")["State"]["Running"] and not (own / "one").exists()
    engine.docker("stop", "-t", "0", "cc")
    (own / "half").mkdir(parents=True)
    assert api.call("GET", f"/containers/{ident}/checkpoints") == (200, [])
    status, body = api.call("POST", f"/containers/{ident}/start?checkpoint=half")
    assert (status, body["message"]) == (404, "checkpoint half does not exist for container cc")
    (own / "half" / "inventory.img").write_text("")
    assert api.call("GET", f"/containers/{ident}/checkpoints") == (200, [{"Name": "half"}])
    status, body = api.call("POST", f"/containers/{ident}/start?checkpoint=half")
    assert status == 501 and "OCI runtime restore failed" in body["message"] and "no such kernel" in body["message"]
    assert engine.inspect("cc")["State"]["Status"] == "exited"
    engine.docker("start", "cc")
    assert engine.docker("exec", "cc", "echo", "works").stdout == "works\n"


def test_names_and_states_are_checked(engine):
    engine.docker("run", "-d", "--name", "cc", "bb", "sleep", "1000")
    api = Api(engine)
    for name in ("../x", "", "x", ".x", "a/b"):
        status, body = api.call("POST", "/containers/cc/checkpoints", {"CheckpointID": name})
        assert (status, body["message"]) == (400, f"Invalid checkpoint ID ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    assert api.call("DELETE", "/containers/cc/checkpoints/..%2F..")[0] in (400, 404)
    assert api.call("DELETE", "/containers/cc/checkpoints/none")[0] == 404
    assert api.call("GET", "/containers/none/checkpoints") == (404, {"message": "No such container: none"})
    assert api.call("POST", "/containers/cc/checkpoints", {"CheckpointID": "one", "CheckpointDir": "there"})[0] == 400
    engine.docker("stop", "-t", "0", "cc")
    status, body = api.call("POST", "/containers/cc/checkpoints", {"CheckpointID": "one"})
    assert status == 409 and "is not running" in body["message"]
    two = engine.kist("start", "--checkpoint", "one", "cc", "cc", check=False)
    assert two.returncode == 1 and "you cannot restore multiple containers at once" in two.stderr


def test_only_in_experimental_mode(daemon):
    api = Api(daemon)
    words = "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it."
    assert api.call("GET", "/containers/x/checkpoints") == (501, {"message": words})
    assert api.call("POST", "/containers/x/checkpoints", {"CheckpointID": "one"}) == (501, {"message": words})
    assert api.call("DELETE", "/containers/x/checkpoints/one") == (501, {"message": words})
    status, body = api.call("POST", "/containers/x/start?checkpoint=one")
    assert (status, body["message"]) == (400, "checkpoint is only supported in experimental mode")
