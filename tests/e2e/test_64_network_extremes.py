# SPDX-License-Identifier: Apache-2.0
"""IPv6, the CLI of our own, macvlan, and an engine that is killed again and again while containers come and go."""
import json
import os
import re
import subprocess
import threading

import pytest

from lib import images, leaks, needs
from lib.daemon import Daemon
from lib.ports import free_port
from lib.wait import wait_for
from test_60_network import fetch, inside, outside, run, wget  # noqa: F401
from test_61_user_networks import network, server, settings
from test_62_dns import lookup


@pytest.fixture
def engine(daemon, busybox_rootfs):
    tar = images.tar_of(busybox_rootfs)
    subprocess.run(["docker", "import", "-", "box"], input=tar, env=daemon.environment, check=True, capture_output=True)
    return daemon


def test_two_families(engine, outside):  # noqa: F811
    """Dual stack: addresses, names, each other, out, in through [::] and 0.0.0.0, and hairpin."""
    run("ip", "addr", "add", "fd31::1/64", "dev", outside.link, "nodad")
    run("ip", "-n", outside.namespace, "addr", "add", "fd31::2/64", "dev", "eth0", "nodad")
    port = free_port()
    engine.docker("network", "create", "--ipv6", "both")
    engine.docker("network", "create", "--ipv6", "--subnet", "fd32:1::/64", "chosen")
    server(engine, "web", "--network", "both", "-p", f"{port}:80")
    server(engine, "other", "--network", "chosen", "--ip6", "fd32:1::77", "-P")
    subnets = [c["Subnet"] for c in network(engine, "both")["IPAM"]["Config"]]
    assert len(subnets) == 2 and re.match("fd[0-9a-f]{2}:", subnets[1])
    web = settings(engine, "web", "both")
    assert web["GlobalIPv6Address"].startswith(subnets[1].split("::")[0]) and web["GlobalIPv6PrefixLen"] == 64
    assert settings(engine, "other", "chosen")["GlobalIPv6Address"] == "fd32:1::77"
    bindings = engine.inspect("web")["NetworkSettings"]["Ports"]["80/tcp"]
    assert bindings == [{"HostIp": "0.0.0.0", "HostPort": str(port)}, {"HostIp": "::", "HostPort": str(port)}]
    assert sorted(lookup(engine, "web", "web")) == sorted([web["IPAddress"], web["GlobalIPv6Address"]])
    # in, by both families; from a container of another network; its own port
    assert outside.get(f"http://[fd31::1]:{port}/") == "hello from web"
    assert outside.get(f"http://{outside.host}:{port}/") == "hello from web"
    assert wget(engine, "other", f"http://[fd31::1]:{port}/") == "hello from web"
    assert wget(engine, "web", f"http://[fd31::1]:{port}/") == "hello from web"
    assert fetch(f"http://[fd31::1]:{port}/") == "hello from web"
    assert fetch(f"http://127.0.0.1:{port}/") == "hello from web"
    # not published: not to be had; networks apart
    assert outside.get(f"http://[{web['GlobalIPv6Address']}]/", patience=0) is None
    inside_other = inside(engine, "other", "busybox", "timeout", "1", "wget", "-q", "-O", "-",
                          f"http://[{web['GlobalIPv6Address']}]/", check=False)  # fmt: skip
    assert inside_other.returncode != 0
    # out
    assert "default via" in inside(engine, "web", "ip", "-6", "route").stdout
    assert inside(engine, "web", "ping", "-6", "-c", "1", "-W", "5", "fd31::2").returncode == 0


def test_only_ipv6(engine):
    created = engine.kist("network", "create", "--ipv4=false", "--ipv6", "--subnet", "fd33:1::/64", "six").stdout.strip()
    assert network(engine, "six")["Id"] == created and not network(engine, "six")["EnableIPv4"]
    server(engine, "web", "--network", "six")
    given = settings(engine, "web", "six")
    assert given["IPAddress"] == "" and given["GlobalIPv6Address"] == "fd33:1::2"
    assert "inet 1" not in inside(engine, "web", "ip", "-o", "addr", "show", "eth0").stdout
    assert lookup(engine, "web", "web") == ["fd33:1::2"]


