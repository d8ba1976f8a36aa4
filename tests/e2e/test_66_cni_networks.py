# SPDX-License-Identifier: Apache-2.0
"""CNI as a network driver of kistd: Debian's plugins and our own, and plugins that hang or print rubbish.

The engine lives in a network namespace of its own: foreign plugins write rules where they please.
"""
import json
import pathlib
import subprocess

import pytest

from lib import images, needs
from lib.wait import wait_for
from test_60_network import wget
from test_62_dns import lookup
from test_64_network_extremes import Secluded

DEBIAN = pathlib.Path(needs.file("/usr/lib/cni/bridge")).parent

# Notes each call, then does what the plugin before it said.
NOTE = """#!/bin/sh
config=$(cat)
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME" >> {log}
case $CNI_COMMAND in
ADD) echo "$config" > {log}.config; echo "$config" | /usr/bin/python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin).get("prevResult", {{}})))';;
esac
"""


@pytest.fixture
def engine(tmp_root, program, busybox_rootfs):
    engine = Secluded(tmp_root, program)
    lists, plugins = tmp_root / "net.d", tmp_root / "plugins"
    lists.mkdir()
    plugins.mkdir()
    for name in ("bridge", "portmap", "firewall", "host-local"):
        (plugins / f"kist-{name}").symlink_to(program("kist-cni"))
    engine.options += ["--cni-conf-dir", str(lists), "--cni-bin-dir", f"{plugins}:{DEBIAN}"]
    engine.lists, engine.plugins, engine.leases = lists, plugins, tmp_root / "leases"
    engine.start()
    tar = images.tar_of(busybox_rootfs)
    subprocess.run(["docker", "import", "-", "box"], input=tar, env=engine.environment, check=True, capture_output=True)
    yield engine
    engine.close()


def conflist(engine, name, *plugins, version="1.0.0", **more):
    document = {"cniVersion": version, "name": name, "plugins": plugins, **more}
    (engine.lists / f"{name}.conflist").write_text(json.dumps(document))


def chain(engine, prefix, bridge, subnet):
    ipam = {"type": f"{prefix}host-local", "dataDir": str(engine.leases), "ranges": [[{"subnet": subnet}]]}
    return [{"type": f"{prefix}bridge", "bridge": bridge, "isGateway": True, "isDefaultGateway": True, "ipMasq": True, "hairpinMode": True,
             "capabilities": {"mac": True, "ips": True}, "ipam": ipam},
            {"type": f"{prefix}portmap", "capabilities": {"portMappings": True}}, {"type": f"{prefix}firewall"}]  # fmt: skip


def plugin(engine, name, text):
    path = engine.plugins / name
    path.write_text(text)
    path.chmod(0o755)


def leased(engine, name):
    folder = engine.leases / name
    return sorted(f.name for f in folder.iterdir() if f.name[0].isdigit()) if folder.exists() else []


def place(engine, name, network):
    return engine.inspect(name)["NetworkSettings"]["Networks"][network]


def serve(engine, name, *options, client=None):
    text = "mkdir -p /www; echo hello from $HOSTNAME > /www/index.html; exec httpd -f -p 80 -h /www"
    (client or engine.docker)("run", "-d", "--name", name, "-h", name, *options, "box", "sh", "-c", text)


@pytest.mark.parametrize("prefix", ["", "kist-"])
def test_life(engine, prefix):
    """Debian's plugins, and ours: each other by name, out, in by ports, MAC and address as asked, across a kill -9."""
    # Debian's portmap looks for rules of both families where it made those of one
    conflist(engine, "net", *chain(engine, prefix, "tc0", "10.219.0.0/24"), {"type": "tuning", "sysctl": {"net.core.somaxconn": "600"}},
             disableCheck=not prefix)  # fmt: skip
    engine.docker("network", "create", "-d", "cni", "net")
    serve(engine, "web", "--network", "net", "-p", "8080:80", "--mac-address", "02:00:00:00:07:07")
    serve(engine, "other", "--network", "net", "-p", "80")
    web = place(engine, "web", "net")
    assert web["IPAddress"] == "10.219.0.2" and web["Gateway"] == "10.219.0.1" and web["IPPrefixLen"] == 24
    assert web["MacAddress"] == "02:00:00:00:07:07" and leased(engine, "net") == ["10.219.0.2", "10.219.0.3"]
    assert engine.docker("exec", "web", "cat", "/proc/sys/net/core/somaxconn").stdout == "600\n"
    assert "10.219.0.2\tweb" in engine.docker("exec", "web", "cat", "/etc/hosts").stdout
    assert lookup(engine, "other", "web") == ["10.219.0.2"] and wget(engine, "other", "http://web/") == "hello from web"
    assert engine.get("http://10.215.0.1:8080/") == "hello from web"
    port = engine.inspect("other")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    assert engine.get(f"http://10.215.0.1:{port}/") == "hello from other"
    assert "already allocated" in engine.docker("run", "--network", "net", "-p", "8080:80", "box", "true", check=False).stderr
    # the doctor asks the plugins
    assert engine.kist("network", "doctor", "web").returncode == 0
    (engine.leases / "net" / "10.219.0.2").unlink()
    broken = engine.kist("network", "doctor", "web", check=False)
    assert not prefix or broken.returncode != 0 and "host-local" in broken.stdout + broken.stderr
    # the engine dies; one container ends meanwhile
    pid = engine.inspect("other")["State"]["Pid"]
    engine.kill()
    subprocess.run(["kill", "-9", str(pid)], check=True)
    engine.start()
    wait_for(lambda: leased(engine, "net") == [], what="the lease to be given back")
    assert engine.get("http://10.215.0.1:8080/") == "hello from web"
    assert engine.get(f"http://10.215.0.1:{port}/") == ""
    engine.docker("rm", "-f", "web", "other")
    assert engine.get("http://10.215.0.1:8080/") == ""
    wait_for(lambda: "veth" not in engine.within("ip", "link").stdout, "the links to go")
    assert not list((engine.root / "d" / "cni").iterdir())
    engine.docker("network", "rm", "net")


