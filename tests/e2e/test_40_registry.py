# SPDX-License-Identifier: Apache-2.0
"""Registries: kist-transfer against good, slow, broken and lying ones; kist-registry against skopeo and kill -9."""
import hashlib
import json
import os
import pathlib
import random
import subprocess
import threading
import time

import pytest

from lib.fake_registry import INDEX, FakeRegistry, sha
from lib.raw_http import UNREADABLE, last_answer
from lib.kist_registry import KistRegistry
from lib.ports import free_port
from lib.registry import Registry
from lib.transfer import Refused, Transfer

BIG = 3 << 20


def noise(seed, size):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def fake():
    server = FakeRegistry()
    yield server
    server.stop()


@pytest.fixture
def transfer(program, tmp_path):
    """transfer(...) makes a Transfer with a folder of its own, or the given one."""

    def make(folder=None, **options):
        path = pathlib.Path(folder or tmp_path)
        return Transfer(program("kist-transfer"), path, **options)

    return make


def pull(transfer, fake, reference="img:1", **request):
    return transfer.run(action="pull", reference=f"{fake.address}/{reference}", **request)


def refused(transfer, fake, reference="img:1", **request):
    with pytest.raises(Refused) as caught:
        pull(transfer, fake, reference, **request)
    return caught.value


# ---- pull ----


def test_pull_from_debians_registry(registry, transfer, tmp_path, busybox_layout):
    child = transfer()
    end = child.run(action="pull", reference=f"{registry.address}/busybox:1")
    layer = child.layers()[0]
    tar = child.path_of(0).with_suffix(".tar").read_bytes()
    config = json.loads(child.documents["config"]["text"])
    assert end["digest"] == sha(child.documents["manifest"]["text"].encode())
    assert sha(child.path_of(0).read_bytes()) == layer["digest"]
    assert [sha(tar)] == config["rootfs"]["diff_ids"]
    words = [status for _, status, _ in child.statuses]
    assert words[-3:] == ["Verifying Checksum", "Download complete", "done"] and "Downloading" in words


def test_layers_in_parallel_and_index(fake, transfer):
    tars = [noise(i, 200_000 + i) for i in range(7)]
    manifest = fake.add_image([], tars)
    digest = fake.put_manifest([], manifest)
    entry = {"mediaType": manifest["mediaType"], "digest": digest, "size": len(fake.manifests[digest][1])}
    fake.put_manifest(
        ["1"],
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [
                {**entry, "digest": sha(b"arm"), "platform": {"os": "linux", "architecture": "arm64"}},
                {**entry, "platform": {"os": "linux", "architecture": "amd64"}},
            ],
        },
        INDEX,
    )
    child = transfer()
    child.have = {manifest["layers"][2]["digest"]}
    pull(child, fake, platform={"os": "linux", "architecture": "amd64"})
    assert set(child.documents) == {"index", "manifest", "config"}
    for i, tar in enumerate(tars):
        path = child.path_of(i).with_suffix(".tar")
        assert path.exists() == (i != 2)
        if i != 2:
            assert path.read_bytes() == tar


def test_no_such_platform(fake, transfer):
    manifest = fake.add_image([], [b"x"])
    digest = fake.put_manifest([], manifest)
    entry = {"mediaType": manifest["mediaType"], "digest": digest, "size": 1}
    fake.put_manifest(
        ["1"],
        {"schemaVersion": 2, "manifests": [{**entry, "platform": {"os": "linux", "architecture": "s390x"}}]},
        INDEX,
    )
    error = refused(transfer(), fake, platform={"os": "linux", "architecture": "amd64"}, strict=True)
    assert error.kind == "not_found"
    assert str(error) == "no matching manifest for linux/amd64 in the manifest list entries"


