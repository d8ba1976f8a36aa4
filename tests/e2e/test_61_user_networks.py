# SPDX-License-Identifier: Apache-2.0
"""Networks of the user's: made, listed, joined and left while containers run, and gone without a trace."""
import json
import re
import secrets
import subprocess
import time

import pytest

from lib import docker_cli, images, leaks
from lib.ports import free_port
from test_60_network import fetch, inside, outside, rules, run, wget  # noqa: F401

SERVER = "mkdir -p /www; echo hello from {name} > /www/index.html; exec httpd -f -p 80 -h /www"


@pytest.fixture
def engine(daemon, busybox_rootfs):
    tar = images.tar_of(busybox_rootfs)
    subprocess.run(["docker", "import", "-", "box"], input=tar, env=daemon.environment, check=True, capture_output=True)
    return daemon


def server(engine, name, *options):
    engine.docker("run", "-d", "--name", name, *options, "box", "sh", "-c", SERVER.format(name=name))


def settings(engine, name, network):
    return engine.inspect(name)["NetworkSettings"]["Networks"][network]


def network(engine, name):
    return json.loads(engine.docker("network", "inspect", name).stdout)[0]


def test_create_and_look(engine):
    created = engine.docker("network", "create", "--label", "tier=front", "--subnet", "10.77.0.0/24", "--gateway",
                            "10.77.0.254", "--ip-range", "10.77.0.128/25", "--aux-address", "printer=10.77.0.129",
                            "-o", "com.docker.network.driver.mtu=1400", "front").stdout.strip()  # fmt: skip
    seen = network(engine, "front")
    assert seen["Id"] == created and seen["Driver"] == "bridge" and seen["Scope"] == "local"
    assert seen["IPAM"]["Config"] == [{
        "Subnet": "10.77.0.0/24", "IPRange": "10.77.0.128/25", "Gateway": "10.77.0.254",
        "AuxiliaryAddresses": {"printer": "10.77.0.129"},
    }]  # fmt: skip
    assert seen["Labels"] == {"tier": "front"} and seen["Options"] == {"com.docker.network.driver.mtu": "1400"}
    assert seen["EnableIPv4"] and not seen["EnableIPv6"] and not seen["Internal"]
    # the range is where addresses come from, without the auxiliary one
    server(engine, "aa", "--network", "front")
    server(engine, "bb", "--network", created[:12])
    assert settings(engine, "aa", "front")["IPAddress"] == "10.77.0.128"
    assert settings(engine, "bb", "front")["IPAddress"] == "10.77.0.130"
    assert engine.inspect("bb")["HostConfig"]["NetworkMode"] in ("front", created[:12])
    assert "mtu 1400" in inside(engine, "aa", "ip", "link", "show", "eth0").stdout
    assert "default via 10.77.0.254" in inside(engine, "aa", "ip", "route").stdout
    assert wget(engine, "bb", "http://10.77.0.128/") == "hello from aa"
    members = network(engine, "front")["Containers"]
    assert {m["Name"]: m["IPv4Address"] for m in members.values()} == {"aa": "10.77.0.128/24", "bb": "10.77.0.130/24"}
    # filters
    names = engine.docker("network", "ls", "--format", "{{.Name}}", "--filter", "type=custom").stdout.split()
    assert names == ["front"]
    for wanted, given in (("label=tier=front", True), ("label=tier=back", False), ("driver=bridge", True),
                          ("dangling=true", False), (f"id={created[:6]}", True), ("name=ron", True)):  # fmt: skip
        listed = engine.docker("network", "ls", "-q", "--no-trunc", "--filter", wanted).stdout.split()
        assert (created in listed) == given, wanted


def test_survives(engine):
    """The table of networks is kept, chosen subnets too; the host is clean in between."""
    engine.docker("network", "create", "auto")
    before = network(engine, "auto")
    link = f"br-{before['Id'][:12]}"
    assert leaks.links(link)
    engine.stop()
    assert not leaks.links(link) and not leaks.tables(engine.table)
    engine.start()
    assert network(engine, "auto") == before and leaks.links(link)
    server(engine, "aa", "--network", "auto")
    engine.kill()
    engine.start()
    assert network(engine, "auto")["IPAM"] == before["IPAM"]
    assert wget(engine, "aa", f"http://{settings(engine, 'aa', 'auto')['IPAddress']}/") == "hello from aa"
    engine.docker("rm", "-f", "aa")
    engine.docker("network", "rm", "auto")
    assert not leaks.links(link)


