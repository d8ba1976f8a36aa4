# SPDX-License-Identifier: Apache-2.0
"""A disk that is full at each step of create, start and commit: a reason that names it, nothing half made, all well again after."""
import os
import subprocess

import pytest

from lib import images
from lib.daemon import Daemon
from lib.engine_api import Api
from lib.wait import wait_for

FULL = ("No space left on device", "no space left on device", "database or disk is full")


def fill(path, left):
    """Takes all the room there is but `left` bytes."""
    with open(path, "wb", buffering=0) as file:
        size = 1 << 20
        while size >= 4096:
            try:
                assert file.write(b"\0" * size) == size
            except (OSError, AssertionError):
                size //= 2
        file.truncate(max(0, file.tell() - left))


@pytest.fixture
def server(tmp_root, program, busybox_rootfs):
    (tmp_root / "d").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", f"t-{tmp_root.name}", tmp_root / "d"], check=True)
    daemon = Daemon(tmp_root, program)
    try:
        daemon.start()
        (tmp_root / "bb.tar").write_bytes(images.tar_of(busybox_rootfs))
        daemon.docker("import", tmp_root / "bb.tar", "bb")
        yield daemon
        daemon.finish()
    finally:
        if daemon.process:
            daemon.kill()
        subprocess.run(["umount", "-l", tmp_root / "d"], check=False)


def folders(daemon):
    return {name for name in os.listdir(daemon.root / "d/snapshots") if name.isdigit()}


def test_each_step_of_create_start_and_commit(server):
    api = Api(server)
    filler = server.root / "d/filler"
    refused = {"create": 0, "start": 0, "commit": 0}
    body = {"Image": "bb", "Cmd": ["sh", "-c", "echo words; true"], "HostConfig": {"NetworkMode": "none"}}
    assert api.call("POST", "/containers/create?name=source", body)[0] == 201
    # Something to commit, larger than what there is room for.
    server.docker("cp", "/proc/self/exe", "source:/large", check=False)
    steps = (0, 4096, 12288, 20480, 40960, 81920, 163840, 524288)
    for number, left in enumerate(steps):
        name = f"c{number}"
        for verb, path, payload in (
            ("create", f"/containers/create?name={name}", body),
            ("start", f"/containers/s{number}/start", None),
            ("commit", f"/commit?container=source&repo=made&tag=t{number}", {}),
        ):
            if verb == "start":
                assert api.call("POST", f"/containers/create?name=s{number}", body)[0] == 201
            before = {one["Id"] for one in api.call("GET", "/images/json?all=1")[1]}
            fill(filler, left)
            status, answer = api.call("POST", path, payload)
            filler.unlink()
            if status >= 400:
                refused[verb] += 1
                assert any(words in answer["message"] for words in FULL), (verb, left, answer)
                assert {one["Id"] for one in api.call("GET", "/images/json?all=1")[1]} == before, (verb, left)
                # The same again, with room: nothing of the first try is in the way.
                status, answer = api.call("POST", path, payload)
            assert status in (200, 201, 204), (verb, left, status, answer)
            if verb == "start":
                assert api.call("POST", f"/containers/s{number}/wait")[1]["StatusCode"] == 0
    assert refused["create"] and refused["commit"], refused
    known = set(server.docker("ps", "-a", "--format", "{{.Names}}").stdout.split())
    assert known == {"source"} | {f"{kind}{number}" for kind in "cs" for number in range(len(steps))}
    # Killed with a full disk, it is there again when there is room.
    fill(filler, 0)
    server.kill()
    filler.unlink()
    server.start()
    assert set(server.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()) == known
    # One for each container, and the layers of images: no half of any is left.
    ids = server.docker("ps", "-aq", "--no-trunc").stdout.split()
    server.docker("rm", "-v", *ids)
    server.docker("image", "prune", "-af")
    server.restart()
    wait_for(lambda: not folders(server), "all is removed")
