# SPDX-License-Identifier: Apache-2.0
"""kist-registry as a server: users, tokens, rules, TLS, what it collects, what it tells."""
import base64
import json
import subprocess
import threading
import time
import urllib.parse

import pytest

from lib.kist_registry import KistRegistry, sha
from lib.ports import free_port
from lib.wait import wait_for


def write_config(folder, **options):
    path = folder / "registry.json"
    path.write_text(json.dumps(options))
    return path


def htpasswd(folder, **users):
    path = folder / "users"
    lines = [subprocess.check_output(["htpasswd", "-Bbn", *pair], text=True).strip() for pair in users.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def serve(start_registry):
    """serve(options...) starts a registry with a configuration file of these options."""
    return lambda **options: start_registry(options)


def code_of(reply):
    return json.loads(reply.data)["errors"][0]["code"]


# ---- configuration ----


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "registry.json: "),
        ('{"rot": "/x"}', 'registry.json: unknown option "rot"'),
        ('{"auth": {"rules": [{"repository": "*", "actions": ["pull"], "user": []}]}}', 'unknown option "auth.rules[0].user"'),
        ('{"root": 5}', "root: expected"),
        ('{"listen": ["127.0.0.1:0"], "log-level": "loud"}', 'log-level: "loud" is none of'),
        ('{"auth": {"token": true}}', "auth.token needs auth.htpasswd"),
        ('{"auth": {"htpasswd": "/x", "rules": [{"repository": "*", "actions": ["fly"], "users": ["*"]}]}}', '"fly" is none of'),
        ('{"auth": {"htpasswd": "/x", "rules": [{"repository": "*", "actions": ["pull"]}]}}', "is for nobody"),
        ('{"tls": {"certificate": "/x"}}', "belong together"),
        ('{"garbage": {"interval": 0}}', "are seconds"),
    ],
    ids=lambda value: value[:12] if value.startswith("{") else "",
)  # fmt: skip
def test_bad_configuration(tmp_root, program, text, words):
    path = tmp_root / "registry.json"
    path.write_text(text)
    run = subprocess.run(
        [program("kist-registry"), "--config", str(path), "--validate"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2 and words in run.stderr, run.stderr


def test_htpasswd_must_be_bcrypt(tmp_root, program):
    (tmp_root / "users").write_text("me:$apr1$x$y\n")
    run = subprocess.run(
        [program("kist-registry"), "--root", str(tmp_root / "r"), "--htpasswd", str(tmp_root / "users")]
        + ["--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1 and "line 1 is not user:bcrypt-hash" in run.stderr


# ---- users and rules ----


RULES = [
    {"repository": "public/*", "anonymous": True, "actions": ["pull"]},
    {"repository": "team/*", "users": ["ann"], "actions": ["*"]},
    {"repository": "team/*", "users": ["bob"], "actions": ["pull"]},
    {"repository": "*", "users": ["admin"], "actions": ["*"]},
    {"repository": "*", "users": ["*"], "actions": []},
]


def test_basic_users_and_rules(serve, tmp_root):
    server = serve(auth={"htpasswd": str(htpasswd(tmp_root, ann="a", bob="b", admin="x")), "rules": RULES[1:]})
    ann, bob, admin = basic("ann", "a"), basic("bob", "b"), basic("admin", "x")

    def push(name, who):
        return server.request("POST", f"/v2/{name}/blobs/uploads/?digest={sha(b'data')}", b"data", who)

    def pull(name, who=None):
        return server.request("GET", f"/v2/{name}/blobs/{sha(b'data')}", headers=who).status

    assert push("team/web", ann).status == 201
    assert push("team/web", bob).status == 403
    refused = push("team/web", {})
    assert refused.status == 401 and refused.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert push("other", ann).status == 403
    assert push("public/a", admin).status == 201
    assert pull("public/a") == 401 and pull("public/a", ann) == 403 and pull("public/a", admin) == 200
    assert pull("team/web", bob) == 200 and pull("team/web", basic("bob", "wrong")) == 401
    assert pull("team/web", basic("nobody", "b")) == 401
    assert pull("team/web", {"Authorization": "Basic !!!"}) == 401
    assert pull("team/web", {"Authorization": "Bearer a.b.c"}) == 401
    # What one may not pull, one may not mount either.
    mount = f"?mount={sha(b'data')}&from=team/web"
    assert server.request("POST", f"/v2/public/b/blobs/uploads/{mount}", b"", admin).status == 201
    assert server.request("POST", f"/v2/public/c/blobs/uploads/{mount}", b"", bob).status == 403
    # bob may delete nothing; the catalog shows what one may see.
    assert server.request("DELETE", f"/v2/team/web/blobs/{sha(b'data')}", headers=bob).status == 403
    assert server.request("DELETE", f"/v2/team/web/blobs/{sha(b'data')}", headers=ann).status == 202
    # A user who is taken out of the file is out.
    htpasswd(tmp_root, ann="a")
    time.sleep(0.01)
    assert pull("public/a", bob) == 401


def test_catalog_shows_what_one_may_see(serve, tmp_root):
    # The first rule that fits decides: the administrator's goes before the public one.
    rules = [RULES[3], *RULES]
    server = serve(auth={"htpasswd": str(htpasswd(tmp_root, ann="a", admin="x")), "rules": rules})
    admin = basic("admin", "x")
    for name in ("public/one", "secret/two", "team/three"):
        for data in (b"{}", b"l"):
            server.request("POST", f"/v2/{name}/blobs/uploads/?digest={sha(data)}", data, admin)
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(b"{}"), "size": 2},
            "layers": [],
        }
        headers = {"Content-Type": manifest["mediaType"], **admin}
        assert server.request("PUT", f"/v2/{name}/manifests/1", json.dumps(manifest).encode(), headers).status == 201
    names = lambda who: json.loads(server.request("GET", "/v2/_catalog", headers=who).data)["repositories"]  # noqa: E731
    assert names(admin) == ["public/one", "secret/two", "team/three"]
    assert names(basic("ann", "a")) == ["public/one", "team/three"]
    assert names({}) == ["public/one"]
    page = server.request("GET", "/v2/_catalog?n=1", headers=basic("ann", "a"))
    assert json.loads(page.data)["repositories"] == ["public/one"] and "last=public/one" in page.headers["Link"]


def test_tokens(serve, tmp_root):
    server = serve(auth={"htpasswd": str(htpasswd(tmp_root, ann="a", bob="b")), "rules": RULES, "token": True})
    challenge = server.request("GET", "/v2/").headers["WWW-Authenticate"]
    assert challenge == f'Bearer realm="http://{server.address}/token",service="kist-registry"'
    refused = server.request("POST", "/v2/team/web/blobs/uploads/", b"")
    assert 'scope="repository:team/web:pull,push"' in refused.headers["WWW-Authenticate"]

    def token(who, scope, **more):
        query = urllib.parse.urlencode({"service": "kist-registry", "scope": scope, **more})
        return server.request("GET", f"/token?{query}", headers=who)

    def bearer(reply):
        return {"Authorization": "Bearer " + json.loads(reply.data)["token"]}

    def push(who):
        return server.request("POST", f"/v2/team/web/blobs/uploads/?digest={sha(b'x')}", b"x", who)

    ann = bearer(token(basic("ann", "a"), "repository:team/web:pull,push"))
    assert push(ann).status == 201
    # What bob may not is left out, without an error; so is what another token is for.
    bob = bearer(token(basic("bob", "b"), "repository:team/web:pull,push"))
    again = push(bob)
    assert again.status == 401 and 'error="insufficient_scope"' in again.headers["WWW-Authenticate"]
    assert server.request("GET", f"/v2/team/web/blobs/{sha(b'x')}", headers=bob).status == 200
    assert server.request("GET", f"/v2/team/other/blobs/{sha(b'x')}", headers=bob).status == 401
    assert token(basic("ann", "wrong"), "repository:team/web:pull").status == 401
    anonymous = bearer(token({}, "repository:public/x:pull,push"))
    assert server.request("GET", f"/v2/public/x/blobs/{sha(b'x')}", headers=anonymous).status == 404
    # A token that was changed is none, and one that says it needs no signature neither.
    head, body, signature = ann["Authorization"][7:].split(".")
    changed = base64.urlsafe_b64encode(
        base64.urlsafe_b64decode(body + "==").replace(b'"ann"', b'"bob"')
    ).decode().rstrip("=")  # fmt: skip
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for forged in (f"{head}.{changed}.{signature}", f"{none}.{body}.", f"{none}.{body}.{signature}", f"{head}.{body}"):
        assert push({"Authorization": f"Bearer {forged}"}).status == 401
    # OAuth2: a password, then the refresh token.
    form = {"grant_type": "password", "username": "ann", "password": "a", "access_type": "offline"}
    form["scope"] = "repository:team/web:push"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    first = server.request("POST", "/token", urllib.parse.urlencode(form), kind)
    refresh = json.loads(first.data)["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refresh, "scope": "repository:team/web:push"}
    second = server.request("POST", "/token", urllib.parse.urlencode(form), kind)
    assert push(bearer(second)).status == 201
    assert push({"Authorization": f"Bearer {refresh}"}).status == 401
    assert server.request("POST", "/token", "grant_type=fly", kind).status == 400
    # They outlive a restart.
    server.stop()
    server.start()
    assert push(ann).status == 201


@pytest.mark.parametrize("token", [False, True])
def test_clients_log_in(serve, tmp_root, busybox_layout, token):
    server = serve(auth={"htpasswd": str(htpasswd(tmp_root, ann="a")), "rules": RULES[0 if token else 1 :], "token": token})
    target = f"docker://{server.address}/team/bb:1"
    copy = ["skopeo", "copy", "-q", "--dest-tls-verify=false", "--src-tls-verify=false"]
    run = subprocess.run([*copy, f"oci:{busybox_layout}:busybox", target], capture_output=True, text=True, check=False)
    assert run.returncode != 0 and ("unauthorized" in run.stderr or "access to the resource is denied" in run.stderr)
    subprocess.run([*copy, "--dest-creds", "ann:a", f"oci:{busybox_layout}:busybox", target], check=True, timeout=60)
    subprocess.run([*copy, "--src-creds", "ann:a", target, f"dir:{tmp_root}/back"], check=True, timeout=60)
    # A stranger reads what is public, and nothing else.
    public = [*copy, "--dest-creds", "ann:a", f"oci:{busybox_layout}:busybox", f"docker://{server.address}/public/bb:1"]
    assert subprocess.run(public, capture_output=True, check=False).returncode != 0


def test_docker_and_ours_log_in(daemon, serve, tmp_root, registry):
    server = serve(auth={"htpasswd": str(htpasswd(tmp_root, ann="a")), "rules": RULES, "token": True})
    name = f"{server.address}/team/bb:1"
    daemon.docker("pull", "-q", f"{registry.address}/busybox:1")
    daemon.docker("tag", f"{registry.address}/busybox:1", name)
    assert daemon.docker("push", name, check=False).returncode == 1
    assert daemon.docker("login", "-u", "ann", "-p", "wrong", server.address, check=False).returncode == 1
    daemon.kist("login", "-u", "ann", "--password-stdin", server.address, input="a")
    assert "Pushed" in daemon.docker("push", name).stdout
    daemon.docker("rmi", "-f", name, f"{registry.address}/busybox:1")
    daemon.kist("pull", "-q", name)


# ---- TLS ----


def make_certificates(folder):
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "2")  # fmt: skip
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")  # fmt: skip
        (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", f"{name}.crt", "-extfile", "ext")  # fmt: skip


@pytest.mark.parametrize("mutual", [False, "file", "flags"])
def test_tls(tmp_root, program, mutual, busybox_layout):
    make_certificates(tmp_root)
    tls = {"certificate": str(tmp_root / "server.crt"), "key": str(tmp_root / "server.key")}
    if mutual:
        tls["client-authorities"] = str(tmp_root / "ca.crt")
    port = free_port()
    flags = [word for name, path in tls.items() for word in (f"--tls-{name}", path)] if mutual == "flags" else []
    path = write_config(tmp_root, **({} if flags else {"tls": tls}), root=str(tmp_root / "r"), listen=[f"127.0.0.1:{port}"])
    server = subprocess.Popen([program("kist-registry"), "--config", str(path), *flags], stderr=subprocess.PIPE, text=True)
    try:
        while "registry is ready" not in server.stderr.readline():
            assert server.poll() is None
        certificates = tmp_root / "certs"
        certificates.mkdir()
        (certificates / "ca.crt").write_bytes((tmp_root / "ca.crt").read_bytes())
        copy = ["skopeo", "copy", "-q", "--dest-cert-dir", str(certificates), f"oci:{busybox_layout}:busybox"]
        target = f"docker://127.0.0.1:{port}/bb:1"
        if mutual:
            assert subprocess.run([*copy, target], capture_output=True, check=False).returncode != 0
            (certificates / "client.cert").write_bytes((tmp_root / "client.crt").read_bytes())
            (certificates / "client.key").write_bytes((tmp_root / "client.key").read_bytes())
        subprocess.run([*copy, target], check=True, timeout=60)
    finally:
        server.terminate()
        server.wait(120)
        server.stderr.close()


# ---- collection ----


def test_collection_beside_pushes(serve):
    """What no manifest needs goes, while pushes run; what one needs never does."""
    server = serve(garbage={"interval": 1, "delay": 1, "untagged": True})
    orphan = server.push_blob("orphans", b"nobody needs me")
    problems = []
    kept = {}

    def push(worker):
        for number in range(25):
            name = f"busy/{worker}"
            layer = f"{worker}-{number}".encode() * 100
            try:
                kept[worker], _ = server.push_image(name, "moving", layer=layer)
                reply = server.request("GET", f"/v2/{name}/blobs/{sha(layer)}")
                assert reply.status == 200 and reply.data == layer
            except AssertionError as problem:
                problems.append((worker, number, problem))
            time.sleep(0.05)

    workers = [threading.Thread(target=push, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not problems, problems[0]
    wait_for(lambda: server.request("GET", f"/v2/orphans/blobs/{orphan}").status == 404)
    folder = server.root / "data/blobs/sha256"
    # Of each worker's 25 images one is tagged: its manifest and layer, and the config they share.
    wait_for(lambda: len(list(folder.iterdir())) == 4 * 2 + 1, lambda: f"{len(list(folder.iterdir()))} blobs to be 9")
    for worker, digest in kept.items():
        manifest = json.loads(server.request("GET", f"/v2/busy/{worker}/manifests/moving").data)
        assert sha(server.request("GET", f"/v2/busy/{worker}/manifests/{digest}").data) == digest
        for layer in manifest["layers"]:
            assert server.request("GET", f"/v2/busy/{worker}/blobs/{layer['digest']}").status == 200


def test_collection_keeps_what_is_referred_to(serve):
    """Without a tag, but named by an index, or speaking of an image that is there."""
    # Pushed while nothing is collected: without a delay the child would go before its index comes.
    server = serve()
    index_type = "application/vnd.oci.image.index.v1+json"
    digest, data = server.push_image("i", "tmp", layer=b"child")
    child = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": len(data)}
    index = json.dumps({"schemaVersion": 2, "mediaType": index_type, "manifests": [child]}).encode()
    assert server.request("PUT", "/v2/i/manifests/1", index, {"Content-Type": index_type}).status == 201
    server.request("DELETE", "/v2/i/manifests/tmp")
    subject = {"mediaType": index_type, "digest": sha(index), "size": len(index)}
    referrer, _ = server.push_image("i", "signature", layer=b"sig", subject=subject)
    server.request("DELETE", "/v2/i/manifests/signature")
    server.stop()
    server = serve(garbage={"interval": 1, "delay": 0, "untagged": True})
    time.sleep(2.5)
    assert server.request("GET", f"/v2/i/manifests/{digest}").status == 200
    assert server.request("GET", f"/v2/i/blobs/{sha(b'child')}").status == 200
    assert server.request("GET", f"/v2/i/manifests/{referrer}").status == 200
    server.request("DELETE", f"/v2/i/manifests/{sha(index)}")
    wait_for(lambda: server.request("GET", f"/v2/i/blobs/{sha(b'sig')}").status == 404)
    wait_for(lambda: not list((server.root / "data/blobs/sha256").iterdir()))


def test_a_database_of_before(tmp_root, program):
    """Manifests that were pushed to a registry that kept no account of what they need are read once."""
    server = KistRegistry(tmp_root / "r", program("kist-registry"))
    server.start()
    server.push_image("old", "1", layer=b"old layer")
    server.stop()
    import sqlite3

    with sqlite3.connect(tmp_root / "r/data/registry.db") as database:
        database.execute("DELETE FROM need")
        database.execute("UPDATE manifest SET scanned = 0")
        database.execute("UPDATE blob SET created_ns = 0")
    database.close()
    server.options = ["--config", str(write_config(tmp_root, garbage={"interval": 1, "delay": 0}))]
    server.start()
    try:
        time.sleep(1.5)
        assert server.request("GET", f"/v2/old/blobs/{sha(b'old layer')}").status == 200
    finally:
        server.stop()


# ---- modes and what is told ----


def test_read_only(serve, tmp_root, program):
    server = serve()
    server.push_image("a", "1")
    server.stop()
    server.options = ["--read-only"]
    server.start()
    assert server.request("GET", "/v2/a/manifests/1").status == 200
    for method, path in (("POST", "/v2/a/blobs/uploads/"), ("PUT", "/v2/a/manifests/2"), ("DELETE", "/v2/a/manifests/1")):
        reply = server.request(method, path, b"")
        assert (reply.status, code_of(reply)) == (405, "UNSUPPORTED")
    assert server.request("GET", "/v2/a/manifests/1").status == 200


def test_metrics_and_access_log(serve, tmp_root):
    users = htpasswd(tmp_root, ann="a")
    server = serve(metrics=True, **{"access-log": True, "log-format": "json", "auth": {"htpasswd": str(users)}})
    data = {**basic("ann", "a")}
    assert server.request("POST", f"/v2/m/blobs/uploads/?digest={sha(b'm')}", b"m", data).status == 201
    assert server.request("GET", f"/v2/m/blobs/{sha(b'm')}", headers=data).status == 200
    server.request("GET", "/v2/")
    text = server.request("GET", "/metrics").data.decode()
    assert 'kist_registry_requests_total{method="POST",status="2xx"} 1' in text
    assert "kist_registry_blobs 1" in text and "# TYPE kist_registry_request_seconds histogram" in text
    lines = [json.loads(line) for line in (server.root / "log").read_text().splitlines()]
    [entry] = [line for line in lines if line.get("path") == f"/v2/m/blobs/{sha(b'm')}"]
    assert (entry["method"], entry["status"], entry["bytes"], entry["user"]) == ("GET", "200", "1", "ann")
    assert [line["status"] for line in lines if line.get("path") == "/v2/"][-1] == "401"
    assert "Basic" not in (server.root / "log").read_text()


def test_no_metrics_unless_asked_for(serve):
    assert serve().request("GET", "/metrics").status == 404