def test_subnet_is_kept(daemon):
    """The default bridge, which chooses anew after it was gone, takes none that a stored network has."""
    net = f"10.{128 + int(daemon.name[:2], 16) % 64}.{int(daemon.name[2:4], 16)}"  # nobody else's
    daemon.stop()
    daemon.options += ["--default-address-pool", f"base={net}.0/24,size=26"]
    daemon.start()
    daemon.docker("network", "create", "auto")
    before = network(daemon, "auto")
    assert before["IPAM"]["Config"][0]["Subnet"] == f"{net}.64/26"
    daemon.stop()
    # meanwhile the host uses the first one otherwise
    link = f"kx{daemon.name}"
    run("ip", "link", "add", link, "type", "bridge")
    try:
        run("ip", "address", "add", f"{net}.1/26", "dev", link)
        run("ip", "link", "set", link, "up")
        daemon.start()
    finally:
        run("ip", "link", "del", link)
    assert network(daemon, "bridge")["IPAM"]["Config"][0]["Subnet"] == f"{net}.128/26"
    assert network(daemon, "auto") == before
    bridge = f"br-{before['Id'][:12]}"
    assert leaks.links(bridge) == [bridge] and bridge in rules(daemon)


def test_isolation(engine, outside):  # noqa: F811
    engine.docker("network", "create", "one")
    engine.docker("network", "create", "two")
    engine.docker("network", "create", "--internal", "inner")
    engine.docker("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart")
    port = free_port()
    server(engine, "aa", "--network", "one", "-p", f"{port}:80")
    server(engine, "bb", "--network", "two")
    server(engine, "ii", "--network", "inner")
    server(engine, "xx", "--network", "apart")
    server(engine, "yy", "--network", "apart")
    a = settings(engine, "aa", "one")["IPAddress"]

    def reaches(name, address):
        return inside(engine, name, "busybox", "timeout", "1", "wget", "-q", "-O", "-", f"http://{address}/",
                      check=False).returncode == 0  # fmt: skip

    assert wget(engine, "aa", f"http://{a}/") == "hello from aa"
    assert not reaches("bb", a)
    assert not reaches("yy", settings(engine, "xx", "apart")["IPAddress"])
    assert not reaches("ii", f"{outside.host}:{port}")
    # the published port is for everybody else
    assert outside.get(f"http://{outside.host}:{port}/") == "hello from aa"
    assert wget(engine, "bb", f"http://{outside.host}:{port}/") == "hello from aa"
    assert "default" not in inside(engine, "ii", "ip", "route").stdout


def test_join_and_leave(engine):
    for name in ("one", "two"):
        engine.docker("network", "create", "--subnet", "10.78.1.0/24" if name == "one" else "10.78.2.0/24", name)
    server(engine, "aa", "--network", "one")
    server(engine, "bb", "--network", "two")
    engine.docker("network", "connect", "--ip", "10.78.2.77", "--alias", "alef", "two", "aa")
    joined = settings(engine, "aa", "two")
    assert joined["IPAddress"] == "10.78.2.77" and "alef" in joined["Aliases"]
    assert wget(engine, "bb", "http://10.78.2.77/") == "hello from aa"
    assert re.search(r"eth1.*10\.78\.2\.77/24", inside(engine, "aa", "ip", "-o", "addr").stdout)
    assert "default via 10.78.1.1 dev eth0" in inside(engine, "aa", "ip", "route").stdout
    assert "10.78.2.77" in inside(engine, "aa", "cat", "/etc/hosts").stdout
    twice = engine.docker("network", "connect", "two", "aa", check=False)
    assert "endpoint with name aa already exists in network two" in twice.stderr
    # a network that is used stays
    used = engine.docker("network", "rm", "two", check=False)
    assert "has active endpoints" in used.stderr and 'name:"aa"' in used.stderr
    # the way out changes with the network that gave it
    engine.docker("network", "disconnect", "one", "aa")
    assert "default via 10.78.2.1" in inside(engine, "aa", "ip", "route").stdout
    assert "10.78.1." not in inside(engine, "aa", "ip", "-o", "addr").stdout
    gone = engine.docker("network", "disconnect", "one", "aa", check=False)
    assert "is not connected to network one" in gone.stderr
    # the same on a stopped container, which has both at its start
    engine.docker("stop", "-t", "0", "aa")
    engine.docker("network", "connect", "one", "aa")
    engine.docker("start", "aa")
    assert settings(engine, "aa", "one")["IPAddress"] and settings(engine, "aa", "two")["IPAddress"] == "10.78.2.77"
    assert wget(engine, "bb", "http://10.78.2.77/") == "hello from aa"