def test_calls(engine):
    """What plugins are told: capabilities, only those they have; CHECK, GC and STATUS of 1.1 lists; connect and disconnect."""
    log = engine.root / "calls"
    plugin(engine, "note", NOTE.format(log=log))
    conflist(engine, "noted", {"type": "note", "capabilities": {"portMappings": True, "bandwidth": True, "ips": True}}, version="1.1.0")
    engine.docker("network", "create", "-d", "cni", "-o", "conflist=noted", "-o", "gc=true", "net")
    assert log.read_text() == "STATUS  \n"
    engine.docker("run", "-d", "--name", "one", "--network", "name=net,driver-opt=egress=2mbit/64k,driver-opt=ingress=1gbit", "-p",
                  "127.0.0.1:8081:81/udp", "box", "sleep", "1000")  # fmt: skip
    container = engine.inspect("one")["Id"]
    config = json.loads((engine.root / "calls.config").read_text())
    assert config["name"] == "noted" and config["cniVersion"] == "1.1.0" and config["type"] == "note"
    assert config["runtimeConfig"] == {
        "portMappings": [{"hostPort": 8081, "containerPort": 81, "protocol": "udp", "hostIP": "127.0.0.1"}],
        "bandwidth": {"egressRate": 2000000, "egressBurst": 64 * 1024 * 8, "ingressRate": 10**9, "ingressBurst": 25 * 10**6},
    }
    assert engine.kist("network", "doctor", "one").returncode == 0
    engine.docker("network", "disconnect", "net", "one")
    engine.docker("network", "connect", "net", "one")
    engine.restart()
    engine.docker("rm", "-f", "one")
    calls = [line.split()[0] for line in log.read_text().splitlines()]
    assert calls == ["STATUS", "ADD", "CHECK", "DEL", "ADD", "GC", "DEL"]
    assert f"ADD {container} eth0" in log.read_text()


@pytest.mark.parametrize("prefix", ["", "kist-"])
def test_beside_others(engine, prefix):
    """Networks of plugins and of our own in one container: links, way out, ports, joining and leaving, a kill -9."""

    def way_out(name):
        return engine.docker("exec", name, "ip", "route", "show", "default").stdout.split()

    def links(name):
        return sorted(engine.docker("exec", name, "ls", "/sys/class/net").stdout.split())

    for number, net in enumerate(("cni1", "cni2")):
        conflist(engine, net, *chain(engine, prefix, f"tc{number}", f"10.219.{number}.0/24"), disableCheck=not prefix)
        engine.docker("network", "create", "-d", "cni", net)
    engine.docker("network", "create", "--subnet", "10.218.0.0/24", "plain")
    # Not every docker CLI knows several networks and gw-priority.
    serve(engine, "web", "--network", "plain", "--network", "cni1", "--network", "name=cni2,gw-priority=1", "-p", "8080:80", client=engine.kist)
    assert links("web") == ["eth0", "eth1", "eth2", "lo"]
    networks = engine.inspect("web")["NetworkSettings"]["Networks"]
    assert [networks[n]["IPAddress"] for n in ("plain", "cni1", "cni2")] == ["10.218.0.2", "10.219.0.2", "10.219.1.2"]
    assert way_out("web")[:3] == ["default", "via", "10.219.1.1"] and way_out("web").count("default") == 1
    assert engine.get("http://10.215.0.1:8080/") == "hello from web"
    for net in networks:
        serve(engine, f"on-{net}", "--network", net)
        assert lookup(engine, f"on-{net}", "web") == [networks[net]["IPAddress"]]
        assert wget(engine, f"on-{net}", "http://web/") == "hello from web"
    assert engine.kist("network", "doctor", "web").returncode == 0
    engine.kill()
    engine.start()
    # who has the way out goes, and comes back
    engine.docker("network", "disconnect", "cni1", "web")
    assert leased(engine, "cni1") == ["10.219.0.3"] and "eth2" in links("web") and len(links("web")) == 3
    engine.kist("network", "connect", "--gw-priority", "9", "cni1", "web")
    assert len(links("web")) == 4 and way_out("web")[2] == "10.219.0.1"
    assert wget(engine, "on-cni1", "http://web/") == "hello from web"
    engine.docker("network", "disconnect", "cni1", "web")
    assert way_out("web")[2] == "10.219.1.1" and engine.get("http://10.215.0.1:8080/") == "hello from web"
    # its ports go with a plugin's network; with ours they move
    engine.docker("network", "disconnect", "cni2", "web")
    assert way_out("web")[2] == "10.218.0.1" and links("web") == ["eth0", "lo"]
    assert engine.get("http://10.215.0.1:8080/") == "hello from web"
    engine.docker("restart", "-t", "0", "web")
    engine.docker("network", "connect", "cni2", "web")
    assert wget(engine, "on-cni2", "http://web/") == "hello from web"
    engine.docker("rm", "-f", "web", "on-plain", "on-cni1", "on-cni2")
    assert leased(engine, "cni1") == leased(engine, "cni2") == []
    wait_for(lambda: "veth" not in engine.within("ip", "link").stdout, what="the links to go")
    assert not list((engine.root / "d" / "cni").iterdir())