def test_resumes_after_cuts_with_range(fake, transfer):
    tar = noise(1, BIG)
    fake.add_image(["1"], [tar])
    fake.cuts = [500_000, 700_000]
    child = transfer()
    pull(child, fake)
    assert child.path_of(0).with_suffix(".tar").read_bytes() == tar
    ranges = [headers.get("Range") for _, path, headers in fake.requests if "/blobs/" in path]
    assert ranges == [None, None, "bytes=500000-", "bytes=1200000-"]
    assert child.asked_again == []


def test_resumes_when_the_server_ignores_range(fake, transfer):
    tar = noise(2, BIG)
    fake.add_image(["1"], [tar])
    fake.cuts = [500_000]
    fake.ranges = False
    child = transfer()
    pull(child, fake)
    assert child.path_of(0).with_suffix(".tar").read_bytes() == tar


def test_goes_on_where_an_earlier_process_was_killed(fake, transfer, tmp_path):
    tar = noise(3, BIG)
    layer = fake.add_image(["1"], [tar])["layers"][0]
    name = layer["digest"].split(":")[1]
    (tmp_path / name).write_bytes(fake.blobs[layer["digest"]][:1_000_000])
    child = transfer()
    pull(child, fake)
    assert child.path_of(0).with_suffix(".tar").read_bytes() == tar
    assert [h["Range"] for _, p, h in fake.requests if "Range" in h] == ["bytes=1000000-"]


def test_a_whole_file_is_not_fetched_again(fake, transfer, tmp_path):
    tar = noise(4, BIG)
    layer = fake.add_image(["1"], [tar])["layers"][0]
    (tmp_path / layer["digest"].split(":")[1]).write_bytes(fake.blobs[layer["digest"]])
    child = transfer()
    pull(child, fake)
    assert child.path_of(0).with_suffix(".tar").read_bytes() == tar
    assert not [p for _, p, _ in fake.requests if p.endswith(layer["digest"])]


@pytest.mark.parametrize("size", [1_000_000, BIG, BIG * 2])
def test_a_wrong_first_part_is_thrown_away(fake, transfer, tmp_path, size):
    tar = noise(5, BIG)
    layer = fake.add_image(["1"], [tar])["layers"][0]
    (tmp_path / layer["digest"].split(":")[1]).write_bytes(b"z" * size)
    child = transfer()
    pull(child, fake)
    assert child.asked_again == [0]
    assert child.path_of(0).with_suffix(".tar").read_bytes() == tar


def test_always_cut_gives_up_and_names_the_host(fake, transfer):
    fake.add_image(["1"], [noise(6, BIG)])
    fake.cuts = [100] * 50
    error = refused(transfer(), fake)
    assert error.kind == "unavailable" and f"connection to {fake.address} was cut" in str(error)


def test_retries_what_passes(fake, transfer):
    fake.add_image(["1"], [b"tar" * 1000])
    fake.statuses = [(503, {}), (429, {"Retry-After": "1"})]
    start = time.monotonic()
    pull(transfer(), fake)
    assert time.monotonic() - start > 1.4


def test_gives_up_on_lasting_refusal(fake, transfer):
    fake.statuses = [(403, {})]
    error = refused(transfer(), fake)
    assert error.kind in ("forbidden", "unavailable")
    assert len(fake.requests) == 1


# ---- lies ----


def test_wrong_layer_bytes(fake, transfer):
    layer = fake.add_image(["1"], [noise(7, BIG)])["layers"][0]
    data = bytearray(fake.blobs[layer["digest"]])
    data[1_000_000] ^= 1
    fake.blobs[layer["digest"]] = bytes(data)
    child = transfer()
    error = refused(child, fake)
    assert error.kind == "invalid"
    assert str(error).startswith(f"filesystem layer verification failed for digest {layer['digest']}")
    assert "done" not in [status for _, status, _ in child.statuses]


