# SPDX-License-Identifier: Apache-2.0
"""Containers on the bridge: each other, out, in through published ports; who dies leaves nothing.

The outside is a network namespace of the test's own, joined to this machine by a veth pair.
"""
import json
import os
import re
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from lib import images, leaks
from lib.ports import free_number, free_port
from lib.wait import wait_for

SERVER = "mkdir -p /www; echo hello from $HOSTNAME > /www/index.html; exec httpd -f -p {port} -h /www"


def run(*argv, check=True, **options):
    return subprocess.run(argv, capture_output=True, text=True, check=check, timeout=120, **options)


def fetch(url, patience=60.0):
    """The page, or None; tries while a server may still be starting."""
    end = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.read().decode().strip()
        except (OSError, urllib.error.URLError):
            if time.monotonic() > end:
                return None
            time.sleep(0.05)


class Outside:
    """A neighbour of this machine: its address, and ours towards it."""

    def __init__(self):
        name = secrets.token_hex(3)
        self.namespace = f"kt-{name}"
        self.link = f"ko{name}"
        net = f"10.213.{free_number('10.213', 256)}"
        self.host, self.address = f"{net}.1", f"{net}.2"
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        run("ip", "addr", "add", f"{self.host}/30", "dev", self.link)
        run("ip", "link", "set", self.link, "up")
        run("ip", "-n", self.namespace, "addr", "add", f"{self.address}/30", "dev", "eth0")
        run("ip", "-n", self.namespace, "link", "set", "eth0", "up")
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        run("ip", "-n", self.namespace, "route", "add", "default", "via", self.host)
        self.servers = []

    def get(self, url, patience=60.0):
        end = time.monotonic() + patience
        while True:
            page = run("ip", "netns", "exec", self.namespace, "timeout", "3", "busybox", "wget", "-q", "-O", "-", url,
                       check=False)  # fmt: skip
            if page.returncode == 0 or time.monotonic() > end:
                return page.stdout.strip() if page.returncode == 0 else None
            time.sleep(0.05)

    def serve(self, folder, port):
        (folder / "index.html").write_text("hello from outside\n")
        argv = ["ip", "netns", "exec", self.namespace, "busybox", "httpd", "-f", "-p", str(port), "-h", str(folder)]
        self.servers.append(subprocess.Popen(argv))

    def close(self):
        for server in self.servers:
            server.kill()
            server.wait()
        run("ip", "link", "del", self.link, check=False)
        run("ip", "netns", "del", self.namespace, check=False)


@pytest.fixture
def outside():
    neighbour = Outside()
    yield neighbour
    neighbour.close()


@pytest.fixture
def engine(daemon, busybox_rootfs):
    """A daemon with image `box`."""
    tar = images.tar_of(busybox_rootfs)
    subprocess.run(["docker", "import", "-", "box"], input=tar, env=daemon.environment, check=True, capture_output=True)
    return daemon


def server(engine, name, *options, port=80):
    engine.docker("run", "-d", "--name", name, "-h", name, *options, "box", "sh", "-c", SERVER.format(port=port))
    return engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]


def inside(engine, name, *command, check=True):
    return engine.docker("exec", name, *command, check=check)


def wget(engine, name, url):
    """A page as a container gets it, or None."""
    end = time.monotonic() + 60
    while True:
        page = inside(engine, name, "busybox", "timeout", "3", "wget", "-q", "-O", "-", url, check=False)
        if page.returncode == 0 or time.monotonic() > end:
            return page.stdout.strip() if page.returncode == 0 else None
        time.sleep(0.05)


def rules(engine):
    return run("nft", "-j", "list", "table", "inet", engine.table).stdout


