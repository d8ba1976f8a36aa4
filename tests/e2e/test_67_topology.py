# SPDX-License-Identifier: Apache-2.0
"""Three hosts, each a network namespace with a kistd of its own, on one wire: an overlay, routed mode, limits of bandwidth."""
import json
import subprocess
import time

import pytest

from lib import images
from lib.daemon import Daemon
from lib.topology import Space, run
from lib.wait import wait_for


class Host(Daemon):
    """A kistd in a space."""

    def __init__(self, root, program, space, address):
        root.mkdir()
        super().__init__(root, program)
        self.space, self.address = space, address

    def argv(self):
        # a hosts file of its own, so that peers can be names
        (self.root / "hosts").touch()
        return ["nsenter", f"--net={self.space.path}", "unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts; exec "$@"',
                str(self.root / "hosts"), *super().argv()]  # fmt: skip

    def get(self, container, url, patience=60.0):
        end = time.monotonic() + patience
        while True:
            page = self.docker("exec", container, "busybox", "timeout", "3", "wget", "-q", "-O", "-", url, check=False)
            if page.returncode == 0 or time.monotonic() > end:
                return page.stdout.strip() if page.returncode == 0 else None

    def serve(self, name, *options):
        text = "mkdir -p /www; echo hello from $HOSTNAME > /www/index.html; exec httpd -f -vv -p 80 -h /www"
        self.docker("run", "-d", "--name", name, "-h", name, *options, "box", "sh", "-c", text)

    def close(self):
        self.docker("rm", "-f", *self.docker("ps", "-aq").stdout.split(), check=False)
        self.stop()
        assert not self.reports(), self.reports()[0]


@pytest.fixture
def hosts(tmp_root, program, busybox_rootfs):
    wire = Space("w")
    wire.ip("link", "add", "sw0", "type", "bridge")
    wire.ip("link", "set", "sw0", "up")
    tar = images.tar_of(busybox_rootfs)
    made, spaces = [], [wire]
    try:
        for number in (1, 2, 3):
            space = Space(f"h{number}")
            spaces.append(space)
            space.wire("up0", wire, f"port{number}", f"10.220.0.{number}/24", f"169.254.1.{number}/24")
            wire.ip("link", "set", f"port{number}", "master", "sw0")
            host = Host(tmp_root / str(number), program, space, f"10.220.0.{number}")
            made.append(host)
            host.start()
            subprocess.run(["docker", "import", "-", "box"], input=tar, env=host.environment, check=True, capture_output=True)
        yield made
    finally:
        for host in made:
            host.close()
        for space in spaces:
            space.close()


def overlay(host, number, peers, *options):
    host.docker("network", "create", "-d", "overlay", "--subnet", "10.30.0.0/16", "--ip-range", f"10.30.{number}.0/24",
                "-o", "vni=77", "-o", f"peers={peers}", *options, "wide")  # fmt: skip


def test_overlay(hosts):
    everybody = ",".join(host.address for host in hosts)
    for number, host in enumerate(hosts[:2], 1):
        overlay(host, number, everybody)
    # the third knows the others by a name, which is told later
    overlay(hosts[2], 3, "others.example")
    for number, host in enumerate(hosts, 1):
        host.serve(f"c{number}", "--network", "wide")
    assert hosts[0].inspect("c1")["NetworkSettings"]["Networks"]["wide"]["IPAddress"] == "10.30.1.1"
    assert hosts[0].get("c1", "http://10.30.2.1/") == "hello from c2" and hosts[1].get("c2", "http://10.30.1.1/") == "hello from c1"
    (hosts[2].root / "hosts").write_text(f"{hosts[0].address} others.example\n{hosts[1].address} others.example\n")
    assert hosts[2].get("c3", "http://10.30.1.1/") == "hello from c1" and hosts[0].get("c1", "http://10.30.3.1/") == "hello from c3"
    # whole packets pass: the MTU leaves room for what is put around them
    assert "mtu 1450" in hosts[0].docker("exec", "c1", "busybox", "ip", "link", "show", "eth0").stdout
    # a way out, and published ports, as on every bridge
    hosts[0].docker("run", "-d", "--name", "out", "--network", "wide", "-p", "8080:80", "box", "sh", "-c",
                    "mkdir -p /www; echo out > /www/index.html; exec httpd -f -p 80 -h /www")  # fmt: skip
    assert hosts[1].space.get(f"http://{hosts[0].address}:8080/") == "out"
    # kill -9 of an engine: the wire stays, and comes back
    hosts[1].kill()
    assert hosts[0].get("c1", "http://10.30.2.1/") == "hello from c2"
    hosts[1].start()
    assert hosts[0].get("c1", "http://10.30.2.1/") == "hello from c2"
    # nothing is left
    hosts[2].docker("rm", "-f", "c3")
    hosts[2].docker("network", "rm", "wide")
    assert "vxlan" not in hosts[2].space.ip("-d", "link").stdout

    def refused(words, *options, driver="overlay"):
        done = hosts[2].docker("network", "create", "-d", driver, *options, "bad", check=False)
        assert done.returncode != 0 and words in done.stderr, done.stderr
        assert "vxlan" not in hosts[2].space.ip("-d", "link").stdout

    refused("not a swarm manager")
    refused("needs options vni=NUMBER", driver="vxlan")
    refused("needs --subnet", "-o", "peers=10.0.0.1", "-o", "vni=7")
    subnet = ("--subnet", "10.31.0.0/16", "--ip-range", "10.31.1.0/24")
    refused('"0" is not 1 to 16777215', "-o", "peers=10.0.0.1", "-o", "vni=0", *subnet)
    refused("is no address and no name", "-o", "peers=a b", "-o", "vni=7", *subnet)
    refused('local "x" is no address', "-o", "peers=10.0.0.1", "-o", "vni=7", "-o", "local=x", *subnet)