def test_layer_too_long_or_too_short(fake, transfer, tmp_path):
    layer = fake.add_image(["1"], [noise(8, BIG)])["layers"][0]
    good = fake.blobs[layer["digest"]]
    fake.blobs[layer["digest"]] = good + b"more"
    assert "is larger than the" in str(refused(transfer(), fake))
    fake.blobs[layer["digest"]] = good[:-1000]
    (tmp_path / layer["digest"].split(":")[1]).unlink()
    fake.ranges = False
    assert "ended after" in str(refused(transfer(), fake))


def test_wrong_diff_id(fake, transfer):
    fake.add_image(["1"], [b"tar"], diff_ids=[sha(b"other")])
    error = refused(transfer(), fake)
    assert "layers from manifest don't match image configuration" in str(error)


def test_wrong_number_of_diff_ids(fake, transfer):
    fake.add_image(["1"], [b"tar"], diff_ids=[])
    assert "1 layers, the image config 0 diff ids" in str(refused(transfer(), fake))


def test_bomb_stops_at_the_limit(fake, transfer):
    fake.add_image(["1"], [b"\0" * (64 << 20)])
    child = transfer()
    error = refused(child, fake, unpackedLimit=1 << 20)
    assert error.kind == "exhausted"
    assert child.path_of(0).with_suffix(".tar").stat().st_size <= 1 << 20


def test_wrong_manifest(fake, transfer):
    manifest = fake.add_image(["1"], [b"tar"])
    digest = fake.put_manifest([], manifest)
    fake.manifests[digest] = (fake.manifests[digest][0], b" " + fake.manifests[digest][1])
    error = refused(transfer(), fake, f"img@{digest}")
    assert error.kind == "invalid" and f"not {digest}" in str(error)


@pytest.mark.parametrize(
    "body, media, words",
    [
        (b'{"schemaVersion":1,"name":"x"}', "application/vnd.docker.distribution.manifest.v1+json", "schema 1 is not"),
        (b'{"schemaVersion":1,"fsLayers":[]}', "application/json", "schema 1 is not supported"),
        (b"<html>", "text/html", "invalid JSON"),
        (b"{}", "application/json", "schemaVersion is 0"),
        (b'{"schemaVersion":2,"manifests":{}}', INDEX, "manifests: expected an array"),
    ],
)
def test_bad_manifests(fake, transfer, body, media, words):
    fake.put_manifest(["1"], body, media)
    assert words in str(refused(transfer(), fake))


def test_not_an_image(fake, transfer):
    fake.add_image(["1"], [b"chart"], config_type="application/vnd.cncf.helm.config.v1+json")
    error = refused(transfer(), fake)
    assert error.kind == "unsupported" and "not a container image" in str(error)


# ---- nobody there ----


def test_missing_and_unreachable(fake, transfer):
    error = refused(transfer(), fake, "img:none")
    assert error.kind == "not_found"
    assert str(error) == f"manifest for {fake.address}/img:none not found: manifest unknown: manifest unknown"
    dead = free_port()
    with pytest.raises(Refused) as caught:
        transfer().run(action="pull", reference=f"127.0.0.1:{dead}/x")
    assert caught.value.kind == "unavailable"
    assert str(caught.value) == f"connect to 127.0.0.1:{dead}: Connection refused"
    with pytest.raises(Refused) as caught:
        transfer().run(action="pull", reference="no-such-host.invalid/x")
    assert str(caught.value) == "look up no-such-host.invalid: no such host"


# ---- mirrors and proxies ----


def test_mirrors_of_docker_hub(fake, named):
    fake.add_image(["1"], [noise(15, 5000)])
    dead = f"http://127.0.0.1:{free_port()}"
    child = named()
    child.run(action="pull", reference="docker.io/library/img:1", mirrors=[dead, f"http://{fake.address}/"])
    assert {path.split("/")[2] for _, path, _ in fake.requests} == {"library"}
    with pytest.raises(Refused) as caught:
        named().run(action="pull", reference=f"registry.test:{free_port()}/img:1", mirrors=[f"http://{fake.address}"])
    assert "Connection refused" in str(caught.value)


