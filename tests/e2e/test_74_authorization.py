# SPDX-License-Identifier: Apache-2.0
"""Who may ask for what: policies of sockets, and docker's authorization plugins (an HTTP server of ours plays one)."""
import base64
import http.server
import json
import signal
import socketserver
import threading
import types

import pytest

from lib.daemon import Daemon
from lib.engine_api import Api
from lib.wait import wait_for


def start(tmp_root, program, options):
    server = Daemon(tmp_root, program, options)
    server.start()
    return server


def with_image(server, registry):
    server.docker("pull", "-q", f"{registry.address}/busybox:latest")
    server.docker("tag", f"{registry.address}/busybox:latest", "bb")


@pytest.fixture
def sockets(tmp_root, program, registry):
    """A kistd with a full socket, one to look, and one for plain containers; (server, as_watcher, as_user)."""
    watch, user = f"unix://{tmp_root}/watch.sock", f"unix://{tmp_root}/user.sock"
    (tmp_root / "shared").mkdir()
    (tmp_root / "tree" / "in").mkdir(parents=True)
    (tmp_root / "tree" / "out").symlink_to("/etc")
    policy = {
        watch: {"access": "read-only", "deny": ["GET /containers/{id...}/export"], "allow": ["POST /containers/{id...}/restart"]},
        user: {"access": "all", "bind-sources": [str(tmp_root / "shared"), f"{tmp_root}/tree/"]},
    }
    (tmp_root / "policy.json").write_text(json.dumps(policy))
    server = start(tmp_root, program, ["-H", watch, "-H", user, "--socket-policy", str(tmp_root / "policy.json")])
    with_image(server, registry)
    yield server, lambda *args: server.docker("-H", watch, *args, check=False), lambda *args: server.docker("-H", user, *args, check=False)
    server.finish()


def test_a_socket_to_look(sockets):
    server, watch, _ = sockets
    server.docker("run", "-d", "--name", "seen", "--privileged", "bb", "sleep", "1000")
    assert watch("ps", "--format", "{{.Names}}").stdout == "seen\n"
    assert watch("logs", "seen").returncode == 0
    assert watch("info").returncode == 0
    for command in (["run", "bb", "true"], ["rm", "-f", "seen"], ["exec", "seen", "true"], ["pull", "x"], ["stop", "seen"]):
        run = watch(*command)
        assert run.returncode != 0 and "the policy of this socket does not allow it (access read-only)" in run.stderr, (command, run)
    assert watch("attach", "seen").stderr == "unable to upgrade to tcp, received 403\n"
    assert 'denies "GET /containers/{id...}/export"' in watch("export", "seen").stderr
    assert server.inspect("seen")["State"]["Running"]


def test_a_socket_for_plain_containers(sockets, tmp_root):
    server, _, user = sockets
    assert user("run", "--rm", "-v", f"{tmp_root}/shared:/s", "-v", f"{tmp_root}/tree/in:/t", "-v", "named:/n", "bb", "true").returncode == 0
    refused = [
        (["--privileged"], "privileged containers"),
        (["--cap-add", "SYS_ADMIN"], "more capabilities"),
        (["--pid", "host"], "another PID namespace"),
        (["--network", "host"], "another network namespace"),
        (["--security-opt", "seccomp=unconfined"], "security options"),
        (["-v", "/:/host"], "to mount /"),
        (["-v", f"{tmp_root}/tree/out:/o"], "to mount"),
        (["--mount", "type=bind,src=/etc,dst=/e"], "to mount /etc"),
        (["--device", "/dev/null"], "devices"),
    ]
    for options, words in refused:
        run = user("run", "--rm", *options, "bb", "true")
        assert run.returncode == 125 and words in run.stderr, (options, run)
    # Neither may it get into what somebody else made.
    server.docker("run", "-d", "--name", "mighty", "--privileged", "bb", "sleep", "1000")
    server.docker("run", "-d", "--name", "plain", "bb", "sleep", "1000")
    assert user("exec", "plain", "true").returncode == 0
    for command in (["exec", "mighty", "true"], ["restart", "mighty"], ["rename", "mighty", "other"]):
        assert "does not allow privileged containers" in user(*command).stderr, command
    assert user("attach", "mighty").returncode == 1
    assert "privileged execs" in user("exec", "--privileged", "plain", "true").stderr
    assert user("rm", "-f", "plain").returncode == 0


def raw(path, method, target, body=b"", headers=()):
    """(status, text) of one request as it is written here."""
    connection = Api(types.SimpleNamespace(socket=path))
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in [("Content-Type", "application/json"), *headers, ("Content-Length", str(len(body)))]:
        if not (name == "Content-Length" and dict(headers).get("Transfer-Encoding")):
            connection.putheader(name, value)
    connection.endheaders(body)
    reply = connection.getresponse()
    text = reply.read().decode(errors="replace")
    connection.close()
    return reply.status, text


def chunked(body):
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