def test_bad_plugins(engine):
    """Each error is clear, and nothing is half made."""
    good = chain(engine, "kist-", "tc0", "10.219.0.0/24")
    plugin(engine, "hang", "#!/bin/sh\n[ $CNI_COMMAND = ADD ] && sleep 1000\nexit 0\n")
    plugin(engine, "rubbish", "#!/bin/sh\n[ $CNI_COMMAND = ADD ] && echo 'hello {'\nexit 0\n")
    plugin(engine, "lies", "#!/bin/sh\necho '{\"ips\": [{\"address\": \"1.2.3.4/8\", \"interface\": 7}]}'\n")
    plugin(engine, "flood", "#!/bin/sh\n[ $CNI_COMMAND = ADD ] && exec cat /dev/zero\nexit 0\n")
    plugin(engine, "dies", "#!/bin/sh\n[ $CNI_COMMAND = ADD ] && kill -9 $$\nexit 0\n")
    plugin(engine, "says", "#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\necho '{\"code\": 11, \"msg\": \"try later\", \"details\": \"full\"}'; exit 1\n")
    for name, words in (("hang", "did not end its ADD within 5 s"), ("rubbish", "what CNI plugin rubbish printed is no result"),
                        ("lies", "interface 7"), ("flood", "flood ADD"), ("dies", "killed by signal 9"), ("says", "try later; full")):  # fmt: skip
        conflist(engine, f"l-{name}", *good, {"type": name})
        engine.docker("network", "create", "-d", "cni", "-o", "timeout=5" if name == "hang" else "timeout=60", f"l-{name}")
        done = engine.docker("run", "--name", f"c-{name}", "--network", f"l-{name}", "-p", "8080:80", "box", "true", check=False)
        assert done.returncode == 125 and words in done.stderr, done.stderr
        assert leased(engine, f"l-{name}") == [] and "veth" not in engine.within("ip", "link").stdout
        assert not list((engine.root / "d" / "cni").iterdir())

    def refused(words, *options, name="bad"):
        done = engine.docker("network", "create", "-d", "cni", *options, name, check=False)
        assert done.returncode != 0 and words in done.stderr, done.stderr
        assert name not in engine.docker("network", "ls").stdout

    refused("has a CNI list named bad")
    conflist(engine, "bad", {"type": "nonesuch"})
    refused('CNI plugin "nonesuch" is in none of')
    conflist(engine, "bad", {"type": "hang"}, version="9.0.0")
    refused('version "9.0.0" is not spoken')
    conflist(engine, "bad", {"typ": "x"})
    refused("plugin 1 has no type")
    (engine.lists / "bad.conflist").write_text("{")
    refused("bad.conflist")
    conflist(engine, "bad", {"type": "rubbish"})
    refused("subnets of a network of driver cni", "--subnet", "10.1.0.0/24")
    refused('"color" is not supported by driver cni', "-o", "color=red")
    # what no plugin can do is not silently left out
    engine.docker("network", "create", "-d", "cni", "bad")
    done = engine.docker("run", "--network", "bad", "-p", "8080:80", "box", "true", check=False)
    assert 'cannot publish ports: none has the capability "portMappings"' in done.stderr