def test_credentials_are_not_for_mirrors(fake, transfer):
    fake.add_image(["1"], [noise(16, 5000)])
    child = transfer()
    child.run(
        action="pull",
        reference="docker.io/library/img:1",
        mirrors=[f"http://{fake.address}"],
        auth={"username": "u", "password": "p", "registryToken": "t"},
    )
    assert not [headers for _, _, headers in fake.requests if "Authorization" in headers]


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
def test_proxy_from_the_environment(fake, named, variable):
    fake.add_image(["1"], [noise(17, 5000)])
    name = f"registry.test:{free_port()}"
    env = {**os.environ, variable: f"http://{fake.address}"}
    named(env=env).run(action="pull", reference=f"{name}/img:1", insecure=[name])
    assert all(path.startswith(f"http://{name}/v2/") for _, path, _ in fake.requests)
    with pytest.raises(Refused):
        named(env={**env, "NO_PROXY": "registry.test"}).run(
            action="pull", reference=f"{name}/img:1", insecure=[name]
        )


# ---- auth ----


@pytest.fixture(scope="module")
def locked_registry(session_root, busybox_layout):
    folder = session_root / "locked"
    folder.mkdir()
    users = subprocess.run(["htpasswd", "-Bbn", "me", "secret"], check=True, capture_output=True).stdout
    (folder / "users").write_bytes(users)
    server = Registry(folder, htpasswd=folder / "users")
    server.start()
    subprocess.run(
        ["skopeo", "copy", "-q", "--dest-creds", "me:secret", "--dest-tls-verify=false"]
        + [f"oci:{busybox_layout}:busybox", f"docker://{server.address}/img:1"],
        check=True,
    )
    yield server
    server.stop()


def test_basic_auth(locked_registry, transfer):
    good = {"username": "me", "password": "secret"}
    pull(transfer(), locked_registry, auth=good)
    error = refused(transfer(), locked_registry)
    assert error.kind == "unauthorized" and "no basic auth credentials" in str(error)
    error = refused(transfer(), locked_registry, auth={"username": "me", "password": "wrong"})
    assert error.kind == "unauthorized" and "authentication required" in str(error)


def test_login(locked_registry, registry, transfer):
    good = {"username": "me", "password": "secret"}
    assert "identityToken" not in transfer().run(action="login", server=locked_registry.address, auth=good)
    transfer().run(action="login", server=f"http://{locked_registry.address}/v1/", auth=good)
    transfer().run(action="login", server=registry.address, auth=good)
    with pytest.raises(Refused) as caught:
        transfer().run(action="login", server=locked_registry.address, auth={"username": "me", "password": "x"})
    assert caught.value.kind == "unauthorized"
    assert str(caught.value) == (
        f"login attempt to http://{locked_registry.address}/v2/ failed with status: 401 Unauthorized"
    )


def test_bearer_token(fake, transfer):
    fake.add_image(["1"], [noise(9, 5000)])
    fake.token_server = f"http://{fake.address}/token"
    pull(transfer(), fake, auth={"username": "u", "password": "p"})
    assert fake.token_query["scope"] == ["repository:img:pull"]
    assert fake.token_query["service"] == ["fake"] and fake.token_query["account"] == ["u"]
    asked = [h for _, p, h in fake.requests if p.startswith("/token")]
    assert len(asked) == 1 and asked[0]["Authorization"] == "Basic dTpw"


def test_token_server_that_says_no(fake, transfer):
    fake.token_server = f"http://{fake.address}/token"
    fake.statuses = [(401, {"WWW-Authenticate": f'Bearer realm="http://{fake.address}/token"'}), (401, {})]
    error = refused(transfer(), fake, auth={"username": "u", "password": "p"})
    assert error.kind in ("unauthorized", "unavailable")


def test_authorization_stays_with_its_host(fake, transfer):
    fake.add_image(["1"], [noise(10, 5000)])
    fake.token_server = f"http://{fake.address}/token"
    other = FakeRegistry()
    try:
        other.blobs = fake.blobs
        fake.redirect_blobs = f"http://{other.address}"
        pull(transfer(), fake)
        assert other.requests and not [h for _, _, h in other.requests if "Authorization" in h]
    finally:
        other.stop()