def test_ways_around_a_policy(sockets, tmp_root):
    """Each of these got further than the policy says once, or is what one would try."""
    server, _, _ = sockets
    user = tmp_root / "user.sock"
    host = server.docker("network", "inspect", "-f", "{{.Id}}", "host").stdout.strip()
    server.docker("volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device=/etc", "hostvol")
    server.docker("run", "-d", "--name", "mighty", "-v", "/etc:/host", "bb", "sleep", "1000")
    server.docker("run", "-d", "--name", "plain", "bb", "sleep", "1000")

    def create(config):
        return json.dumps({"Image": "bb", "HostConfig": config}).encode()

    mighty = create({"Privileged": True})
    refused = [
        ("POST", "/containers/create", mighty, [], "privileged"),
        ("POST", "/v1.24/containers/create", mighty, [], "privileged"),
        ("POST", "/%63ontainers/create", mighty, [], "privileged"),
        ("POST", "/containers/create?name=a&name=b#/_ping", mighty, [], "privileged"),
        ("POST", "/containers/create", chunked(mighty), [("Transfer-Encoding", "chunked")], "privileged"),
        ("POST", "/containers/create", create({"Privileged": False})[:-2] + b',"Privileged":true}}', [], "privileged"),
        ("POST", "/containers/create", b'{"Image":"bb","hostconfig":{"privileged":true}}', [], "privileged"),
        ("POST", "/containers/create", mighty, [("Connection", "Upgrade"), ("Upgrade", "tcp")], "privileged"),
        ("POST", "/containers/create", create({"NetworkMode": host}), [], "network namespace"),
        ("POST", "/containers/create", create({"NetworkMode": host[:12]}), [], "network namespace"),
        ("POST", "/containers/create", create({"Binds": ["hostvol:/x"]}), [], "to mount /etc"),
        ("POST", "/containers/create", create({"Mounts": [{"Type": "volume", "Source": "hostvol", "Target": "/x"}]}), [], "to mount /etc"),
        ("POST", "/containers/create", create({"Binds": [f"{tmp_root}/tree/../tree/out:/x"]}), [], "to mount"),
        ("POST", "/containers/create", create({"Annotations": {"org.criu.config": "/tmp/x"}}), [], "annotations"),
        ("POST", "/containers/create", create({"LogConfig": {"Type": "fluentd", "Config": {"fluentd-address": f"unix://{server.socket}"}}}), [], "socket of the host"),
        ("POST", "/networks/create", b'{"Name":"mv","driver":"macvlan"}', [], "networks of driver macvlan"),
        ("POST", "/volumes/create", b'{"Name":"v","driveropts":{"device":"/"}}', [], "driver options"),
        ("POST", "/volumes/create", b'{"Name":"v","driver":"far"}', [], "volumes of plugins"),
        ("POST", "/containers/create", create({"VolumeDriver": "far", "Binds": ["v:/x"]}), [], "volumes of plugins"),
        ("POST", "/containers/create", create({"Mounts": [{"Type": "volume", "Target": "/x", "VolumeOptions": {"DriverConfig": {"Name": "far"}}}]}), [], "volumes of plugins"),
        ("POST", f"/build?networkmode={host}", b"", [], "another network"),
        ("POST", "/build?networkmode=none&networkmode=host&securityopt=seccomp%3Dunconfined", b"", [], "security options"),
        ("POST", "/containers/mighty/exec", b'{"Cmd":["true"]}', [], "to mount /etc"),
        ("GET", "/containers/mighty/archive?path=/host/passwd", b"", [], "to mount /etc"),
        ("HEAD", "/containers/mighty/archive?path=/host/passwd", b"", [], ""),
        ("PUT", "/containers/mighty/archive?path=/host", b"", [], "to mount /etc"),
        ("POST", "/containers/plain/start?checkpoint=c1&checkpoint-dir=/tmp", b"", [], "folder of the host"),
        ("POST", "/containers/plain/checkpoints", b'{"CheckpointID":"c1","checkpointdir":"/tmp"}', [], "folder of the host"),
        ("GET", "/containers/plain/checkpoints?dir=/tmp", b"", [], "folder of the host"),
        ("DELETE", "/containers/plain/checkpoints/c1?dir=/tmp", b"", [], "folder of the host"),
        ("POST", "/session", b"", [("Connection", "Upgrade"), ("Upgrade", "h2c")], "/session"),
        ("POST", "/v1.51/grpc", b"", [("Connection", "Upgrade"), ("Upgrade", "h2c")], "/grpc"),
    ]
    for method, target, body, headers, words in refused:
        status, text = raw(user, method, target, body, headers)
        assert status == 403 and words in text, (method, target, body, status, text)
    # Other spellings are no other names for anything.
    for target in ("//containers/create", "/v1.41/v1.41/containers/create", "/./containers/create", "/containers/create/", "/CONTAINERS/create"):
        status, text = raw(user, "POST", target, mighty)
        assert status == 404, (target, status, text)
    assert sorted(server.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()) == ["mighty", "plain"]


