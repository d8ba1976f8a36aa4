# SPDX-License-Identifier: Apache-2.0
"""kist-cni as other people's CNI plugins: called by hand, by podman and by containerd's ctr.

A host is a network namespace of the test's own.
"""
import json
import os
import pathlib
import secrets
import subprocess
import time

import pytest

from lib import images, needs
from lib.topology import Space, run

PLUGINS = ("bridge", "portmap", "firewall", "host-local", "loopback")


@pytest.fixture
def plugins(tmp_root, program):
    folder = tmp_root / "cni"
    folder.mkdir()
    for name in PLUGINS:
        (folder / name).symlink_to(program("kist-cni"))
        (folder / f"kist-{name}").symlink_to(program("kist-cni"))
    return folder


@pytest.fixture
def host():
    space = Space("h")
    beyond = Space("b")
    space.wire("up0", beyond, "eth0", "10.216.0.1/24", "10.216.0.2/24")
    space.beyond = beyond
    yield space
    space.close()
    beyond.close()


class Caller:
    """What cnitool does: a chain of plugins, with prevResult handed on."""

    def __init__(self, host, plugins, tmp_root):
        self.host, self.path, self.root = host, plugins, tmp_root
        self.name = f"t{secrets.token_hex(4)}"
        self.base = {
            "type": "bridge", "bridge": "tb0", "isGateway": True, "isDefaultGateway": True, "ipMasq": True, "hairpinMode": True,
            "ipam": {"type": "host-local", "dataDir": str(tmp_root / "leases"),
                     "ranges": [[{"subnet": "10.217.0.0/24"}], [{"subnet": "fd17::/64"}]]},
        }  # fmt: skip
        self.chain = [self.base, {"type": "portmap"}, {"type": "firewall"}]
        self.version = "1.1.0"

    def call(self, command, plugin, config, container="", netns="", ifname="eth0", **extra):
        environment = dict(os.environ, CNI_COMMAND=command, CNI_CONTAINERID=container, CNI_NETNS=netns, CNI_IFNAME=ifname,
                           CNI_PATH=str(self.path), **extra)  # fmt: skip
        text = json.dumps({"cniVersion": self.version, "name": self.name, **config})
        return self.host.within(self.path / plugin, check=False, input=text, env=environment)

    def add(self, space, runtime=None, chain=None, **extra):
        result = None
        for config in chain or self.chain:
            extended = dict(config, runtimeConfig=runtime or {})
            if result:
                extended["prevResult"] = result
            done = self.call("ADD", config["type"], extended, space.name, space.path, **extra)
            assert done.returncode == 0, done.stdout + done.stderr
            result = json.loads(done.stdout)
        space.result = result
        return result

    def all(self, command, space, netns=None):
        """DEL and CHECK; the answers."""
        order = self.chain if command == "CHECK" else self.chain[::-1]
        return [self.call(command, c["type"], dict(c, prevResult=space.result), space.name, space.path if netns is None else netns)
                for c in order]  # fmt: skip

    def collect(self, *spaces):
        valid = {"cni.dev/valid-attachments": [{"containerID": s.name, "ifname": "eth0"} for s in spaces]}
        return [self.call("GC", c["type"], dict(c, **valid)) for c in self.chain]

    def leases(self):
        folder = self.root / "leases" / self.name
        return sorted(f.name for f in folder.iterdir() if f.name[0].isdigit() or ":" in f.name)

    def records(self, space):
        return list(pathlib.Path("/run/kist-cni").glob(f"*/{space.name},*"))


@pytest.fixture
def caller(host, plugins, tmp_root):
    return Caller(host, plugins, tmp_root)


@pytest.fixture
def spaces(caller):
    made = [Space("c"), Space("d")]
    yield made
    for space in made:
        caller.all("DEL", space, netns="") if hasattr(space, "result") else None
        space.close()


def elements(host):
    table = json.loads(host.within("nft", "-j", "list", "table", "inet", "kist_cni").stdout)["nftables"]
    return sum(len(o[kind].get("elem", [])) for o in table for kind in ("set", "map") if kind in o)


