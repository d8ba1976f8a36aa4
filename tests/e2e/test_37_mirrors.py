# SPDX-License-Identifier: Apache-2.0
"""Mirrors and settings of registries: hosts.toml and registries.conf, for the engine and without one."""
import base64
import io
import json
import os
import subprocess
import tarfile

import pytest

from lib.daemon import Daemon
from lib.fake_registry import FakeRegistry, sha
from lib.transfer import Refused, Transfer

PLATFORM = {"architecture": "amd64", "os": "linux"}


def tar_of(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def fakes():
    servers = [FakeRegistry() for _ in range(3)]
    yield servers
    for server in servers:
        server.stop()


def put(*servers, files=None):
    for server in servers:
        manifest = server.add_image(["1"], [tar_of(**(files or {"f": b"x" * 3000}))])
    return manifest


def asked(server, kind):
    return [path for _, path, _ in server.requests if f"/{kind}/" in path]


@pytest.fixture
def pull(program, tmp_root):
    """A pull by kist-transfer with a certs.d and a registries.conf of the test's own."""
    (tmp_root / "certs.d").mkdir()

    def run(reference, hosts=None, registries=None, domain="origin.example", logins=None, **request):
        if hosts is not None:
            (tmp_root / "certs.d" / domain).mkdir(exist_ok=True)
            (tmp_root / "certs.d" / domain / "hosts.toml").write_text(hosts)
        (tmp_root / "registries.conf").write_text(registries or "")
        env = dict(os.environ, CONTAINERS_REGISTRIES_CONF=str(tmp_root / "registries.conf"), HOME=str(tmp_root))
        env = {key: value for key, value in env.items() if key not in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR")}
        for path, text in (logins or {}).items():
            (tmp_root / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_root / path).write_text(text)
        folder = tmp_root / f"layers{len(list(tmp_root.iterdir()))}"
        folder.mkdir()
        transfer = Transfer(program("kist-transfer"), folder, unpack=False, env=env)
        transfer.run(action="pull", reference=reference, platform=PLATFORM, certs=[str(tmp_root / "certs.d")], **request)
        return transfer

    return run


def test_hosts_in_order(pull, fakes):
    """The first has nothing, the second's layers are gone: each falls back to the next."""
    empty, broken, good = fakes
    manifest = put(broken, good)
    broken.blobs.clear()
    pull(
        "origin.example/team/img:1",
        hosts=f'server = "http://{good.address}"\n[host."http://{empty.address}"]\n[host."http://{broken.address}"]\n'
        f'[host."http://{broken.address}".header]\nx-from = "kist"\n',
    )
    assert asked(empty, "manifests") == ["/v2/team/img/manifests/1?ns=origin.example"]
    assert asked(broken, "manifests") == ["/v2/team/img/manifests/1?ns=origin.example"]
    assert asked(good, "manifests") == [] and len(asked(good, "blobs")) == 2 and "ns=" not in asked(good, "blobs")[0]
    assert all(headers.get("x-from") == "kist" for _, _, headers in broken.requests)
    assert not any("x-from" in headers for _, _, headers in good.requests) and manifest["layers"]


def test_capabilities_and_paths(pull, fakes):
    one, two, _ = fakes
    digest = sha(json.dumps(put(one, two)).encode())
    hosts = f"""server = "http://{two.address}"
[host."http://{one.address}/v2/prefix"]
capabilities = ["pull"]
override_path = true
"""
    pull("origin.example/team/img:1", hosts=hosts)
    # A tag's meaning is none of its business, blobs come from where the manifest was first.
    assert asked(one, "manifests") == [] and asked(two, "manifests") == ["/v2/team/img/manifests/1"]
    pull(f"origin.example/team/img@{digest}", hosts=hosts)
    assert asked(one, "manifests") == [f"/v2/prefix/team/img/manifests/{digest}?ns=origin.example"]


def test_a_mirror_that_is_down_or_lies(pull, fakes):
    down, liar, good = fakes
    down.stop()
    put(liar, good)
    for name in liar.blobs:
        liar.blobs[name] = b"y" * len(liar.blobs[name])
    pull(
        "origin.example/img:1",
        hosts=f'server = "http://{good.address}"\n[host."http://{down.address}"]\n[host."http://{liar.address}"]\n',
    )
    assert len(asked(liar, "blobs")) >= 1 and len(asked(good, "blobs")) == 2


def test_mirrors_that_lie_about_documents(pull, fakes):
    """A manifest under another's digest, in a list too, a page instead of one, wrong configs: the next one is asked."""
    first, second, good = fakes
    put(first, second, good)
    manifest = good.manifests["1"][1]
    entry = {"mediaType": good.manifests["1"][0], "digest": sha(manifest), "size": len(manifest), "platform": PLATFORM}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}
    for server in fakes:
        server.put_manifest(["list"], index, index["mediaType"])
    for liar in (first, second):
        liar.manifests[sha(manifest)] = (entry["mediaType"], manifest + b" ")
        for digest in liar.blobs:
            liar.blobs[digest] = b"{}"
    first.manifests["page"] = first.manifests["1"] = ("text/html", b"<html>log in first</html>")
    good.manifests["page"] = good.manifests["1"]
    hosts = f'server = "http://{good.address}"\n[host."http://{first.address}"]\n[host."http://{second.address}"]\n'
    for reference in (f"img@{sha(manifest)}", "img:list", "img:page", "img:1"):
        good.requests.clear()
        got = pull("origin.example/team/" + reference, hosts=hosts)
        assert got.documents["manifest"]["text"].encode() == manifest
        assert len(set(asked(good, "blobs"))) == 2, reference


def test_registries_conf(pull, fakes):
    mirror, other, good = fakes
    put(mirror, good)
    conf = f"""[[registry]]
prefix = "origin.example/team"
location = "{good.address}/moved"
insecure = true
[[registry.mirror]]
location = "{mirror.address}/cache"
insecure = true
[[registry.mirror]]
location = "{other.address}"
insecure = true
pull-from-mirror = "digest-only"
"""
    pull("origin.example/team/img:1", registries=conf)
    assert asked(mirror, "manifests") == ["/v2/cache/img/manifests/1"] and not good.requests and not other.requests
    mirror.manifests.clear()
    pull("origin.example/team/img:1", registries=conf)
    assert asked(good, "manifests") == ["/v2/moved/img/manifests/1"] and not asked(other, "manifests")
    with pytest.raises(Refused, match="registry origin.example is blocked"):
        pull("origin.example/x:1", registries='[[registry]]\nlocation = "origin.example"\nblocked = true\n')
    with pytest.raises(Refused, match="registries.conf: line 2: expected a value"):
        pull("origin.example/x:1", registries="[[registry]]\nlocation =\n")


def test_a_wrong_file_is_told_and_nobody_asked(pull, fakes):
    good = fakes[0]
    put(good)
    for text, words in (("server = 5\n", "expected a string"), ("[host", "line 1"), ('[host."https://m"]\nca = "no.pem"\n', "no.pem")):
        with pytest.raises(Refused, match=words):
            pull("origin.example/x:1", hosts=text)
    assert not good.requests


def test_certificates_of_a_mirror(pull, program, tmp_root):
    """ca and skip_verify of hosts.toml; without either the mirror is passed over."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=m", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", tmp_root / "key.pem", "-out", tmp_root / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    secure = FakeRegistry(tls=(tmp_root / "cert.pem", tmp_root / "key.pem"))
    try:
        put(secure)
        base = f'server = "https://{secure.address}"\n'
        pull("origin.example/img:1", hosts=base + f'ca = "{tmp_root}/cert.pem"\n')
        pull("origin.example/img:1", hosts=base + "skip_verify = true\n")
    finally:
        secure.stop()


def auths(**logins):
    return json.dumps({"auths": {host: {"auth": base64.b64encode(login.encode()).decode()} for host, login in logins.items()}})


def sent(server):
    return {headers.get("Authorization") for _, _, headers in server.requests} - {None}


def test_logins_of_mirrors(pull, fakes):
    """Each mirror its own, from the files of the machine's owner; the user's goes to the registry alone."""
    basic, bearer, good = fakes
    basic.login, bearer.login = "ann:one", "bob:two"
    bearer.token_server = f"http://{bearer.address}/token"
    put(bearer, good)
    hosts = f'server = "http://{good.address}"\n[host."http://{basic.address}"]\n[host."http://{bearer.address}"]\n'
    files = {
        ".config/containers/auth.json": auths(**{basic.address: basic.login}),
        ".docker/config.json": auths(**{bearer.address: bearer.login, basic.address: "eve:wrong"}),
    }
    pull("origin.example/img:1", hosts=hosts, logins=files, auth={"username": "user", "password": "secret"})
    # The first has no such image, the second has all of it.
    assert len(asked(basic, "manifests")) == 2 and asked(bearer, "blobs") and not good.requests
    assert sent(basic) == {"Basic " + base64.b64encode(b"ann:one").decode()}
    assert sent(bearer) == {"Basic " + base64.b64encode(b"bob:two").decode(), *bearer.tokens}
    # Without, both are passed over.
    for server in fakes:
        server.requests.clear()
    pull("origin.example/img:1", hosts=hosts, logins={path: "{}" for path in files}, auth={"username": "user", "password": "secret"})
    assert not asked(bearer, "blobs") and len(asked(good, "blobs")) == 2 and not sent(basic) and not sent(bearer)


def test_a_wrong_file_of_logins(pull, fakes):
    put(*fakes)
    hosts = f'server = "http://{fakes[1].address}"\n[host."http://{fakes[0].address}"]\n'
    for text, words in (("{", "auth.json: "), ('{"auths": {"%s": {"auth": "!"}}}' % fakes[0].address, "auth is not base64")):
        with pytest.raises(Refused, match=f"login for mirror {fakes[0].address}: .*{words}"):
            pull("origin.example/img:1", hosts=hosts, logins={".config/containers/auth.json": text})
    assert not any(server.requests for server in fakes)


def test_requests_left_are_told(daemon, fakes):
    """As Docker Hub says them."""
    put(fakes[0])
    fakes[0].extra = {"RateLimit-Remaining": "98;w=21600", "RateLimit-Limit": "100;w=21600"}
    assert "Requests left at the registry: 98 of 100" in daemon.kist("pull", f"{fakes[0].address}/img:1").stdout
    assert "98 of 100 requests left" in daemon.kist("image", "copy", f"docker://{fakes[0].address}/img:1", f"dir:{daemon.root}/out").stderr


def test_by_the_engine_and_without(fakes, tmp_root, program):
    mirror, _, _ = fakes
    put(mirror)
    (tmp_root / "registries.conf").write_text(
        f'[[registry]]\nprefix = "origin.example"\nlocation = "origin.example"\n[[registry.mirror]]\nlocation = "{mirror.address}"\ninsecure = true\n'
    )
    os.environ["CONTAINERS_REGISTRIES_CONF"] = str(tmp_root / "registries.conf")
    try:
        server = Daemon(tmp_root, program)
        server.start()
        server.kist("pull", "-q", "origin.example/img:1")
        assert server.inspect("origin.example/img:1")["RepoTags"] == ["origin.example/img:1"]
        server.kist("image", "copy", "-q", "docker://origin.example/img:1", f"dir:{tmp_root}/out")
        server.finish()
    finally:
        del os.environ["CONTAINERS_REGISTRIES_CONF"]
    assert sha((tmp_root / "out/manifest.json").read_bytes()) in mirror.manifests