# ---- TLS ----


@pytest.fixture(scope="module")
def certificate(session_root):
    """A self-signed certificate for the name registry.test."""
    key, cert = session_root / "tls.key", session_root / "tls.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=registry.test"]
        + ["-addext", "subjectAltName=DNS:registry.test", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
def named(program, tmp_path):
    """kist-transfer where registry.test is loopback: with an /etc/hosts of its own."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 registry.test other.test\n")
    wrapper = tmp_path / "kist-transfer"
    wrapper.write_text(
        f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind {hosts} /etc/hosts && exec {program("kist-transfer")}\'\n'
    )
    wrapper.chmod(0o755)
    return lambda **options: Transfer(str(wrapper), tmp_path, **options)


def test_tls_trust(certificate, named, tmp_path):
    server = FakeRegistry(tls=certificate)
    try:
        server.add_image(["1"], [noise(11, 5000)])
        name = f"registry.test:{server.port}"
        with pytest.raises(Refused) as caught:
            named().run(action="pull", reference=f"{name}/img:1")
        assert caught.value.kind == "unavailable"
        assert f"the certificate of {name} is not trusted" in str(caught.value)

        certs = tmp_path / "certs.d" / name
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_bytes(certificate[0].read_bytes())
        named().run(action="pull", reference=f"{name}/img:1", certs=[str(tmp_path / "certs.d")])

        wrong = f"other.test:{server.port}"
        (tmp_path / "certs.d" / wrong).mkdir()
        (tmp_path / "certs.d" / wrong / "ca.crt").write_bytes(certificate[0].read_bytes())
        with pytest.raises(Refused) as caught:
            named().run(action="pull", reference=f"{wrong}/img:1", certs=[str(tmp_path / "certs.d")])
        assert "is not trusted" in str(caught.value)

        named().run(action="pull", reference=f"{name}/img:1", insecure=[name])
    finally:
        server.stop()


def test_plain_http_only_where_allowed(fake, named):
    fake.add_image(["1"], [noise(12, 5000)])
    name = f"registry.test:{fake.port}"
    with pytest.raises(Refused) as caught:
        named().run(action="pull", reference=f"{name}/img:1")
    assert f"TLS handshake with {name}" in str(caught.value)
    named().run(action="pull", reference=f"{name}/img:1", insecure=[name])


# ---- sandbox ----


def test_the_child_is_locked_in(fake, transfer):
    fake.add_image(["1"], [noise(13, BIG)])
    fake.hold = threading.Event()
    child = transfer()
    runner = threading.Thread(target=pull, args=(child, fake))
    runner.start()
    deadline = time.monotonic() + 60
    while len(fake.requests) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    proc = pathlib.Path(f"/proc/{child.process.pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    targets = [os.readlink(fd) for fd in (proc / "fd").iterdir() if int(fd.name) > 3]
    fake.hold.set()
    runner.join()
    assert status["Uid"].split() == ["65534"] * 4
    assert status["Groups"].strip() == ""
    assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
    assert int(status["CapEff"], 16) == 0
    files = [t for t in targets if t.startswith("/") and not t.startswith("/dev/")]
    assert all(str(child.folder) in t for t in files)


def test_the_child_ends_with_its_engine(fake, transfer):
    fake.add_image(["1"], [noise(14, BIG)])
    fake.hold = threading.Event()
    child = transfer()
    child.send({"action": "pull", "reference": f"{fake.address}/img:1"})
    time.sleep(0.3)
    child.socket.close()
    child.input.close()
    fake.hold.set()
    assert child.process.wait(60) is not None


# ---- kist-registry ----


def code_of(reply):
    return json.loads(reply.data)["errors"][0]["code"]


def test_unreadable_requests(ours):
    """Bytes that are no HTTP get errors in the registry's form, not a web page."""
    for name, data, status in UNREADABLE:
        data = data.replace(b"POST /images/load", b"POST /v2/a/blobs/uploads/")
        data = data.replace(b"POST /containers/create", b"PUT /v2/a/manifests/t")
        data = data.replace(b"x" * 100000, b"x" * 1000000)  # it reads more at a time than kistd
        got, head, body = last_answer(("127.0.0.1", ours.port), data)
        assert got == status, (name, head, body)
        assert json.loads(body)["errors"][0]["message"], body


def test_skopeo_there_and_back(ours, registry, busybox_layout, tmp_path, transfer):
    ours.push(busybox_layout, "a/b/busybox:1")
    subprocess.run(
        ["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"]
        + [f"docker://{ours.address}/a/b/busybox:1", f"docker://{registry.address}/from-kist:1"],
        check=True,
    )
    subprocess.run(
        ["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"]
        + [f"docker://{registry.address}/from-kist:1", f"docker://{ours.address}/back:1"],
        check=True,
    )
    digests = {
        ours.request("HEAD", f"/v2/{name}/manifests/1").headers["Docker-Content-Digest"]
        for name in ("a/b/busybox", "back")
    }
    assert len(digests) == 1
    child = transfer()
    child.run(action="pull", reference=f"{ours.address}/back:1")
    assert {child.end["digest"]} == digests


def test_chunks_and_ranges(ours):
    data = noise(20, 300_000)
    reply = ours.request("POST", "/v2/c/blobs/uploads/")
    assert reply.status == 202 and reply.headers["Range"] == "0-0"
    location = reply.headers["Location"]
    first = {"Content-Range": "0-99999", "Content-Type": "application/octet-stream"}
    reply = ours.request("PATCH", location, data[:100_000], first)
    assert reply.status == 202 and reply.headers["Range"] == "0-99999"
    reply = ours.request("PATCH", location, data[200_000:], {"Content-Range": "200000-299999"})
    assert reply.status == 416 and reply.headers["Range"] == "0-99999"
    reply = ours.request("GET", location)
    assert reply.status == 204 and reply.headers["Range"] == "0-99999"
    assert ours.request("PATCH", location, data[100_000:200_000]).status == 202
    reply = ours.request("PUT", f"{location}?digest={sha(data)}", data[200_000:])
    assert reply.status == 201
    blob = reply.headers["Location"]
    assert ours.request("GET", blob).data == data
    reply = ours.request("GET", blob, headers={"Range": "bytes=1000-1999"})
    assert reply.status == 206 and reply.data == data[1000:2000]
    assert reply.headers["Content-Range"] == "bytes 1000-1999/300000"
    assert ours.request("GET", blob, headers={"Range": "bytes=-5"}).data == data[-5:]
    assert ours.request("GET", blob, headers={"Range": "bytes=299999-999999"}).data == data[-1:]
    assert ours.request("GET", blob, headers={"Range": "bytes=300000-"}).status == 416
    assert ours.request("GET", location).status == 404


def test_wrong_digests_and_names(ours):
    data = b"some bytes"
    reply = ours.request("POST", f"/v2/w/blobs/uploads/?digest={sha(b'other')}", data)
    assert (reply.status, code_of(reply)) == (400, "DIGEST_INVALID")
    assert ours.request("HEAD", f"/v2/w/blobs/{sha(data)}").status == 404
    reply = ours.request("PUT", f"/v2/w/manifests/{sha(b'x')}", b'{"schemaVersion":2}', {"Content-Type": "a/b"})
    assert (reply.status, code_of(reply)) == (400, "DIGEST_INVALID")
    assert code_of(ours.request("GET", "/v2/UP/tags/list")) == "NAME_INVALID"
    assert code_of(ours.request("GET", "/v2/w/blobs/sha256:zz")) == "DIGEST_INVALID"
    assert code_of(ours.request("GET", "/v2/../../etc/blobs/sha256:zz")) in ("NAME_INVALID", "UNSUPPORTED")
    assert code_of(ours.request("PUT", "/v2/w/manifests/x", b"no json")) == "MANIFEST_INVALID"
    reply = ours.request("PUT", "/v2/w/manifests/x", b" " * (9 << 20))
    assert reply.status == 413


def test_manifests_need_their_blobs(ours):
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": ours.push_blob("other", b"{}"),
            "size": 2,
        },
        "layers": [],
    }
    body = json.dumps(manifest).encode()
    reply = ours.request("PUT", "/v2/m/manifests/1", body, {"Content-Type": manifest["mediaType"]})
    assert (reply.status, code_of(reply)) == (404, "MANIFEST_BLOB_UNKNOWN")
    reply = ours.request("POST", f"/v2/m/blobs/uploads/?mount={manifest['config']['digest']}&from=other")
    assert reply.status == 201
    reply = ours.request("PUT", "/v2/m/manifests/1", body, {"Content-Type": manifest["mediaType"]})
    assert reply.status == 201