def test_chain(host, caller, spaces, tmp_path):
    one, two = spaces
    host.beyond.serve(tmp_path / "out", 8000, "from beyond")
    has_iptables = host.within("iptables", "-P", "FORWARD", "DROP", check=False).returncode == 0
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
                              {"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}]}  # fmt: skip
    result = caller.add(one, ports)
    assert [i["address"] for i in result["ips"]] == ["10.217.0.2/24", "fd17::2/64"] and result["cniVersion"] == "1.1.0"
    assert result["interfaces"][2]["sandbox"] == one.path and result["interfaces"][0]["name"] == "tb0"
    caller.add(two)
    one.serve(tmp_path / "in", 80, "from one")
    # neighbours, out behind the host's address, in by ports: from outside, the host's loopback, neighbours, itself
    assert two.get("http://10.217.0.2/") == "from one"
    assert two.get("http://10.216.0.2:8000/") == "from beyond"
    assert host.beyond.get("http://10.216.0.1:8080/") == "from one"
    assert host.get("http://127.0.0.1:8080/") == "from one" and host.get("http://127.0.0.1:8081/") == "from one"
    assert host.beyond.get("http://10.216.0.1:8081/", patience=0) is None
    assert two.get("http://10.216.0.1:8080/") == "from one" and one.get("http://10.216.0.1:8080/") == "from one"
    assert two.get("http://[fd17::2]/") == "from one"
    assert all(c.returncode == 0 for c in caller.all("CHECK", one))
    # what is broken is told
    host.within("nft", "delete", "element", "inet", "kist_cni", "ports4_any", "{ tcp . 8080 : 10.217.0.2 . 80 }")
    assert "is gone" in caller.all("CHECK", one)[1].stdout
    one.ip("addr", "del", "10.217.0.2/24", "dev", "eth0")
    assert "has not address 10.217.0.2/24" in caller.all("CHECK", one)[0].stdout
    # GC of all but the second; DEL twice, the second time without the namespace
    assert all(c.returncode == 0 for c in caller.collect(two))
    assert caller.leases() == ["10.217.0.3", "fd17::3"] and not caller.records(one)
    for netns in (None, ""):
        assert all(c.returncode == 0 for c in caller.all("DEL", two, netns)), netns
    assert two.ip("link", "show", "eth0", check=False).returncode != 0
    assert caller.leases() == [] and not caller.records(two) and elements(host) == 0
    # what another firewall dropped it drops again
    assert not has_iptables or host.within("iptables", "-S", "FORWARD").stdout == "-P FORWARD DROP\n"


def test_addresses(caller, spaces):
    one, two = spaces
    lease = dict(caller.base["ipam"], ranges=[[{"subnet": "10.217.1.0/29", "rangeStart": "10.217.1.2", "rangeEnd": "10.217.1.3"}]])
    config = {"type": "bridge", "ipam": lease}

    def ask(command, container, **runtime):
        return caller.call(command, "host-local", dict(config, runtimeConfig=runtime), container, "/n")

    assert json.loads(ask("ADD", "a", ips=["10.217.1.3"]).stdout)["ips"][0]["address"] == "10.217.1.3/29"
    assert "has an address already" in ask("ADD", "a").stdout
    assert "is taken" in ask("ADD", "b", ips=["10.217.1.3"]).stdout
    assert "in none of the ranges" in ask("ADD", "b", ips=["10.9.9.9"]).stdout
    assert json.loads(ask("ADD", "b").stdout)["ips"][0]["address"] == "10.217.1.2/29"
    full = ask("ADD", "c")
    assert full.returncode == 1 and "no address is free" in json.loads(full.stdout)["msg"]
    assert caller.leases() == ["10.217.1.2", "10.217.1.3"]
    # the form of the CNI project's own host-local
    lease_file = caller.root / "leases" / caller.name / "10.217.1.2"
    assert lease_file.read_bytes() == b"b\r\neth0"
    # the one that is taken after a removal is not the one just given back
    ask("DEL", "a"), ask("DEL", "b")
    assert json.loads(ask("ADD", "d").stdout)["ips"][0]["address"] == "10.217.1.3/29"


def test_loopback(caller, spaces):
    one, _ = spaces
    one.ip("link", "set", "lo", "down")

    def ask(command, **config):
        return caller.call(command, "loopback", {"type": "loopback", **config}, one.name, one.path, "lo")

    down = ask("CHECK")
    assert down.returncode == 1 and "lo is down" in json.loads(down.stdout)["msg"]
    answer = json.loads(ask("ADD").stdout)
    assert [ip["address"] for ip in answer["ips"]] == ["127.0.0.1/8", "::1/128"] and answer["interfaces"][0]["sandbox"] == one.path
    assert "LOOPBACK,UP" in one.ip("link", "show", "lo").stdout and ask("CHECK").returncode == 0
    before = {"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.1/8"}]}
    assert json.loads(ask("ADD", prevResult=before).stdout)["ips"] == before["ips"]
    assert ask("DEL").returncode == 0 and "UP" not in one.ip("link", "show", "lo").stdout.split(">")[0]
    assert caller.call("DEL", "loopback", {"type": "loopback"}, one.name, "/nowhere", "lo").returncode == 0
    assert "/nowhere" in caller.call("ADD", "loopback", {"type": "loopback"}, one.name, "/nowhere", "lo").stdout
    one.ip("link", "set", "lo", "up")


