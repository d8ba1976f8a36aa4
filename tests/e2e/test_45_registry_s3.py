# SPDX-License-Identifier: Apache-2.0
"""kist-registry over an S3-compatible storage: one of ours that checks signatures, and moto's (pip install 'moto[server]')."""
import contextlib
import http.client
import json
import os
import shutil
import subprocess
import threading
import urllib.request

import pytest

from lib.fake_s3 import ACCESS_KEY, BUCKET, SECRET, FakeS3
from lib.kist_registry import sha
from lib.ports import free_port
from lib.wait import wait_for


@pytest.fixture
def storage():
    one = FakeS3()
    yield one
    one.stop()


@pytest.fixture
def serve(start_registry, tmp_root):
    def start(endpoint, **more):
        (tmp_root / "secret").write_text(SECRET + "\n")
        return start_registry({"s3": {"endpoint": endpoint, "bucket": BUCKET, "prefix": "reg/", "access-key": ACCESS_KEY,
                                      "secret-file": str(tmp_root / "secret"), **more}})  # fmt: skip

    return start


def local(server):
    return list((server.root / "data/blobs/sha256").iterdir())


def forget_local(server):
    for path in local(server):
        path.unlink()


def name_of(digest):
    return "reg/blobs/" + digest.replace(":", "/")


def test_there_and_back(serve, storage):
    ours = serve(storage.endpoint)
    layer = os.urandom(300_000)
    digest, manifest = ours.push_image("team/web", "1", layer=layer)
    assert storage.objects[name_of(sha(layer))] == layer and storage.objects[name_of(digest)] == manifest
    assert len(storage.names()) == 3
    # Another machine: only the database is there.
    forget_local(ours)
    ours.kill()
    ours.start()
    assert ours.request("GET", "/v2/team/web/manifests/1").data == manifest
    assert int(ours.request("HEAD", f"/v2/team/web/blobs/{sha(layer)}").getheader("Content-Length")) == len(layer)
    part = ours.request("GET", f"/v2/team/web/blobs/{sha(layer)}", headers={"Range": "bytes=1000-1999"})
    assert (part.status, part.data) == (206, layer[1000:2000])
    wait_for(lambda: len(local(ours)) == 2)
    before = len(storage.requests)
    assert ours.request("GET", f"/v2/team/web/blobs/{sha(layer)}").data == layer
    assert len(storage.requests) == before
    # A mount needs no bytes at all; what loses its last row goes.
    forget_local(ours)
    assert ours.request("POST", f"/v2/b/blobs/uploads/?mount={sha(layer)}&from=team/web").status == 201
    ours.request("DELETE", f"/v2/team/web/manifests/{digest}")
    for name in ("team/web", "b"):
        assert ours.request("DELETE", f"/v2/{name}/blobs/{sha(layer)}").status == 202
    wait_for(lambda: storage.names() == [name_of(sha(b"{}"))])


def test_storage_that_fails(serve, storage):
    ours = serve(storage.endpoint)
    storage.failures = 2
    assert ours.push_blob("a", b"data")
    # Nothing is acknowledged that is not there.
    storage.failures = 100
    reply = ours.request("POST", f"/v2/a/blobs/uploads/?digest={sha(b'lost')}", b"lost")
    assert reply.status == 503 and b"object storage" in reply.data and b"Amz" not in reply.data
    storage.failures = 0
    assert ours.request("GET", f"/v2/a/blobs/{sha(b'lost')}").status == 404
    # Bytes that changed there are not served whole.
    forget_local(ours)
    storage.objects[name_of(sha(b"data"))] = b"Data"
    try:
        assert ours.request("GET", f"/v2/a/blobs/{sha(b'data')}").status == 503
    except Exception as error:  # pylint: disable=broad-except
        assert "IncompleteRead" in repr(error)
    del storage.objects[name_of(sha(b"data"))]
    assert ours.request("GET", f"/v2/a/blobs/{sha(b'data')}").status == 503
    assert "Amz" not in (ours.root / "log").read_text()


def test_redirect_and_no_cache(serve, storage):
    ours = serve(storage.endpoint, redirect=True, cache=0)
    data = os.urandom(100_000)
    ours.push_blob("a", data)
    wait_for(lambda: local(ours) == [])
    reply = ours.request("GET", f"/v2/a/blobs/{sha(data)}")
    assert reply.status == 307 and SECRET not in reply.getheader("Location")
    with urllib.request.urlopen(reply.getheader("Location"), timeout=60) as answer:
        assert answer.read() == data


def test_a_large_blob_goes_in_parts(serve, storage):
    ours = serve(storage.endpoint)
    data = os.urandom(1 << 20) * 70
    ours.push_blob("a", data)
    assert storage.objects[name_of(sha(data))] == data
    assert [method for method, _ in storage.requests].count("PUT") == 2
    assert storage.parts == {}


def kill_within(ours, storage, method, where, act):
    """kill -9 while the storage has done such a request but not answered it."""
    gate = threading.Event()
    storage.held.clear()
    storage.hold = (method, where, gate)

    def run():
        with contextlib.suppress(OSError, http.client.HTTPException):
            act()

    thread = threading.Thread(target=run)
    thread.start()
    assert storage.held.wait(120)
    ours.kill()
    storage.hold = None
    gate.set()
    thread.join()
    ours.start()