def test_sparse_manifests_where_asked_for(tmp_root, program):
    server = KistRegistry(tmp_root / "r", program("kist-registry"), ["--sparse"])
    server.start()
    try:
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(b"c"), "size": 1},
            "layers": [],
        }
        reply = server.request(
            "PUT", "/v2/a/manifests/1", json.dumps(manifest).encode(), {"Content-Type": manifest["mediaType"]}
        )
        assert reply.status == 201
        assert server.request("GET", "/v2/a/manifests/1").data == json.dumps(manifest).encode()
        assert code_of(server.request("GET", f"/v2/a/blobs/{sha(b'c')}")) == "BLOB_UNKNOWN"
    finally:
        server.stop()


def test_tags_pages_and_deletion(ours):
    digest, data = ours.push_image("t", "v1")
    for tag in ("v3", "v2", "latest"):
        ours.push_image("t", tag)
    assert json.loads(ours.request("GET", "/v2/t/tags/list").data)["tags"] == ["latest", "v1", "v2", "v3"]
    reply = ours.request("GET", "/v2/t/tags/list?n=2")
    assert json.loads(reply.data)["tags"] == ["latest", "v1"]
    assert reply.headers["Link"] == '</v2/t/tags/list?n=2&last=v1>; rel="next"'
    reply = ours.request("GET", "/v2/t/tags/list?n=2&last=v1")
    assert json.loads(reply.data)["tags"] == ["v2", "v3"] and "Link" not in reply.headers
    assert ours.request("DELETE", "/v2/t/manifests/v2").status == 202
    assert ours.request("DELETE", "/v2/t/manifests/v2").status == 404
    assert ours.request("GET", f"/v2/t/manifests/{digest}").data == data
    assert ours.request("DELETE", f"/v2/t/manifests/{digest}").status == 202
    assert json.loads(ours.request("GET", "/v2/t/tags/list").data)["tags"] == []
    assert ours.request("GET", f"/v2/t/manifests/{digest}").status == 404
    assert json.loads(ours.request("GET", "/v2/_catalog").data) == {"repositories": []}