def test_ports_follow_the_way_out(engine):
    engine.docker("network", "create", "aaa")
    engine.docker("network", "create", "bbb")
    port = free_port()
    server(engine, "web", "--network", "bbb", "-p", f"{port}:80")
    first = settings(engine, "web", "bbb")["IPAddress"]
    assert fetch(f"http://127.0.0.1:{port}/") == "hello from web" and first in rules(engine)
    engine.docker("network", "connect", "aaa", "web")
    second = settings(engine, "web", "aaa")["IPAddress"]
    assert fetch(f"http://127.0.0.1:{port}/") == "hello from web"
    assert second in rules(engine) and f'"{first}"' not in rules(engine)
    engine.docker("network", "disconnect", "aaa", "web")
    assert fetch(f"http://127.0.0.1:{port}/") == "hello from web" and f'"{second}"' not in rules(engine)
    assert engine.kist("port", "web").stdout.splitlines() == [f"80/tcp -> 0.0.0.0:{port}", f"80/tcp -> [::]:{port}"]


@docker_cli.needs_28
def test_several_at_create(engine):
    engine.docker("network", "create", "--subnet", "10.79.1.0/24", "one")
    engine.docker("network", "create", "--subnet", "10.79.2.0/24", "two")
    engine.docker("run", "-d", "--name", "aa", "--network", "name=one,ip=10.79.1.9,mac-address=02:00:00:00:00:09",
                  "--network", "name=two,gw-priority=1,alias=z", "box", "sleep", "1000")  # fmt: skip
    links = inside(engine, "aa", "ip", "-o", "addr").stdout
    assert "10.79.1.9/24" in links and "10.79.2.2/24" in links
    assert "02:00:00:00:00:09" in inside(engine, "aa", "ip", "link", "show", "eth0").stdout
    assert "default via 10.79.2.1" in inside(engine, "aa", "ip", "route").stdout
    engine.docker("restart", "-t", "0", "aa")
    assert "02:00:00:00:00:09" in inside(engine, "aa", "ip", "link", "show", "eth0").stdout