@pytest.mark.parametrize("size", [300_000, 66 << 20])
def test_killed_within_an_upload(serve, storage, size):
    """What was acknowledged stays, what was not leaves no object and no parts, and the next push does it."""
    ours = serve(storage.endpoint)
    kept, manifest = ours.push_image("team/web", "1", layer=b"kept" * 1000)
    before = storage.names()
    data = os.urandom(1 << 16) * (size >> 16)
    places = [("PUT", sha(data)[7:])] if size < 64 << 20 else [("POST", "uploads="), ("PUT", "partNumber=2"), ("POST", "uploadId=")]
    for method, where in places:
        kill_within(ours, storage, method, where, lambda: ours.push_blob("team/web", data))
        wait_for(lambda: storage.names() == before and not storage.parts)
        assert ours.request("GET", f"/v2/team/web/blobs/{sha(data)}").status == 404
    ours.push_blob("team/web", data)
    forget_local(ours)
    assert ours.request("GET", f"/v2/team/web/blobs/{sha(data)}").data == data
    assert ours.request("GET", f"/v2/team/web/manifests/{kept}").data == manifest


def collect(ours, tmp_root, on):
    """Starts it with a collector that waits for nobody, or without one."""
    config = json.loads((tmp_root / "registry.json").read_text())
    config["garbage"] = {"on": on, "delay": 0, "interval": 1}
    (tmp_root / "registry.json").write_text(json.dumps(config))
    ours.kill()
    ours.start()


@pytest.mark.parametrize("by", ["hand", "collector"])
def test_killed_within_a_removal(serve, storage, tmp_root, by):
    """The rows are gone, the storage does not answer: the objects go after the next start, and no others."""
    ours = serve(storage.endpoint)
    kept, manifest = ours.push_image("team/web", "1")
    stays = storage.names()
    digest, _ = ours.push_image("b", "1", layer=b"other")
    assert len(storage.names()) == len(stays) + 2
    storage.failures = 1_000_000
    if by == "collector":
        # Only now: it would take what a push has not named yet.
        collect(ours, tmp_root, on=True)
    assert ours.request("DELETE", f"/v2/b/manifests/{digest}").status == 202
    if by == "hand":
        for data in (b"other", b"{}"):
            assert ours.request("DELETE", f"/v2/b/blobs/{sha(data)}").status == 202
    wait_for(lambda: ours.request("GET", f"/v2/b/blobs/{sha(b'other')}").status == 404)
    assert len(storage.names()) == len(stays) + 2
    storage.failures = 0
    collect(ours, tmp_root, on=False)
    wait_for(lambda: storage.names() == stays)
    forget_local(ours)
    assert ours.request("GET", f"/v2/team/web/manifests/{kept}").data == manifest
    assert ours.request("GET", f"/v2/team/web/blobs/{sha(b'layer')}").data == b"layer"
    assert ours.push_image("b", "1", layer=b"other")[0] == digest and len(storage.names()) == len(stays) + 2


def test_parts_that_cannot_be_listed(serve, storage):
    """A key that may put but not list: the log says what may stay, and all else goes on."""
    ours = serve(storage.endpoint)
    data = os.urandom(1 << 16) * 1056
    storage.may_list = False
    kill_within(ours, storage, "PUT", "partNumber=2", lambda: ours.push_blob("a", data))
    wait_for(lambda: "parts of blobs that were never put together may be" in (ours.root / "log").read_text())
    ours.push_blob("a", data)
    assert storage.objects[name_of(sha(data))] == data


def test_wrong_secret(serve, storage, tmp_root):
    ours = serve(storage.endpoint)
    ours.stop()
    (tmp_root / "secret").write_text("other")
    ours.start()
    reply = ours.request("POST", f"/v2/a/blobs/uploads/?digest={sha(b'x')}", b"x")
    assert reply.status == 503 and b"object storage" in reply.data


@pytest.fixture
def moto(tmp_root):
    program = shutil.which("moto_server")
    if not program:
        pytest.skip("moto_server is missing: pip install 'moto[server]'")
    port = free_port()
    with open(tmp_root / "moto.log", "wb") as log:
        process = subprocess.Popen([program, "-p", str(port)], stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{port}"

    def is_up():
        try:
            request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
            return urllib.request.urlopen(request, timeout=60).status == 200
        except OSError:
            return False

    wait_for(is_up)
    yield endpoint
    process.terminate()
    process.wait()


def listed(moto, query):
    with urllib.request.urlopen(f"{moto}/{BUCKET}?{query}", timeout=60) as answer:
        return answer.read().decode()


def test_moto(serve, moto):
    ours = serve(moto)
    layer = os.urandom(1 << 20) * 66
    digest, manifest = ours.push_image("team/web", "1", layer=layer)
    forget_local(ours)
    assert ours.request("GET", f"/v2/team/web/blobs/{sha(layer)}").data == layer
    assert ours.request("GET", f"/v2/team/web/manifests/{digest}").data == manifest
    ours.request("DELETE", f"/v2/team/web/blobs/{sha(layer)}")
    assert ours.request("GET", f"/v2/team/web/blobs/{sha(layer)}").status == 404
    # Killed somewhere within an upload in parts, and within a removal.
    more = os.urandom(1 << 20) * 130

    def push():
        with contextlib.suppress(OSError, http.client.HTTPException):
            ours.push_blob("team/web", more)

    thread = threading.Thread(target=push)
    thread.start()
    wait_for(lambda: "<UploadId>" in listed(moto, "uploads="))
    ours.kill()
    thread.join()
    ours.start()
    wait_for(lambda: "<UploadId>" not in listed(moto, "uploads=") and sha(more)[7:] not in listed(moto, "list-type=2"))
    ours.push_blob("team/web", more)
    assert sha(more)[7:] in listed(moto, "list-type=2")
    ours.request("DELETE", f"/v2/team/web/blobs/{sha(more)}")
    ours.kill()
    ours.start()
    wait_for(lambda: sha(more)[7:] not in listed(moto, "list-type=2"))
    assert ours.request("GET", f"/v2/team/web/manifests/{digest}").data == manifest