def test_refusals(host, caller, spaces):
    """Each names its cause in the specification's form, and leaves nothing."""
    one, _ = spaces

    def fails(code, words, plugin="bridge", command="ADD", container=one.name, netns=one.path, version="1.1.0", **config):
        caller.version = version
        done = caller.call(command, plugin, dict(caller.base, **config), container, netns)
        answer = json.loads(done.stdout)
        assert done.returncode == 1 and answer["code"] == code and words in answer["msg"], answer
        assert one.ip("link", "show", "eth0", check=False).returncode != 0
        assert "veth" not in host.ip("link").stdout
        assert not (caller.root / "leases" / caller.name).exists() or caller.leases() == []

    fails(1, "cniVersion", version="0.2.0")
    fails(4, "CNI_COMMAND", command="MAKE")
    fails(4, "CNI_CONTAINERID", container="../x")
    fails(4, "CNI_NETNS", netns="")
    fails(7, "enter network namespace", netns="/etc/passwd")
    fails(7, "longer than 15", bridge="a-name-that-is-long")
    fails(7, "vlan is not supported", vlan=7)
    fails(7, "is no subnet", plugin="host-local", ipam={"type": "host-local", "ranges": [[{"subnet": "10.0.0.300/8"}]],
                                                        "dataDir": str(caller.root / "leases")})  # fmt: skip
    fails(999, "is in none of", ipam={"type": "nonesuch"})
    fails(7, "in a chain", plugin="portmap")
    fails(6, "prevResult.ips", plugin="portmap", prevResult={"ips": 7})
    fails(7, "on interface 9", plugin="portmap", prevResult={"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.1/8", "interface": 9}]})
    fails(7, "ingressPolicy", plugin="firewall", ingressPolicy="odd", prevResult={"cniVersion": "1.1.0"})
    # an IPAM plugin that prints rubbish
    bad = caller.path / "rubbish"
    bad.write_text("#!/bin/sh\necho '{\"ips\": [{\"address\": \"ten\"}]}'\n")
    bad.chmod(0o755)
    fails(7, 'address "ten"', ipam={"type": "rubbish"})
    versions = json.loads(caller.call("VERSION", "bridge", {}).stdout)
    assert {"0.3.1", "0.4.0", "1.0.0", "1.1.0"} <= set(versions["supportedVersions"])
    caller.version = "1.1.0"
    assert caller.call("STATUS", "bridge", caller.base).returncode == 0


def test_same_bridge_only(host, caller, spaces, tmp_path):
    """ingressPolicy same-bridge: two networks do not reach each other; a port that is taken is refused."""
    one, two = spaces
    caller.chain = [caller.base, {"type": "portmap"}, {"type": "firewall", "ingressPolicy": "same-bridge"}]
    other = Caller(host, caller.path, caller.root)
    other.chain = [dict(caller.base, bridge="tb1", ipam=dict(caller.base["ipam"], ranges=[[{"subnet": "10.217.9.0/24"}]])),
                   *caller.chain[1:]]  # fmt: skip
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    caller.add(one, ports)
    other.add(two, chain=other.chain[:1])
    refused = other.call("ADD", "portmap", {"type": "portmap", "runtimeConfig": ports, "prevResult": two.result}, two.name, two.path)
    assert refused.returncode == 1 and f"by container {one.name} already" in refused.stdout
    assert [r.name for r in other.records(two)] == [f"{two.name},eth0,bridge"]
    one.serve(tmp_path / "in", 80, "from one")
    assert two.get("http://10.217.0.2/") == "from one"
    done = other.call("ADD", "firewall", dict(other.chain[2], prevResult=two.result), two.name, two.path)
    assert done.returncode == 0, done.stdout
    assert two.get("http://10.217.0.2/", patience=0) is None and host.get("http://10.217.0.2/") == "from one"
    assert all(c.returncode == 0 for c in other.all("DEL", two))


def network_file(folder, root, name, version):
    chain = [{"type": "bridge", "bridge": "tb0", "isGateway": True, "isDefaultGateway": True, "ipMasq": True, "hairpinMode": True,
              "ipam": {"type": "host-local", "dataDir": str(root / "leases"), "ranges": [[{"subnet": "10.218.0.0/24"}]]}},
             {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}]  # fmt: skip
    folder.mkdir()
    (folder / "10-test.conflist").write_text(json.dumps({"cniVersion": version, "name": name, "plugins": chain}))


