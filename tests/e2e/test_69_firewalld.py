# SPDX-License-Identifier: Apache-2.0
"""Beside firewalld: containers get out and are reached though it rejects what it does not know, after its restart too."""
import shutil
import subprocess

from lib import images, needs
from lib.wait import wait_for
from test_60_network import inside
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


def test_firewalld(tmp_root, program, busybox_rootfs):
    needs.programs("firewalld", "firewall-cmd", "dbus-daemon")
    engine = Secluded(tmp_root, program)
    firewalld = Firewalld(engine)
    try:
        firewalld.start()
        engine.start()
        tar = images.tar_of(busybox_rootfs)
        subprocess.run(["docker", "import", "-", "box"], input=tar, env=engine.environment, check=True, capture_output=True)
        engine.docker("network", "create", "mine")
        server(engine, "web", "--network", "mine", "-p", "8080:80")
        mine = f"br-{network(engine, 'mine')['Id'][:12]}"

        def zone(bridge):
            return firewalld.ask(f"--get-zone-of-interface={bridge}").stdout.strip()

        def gets_out():
            return inside(engine, "web", "ping", "-c", "1", "-W", "2", "10.215.0.2", check=False).returncode == 0

        wait_for(gets_out, what="the way out")
        assert zone(mine) == zone(engine.bridge) == "trusted"
        wait_for(lambda: engine.get("http://10.215.0.1:8080/") == "hello from web", what="the page")
        assert engine.kist("network", "doctor", "mine").returncode == 0
        # what has no zone is rejected: the doctor says so
        assert firewalld.ask("--zone=trusted", f"--remove-interface={mine}").stdout == "success\n"
        assert not gets_out()
        broken = engine.kist("network", "doctor", "mine", check=False)
        assert broken.returncode == 1 and "BROKEN  no other firewall's FORWARD chain drops" in broken.stdout
        # a new firewalld knows nothing of what the last one was asked
        firewalld.stop()
        firewalld.start()
        wait_for(gets_out, what="the way out after a restart")
        # a network that goes leaves nothing behind; the administrator's choice is kept
        engine.docker("network", "create", "two")
        two = f"br-{network(engine, 'two')['Id'][:12]}"
        assert zone(two) == "trusted"
        engine.docker("network", "rm", "two")
        assert zone(two) == ""
        assert firewalld.ask("--zone=internal", f"--change-interface={mine}").stdout == "success\n"
        engine.restart()
        assert zone(mine) == "internal"
    finally:
        try:
            engine.close()
        finally:
            firewalld.close()