def test_reach(engine, outside, tmp_path):
    port = free_port()
    outside.serve(tmp_path, 8000)
    web = server(engine, "web", "-p", f"{port}:80")
    server(engine, "other")
    # each other, and out
    assert wget(engine, "other", f"http://{web}/") == "hello from web"
    assert wget(engine, "other", f"http://{outside.address}:8000/") == "hello from outside"
    # in: from outside, from this machine, from containers (their own port too)
    assert outside.get(f"http://{outside.host}:{port}/") == "hello from web"
    assert fetch(f"http://127.0.0.1:{port}/") == "hello from web"
    assert fetch(f"http://localhost:{port}/") == "hello from web"
    assert fetch(f"http://{outside.host}:{port}/") == "hello from web"
    assert wget(engine, "other", f"http://{outside.host}:{port}/") == "hello from web"
    assert wget(engine, "web", f"http://{outside.host}:{port}/") == "hello from web"
    # not published: not to be had from outside, though it knows the way
    assert outside.get(f"http://{web}/", patience=0) is None
    engine.docker("rm", "-f", "web")
    assert fetch(f"http://127.0.0.1:{port}/", patience=0) is None
    assert str(port) not in rules(engine)


def test_one_address_only(engine, outside):
    port = free_port()
    server(engine, "web", "-p", f"127.0.0.1:{port}:80")
    assert fetch(f"http://127.0.0.1:{port}/") == "hello from web"
    assert outside.get(f"http://{outside.host}:{port}/", patience=0) is None
    assert engine.docker("port", "web").stdout.strip() == f"80/tcp -> 127.0.0.1:{port}"


def test_chosen_ports(engine):
    first = free_port(4)
    server(engine, "web1", "-p", "80", "-p", "53/udp", "-p", f"{first}-{first + 3}:81")
    server(engine, "web2", "-p", f"{first}-{first + 3}:81", port=81)
    ports = engine.inspect("web1")["NetworkSettings"]["Ports"]
    chosen = int(ports["80/tcp"][0]["HostPort"])
    assert chosen >= 1024 and int(ports["53/udp"][0]["HostPort"]) >= 1024
    assert fetch(f"http://127.0.0.1:{chosen}/") == "hello from web1"
    assert ports["81/tcp"][0]["HostPort"] == str(first)
    assert engine.inspect("web2")["NetworkSettings"]["Ports"]["81/tcp"][0]["HostPort"] == str(first + 1)
    assert fetch(f"http://127.0.0.1:{first + 1}/") == "hello from web2"


def test_conflicts(engine):
    port = free_port()
    server(engine, "web", "-p", f"{port}:80")
    second = engine.docker("run", "--name", "second", "-p", f"{port}:80", "box", "true", check=False)
    assert second.returncode == 125
    assert f"Bind for 0.0.0.0:{port} failed: port is already allocated" in second.stderr
    # a program of this machine has it
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        third = engine.docker("run", "--name", "third", "-p", f"{taken}:80", "box", "true", check=False)
        assert third.returncode == 125 and "already in use" in third.stderr
        assert f"process {os.getpid()}, " in third.stderr
    # the port comes free with its container
    engine.docker("rm", "-f", "web", "second", "third")
    server(engine, "again", "-p", f"{port}:80")
    assert fetch(f"http://127.0.0.1:{port}/") == "hello from again"
    # while it is published, no program of this machine gets it
    with socket.socket() as late, pytest.raises(OSError):
        late.bind(("0.0.0.0", port))


def test_modes(engine):
    none = engine.docker("run", "--rm", "--network", "none", "box", "ip", "-o", "link").stdout
    assert re.findall(r"^\d+: (\S+?)[:@]", none, re.M) == ["lo"] and "LOOPBACK,UP" in none
    host = engine.docker("run", "--rm", "--network", "host", "box", "ip", "-o", "link").stdout
    assert engine.bridge in host
    address = server(engine, "web")
    shared = engine.docker("run", "--rm", "--network", "container:web", "box", "sh", "-c",
                           "ip -o -4 addr; wget -q -O - http://127.0.0.1/; cat /etc/hostname")  # fmt: skip
    assert address in shared.stdout and "hello from web" in shared.stdout