def test_routed(hosts):
    """Containers of three hosts by their own addresses, only where a port is published, and with their own address."""
    for number, host in enumerate(hosts, 1):
        host.docker("network", "create", "--subnet", f"10.40.{number}.0/24", "-o", "com.docker.network.bridge.gateway_mode_ipv4=routed", "net")
        for other in hosts:
            if other is not host:
                other.space.ip("route", "add", f"10.40.{number}.0/24", "via", host.address)
        host.serve(f"open{number}", "--network", "net", "-p", "80", "--ip", f"10.40.{number}.10")
        host.serve(f"shut{number}", "--network", "net", "--ip", f"10.40.{number}.11")
    for number in (1, 2, 3):
        for other in (1, 2, 3):
            if other != number:
                assert hosts[number - 1].get(f"shut{number}", f"http://10.40.{other}.10/") == f"hello from open{other}"
    assert hosts[0].get("shut1", "http://10.40.2.11/", patience=0) is None
    # the address that asks is its own
    assert "10.40.1.11" in hosts[1].docker("logs", "open2").stderr


SERVER = ("sh", "-c", "mkdir /www; echo x > /www/small; busybox dd if=/dev/zero of=/www/big bs=65536 count=32; exec httpd -f -p 80 -h /www")


def test_bandwidth(hosts):
    """What passes in a second is what was allowed; the limits are the host's, and go with the container."""
    host = hosts[0]
    host.docker("network", "create", "net")
    host.docker("run", "-d", "--name", "slow", "--cap-add", "NET_ADMIN", "--network", "name=net,driver-opt=egress=8mbit/64k,driver-opt=ingress=16mbit/64k",
                "box", *SERVER)  # fmt: skip
    host.docker("run", "-d", "--name", "fast", "--network", "net", "box", *SERVER)

    def seconds(sender, receiver):
        assert host.get(receiver, f"http://{sender}/small") == "x"
        start = time.monotonic()
        host.docker("exec", receiver, "wget", "-q", "-O", "/dev/null", f"http://{sender}/big")
        return time.monotonic() - start

    # 2 MiB: at least 2 s at 1 MB/s, 1 s at 2 MB/s, whatever else the machine does
    assert seconds("slow", "fast") > 1.8
    assert seconds("fast", "slow") > 0.9
    # who rules inside cannot lift it
    links = host.space.ip("-j", "-d", "link").stdout
    kinds = [link.get("linkinfo", {}).get("info_kind") for link in json.loads(links)]
    assert kinds.count("ifb") == 1 and kinds.count("veth") == 3
    # statistics count what passed
    stats = json.loads(run("curl", "-s", "--unix-socket", host.socket, "http://x/containers/slow/stats?stream=false&one-shot=1").stdout)
    assert stats["networks"]["eth0"]["tx_bytes"] > 1 << 21 and stats["networks"]["eth0"]["rx_bytes"] > 1 << 21
    # kill -9 of the engine, and the container ends meanwhile: the ifb link goes too
    pid = host.inspect("slow")["State"]["Pid"]
    host.kill()
    run("kill", "-9", pid)
    host.start()
    wait_for(lambda: "ifb" not in host.space.ip("-d", "link").stdout, what="the ifb link to go")
    for words, option in (("8kbit to 400gbit", "egress=1"), ("8kbit to 400gbit", "ingress=fast"), ("invalid burst", "egress=1mbit/1")):
        done = host.docker("run", "--network", f"name=net,driver-opt={option}", "box", "true", check=False)
        assert done.returncode == 125 and words in done.stderr, done.stderr
