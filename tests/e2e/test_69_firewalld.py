# SPDX-License-Identifier: Apache-2.0
"""Beside firewalld: containers get out and are reached though it rejects what it does not know, after its restart too."""
import shutil
import subprocess

import pytest

from lib import images, needs
from lib.topology import run
from lib.wait import wait_for
from test_60_network import inside, wget
from test_61_user_networks import network, server
from test_64_network_extremes import Secluded

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
"""


class Firewalld:
    """Debian's firewalld in an engine's namespace, on a message bus of its own."""

    def __init__(self, engine):
        root = engine.root / "firewalld"
        shutil.copytree("/etc/firewalld", root / "etc")
        path = root / "bus"
        (root / "bus.conf").write_text(BUS.format(path=path))
        self.engine, self.root, self.process = engine, root, None
        engine.environment["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={path}"
        self.bus = subprocess.Popen(["dbus-daemon", f"--config-file={root}/bus.conf", "--nofork", "--nopidfile"], stderr=subprocess.DEVNULL)
        wait_for(path.exists, what="the message bus")

    def start(self):
        argv = ["nsenter", f"--net=/run/netns/{self.engine.space}", "firewalld", "--nofork", "--nopid", "--system-config", self.root / "etc",
                "--log-file", self.root / "log"]  # fmt: skip
        with open(self.root / "errors", "ab") as errors:
            self.process = subprocess.Popen(argv, env=self.engine.environment, stdout=errors, stderr=errors)
        wait_for(lambda: self.ask("--state").stdout == "running\n", what="firewalld")

    def ask(self, *words):
        return subprocess.run(["firewall-cmd", *words], env=self.engine.environment, capture_output=True, text=True, check=False)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.process = None

    def close(self):
        if self.process:
            self.stop()
        self.bus.terminate()
        self.bus.wait(60)


@pytest.fixture
def engine(tmp_root, program, busybox_rootfs):
    """An engine that has a firewalld beside it."""
    needs.programs("firewalld", "firewall-cmd", "dbus-daemon")
    engine = Secluded(tmp_root, program)
    engine.firewalld = Firewalld(engine)
    try:
        engine.firewalld.start()
        engine.start()
        tar = images.tar_of(busybox_rootfs)
        subprocess.run(["docker", "import", "-", "box"], input=tar, env=engine.environment, check=True, capture_output=True)
        yield engine
    finally:
        try:
            engine.close()
        finally:
            engine.firewalld.close()


def zone(engine, bridge):
    return engine.firewalld.ask(f"--get-zone-of-interface={bridge}").stdout.strip()


def bridge_of(engine, name):
    return f"br-{network(engine, name)['Id'][:12]}"


def gets_out(engine, name="web"):
    return inside(engine, name, "ping", "-c", "1", "-W", "2", "10.215.0.2", check=False).returncode == 0


def test_firewalld(engine):
    firewalld = engine.firewalld
    engine.docker("network", "create", "mine")
    server(engine, "web", "--network", "mine", "-p", "8080:80")
    mine = bridge_of(engine, "mine")
    wait_for(lambda: gets_out(engine), what="the way out")
    assert zone(engine, mine) == zone(engine, engine.bridge) == "trusted"
    wait_for(lambda: engine.get("http://10.215.0.1:8080/") == "hello from web", what="the page")
    assert engine.kist("network", "doctor", "mine").returncode == 0
    # what has no zone is rejected: the doctor says so
    assert firewalld.ask("--zone=trusted", f"--remove-interface={mine}").stdout == "success\n"
    assert not gets_out(engine)
    broken = engine.kist("network", "doctor", "mine", check=False)
    assert broken.returncode == 1 and "BROKEN  no other firewall's FORWARD chain drops" in broken.stdout
    # a new firewalld knows nothing of what the last one was asked
    firewalld.stop()
    firewalld.start()
    wait_for(lambda: gets_out(engine), what="the way out after a restart")
    # a network that goes leaves nothing behind; the administrator's choice is kept
    engine.docker("network", "create", "two")
    two = bridge_of(engine, "two")
    assert zone(engine, two) == "trusted"
    engine.docker("network", "rm", "two")
    assert zone(engine, two) == ""
    assert firewalld.ask("--zone=internal", f"--change-interface={mine}").stdout == "success\n"
    engine.restart()
    assert zone(engine, mine) == "internal"


def test_routed(engine):
    """By the containers' own addresses, in both directions; what is not published stays shut though its zone trusts everybody."""
    subnet, six = "10.93.7.0/24", "fd93:7::/64"
    for space, link, own in ((engine.space, "up0", "fd15::1/64"), (engine.beyond, "eth0", "fd15::2/64")):
        run("ip", "-n", space, "addr", "add", own, "dev", link, "nodad")
    run("ip", "-n", engine.beyond, "route", "add", subnet, "via", "10.215.0.1")
    run("ip", "-n", engine.beyond, "route", "add", six, "via", "fd15::1")
    modes = [word for family in (4, 6) for word in ("-o", f"com.docker.network.bridge.gateway_mode_ipv{family}=routed")]
    engine.docker("network", "create", "--ipv6", "--subnet", subnet, "--subnet", six, *modes, "way")
    server(engine, "web", "--network", "way", "--ip", "10.93.7.10", "--ip6", "fd93:7::10", "-p", "80")
    server(engine, "shut", "--network", "way", "--ip", "10.93.7.11", "--ip6", "fd93:7::11")

    def look():
        for page in ("http://10.93.7.10/", "http://[fd93:7::10]/"):
            wait_for(lambda page=page: engine.get(page) == "hello from web", what=page)
        for page in ("http://10.93.7.11/", "http://[fd93:7::11]/"):
            assert wget(engine, "web", page) == "hello from shut" and engine.get(page) == ""
        assert gets_out(engine) and gets_out(engine, "shut")

    # firewalld lets in what is translated; for the rest its administrator is asked, and the doctor says how
    wait_for(lambda: gets_out(engine), what="the way out")
    assert wget(engine, "shut", "http://10.93.7.10/") == "hello from web" and engine.get("http://10.93.7.10/") == ""
    broken = engine.kist("network", "doctor", "way", check=False)
    assert broken.returncode == 1 and "BROKEN  firewalld, where it runs, lets others in" in broken.stdout
    for words in (["--new-policy=in"], ["--policy=in", "--add-ingress-zone=ANY"], ["--policy=in", "--add-egress-zone=trusted"],
                  ["--policy=in", "--set-target=ACCEPT"]):  # fmt: skip
        assert engine.firewalld.ask("--permanent", *words).stdout == "success\n"
    assert engine.firewalld.ask("--reload").stdout == "success\n"
    wait_for(lambda: zone(engine, bridge_of(engine, "way")) == "trusted", what="the zone after it read its files again")
    look()
    assert engine.kist("network", "doctor", "way").returncode == 0