def test_gateway_modes(engine, outside):  # noqa: F811
    """routed: by the container's own address, published ports only, nothing translated."""
    engine.docker("network", "create", "--subnet", "10.93.1.0/24", "-o", "com.docker.network.bridge.gateway_mode_ipv4=routed", "routed")
    engine.docker("network", "create", "--subnet", "10.93.2.0/24", "-o", "com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected", "open")
    server(engine, "web", "--network", "routed", "-p", "80")
    server(engine, "shut", "--network", "routed")
    server(engine, "open", "--network", "open")
    assert outside.get(f"http://{settings(engine, 'web', 'routed')['IPAddress']}/") == "hello from web"
    assert outside.get(f"http://{settings(engine, 'shut', 'routed')['IPAddress']}/", patience=0) is None
    assert outside.get(f"http://{settings(engine, 'open', 'open')['IPAddress']}/") == "hello from open"


def test_command_line(engine):
    """The commands of docker's that kist has of its own."""
    kist = engine.kist
    created = kist("network", "create", "--subnet", "10.94.0.0/24", "--gateway", "10.94.0.9", "--label", "a=b", "one").stdout.strip()
    assert re.fullmatch("[0-9a-f]{64}", created)
    kist("run", "-d", "--name", "web", "--network", "one", "--ip", "10.94.0.7", "box", "sleep", "1000")
    kist("network", "create", "two")
    kist("network", "connect", "--alias", "zwei", "two", "web")
    assert json.loads(kist("network", "inspect", "two").stdout)[0]["Containers"]
    assert "zwei" in settings(engine, "web", "two")["Aliases"]
    assert "has active endpoints" in kist("network", "rm", "two", check=False).stderr
    kist("network", "disconnect", "two", "web")
    assert kist("network", "rm", "two").stdout == "two\n"
    assert kist("network", "rm", "-f", "two").returncode == 0
    assert "network two not found" in kist("network", "rm", "two", check=False).stderr
    kist("network", "create", "three")
    assert kist("network", "prune", "-f").stdout == "Deleted Networks:\nthree\n\n"
    assert "no matching subnet" in kist("network", "create", "--gateway", "10.9.9.9", "four", check=False).stderr


def test_macvlan(engine, tmp_path):
    name = engine.name
    run("ip", "link", "add", f"mv{name}", "type", "veth", "peer", "name", f"mw{name}")
    try:
        for end in (f"mv{name}", f"mw{name}"):
            run("ip", "link", "set", end, "up")
        missing = engine.docker("network", "create", "-d", "macvlan", "-o", "parent=nosuch0", "wire", check=False)
        assert "nosuch0" in missing.stderr
        made = engine.docker("network", "create", "-d", "macvlan", "--subnet", "10.95.0.0/24", "--gateway", "10.95.0.1",
                             "-o", f"parent=mv{name}", "wire", check=False)  # fmt: skip
        assert made.returncode == 0, made.stderr
        started = engine.docker("run", "-d", "--name", "web", "--network", "wire", "--ip", "10.95.0.7", "box", "sh", "-c",
                                "mkdir /w; echo on the wire > /w/index.html; exec httpd -f -p 80 -h /w", check=False)  # fmt: skip
        if "macvlan" in started.stderr:
            assert "this kernel has no macvlan links" in started.stderr
            engine.docker("rm", "-f", "web", check=False)
            pytest.skip("this kernel has no macvlan")
        assert started.returncode == 0, started.stderr
        run("ip", "addr", "add", "10.95.0.1/24", "dev", f"mw{name}")
        assert fetch("http://10.95.0.7/") == "on the wire"
        engine.docker("network", "create", "side")
        engine.docker("network", "connect", "side", "web")
        engine.docker("network", "disconnect", "wire", "web")
        assert "10.95.0.7" not in inside(engine, "web", "ip", "-o", "addr").stdout
        engine.docker("rm", "-f", "web")
        engine.docker("network", "rm", "wire")
        assert leaks.links(f"mv{name}")
    finally:
        run("ip", "link", "del", f"mv{name}", check=False)


def state(engine):
    """Rules with their elements in order, and who is on the bridges."""
    text = run("nft", "-j", "list", "table", "inet", engine.table).stdout
    items = json.loads(text)["nftables"]
    for item in items:
        for kind in item.values():
            if isinstance(kind, dict):
                kind.pop("handle", None)
                if isinstance(kind.get("elem"), list):
                    kind["elem"] = sorted(json.dumps(e, sort_keys=True) for e in kind["elem"])
    bridges = [engine.bridge, f"br-{network(engine, 'net')['Id'][:12]}"]
    links = [len(leaks.ports(bridge)) for bridge in bridges]
    return sorted(json.dumps(i, sort_keys=True) for i in items if "metainfo" not in i), links


