# SPDX-License-Identifier: Apache-2.0
"""Big layers over slow connections: several at a time, in order, and gone on with after kill -9."""
import io
import os
import signal
import subprocess
import tarfile
import threading
import time

import pytest

from lib.fake_registry import FakeRegistry

MIB = 1 << 20
RATE = 8 * MIB
WINDOW = 16 * MIB


@pytest.fixture(scope="module")
def big():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("big")
        info.size = 24 * MIB
        tar.addfile(info, io.BytesIO(os.urandom(info.size)))
    return out.getvalue()


@pytest.fixture
def slow(big):
    server = FakeRegistry()
    server.layer = server.add_image(["1"], [big])["layers"][0]
    server.rate = RATE
    yield server
    server.stop()


@pytest.fixture
def copy(program, tmp_root):
    def start(server):
        return subprocess.Popen(
            [program("kist"), "image", "copy", f"docker://{server.address}/img:1", f"oci:{tmp_root}/out:x"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
            env=dict(os.environ, HOME=str(tmp_root), TMPDIR=str(tmp_root)),
        )  # fmt: skip

    return start


def ranges(server):
    found = [headers.get("Range") for method, path, headers in server.requests if method == "GET" and server.layer["digest"] in path]
    return [r.removeprefix("bytes=").split("-") for r in found if r]


def finish(run):
    problem = run.communicate(timeout=120)[1]
    assert run.returncode == 0, problem


def proven(program, tmp_root):
    run = subprocess.run([program("kist"), "image", "validate", f"oci:{tmp_root}/out:x"], capture_output=True, text=True, check=False)
    return run.stdout.startswith("PASS")


def test_several_connections(copy, slow, program, tmp_root):
    finish(copy(slow))
    pieces = [(int(a), int(b)) for a, b in ranges(slow) if b]
    assert len(pieces) >= 5 and all(b - a < 3 * MIB for a, b in pieces)
    assert sorted(pieces)[0][0] >= 2 * MIB and len(set(pieces)) == len(pieces)
    assert proven(program, tmp_root)


def test_a_registry_without_ranges(copy, slow, program, tmp_root):
    slow.ranges = False
    finish(copy(slow))
    assert ranges(slow) == [] and proven(program, tmp_root)


def test_pieces_that_fail(copy, slow, program, tmp_root):
    """Whatever the pieces meet, one connection ends it."""
    answer = slow._blob

    def odd(handler, name):
        wanted = handler.headers.get("Range", "")
        if wanted and not wanted.endswith("-") and int(wanted[6:].split("-")[0]) > 12 * MIB:
            return slow._error(handler, 403, "DENIED")
        return answer(handler, name)

    slow._blob = odd
    finish(copy(slow))
    assert any(b == "" for _, b in ranges(slow)) and proven(program, tmp_root)


def test_killed_in_the_midst(copy, slow, program, tmp_root):
    partial = tmp_root / "out/blobs/sha256" / f".partial-{slow.layer['digest'][7:]}"
    answer, gate = slow._blob, threading.Event()

    def held(handler, name):
        wanted = handler.headers.get("Range", "")
        if wanted and int(wanted[6:].split("-")[0]) > 14 * MIB:
            gate.wait(60)
        return answer(handler, name)

    slow._blob = held
    run = copy(slow)
    end = time.monotonic() + 60
    while time.monotonic() < end and not (partial.exists() and partial.stat().st_size >= 9 * MIB):
        time.sleep(0.005)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    gate.set()
    had = partial.stat().st_size
    # What was asked for and is not in the file is all that comes once more.
    asked = max([int(b) + 1 for _, b in ranges(slow) if b] + [had])
    assert 9 * MIB <= had and asked - had < WINDOW
    slow.requests.clear()
    slow.rate = None
    finish(copy(slow))
    assert min(int(a) for a, _ in ranges(slow)) == had and proven(program, tmp_root)