def test_ipv6_only_where_the_network_has_it(engine):
    """Not even addresses that the kernel gives by itself: each would be heard by all neighbours."""
    six = ("network", "create", "--ipv6", "--subnet", f"fd57:{engine.name[:4]}::/64", engine.name)
    engine.docker(*six)
    addresses = ("box", "ip", "-o", "-6", "addr", "show", "dev", "eth0")
    server(engine, "web")
    assert inside(engine, "web", *addresses[1:]).stdout.strip() == ""
    ports = json.loads(run("ip", "-j", "link", "show", "master", engine.bridge).stdout)
    assert len(ports) == 1 and run("ip", "-6", "addr", "show", "dev", ports[0]["ifname"]).stdout.strip() == ""
    wait_for(lambda: "scope link" in engine.docker("run", "--rm", "--network", engine.name, *addresses).stdout,
             what="the container's link-local address")  # fmt: skip
    engine.docker("network", "rm", engine.name)


def test_files(engine):
    text = engine.docker("run", "--rm", "-h", "box1", "--add-host", "db:10.1.2.3", "--add-host", "up:host-gateway",
                         "--dns", "10.0.0.53", "--dns-search", "example.org", "box",
                         "sh", "-c", "cat /etc/hosts /etc/hostname /etc/resolv.conf; ip -o -4 addr show eth0")  # fmt: skip
    lines = text.stdout.splitlines()
    address = re.search(r"inet ([0-9.]+)/\d+", text.stdout).group(1)
    assert lines[0] == "127.0.0.1\tlocalhost"
    assert "10.1.2.3\tdb" in lines and f"{address}\tbox1" in lines and "box1" in lines
    # on a machine with many bridges the subnet is one of the smaller pools'
    gateway = json.loads(engine.docker("network", "inspect", "bridge").stdout)[0]["IPAM"]["Config"][0]["Gateway"]
    assert f"{gateway}\tup" in lines
    assert "nameserver 10.0.0.53" in lines and "search example.org" in lines


def test_daemon_dies(engine, outside):
    port, gone = free_port(), free_port()
    server(engine, "web", "-p", f"{port}:80")
    server(engine, "short", "-p", f"{gone}:80")
    short = engine.inspect("short")
    assert fetch(f"http://127.0.0.1:{gone}/") == "hello from short"
    engine.kill()
    assert outside.get(f"http://{outside.host}:{port}/") == "hello from web"
    run("kill", "-9", str(short["State"]["Pid"]))
    engine.start()
    assert outside.get(f"http://{outside.host}:{port}/") == "hello from web"
    assert fetch(f"http://127.0.0.1:{gone}/", patience=0) is None
    assert str(gone) not in rules(engine)
    assert len(leaks.ports(engine.bridge)) == 1
    again = engine.docker("run", "-p", f"{port}:80", "box", "true", check=False)
    assert "port is already allocated" in again.stderr
    # who comes next gets an address that nobody has
    assert server(engine, "next") != engine.inspect("web")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]


def test_no_rule_per_container(engine):
    def rule_count():
        return sum("rule" in item for item in json.loads(rules(engine))["nftables"])

    before = rule_count()
    for i in range(5):
        engine.docker("run", "-d", "--name", f"c{i}", "-P", "-p", "80", "box", "sleep", "1000")
    assert rule_count() == before
    engine.docker("rm", "-f", *[f"c{i}" for i in range(5)])
    assert '"elem"' not in json.dumps([i for i in json.loads(rules(engine))["nftables"] if "map" in i])


def test_nothing_left(engine):
    server(engine, "web", "-p", "80")
    engine.docker("stop", "-t", "0", "web")
    # The kernel takes the link away with the namespace, in the background.
    wait_for(lambda: not leaks.ports(engine.bridge), "the link to go")
    engine.docker("start", "web")
    chosen = engine.inspect("web")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    assert fetch(f"http://127.0.0.1:{chosen}/") == "hello from web"
    engine.docker("rm", "-f", "web")
    engine.stop()
    assert not leaks.links(engine.bridge) and not leaks.tables(engine.table)
    engine.start()
