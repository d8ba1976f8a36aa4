# SPDX-License-Identifier: Apache-2.0
"""What strangers send to kist-registry: uploads that are cut, repeated, disordered or too large, names, manifests, a full disk."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading

import pytest

from lib.kist_registry import KistRegistry, sha
from lib.wait import wait_for

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def code_of(reply):
    return json.loads(reply.data)["errors"][0]["code"]


def begin(ours, name="a"):
    return ours.request("POST", f"/v2/{name}/blobs/uploads/").getheader("Location")


def tmp_files(ours):
    return list((ours.root / "data/tmp").iterdir())


def send_part(ours, method, path, data, size, until):
    """A request of which only `size` bytes of the body come; the connection is closed when until() is true."""
    with socket.create_connection(("127.0.0.1", ours.port), 120) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[:size])
        wait_for(until)


# ---- uploads ----


@pytest.mark.parametrize("size", [300_000, 3_000_000], ids=["small", "large"])
def test_cut_uploads_go_on(ours, size):
    """A PATCH that is cut keeps what came; a POST that is cut leaves nothing."""
    data = os.urandom(size)
    location = begin(ours)
    send_part(ours, "PATCH", location, data, size // 2, lambda: ours.request("GET", location).status == 409)
    # The server learns of the cut a moment later.
    wait_for(lambda: ours.request("GET", location).status == 204)
    have = int(ours.request("GET", location).getheader("Range").removeprefix("0-")) + 1
    assert 0 < have <= size // 2
    reply = ours.request("PUT", f"{location}?digest={sha(data)}", data[have:],
                         {"Content-Range": f"{have}-{size - 1}"})  # fmt: skip
    assert reply.status == 201, reply.data
    assert ours.request("GET", f"/v2/a/blobs/{sha(data)}").data == data
    path = f"/v2/a/blobs/uploads/?digest={sha(data[1:])}"
    send_part(ours, "POST", path, data[1:], size // 2, lambda: tmp_files(ours))
    assert ours.request("GET", f"/v2/a/blobs/{sha(data[1:])}").status == 404
    wait_for(lambda: tmp_files(ours) == [])


@pytest.mark.parametrize("size", [0, 10, 50_000, 150_000])
def test_who_hangs_up_behind_his_bytes_is_gone(ours, size):
    """The end comes together with the last bytes, before the server looks: no thread and no file waits for more."""
    threads = pathlib.Path(f"/proc/{ours.process.pid}/task")
    before = len(list(threads.iterdir()))
    for number in range(20):
        with socket.create_connection(("127.0.0.1", ours.port), 120) as connection:
            head = f"POST /v2/a/blobs/uploads/?digest=sha256:{number:064d} HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n"
            connection.sendall(head.encode() + (b"\r\n" + bytes(size) if size else b""))
    # Half the patience the server has with silent clients.
    wait_for(lambda: len(list(threads.iterdir())) <= before and tmp_files(ours) == [], patience=60)


def test_asking_for_progress_refuses_nobody(ours):
    """Whoever asks how far an upload is takes it from nobody: each chunk is accepted all the same."""
    location = begin(ours)
    done = threading.Event()
    seen = set()

    def ask():
        while not done.is_set():
            seen.add(ours.request("GET", location).status)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        statuses = {ours.request("PATCH", location, b"x", {"Content-Range": f"{at}-{at}"}).status for at in range(100)}
    finally:
        done.set()
        for thread in asking:
            thread.join()
    assert statuses == {202} and seen <= {204, 409}


def test_large_bodies_end_their_connection_and_nothing_else(ours):
    """Beyond a megabyte bytes take the short way: the answer says that the connection ends, and is whole."""
    data = os.urandom(5_000_000)
    with socket.create_connection(("127.0.0.1", ours.port), 120) as connection:
        head = f"POST /v2/a/blobs/uploads/?digest={sha(data)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 201 ") and b"Connection: close" in answer
    with socket.create_connection(("127.0.0.1", ours.port), 120) as connection:
        connection.sendall(f"GET /v2/a/blobs/{sha(data)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert body == data and b"Connection: close" in head and f"Content-Length: {len(data)}".encode() in head
    part = ours.request("GET", f"/v2/a/blobs/{sha(data)}", headers={"Range": "bytes=100-4999990"})
    assert (part.status, part.data) == (206, data[100:4999991])
    # What is refused is refused after it was read, so that the client can read why.
    reply = ours.request("POST", f"/v2/a/blobs/uploads/?digest={sha(b'other')}", data)
    assert reply.status == 400 and code_of(reply) == "DIGEST_INVALID"
    reply = ours.request("PUT", f"/v2/a/blobs/uploads/0000?digest={sha(data)}", data)
    assert reply.status == 404 and code_of(reply) == "BLOB_UPLOAD_UNKNOWN"
    assert ours.request("PATCH", begin(ours), data, {"Content-Range": "7-5000006"}).status == 416
    assert tmp_files(ours) and len(tmp_files(ours)) == 1


def read_all(connection):
    got = b""
    while piece := connection.recv(1 << 20):
        got += piece
    return got


def test_repeated_disordered_and_shared_uploads(ours):
    location = begin(ours)
    first = {"Content-Range": "0-2"}
    assert ours.request("PATCH", location, b"abc", first).status == 202
    assert ours.request("PATCH", location, b"abc", first).status == 416  # repeated
    assert ours.request("PATCH", location, b"xyz", {"Content-Range": "6-8"}).status == 416  # a gap
    assert ours.request("PATCH", location, b"xyz", {"Content-Range": "3-9"}).status == 416  # too short
    for wrong in ("-3", "3-", "a-b", "5-3", "3-5-7", "99999999999999999999-1"):
        assert ours.request("PATCH", location, b"xyz", {"Content-Range": wrong}).status in (400, 416), wrong
    assert ours.request("PATCH", location.replace("/v2/a/", "/v2/b/"), b"def").status == 404  # another's
    assert ours.request("PATCH", location, b"def", {"Content-Range": "3-5"}).status == 202
    assert ours.request("PUT", f"{location}?digest={sha(b'abcdef')}").status == 201
    assert ours.request("PUT", f"{location}?digest={sha(b'abcdef')}").status == 404  # over
    assert ours.request("GET", f"/v2/a/blobs/{sha(b'abcdef')}").data == b"abcdef"


def test_two_requests_for_one_upload(ours):
    location = begin(ours)
    data = os.urandom(2_000_000)
    with socket.create_connection(("127.0.0.1", ours.port), 120) as connection:
        connection.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data[:1_500_000])
        wait_for(lambda: ours.request("GET", location).status == 409)
        connection.sendall(data[1_500_000:])
        assert b" 202 " in connection.recv(65536)[:20]
    assert ours.request("PUT", f"{location}?digest={sha(data)}").status == 201


# ---- names ----


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../../etc/passwd/manifests/1",
        "/v2/a/../../../etc/blobs/uploads/",
        "/v2/%2e%2e/%2e%2e/tags/list",
        "/v2/a/manifests/..%2f..%2fregistry.db",
        "/v2/a/manifests/.hidden",
        "/v2/a/blobs/sha256:..%2f..%2f..%2fregistry.db",
        "/v2/a/blobs/sha256:" + "A" * 64,
        "/v2/a/blobs/sha256:" + "0" * 63,
        "/v2/a/blobs/sha256:" + "0" * 64 + "%00",
        "/v2/a/blobs/md5:" + "0" * 32,
        "/v2/a/blobs/uploads/..%2f..%2f..%2ftoken.secret",
        "/v2/a/blobs/uploads/../../../x",
        "/v2/A/tags/list",
        "/v2/a//b/tags/list",
        "/v2/" + "a" * 256 + "/tags/list",
        "/v2/a%0d%0aX-Evil: 1/tags/list",
        "/v2/a/manifests/" + "t" * 129,
    ],
)
def test_names_that_are_none(ours, path):
    before = sorted(str(p) for p in ours.root.rglob("*"))
    with socket.create_connection(("127.0.0.1", ours.port), 120) as connection:
        connection.sendall(f"GET {path.replace(' ', '%20')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = read_all(connection)
    assert answer[9:12] in (b"400", b"404"), answer[:200]
    assert b"X-Evil" not in answer.partition(b"\r\n\r\n")[0]
    assert sorted(str(p) for p in ours.root.rglob("*")) == before


def test_mounts_of_nonsense(ours):
    for query in ("mount=../../x&from=a", f"mount={sha(b'x')}&from=../..", "mount=&from=", "mount=sha256:zz"):
        assert ours.request("POST", f"/v2/a/blobs/uploads/?{query}").status == 202, query


# ---- manifests ----


def put(ours, body, kind=MANIFEST, tag="1", name="a"):
    return ours.request("PUT", f"/v2/{name}/manifests/{tag}", body, {"Content-Type": kind})


def descriptor(digest, size=1, kind="application/x"):
    return {"mediaType": kind, "digest": digest, "size": size}


def image(**more):
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(sha(b"{}"), 2), "layers": [], **more}


def test_deep_nesting(ours):
    ours.push_blob("a", b"{}")
    for depth in (3000, 500_000):
        body = b'{"schemaVersion":2,"annotations":' + b"[" * depth + b"]" * depth + b"}"
        reply = put(ours, body)
        assert reply.status == 400 and code_of(reply) == "MANIFEST_INVALID"
        body = b'{"a":' * depth + b"1" + b"}" * depth
        assert put(ours, body, "application/vnd.unknown+json").status == 400
    assert ours.request("GET", "/v2/").status == 200


def test_huge_annotations(ours):
    ours.push_blob("a", b"{}")
    body = json.dumps(image(annotations={f"k{i}": "v" * 10_000 for i in range(390)})).encode()
    assert put(ours, body).status == 201
    assert ours.request("GET", "/v2/a/manifests/1").data == body
    many = json.dumps(image(annotations={f"k{i}": "" for i in range(100_000)})).encode()
    assert put(ours, many, tag="2").status == 201
    assert put(ours, b" " * (9 << 20), tag="3").status == 413


@pytest.mark.parametrize(
    "change",
    [
        {"config": None}, {"config": descriptor("sha256:../../x")}, {"layers": {}}, {"layers": [1]},
        {"layers": [descriptor(sha(b"x"), -1)]}, {"layers": [descriptor("x")]}, {"schemaVersion": 1},
        {"mediaType": INDEX}, {"subject": descriptor("nonsense")}, {"manifests": [descriptor(sha(b"x"))]},
    ],
    ids=str,
)  # fmt: skip
def test_manifests_that_are_none(ours, change):
    ours.push_blob("a", b"{}")
    reply = put(ours, json.dumps(image(**change)).encode())
    assert reply.status == 400 and code_of(reply) == "MANIFEST_INVALID", reply.data
    assert ours.request("GET", "/v2/a/manifests/1").status == 404


def test_cycles(ours, tmp_root):
    """Indexes cannot name each other by digest; they can be each other's subject in a chain: nothing follows those."""
    digests = []
    for index in range(40):
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(d, 1, INDEX) for d in digests[-1:]]}
        body["subject"] = descriptor(digests[-1] if digests else sha(b"self"), 1, INDEX)
        data = json.dumps(body).encode()
        digests.append(sha(data))
        assert put(ours, data, INDEX, f"t{index}").status == 201
    # One that says that it is its own part, under a digest that it cannot have.
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(sha(b"me"), 1, INDEX)]}).encode()
    assert put(ours, body, INDEX, sha(b"me")).status == 400
    reply = ours.request("GET", f"/v2/a/referrers/{digests[5]}")
    assert [entry["digest"] for entry in json.loads(reply.data)["manifests"]] == [digests[6]]
    for digest in digests:
        assert ours.request("DELETE", f"/v2/a/manifests/{digest}").status == 202