# At once: KIST_KILL_CLIENTS=100 is a test by hand, too long for a run of everything.
CLIENTS = int(os.environ.get("KIST_KILL_CLIENTS", "12"))


@pytest.mark.parametrize("kills", [3])
def test_killed_in_the_middle(engine, kills):
    """kill -9 of the engine in the middle of parallel starts and stops: rules and links are as before, names hold."""
    engine.docker("network", "create", "--subnet", "10.96.0.0/24", "net")
    keep = free_port()
    server(engine, "keep", "--network", "net", "-p", f"{keep}:80")
    before = state(engine)
    for round_ in range(kills):
        clients = [threading.Thread(target=engine.docker, args=("run", "--rm", "--name", f"t{round_}x{i}", "--network", "net",
                   "-p", "80", "box", "sleep", "0.2"), kwargs={"check": False}) for i in range(CLIENTS)]  # fmt: skip
        for client in clients:
            client.start()
        wait_for(lambda: leaks.ports(f"br-{network(engine, 'net')['Id'][:12]}"), "a start")
        engine.kill()
        engine.start()
        for client in clients:
            client.join()
        ids = engine.docker("ps", "-aq", "--filter", "name=^/t").stdout.split()
        if ids:
            engine.docker("rm", "-f", *ids, check=False)
        wait_for(lambda: state(engine) == before, what="rules and links as before")
        assert fetch(f"http://127.0.0.1:{keep}/") == "hello from keep"
    # all addresses are there again
    for i in range(20):
        engine.docker("run", "--rm", "--network", "net", "box", "true")
    server(engine, "last", "--network", "net", "--ip", "10.96.0.3")
    assert lookup(engine, "last", "keep") == [settings(engine, "keep", "net")["IPAddress"]]


def test_rules_are_kept(engine, outside):  # noqa: F811
    """Somebody deletes the table, or empties a chain: it is there again. The administrator's own chain stays as it is."""
    port = free_port()
    server(engine, "web", "-p", f"{port}:80")
    web = settings(engine, "web", "bridge")["IPAddress"]
    engine.docker("network", "create", "--subnet", "10.97.0.0/24", "net")
    before = state(engine)
    one = "{ tcp . %d : %s . 80 }" % (port, web)
    for change in (["flush", "chain", "inet", engine.table, "forward"], ["delete", "table", "inet", engine.table],
                   ["delete", "element", "inet", engine.table, "ports4_any", one], ["flush", "set", "inet", engine.table, "bridges"]):  # fmt: skip
        run("nft", *change)
        wait_for(lambda: run("nft", "list", "table", "inet", engine.table, check=False).returncode == 0 and state(engine) == before,
                 what="the rules")  # fmt: skip
        assert outside.get(f"http://{outside.host}:{port}/") == "hello from web"
    assert outside.get(f"http://{web}/", patience=0) is None
    wait_for(lambda: "firewall rules" in engine.log.read_text(), "a word about it")
    # the administrator's chain is asked first, and survives us
    run("nft", "add", "rule", "inet", engine.table, "user", "ip", "saddr", outside.address, "drop")
    assert outside.get(f"http://{outside.host}:{port}/", patience=0) is None
    engine.kill()
    engine.start()
    assert outside.get(f"http://{outside.host}:{port}/", patience=0) is None
    engine.docker("rm", "-f", "web")
    engine.stop()
    assert outside.address in run("nft", "list", "chain", "inet", engine.table, "user").stdout
    run("nft", "flush", "chain", "inet", engine.table, "user")
    engine.start()


class Secluded(Daemon):
    """A kistd in a network namespace of its own, with a neighbour beyond: what it finds there is nobody else's."""

    def __init__(self, root, program):
        super().__init__(root, program)
        self.space, self.beyond = f"ks{self.name}", f"kb{self.name}"
        for name in (self.space, self.beyond):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", self.space, "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", self.beyond)
        for name, link, address in ((self.space, "up0", "10.215.0.1/24"), (self.beyond, "eth0", "10.215.0.2/24")):
            run("ip", "-n", name, "addr", "add", address, "dev", link)
            run("ip", "-n", name, "link", "set", link, "up")

    def argv(self):
        return ["nsenter", f"--net=/run/netns/{self.space}", *super().argv()]

    def within(self, *argv, check=True):
        return run("nsenter", f"--net=/run/netns/{self.space}", *argv, check=check)

    def get(self, url):
        page = run("nsenter", f"--net=/run/netns/{self.beyond}", "timeout", "3", "busybox", "wget", "-q", "-O", "-", url, check=False)
        return page.stdout.strip()

    def close(self):
        try:
            self.docker("rm", "-f", *self.docker("ps", "-aq").stdout.split(), check=False)
            self.stop()
        finally:
            for name in (self.space, self.beyond):
                run("ip", "netns", "del", name, check=False)
        assert not self.reports(), self.reports()[0]


