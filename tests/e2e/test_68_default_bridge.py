# SPDX-License-Identifier: Apache-2.0
"""The default bridge as daemon.json makes it: IPv6, its own address, and containers on it of both families."""
import json
import subprocess

import pytest

from lib import images
from test_60_network import server, wget
from test_64_network_extremes import Secluded


@pytest.fixture
def make(tmp_root, program, busybox_rootfs):
    made = []

    def start(*options):
        engine = Secluded(tmp_root / str(len(made)), program)
        engine.root.mkdir()
        made.append(engine)
        engine.options += options
        engine.start()
        tar = images.tar_of(busybox_rootfs)
        subprocess.run(["docker", "import", "-", "box"], input=tar, env=engine.environment, check=True, capture_output=True)
        return engine

    yield start
    for engine in made:
        engine.close()


def bridge(engine):
    return json.loads(engine.docker("network", "inspect", "bridge").stdout)[0]


def test_ipv6(make):
    engine = make("--ipv6", "--fixed-cidr-v6", "fd55:1::/64", "--bip", "10.221.0.5/24")
    assert bridge(engine)["EnableIPv6"] is True
    assert {(c["Subnet"], c["Gateway"]) for c in bridge(engine)["IPAM"]["Config"]} == {("10.221.0.0/24", "10.221.0.5"), ("fd55:1::/64", "fd55:1::1")}
    run = ("ip", "-n", engine.beyond, "-6")
    for argv in ((*run, "addr", "add", "fd56::2/64", "dev", "eth0", "nodad"), (*run, "route", "add", "default", "via", "fd56::1"),
                 ("ip", "-n", engine.space, "-6", "addr", "add", "fd56::1/64", "dev", "up0", "nodad")):  # fmt: skip
        subprocess.run(argv, check=True)
    server(engine, "web", "-p", "8080:80")
    server(engine, "other")
    web = engine.inspect("web")["NetworkSettings"]["Networks"]["bridge"]
    assert web["GlobalIPv6Address"].startswith("fd55:1::") and web["IPv6Gateway"] == "fd55:1::1" and web["IPAddress"].startswith("10.221.0.")
    assert wget(engine, "other", f"http://[{web['GlobalIPv6Address']}]/") == "hello from web"
    for url in ("http://10.215.0.1:8080/", "http://[fd56::1]:8080/"):
        assert engine.get(url) == "hello from web"
    # a restart keeps it
    engine.kill()
    engine.start()
    assert engine.get("http://[fd56::1]:8080/") == "hello from web"


def test_chosen_and_part(make):
    engine = make("--ipv6")
    assert any(c["Subnet"].startswith("fd") for c in bridge(engine)["IPAM"]["Config"])
    part = make("--ipv6", "--bip6", "fd57::7/64", "--fixed-cidr-v6", "fd57::100/120")
    assert ("fd57::/64", "fd57::7") in {(c["Subnet"], c["Gateway"]) for c in bridge(part)["IPAM"]["Config"]}
    server(part, "web")
    assert part.inspect("web")["NetworkSettings"]["Networks"]["bridge"]["GlobalIPv6Address"].startswith("fd57::10")


@pytest.mark.parametrize("options, words", [
    (["--fixed-cidr-v6", "fd57::/64"], "IPv6 only with ipv6"),
    (["--ipv6", "--bip6", "10.1.0.1/24"], "not an IPv6 subnet"),
    (["--ipv6", "--bip6", "fd57::1/64", "--fixed-cidr-v6", "fd58::/64"], "is not in subnet"),
])  # fmt: skip
def test_refused(tmp_root, program, options, words):
    engine = Secluded(tmp_root, program)
    engine.options += options
    try:
        done = subprocess.run(engine.argv(), capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and words in done.stderr, done.stderr
    finally:
        for name in (engine.space, engine.beyond):
            subprocess.run(["ip", "netns", "del", name], check=False)