def test_bytes_go_with_their_last_repository(ours):
    digest = ours.push_blob("one", b"shared")
    ours.push_blob("two", b"shared")
    path = ours.root / "data/blobs" / digest.replace(":", "/")
    assert ours.request("DELETE", f"/v2/one/blobs/{digest}").status == 202
    assert ours.request("GET", f"/v2/one/blobs/{digest}").status == 404
    assert ours.request("GET", f"/v2/two/blobs/{digest}").data == b"shared"
    assert ours.request("DELETE", f"/v2/two/blobs/{digest}").status == 202
    assert not path.exists()


def test_referrers(ours):
    subject, data = ours.push_image("s", "1")
    descriptor = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": len(data)}
    for kind in ("a/sig", "a/sbom"):
        ours.push_image("s", f"for-{kind[2:]}", subject=descriptor, artifactType=kind, annotations={"k": kind})
    everything = json.loads(ours.request("GET", f"/v2/s/referrers/{subject}").data)["manifests"]
    assert sorted(entry["artifactType"] for entry in everything) == ["a/sbom", "a/sig"]
    reply = ours.request("GET", f"/v2/s/referrers/{subject}?artifactType=a/sig")
    assert reply.headers["OCI-Filters-Applied"] == "artifactType"
    entries = json.loads(reply.data)["manifests"]
    assert [entry["annotations"] for entry in entries] == [{"k": "a/sig"}]
    nothing = ours.request("GET", f"/v2/s/referrers/{sha(b'unknown')}")
    assert nothing.status == 200 and json.loads(nothing.data)["manifests"] == []