@pytest.mark.parametrize("iptables", ["iptables", "iptables-legacy"])
def test_foreign_firewall(tmp_root, program, busybox_rootfs, iptables):
    """A FORWARD chain that drops, as dockerd makes it: our bridges are let through, and nothing of ours stays in it."""
    engine = Secluded(tmp_root, program)
    try:
        needs.programs(iptables)
        drop = engine.within(iptables, "-P", "FORWARD", "DROP", check=False)
        if drop.returncode != 0:
            # Debian's is on nftables, which every kernel has that kistd runs on.
            assert iptables == "iptables-legacy" and "Table does not exist" in drop.stderr, drop.stderr
            pytest.skip(f"this kernel has no tables for it: {drop.stderr.strip()}")
        engine.start()
        tar = images.tar_of(busybox_rootfs)
        subprocess.run(["docker", "import", "-", "box"], input=tar, env=engine.environment, check=True, capture_output=True)
        server(engine, "web", "-p", "8080:80")
        wait_for(lambda: engine.get("http://10.215.0.1:8080/") == "hello from web", what="the page")
        assert f"-A FORWARD -i {engine.bridge} -j ACCEPT" in engine.within(iptables, "-S", "FORWARD").stdout
        # the other program starts after us
        for verb in (["-F", "FORWARD"], ["-P", "FORWARD", "ACCEPT"], ["-P", "FORWARD", "DROP"]):
            engine.within(iptables, *verb)
        # nobody tells of changes to the old tables: they are looked at when the engine starts and networks are made
        if iptables == "iptables-legacy":
            broken = engine.kist("network", "doctor", "bridge", check=False).stdout
            assert "BROKEN  no other firewall's FORWARD chain drops" in broken
            engine.restart()
        wait_for(lambda: engine.get("http://10.215.0.1:8080/") == "hello from web", what="the page again")
        engine.docker("rm", "-f", "web")
        engine.stop()
        assert engine.within(iptables, "-S", "FORWARD").stdout == "-P FORWARD DROP\n"
        engine.start()
    finally:
        engine.close()


def test_doctor(engine):
    """What is broken is named; what is whole is not."""
    port = free_port()
    engine.docker("network", "create", "--subnet", "10.99.0.0/24", "net")
    server(engine, "web", "--network", "net", "-p", f"{port}:80")
    bridge = f"br-{network(engine, 'net')['Id'][:12]}"

    def broken(name):
        result = engine.kist("network", "doctor", name, check=False)
        lines = [line for line in result.stdout.splitlines() if line.startswith("BROKEN")]
        assert result.returncode == (1 if lines else 0), result.stdout + result.stderr
        return lines

    assert broken("net") == [] == broken("web")
    whole = engine.kist("network", "doctor", "web").stdout
    assert f"port 0.0.0.0:{port} is turned to the container's port 80/tcp" in whole and "kist-resolve answers" in whole
    run("ip", "link", "set", bridge, "down")
    assert any(f"{bridge} is down" in line for line in broken("net"))
    run("ip", "link", "set", bridge, "up")
    run("ip", "addr", "del", "10.99.0.1/24", "dev", bridge)
    assert any("gateway's address 10.99.0.1" in line for line in broken("web"))
    run("ip", "addr", "add", "10.99.0.1/24", "dev", bridge)
    pid = engine.inspect("web")["State"]["Pid"]
    run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "route", "del", "default")
    assert any("way out" in line for line in broken("web"))
    run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "link", "set", "eth0", "down")
    assert any("link eth0 is up" in line for line in broken("web"))
    assert "the table of connections has room" in whole
    run("nsenter", f"--net=/proc/{pid}/ns/net", "nft", "flush", "table", "ip", "kist_resolver")
    assert any("port 53 of 127.0.0.11" in line for line in broken("web"))
    run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "link", "del", "eth0")
    assert any("has no link eth0" in line for line in broken("web")) and any("host's end" in line for line in broken("web"))
    assert "No such container" in engine.kist("network", "doctor", "nosuch", check=False).stderr