def test_podman(host, plugins, tmp_root, program, busybox_rootfs):
    needs.programs("podman")
    network_file(tmp_root / "net.d", tmp_root, "test", "0.4.0")
    (tmp_root / "c.conf").write_text(
        f'[network]\nnetwork_backend = "cni"\ncni_plugin_dirs = ["{plugins}"]\nnetwork_config_dir = "{tmp_root}/net.d"\n'
    )
    base = ["podman", "--root", tmp_root / "r", "--runroot", tmp_root / "rr", "--tmpdir", tmp_root / "t", "--cgroup-manager",
            "cgroupfs", "--events-backend", "none", "--storage-driver", "vfs", "--runtime", program("kist-runtime")]  # fmt: skip
    environment = dict(os.environ, CONTAINERS_CONF=str(tmp_root / "c.conf"))

    def podman(*argv, check=True):
        return host.within(*base, *argv, check=check, env=environment)

    name = f"t{secrets.token_hex(4)}"
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--pull", "never"]
    tar = tmp_root / "box.tar"
    tar.write_bytes(images.tar_of(busybox_rootfs))
    podman("import", tar, "box")
    try:
        serve = "mkdir -p /www; echo hello from podman > /www/index.html; exec httpd -f -p 80 -h /www"
        podman("run", "-d", "--name", name, *limits, "--network", "test", "-p", "8080:80", "box", "sh", "-c", serve)
        assert host.beyond.get("http://10.216.0.1:8080/") == "hello from podman"
        assert podman("exec", name, "wget", "-q", "-O", "-", "http://10.218.0.2/").stdout == "hello from podman\n"
    finally:
        podman("rm", "-f", "-t", "0", name, check=False)
        left = podman("ps", "-aq", check=False).stdout
    assert left == "" and elements(host) == 0
    assert [f.name for f in (tmp_root / "leases/test").iterdir() if f.name[0].isdigit()] == []


def test_containerd(host, plugins, tmp_root, busybox_layout):
    """ctr run --cni looks in /etc/cni/net.d and /opt/cni/bin: in a mount namespace of the test's own those are ours."""
    needs.programs("containerd", "ctr")
    network_file(tmp_root / "net.d", tmp_root, "test", "1.0.0")
    name, space = f"t{secrets.token_hex(4)}", f"t-{secrets.token_hex(4)}"
    (tmp_root / "config.toml").write_text(
        f'version = 2\nroot = "{tmp_root}/root"\nstate = "{tmp_root}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]\n'
        f'[grpc]\naddress = "{tmp_root}/c.sock"\n'
    )
    log = open(tmp_root / "log", "ab")
    server = subprocess.Popen(["nsenter", f"--net={host.path}", "containerd", "-c", tmp_root / "config.toml"], stdout=log, stderr=log)
    (tmp_root / "cache").mkdir()
    setup = (f"mkdir -p /etc/cni /opt /var/lib/cni; mount --bind {tmp_root}/cache /var/lib/cni; mount -t tmpfs t /etc/cni; "
             f"mount -t tmpfs t /opt; mkdir -p /opt/cni; ln -s {tmp_root}/net.d /etc/cni/net.d; "
             f"ln -s {plugins} /opt/cni/bin; exec ctr -a {tmp_root}/c.sock -n {space} \"$@\"")  # fmt: skip

    def ctr(*argv, check=True):
        return host.within("unshare", "-m", "sh", "-c", setup, "ctr", *argv, check=check)

    try:
        end = time.monotonic() + 60
        while ctr("version", check=False).returncode != 0:
            assert time.monotonic() < end and server.poll() is None, (tmp_root / "log").read_text()
            time.sleep(0.1)
        run("tar", "-C", busybox_layout, "-cf", tmp_root / "i.tar", ".")
        ctr("images", "import", "--digests", "--base-name", "localhost/box", tmp_root / "i.tar")
        image = ctr("images", "ls", "-q").stdout.split()[0]
        serve = "mkdir -p /www; echo hello from ctr > /www/index.html; exec httpd -f -p 80 -h /www"
        ctr("run", "-d", "--cni", image, name, "busybox", "sh", "-c", serve)
        assert host.get("http://10.218.0.2/") == "hello from ctr"
        ctr("task", "rm", "-f", name)
    finally:
        ctr("task", "rm", "-f", name, check=False)
        ctr("container", "rm", name, check=False)
        server.terminate()
        server.wait(60)
        log.close()
        for group in pathlib.Path("/sys/fs/cgroup").glob(f"*/{space}"):
            group.rmdir()
    # ctr itself never calls DEL for a task that ran detached: what it leaves is what a GC is for
    caller = Caller(host, plugins, tmp_root)
    caller.name, caller.version = "test", "1.0.0"
    assert all(c.returncode == 0 for c in caller.collect())
    assert caller.leases() == [] and not list(pathlib.Path("/run/kist-cni").glob(f"*/{space}*"))