def test_kill_keeps_what_was_acknowledged(ours):
    data = noise(21, 2_000_000)
    digest, manifest = ours.push_image("k", "1", layer=data)
    location = ours.request("POST", "/v2/k/blobs/uploads/").headers["Location"]
    assert ours.request("PATCH", location, b"half").status == 202
    ours.kill()
    ours.start()
    assert ours.request("GET", "/v2/k/manifests/1").data == manifest
    assert ours.request("GET", f"/v2/k/blobs/{sha(data)}").data == data
    reply = ours.request("PATCH", location, b"other half")
    assert (reply.status, code_of(reply)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert not list((ours.root / "data/tmp").iterdir())


def test_a_second_registry_on_the_same_folder_is_refused(ours):
    second = subprocess.run(
        [ours.program, "--root", str(ours.root / "data"), "--listen", f"127.0.0.1:{free_port()}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1 and "in use by another process" in second.stderr
    third = subprocess.run(
        [ours.program, "--root", str(ours.root / "data2"), "--listen", ours.address],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert third.returncode == 1 and "in use" in third.stderr


def test_pushes_side_by_side(ours):
    blobs = [noise(100 + i, 400_000) for i in range(8)]
    failures = []

    def push(data):
        try:
            for name in ("p/a", "p/b"):
                location = ours.request("POST", f"/v2/{name}/blobs/uploads/").headers["Location"]
                ours.request("PATCH", location, data[:200_000])
                reply = ours.request("PUT", f"{location}?digest={sha(data)}", data[200_000:])
                assert reply.status == 201, reply.data
                assert hashlib.sha256(ours.request("GET", reply.headers["Location"]).data).digest()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=push, args=(data,)) for data in blobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for data in blobs:
        assert ours.request("GET", f"/v2/p/b/blobs/{sha(data)}").data == data


# ---- through kistd ----


@pytest.mark.parametrize("client", ["docker", "kist"])
def test_login_then_pull(daemon, locked_registry, client):
    run = getattr(daemon, client)
    image = f"{locked_registry.address}/img:1"
    denied = run("pull", image, check=False)
    assert denied.returncode == 1 and "no basic auth credentials" in denied.stderr
    wrong = run("login", "-u", "me", "--password-stdin", locked_registry.address, input="wrong", check=False)
    assert wrong.returncode == 1 and "401 Unauthorized" in wrong.stderr
    good = run("login", "-u", "me", "--password-stdin", locked_registry.address, input="secret")
    assert "Login Succeeded" in good.stdout
    assert f"Downloaded newer image for {image}" in run("pull", image).stdout
    assert f"Image is up to date for {image}" in run("pull", image).stdout
    run("logout", locked_registry.address)
    run("rmi", image)
    assert run("pull", image, check=False).returncode == 1


def test_run_an_image_of_our_own_registry(daemon, ours, busybox_layout):
    image = ours.push(busybox_layout, "team/busybox:1")
    daemon.docker("pull", image)
    assert daemon.docker("run", "--rm", "--network", "none", image, "echo", "from our registry").stdout == (
        "from our registry\n"
    )