# ---- a full disk ----


def test_full_disk(tmp_root, program):
    """What finds no room is told so and leaves nothing; what is there is served; with room again all goes on."""
    place = tmp_root / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    server = KistRegistry(place, program("kist-registry"))
    try:
        server.start()
        small = os.urandom(500_000)
        server.push_image("a", "1", layer=small)
        large = os.urandom(6_000_000)
        for method in ("post", "chunk"):
            if method == "post":
                reply = server.request("POST", f"/v2/a/blobs/uploads/?digest={sha(large)}", large)
            else:
                reply = server.request("PATCH", begin(server), large)
            assert reply.status == 507 and b"No space left" in reply.data, (reply.status, reply.data)
            assert tmp_files(server) == []
        assert server.request("GET", f"/v2/a/blobs/{sha(small)}").data == small
        assert server.push_blob("a", os.urandom(400_000))
        server.kill()
        server.start()
        assert server.request("GET", "/v2/a/manifests/1").status == 200
    finally:
        server.stop()
        subprocess.run(["umount", place], check=True)
        shutil.rmtree(place, ignore_errors=True)


# ---- many at once ----


def test_slow_clients_hold_up_nobody(ours):
    """Sixty clients that send nothing but the beginning of a request."""
    slow = [socket.create_connection(("127.0.0.1", ours.port), 120) for _ in range(60)]
    try:
        for index, connection in enumerate(slow):
            connection.sendall(b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nContent-Le"[: 3 + index % 40])
        errors = []

        def ask():
            if ours.request("GET", "/v2/").status != 200:
                errors.append(1)

        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
    finally:
        for connection in slow:
            connection.close()
