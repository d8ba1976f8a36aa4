# SPDX-License-Identifier: Apache-2.0
"""What docker-py's own tests ask of an engine beyond the command line: links, endpoint options, old build parameters."""
import json
import tarfile
import io
import urllib.parse

import pytest

from lib.raw_http import last_answer
from lib.wait import wait_for


@pytest.fixture(scope="module")
def engine(shared_daemon, registry):
    shared_daemon.docker("pull", "-q", f"{registry.address}/busybox:latest")
    shared_daemon.docker("tag", f"{registry.address}/busybox:latest", "legacy-bb")
    return shared_daemon


def call(daemon, method, path, body=None, kind="application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    head = f"{method} /v1.45{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
    status, head, answer = last_answer(str(daemon.socket), head.encode() + data)
    if "transfer-encoding: chunked" in head:
        whole = b""
        while answer:
            size, _, answer = answer.partition(b"\r\n")
            whole, answer = whole + answer[: int(size, 16)], answer[int(size, 16) + 2 :]
        answer = whole
    return status, answer


def test_links_on_the_default_bridge(engine):
    engine.docker("run", "-d", "--name", "lk-db", "-e", "FOO=1", "--expose", "5432", "--expose", "80/udp", "legacy-bb", "sleep", "1000")
    address = engine.inspect("lk-db")["NetworkSettings"]["IPAddress"]
    engine.docker("run", "-d", "--name", "lk-app", "--link", "lk-db:my-db", "legacy-bb", "sh", "-c", "env; echo that is all; sleep 1000")
    said = engine.docker("exec", "lk-app", "cat", "/etc/hosts").stdout
    assert f"{address}\tmy-db" in said
    wait_for(lambda: "that is all" in engine.docker("logs", "lk-app").stdout, "its variables")
    env = engine.docker("logs", "lk-app").stdout.splitlines()
    for line in (
        "MY_DB_NAME=/lk-app/my-db",
        "MY_DB_ENV_FOO=1",
        f"MY_DB_PORT=tcp://{address}:5432",
        f"MY_DB_PORT_5432_TCP=tcp://{address}:5432",
        f"MY_DB_PORT_5432_TCP_ADDR={address}",
        "MY_DB_PORT_80_UDP_PROTO=udp",
    ):
        assert line in env, (line, env)
    assert not any(line.startswith("MY_DB_ENV_PATH") for line in env)
    assert engine.docker("rm", "--link", "lk-app/nosuch", check=False).returncode == 1
    engine.docker("rm", "--link", "lk-app/my-db")
    assert not engine.inspect("lk-app")["HostConfig"]["Links"]
    assert "my-db" not in engine.docker("exec", "lk-app", "cat", "/etc/hosts").stdout
    assert engine.inspect("lk-db")["State"]["Running"]
    engine.docker("rm", "-f", "lk-db", "lk-app")


def test_settings_of_an_endpoint(engine):
    endpoint = {"DriverOpts": {"com.example.setting": "on"}, "IPAMConfig": {"LinkLocalIPs": ["169.254.8.8"]}}
    body = {"Image": "legacy-bb", "Cmd": ["sleep", "1000"], "NetworkingConfig": {"EndpointsConfig": {"bridge": endpoint}}}
    body["HostConfig"] = {"NetworkMode": "bridge"}
    status, answer = call(engine, "POST", "/containers/create?name=ep-one", body)
    assert status == 201, answer
    engine.docker("start", "ep-one")
    shown = engine.inspect("ep-one")["NetworkSettings"]["Networks"]["bridge"]
    assert shown["DriverOpts"] == {"com.example.setting": "on"} and shown["IPAMConfig"]["LinkLocalIPs"] == ["169.254.8.8"]
    assert "169.254.8.8/16" in engine.docker("exec", "ep-one", "ip", "addr").stdout
    endpoint["IPAMConfig"]["LinkLocalIPs"] = ["nonsense"]
    status, answer = call(engine, "POST", "/containers/create", body)
    assert status == 400 and b"invalid link-local IP address: nonsense" in answer
    endpoint.update(IPAMConfig=None, DriverOpts={"com.docker.network.endpoint.unheard": "x"})
    assert call(engine, "POST", "/containers/create", body)[0] == 400
    engine.docker("rm", "-f", "ep-one")


SYSCTLS = "com.docker.network.endpoint.sysctls"


def test_kernel_settings_of_an_endpoint(engine):
    def place(text):
        return {"DriverOpts": {SYSCTLS: text}}

    def kept(container, *path):
        return engine.docker("exec", container, "cat", "/proc/sys/net/" + "/".join(path)).stdout.strip()

    engine.docker("network", "create", "sc-net")
    body = {"Image": "legacy-bb", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "bridge"}}
    body["NetworkingConfig"] = {"EndpointsConfig": {"bridge": place("net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.neigh.ifname.gc_stale_time=77")}}
    status, answer = call(engine, "POST", "/containers/create?name=sc-one", body)
    assert status == 201, answer
    engine.docker("start", "sc-one")
    assert kept("sc-one", "ipv4/conf/eth0/log_martians") == "1" and kept("sc-one", "ipv4/neigh/eth0/gc_stale_time") == "77"
    # of that link only; of one that joins later, too, and again after a restart
    joined = {"Container": "sc-one", "EndpointConfig": place("net.ipv4.conf.IFNAME.arp_ignore=2")}
    status, answer = call(engine, "POST", "/networks/sc-net/connect", joined)
    assert status == 200, answer
    for _ in range(2):
        assert kept("sc-one", "ipv4/conf/eth1/log_martians") == "0" and kept("sc-one", "ipv4/conf/eth1/arp_ignore") == "2"
        assert kept("sc-one", "ipv4/conf/eth0/arp_ignore") == "0" and kept("sc-one", "ipv4/conf/eth0/log_martians") == "1"
        engine.docker("restart", "-t", "0", "sc-one")
    # what the kernel does not have, or not take, is told, and the container is on no more networks than before
    engine.docker("network", "disconnect", "sc-net", "sc-one")
    for text, problem in (
        ("net.ipv4.conf.IFNAME.nosuch=1", b"/proc/sys/net/ipv4/conf/eth1/nosuch is not a sysctl file"),
        ("net.ipv4.conf.IFNAME.arp_ignore=much", b"unable to write to '/proc/sys/net/ipv4/conf/eth1/arp_ignore'"),
        ("net.ipv4.conf.IFNAME.arp_ignore=", b"unable to write to '/proc/sys/net/ipv4/conf/eth1/arp_ignore'"),
    ):
        joined["EndpointConfig"] = place(text)
        status, answer = call(engine, "POST", "/networks/sc-net/connect", joined)
        assert status == 500 and problem in answer, answer
        assert list(engine.inspect("sc-one")["NetworkSettings"]["Networks"]) == ["bridge"]
        assert "eth1" not in engine.docker("exec", "sc-one", "ip", "link").stdout
    for text in ("", "x", "net.ipv4.conf.eth0.log_martians=1", "net.core.somaxconn.IFNAME.x=1", "kernel.ipv4.conf.IFNAME.x=1", "net.ipv4.conf.IFNAME.a/b=1", "net.ipv4.conf.IFNAME.a.b=1"):
        body["NetworkingConfig"]["EndpointsConfig"]["bridge"] = place(f"net.ipv6.conf.IFNAME.accept_ra=2,{text}")
        status, answer = call(engine, "POST", "/containers/create", body)
        assert status == 400 and f"unrecognised network interface sysctl '{text}'; represent 'net.X.Y.ethN.Z=V' as".encode() in answer, answer
    body["NetworkingConfig"]["EndpointsConfig"]["bridge"] = place("net.ipv4.conf.IFNAME.log_martians")
    status, answer = call(engine, "POST", "/containers/create", body)
    assert status == 400 and b"to have format name=value" in answer
    engine.docker("rm", "-f", "sc-one")
    engine.docker("network", "rm", "sc-net")


def test_names_and_addresses_of_networks(engine):
    engine.docker("network", "create", "ep net 01")
    engine.docker("create", "--name", "ep-two", "legacy-bb")
    status, _ = call(engine, "POST", "/networks/ep%20net%2001/connect", {"Container": "ep-two", "EndpointConfig": {"MacAddress": "02:42:ac:11:77:02"}})
    assert status == 200
    assert engine.inspect("ep-two")["NetworkSettings"]["Networks"]["ep net 01"]["MacAddress"] == "02:42:ac:11:77:02"
    engine.docker("rm", "ep-two")
    engine.docker("network", "rm", "ep net 01")
    for name in ("  ", "a/b", "x\n"):
        assert call(engine, "POST", "/networks/create", {"Name": name})[0] == 400


def build(engine, dockerfile, **query):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        tar.addfile(entry, io.BytesIO(dockerfile.encode()))
    status, answer = call(engine, "POST", "/build?" + urllib.parse.urlencode(query), buffer.getvalue(), "application/x-tar")
    assert status == 200, answer
    return [json.loads(line) for line in answer.splitlines() if line]


def test_builds(engine):
    lines = build(engine, "FROM scratch\n", labels='{"test":"OK"}', t="legacy-labels")
    assert "error" not in lines[-1], lines
    assert json.loads(engine.docker("image", "inspect", "legacy-labels").stdout)[0]["Config"]["Labels"] == {"test": "OK"}
    assert "No image was generated" in build(engine, "FROM scratch\n")[-1]["error"]
    lines = build(engine, "FROM legacy-bb\nRUN echo loud >&2; echo quiet\n", nocache=1)
    said = [line.get("stream") for line in lines]
    assert "\x1b[91mloud\n\x1b[0m" in said and any("quiet" in (line or "") for line in said)
    steps = "FROM legacy-bb\nENV A=b\nRUN touch /x\n"
    build(engine, steps, t="legacy-one")
    cached = lambda lines: sum("Using cache" in line.get("stream", "") for line in lines)  # noqa: E731
    assert cached(build(engine, steps)) == 2
    assert cached(build(engine, steps, cachefrom='["legacy-one"]')) == 2
    assert cached(build(engine, steps, cachefrom='["legacy-nosuch"]')) == 0
    engine.docker("image", "rm", "-f", "legacy-labels", "legacy-one")


def test_a_committed_image_has_a_parent(engine):
    engine.docker("run", "--name", "cm-one", "legacy-bb", "touch", "/made")
    made = engine.docker("commit", "cm-one").stdout.strip()
    parent = json.loads(engine.docker("image", "inspect", "legacy-bb").stdout)[0]["Id"]
    assert json.loads(engine.docker("image", "inspect", made).stdout)[0]["Parent"] == parent
    engine.docker("rm", "cm-one")
    engine.docker("image", "rm", made)