def test_refusals(engine):
    def refused(*argv):
        result = engine.docker(*argv, check=False)
        assert result.returncode != 0
        return result.stderr

    engine.docker("network", "create", "--subnet", "10.80.0.0/24", "web")
    engine.docker("network", "create", "auto")
    assert "network with name web already exists" in refused("network", "create", "web")
    assert "Pool overlaps with other one" in refused("network", "create", "--subnet", "10.80.0.0/16", "w2")
    assert "gateway" in refused("network", "create", "--subnet", "10.81.0.0/24", "--gateway", "10.82.0.1", "w2")
    assert "invalid" in refused("network", "create", "--subnet", "10.81.0.300/24", "w2").lower()
    assert "ipvlan" in refused("network", "create", "-d", "ipvlan", "w2")
    assert "plugin" in refused("network", "create", "-d", "nosuch", "w2")
    assert "15 bytes" in refused("network", "create", "-o", "com.docker.network.bridge.name=muchtoolongname16", "w2")
    assert "not a boolean" in refused("network", "create", "-o", "com.docker.network.bridge.enable_icc=maybe", "w2")
    assert "not supported" in refused("network", "create", "-o", "no.such.option=1", "w2")
    for name in ("bridge", "host", "none"):
        assert "pre-defined network" in refused("network", "rm", name)
    assert "nosuch" in refused("network", "rm", "nosuch")
    assert "network nosuch not found" in refused("run", "--name", "lost", "--network", "nosuch", "box", "true")
    engine.docker("rm", "lost")
    # addresses
    server(engine, "aa", "--network", "web", "--ip", "10.80.0.9")
    assert "Address already in use" in refused("run", "--network", "web", "--ip", "10.80.0.9", "box", "true")
    assert "no configured subnet" in refused("run", "--network", "web", "--ip", "10.99.0.9", "box", "true")
    assert "user configured subnets" in refused("run", "--network", "auto", "--ip", "172.18.0.9", "box", "true")
    if docker_cli.major() >= 28:  # older ones do not send it
        assert "user defined networks" in refused("run", "--ip", "172.17.0.99", "box", "true")
    assert "host network" in refused("network", "connect", "host", "aa")
    assert "private (none) mode" in refused("network", "connect", "none", "aa")
    # nothing half made
    listed = engine.docker("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert sorted(listed) == ["auto", "bridge", "host", "none", "web"]


def test_exhausted(engine):
    engine.docker("network", "create", "--subnet", "10.83.0.0/30", "tiny")
    server(engine, "aa", "--network", "tiny")
    full = engine.docker("run", "--network", "tiny", "box", "true", check=False)
    assert "no available IPv4 addresses on this network's address pools" in full.stderr
    engine.docker("rm", "-f", "aa")
    server(engine, "bb", "--network", "tiny")


def test_prune_and_events(engine):
    label = secrets.token_hex(3)
    began = int(time.time())
    engine.docker("network", "create", "--label", f"x={label}", "old")
    engine.docker("network", "create", "used")
    server(engine, "aa", "--network", "used")
    engine.docker("stop", "-t", "0", "aa")
    assert "old" in engine.docker("network", "prune", "-f").stdout
    names = engine.docker("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert "used" in names and "old" not in names
    events = engine.docker("events", "--since", str(began), "--until", str(int(time.time()) + 1), "--filter", "type=network",
                           "--format", "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}")  # fmt: skip
    assert events.stdout.split("\n")[:-1] == ["create old bridge", "create used bridge", "connect used bridge",
                                              "disconnect used bridge", "destroy old bridge"]  # fmt: skip
    # a network that went away under a stopped container
    engine.docker("network", "rm", "used")
    gone = engine.docker("start", "aa", check=False)
    assert re.search("network [0-9a-f]{64} not found", gone.stderr)


def test_links(engine):
    engine.docker("network", "create", "net")
    server(engine, "db")
    engine.docker("run", "-d", "--name", "old", "--link", "db:base", "box", "sleep", "1000")
    address = engine.inspect("db")["NetworkSettings"]["IPAddress"]
    hosts = inside(engine, "old", "cat", "/etc/hosts").stdout
    assert re.search(rf"^{address}\tbase {engine.inspect('db')['Id'][:12]} db$", hosts, re.M)
    server(engine, "db2", "--network", "net")
    engine.docker("run", "-d", "--name", "new", "--network", "net", "--link", "db2:base", "box", "sleep", "1000")
    found = inside(engine, "new", "busybox", "nslookup", "base").stdout
    assert settings(engine, "db2", "net")["IPAddress"] in found
    # a name of the one container's only
    assert inside(engine, "db2", "busybox", "nslookup", "base", check=False).returncode != 0
    lost = engine.docker("create", "--link", "nosuch", "box", "true", check=False)
    assert "could not get container for nosuch" in lost.stderr


def test_pools(daemon):
    daemon.stop()
    daemon.options += ["--default-address-pool", "base=10.98.0.0/16,size=26", "--default-address-pool", "base=fd98::/32,size=64"]
    daemon.start()
    daemon.docker("network", "create", "--ipv6", "one")
    daemon.docker("network", "create", "two")
    subnets = [c["Subnet"] for c in network(daemon, "one")["IPAM"]["Config"]]
    assert subnets == ["10.98.0.64/26", "fd98::/64"]
    assert network(daemon, "two")["IPAM"]["Config"][0]["Subnet"] == "10.98.0.128/26"
    daemon.stop()
    bad = subprocess.run([*daemon.argv(), "--default-address-pool", "10.1.0.0/16"], capture_output=True, text=True, check=False)
    assert bad.returncode != 0 and "base=ADDRESS/BITS,size=BITS is wanted" in bad.stderr
    daemon.start()
