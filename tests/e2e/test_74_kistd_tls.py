# SPDX-License-Identifier: Apache-2.0
"""The API over tcp and TLS, with and without certificates of clients."""
import http.client
import socket
import ssl
import subprocess
import threading

import pytest

from lib.authority import Authority
from lib.daemon import Daemon
from lib.ports import free_port


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    ours, theirs = Authority(folder / "ours"), Authority(folder / "theirs")
    return {
        "server": ours.issue("server", "serverAuth"),
        "client": ours.issue("client", "clientAuth"),
        "stranger": theirs.issue("client", "clientAuth"),
        "wrong-use": ours.issue("wrong", "serverAuth"),
    }


@pytest.fixture
def server(tmp_root, program, pki):
    port = free_port()
    files = [f"--tls{name}={pki['server'] / file}" for name, file in (("cacert", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem"))]
    it = Daemon(tmp_root, program, ["-H", f"tcp://127.0.0.1:{port}", "--tlsverify", *files])
    it.port = port
    it.start()
    yield it
    it.finish()


def tls_docker(server, folder, *argv, **options):
    return server.docker("-H", f"tcp://127.0.0.1:{server.port}", "--tlsverify", "--tlscacert", folder / "ca.pem", "--tlscert",
                         folder / "cert.pem", "--tlskey", folder / "key.pem", *argv, **options)  # fmt: skip


def context(pki, client):
    made = ssl.create_default_context(cafile=pki["server"] / "ca.pem")
    if client:
        made.load_cert_chain(pki[client] / "cert.pem", pki[client] / "key.pem")
    return made


def get(server, pki, client, path="/_ping"):
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context(pki, client), timeout=30)
    connection.request("GET", path)
    return connection.getresponse().read()


def test_docker_works_through_tls(server, pki, registry):
    """Streams, a raw connection with half close, and big answers and bodies."""
    tls_docker(server, pki["client"], "pull", "-q", f"{registry.address}/busybox:latest")
    run = tls_docker(server, pki["client"], "run", "--rm", "-i", f"{registry.address}/busybox:latest", "sh", "-c",
                     "cat; echo done >&2; exit 7", input="x" * 300000, check=False)  # fmt: skip
    assert (run.returncode, run.stderr) == (7, "done\n")
    assert run.stdout == "x" * 300000


def test_many_clients_at_once(server, pki):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(get(server, pki, "client"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"OK"] * 20


@pytest.mark.parametrize("client", [None, "stranger", "wrong-use"])
def test_others_are_refused(server, pki, client):
    # With TLS 1.3 a client learns of it when it first reads.
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        get(server, pki, client)
    assert get(server, pki, "client") == b"OK"


def test_plain_http_is_told_so(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain:
        plain.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Client sent an HTTP request to an HTTPS server." in plain.makefile("rb").read()


def test_old_versions_are_refused(server, pki):
    run = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
                         input="", capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
    assert "alert protocol version" in run.stderr, run.stderr  # the server's word, not the client's own


def test_stops_while_clients_are_connected(server, pki):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as silent:
        with context(pki, "client").wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=30),
                                                server_hostname="127.0.0.1") as following:  # fmt: skip
            following.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in following.recv(64)
            server.stop()
            while following.recv(4096):
                pass
        assert silent.recv(1) == b""


def test_without_client_certificates(tmp_root, program, pki):
    port = free_port()
    it = Daemon(tmp_root, program, ["-H", f"tcp://127.0.0.1:{port}", "--tls", f"--tlscert={pki['server'] / 'cert.pem'}",
                                    f"--tlskey={pki['server'] / 'key.pem'}"])  # fmt: skip
    it.port = port
    it.start()
    assert get(it, pki, None) == b"OK"
    it.finish()


def test_unusable_files_are_named(tmp_root, program, pki):
    server = pki["server"]
    cases = [
        (server / "cert.pem", pki["client"] / "key.pem", server / "ca.pem", "client/key.pem"),
        (server / "none.pem", server / "key.pem", server / "ca.pem", "none.pem"),
        (server / "cert.pem", server / "key.pem", server / "ext", "server/ext"),
    ]
    for cert, key, authorities, named in cases:
        run = subprocess.run([program("kistd"), "--data-root", tmp_root / "d", "--exec-root", tmp_root / "x", "--bridge", "none",
                              "-H", f"tcp://127.0.0.1:{free_port()}", "--tlsverify", f"--tlscert={cert}", f"--tlskey={key}",
                              f"--tlscacert={authorities}"], capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
        assert run.returncode == 1
        assert named in run.stderr


def test_kist_speaks_tls(server, pki):
    """By options, by docker's environment, and by a context that has the files."""
    folder, host = pki["client"], f"tcp://127.0.0.1:{server.port}"
    files = [f"--tls{name}={folder / file}" for name, file in (("cacert", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem"))]
    want = f"{server.root}/d\n"
    info = ["info", "--format", "{{.DockerRootDir}}"]
    assert server.kist("-H", host, "--tlsverify", *files, *info).stdout == want
    assert server.kist("-H", host, "--tls", *files[1:], *info).stdout == want
    kept = dict(server.environment)
    try:
        for key in ("DOCKER_HOST", "KIST_HOST"):
            del server.environment[key]
        given = ",".join([f"host={host}"] + [f"{name}={folder / file}" for name, file in (("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem"))])
        server.kist("context", "create", "secure", "--docker", given)
        assert server.kist("-c", "secure", *info).stdout == want
        assert server.kist("context", "inspect", "secure", "-f", "{{.TLSMaterial.docker}}").stdout == "[ca.pem cert.pem key.pem]\n"
        exported = server.root / "secure.tar"
        server.kist("context", "export", "secure", exported)
        server.kist("context", "import", "again", exported)
        assert server.kist("-c", "again", *info).stdout == want
        server.environment |= {"DOCKER_HOST": host, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(folder)}
        assert server.kist(*info).stdout == want
    finally:
        server.environment = kept
    for name in ("stranger", "wrong-use"):
        wrong = [f"--tls{key}={pki[name] / file}" for key, file in (("cert", "cert.pem"), ("key", "key.pem"))]
        assert server.kist("-H", host, "--tlsverify", files[0], *wrong, *info, check=False).returncode == 1
    run = server.kist("-H", host, "--tlsverify", f"--tlscacert={pki['stranger'] / 'ca.pem'}", *files[1:], *info, check=False)
    assert run.returncode == 1 and "the certificate of 127.0.0.1" in run.stderr