def test_a_build_stays_in_its_network(sockets, tmp_root):
    server, _, user = sockets
    folder = tmp_root / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM bb\nRUN --network=host true\n")
    server.environment["DOCKER_BUILDKIT"] = "0"
    run = user("build", str(folder))
    assert run.returncode != 0 and "does not allow RUN --network=host" in run.stdout + run.stderr
    (folder / "Dockerfile").write_text("FROM bb\nRUN --network=none true\n")
    run = user("build", str(folder))
    assert run.returncode == 0, run


def test_a_bind_stays_below_its_folder_at_every_start(sockets, tmp_root):
    """The container itself can write in the folder: it must not choose what is bound when it starts again."""
    server, _, user = sockets
    secret = tmp_root / "secret"
    secret.mkdir()
    (secret / "key").write_text("hidden")
    (tmp_root / "tree" / "file").write_text("seen")
    (tmp_root / "tree" / "in" / "key").write_text("seen")
    for source, shown in (("in", "/t"), ("file", "/f")):
        name = f"c-{source}"
        assert user("create", "--name", name, "-v", f"{tmp_root}/tree/{source}:{shown}", "bb", "sh", "-c", f"cat {shown}/key {shown}").returncode == 0
        assert server.docker("start", "-a", name, check=False).stdout == "seen"
        path = tmp_root / "tree" / source
        path.rename(tmp_root / "tree" / f"{source}.old")
        path.symlink_to(secret if source == "in" else secret / "key")
        assert "to mount" in user("start", name).stderr
        # Not even for those who may everything: the engine's own restarts ask nobody either.
        run = server.docker("start", "-a", name, check=False)
        assert run.returncode != 0 and "hidden" not in run.stdout, run


def test_a_policy_is_read_again(sockets, tmp_root):
    server, watch, _ = sockets
    file = tmp_root / "policy.json"
    policy = json.loads(file.read_text())
    policy[f"unix://{tmp_root}/watch.sock"] = {"access": "none", "allow": ["GET /version"]}
    file.write_text(json.dumps(policy))
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "access none" in watch("ps").stderr, "the new policy")
    assert watch("version").returncode == 0
    policy[f"unix://{tmp_root}/nobody.sock"] = {"access": "all"}
    file.write_text(json.dumps(policy))
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "is none of the --host addresses" in server.log.read_text(), "the refusal")
    assert "access none" in watch("ps").stderr


class Plugin(socketserver.ThreadingUnixStreamServer):
    """Denies what its `denies` says; keeps what it was asked."""

    daemon_threads = True

    def __init__(self, folder, name):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.sock"
        self.asked = []
        self.denies = lambda path, question: None
        super().__init__(str(self.path), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()
        self.path.unlink(missing_ok=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, question))
        why = self.server.denies(self.path, question)
        body = json.dumps(why if isinstance(why, dict) else {"Allow": why is None, "Msg": why or ""}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def plugin(tmp_root):
    plugin = Plugin(tmp_root / "plugins", "authz")
    yield plugin
    plugin.close()


def test_authorization_plugin(tmp_root, program, registry, plugin):
    name = plugin.path.stem
    server = start(tmp_root, program, ["--authorization-plugin", name, "--plugin-dir", str(plugin.path.parent)])
    with_image(server, registry)
    plugin.asked.clear()
    assert server.docker("run", "--rm", "--name", "ok-container", "bb", "echo", "hi").stdout == "hi\n"
    asked = [(path, question) for path, question in plugin.asked if "/containers/create" in question["RequestUri"]]
    assert [path for path, _ in asked] == ["/AuthZPlugin.AuthZReq", "/AuthZPlugin.AuthZRes"]
    question = asked[0][1]
    assert question["RequestMethod"] == "POST" and question["RequestUri"].endswith("create?name=ok-container")
    assert json.loads(base64.b64decode(question["RequestBody"]))["Image"] == "bb"
    assert question["RequestHeaders"]["Content-Type"] == "application/json"
    assert asked[1][1]["ResponseStatusCode"] == 201 and "Id" in json.loads(base64.b64decode(asked[1][1]["ResponseBody"]))
    assert json.loads(server.docker("info", "--format", "{{json .Plugins.Authorization}}").stdout) == [name]

    plugin.denies = lambda path, question: "not today" if question["RequestMethod"] == "DELETE" else None
    server.docker("create", "--name", "kept", "bb")
    run = server.docker("rm", "kept", check=False)
    assert run.stderr == f"Error response from daemon: authorization denied by plugin {name}: not today\n"
    plugin.denies = lambda path, question: "secret" if path.endswith("AuthZRes") and "/json" in question["RequestUri"] else None
    run = server.docker("inspect", "--type", "container", "kept", check=False)
    assert "authorization denied by plugin" in run.stderr and "HostConfig" not in run.stdout
    plugin.denies = lambda path, question: {"Allow": True, "Err": "on fire"}
    assert f"plugin {name} failed with error: on fire" in server.docker("ps", check=False).stderr
    # One that does not answer allows nothing.
    plugin.close()
    assert f"plugin {name} failed with error" in server.docker("ps", check=False).stderr
    plugin.__init__(plugin.path.parent, name)
    assert server.docker("ps", "-a", "--format", "{{.Names}}").stdout == "kept\n"
    server.finish()
