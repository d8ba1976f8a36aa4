# SPDX-License-Identifier: Apache-2.0
"""The default bridge as daemon.json makes it: IPv6, its own address, and containers on it of both families."""
import json
import subprocess
import time

import pytest

from lib import images
from lib.daemon import Daemon
from lib.wait import wait_for
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


def page(engine, url, patience=60):
    end = time.monotonic() + patience
    while True:
        done = engine.within("timeout", "3", "busybox", "wget", "-q", "-O", "-", url, check=False)
        if done.returncode == 0 or time.monotonic() > end:
            return done.stdout.strip()


def proxies(engine):
    return engine.within("ss", "-xlH").stdout.count("@kist-proxy/")


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
    # at the host's loopback of both families; there a small program carries what the kernel lets not out
    for url in ("http://127.0.0.1:8080/", "http://[::1]:8080/", "http://[fd55:1::1]:8080/"):
        assert page(engine, url) == "hello from web"
    engine.docker("exec", "web", "sh", "-c", "busybox dd if=/dev/zero of=/www/big bs=65536 count=160 2>/dev/null")
    big = engine.within("sh", "-c", "busybox wget -q -O - 'http://[::1]:8080/big' | wc -c").stdout
    assert int(big) == 160 * 65536
    # a restart keeps all of it
    engine.kill()
    engine.start()
    for url in ("http://[fd56::1]:8080/", "http://[::1]:8080/"):
        assert page(engine, url) == "hello from web"
    # the port is free again when its container is gone, also if that ended while nobody looked
    for end in (lambda: engine.docker("rm", "-f", "web"), lambda: subprocess.run(["kill", "-9", str(engine.inspect("web")["State"]["Pid"])])):
        end()
        wait_for(lambda: proxies(engine) == 0, what="the proxy to end")
        engine.docker("rm", "-f", "web", check=False)
        server(engine, "web", "-p", "8080:80")
        assert page(engine, "http://[::1]:8080/") == "hello from web" and proxies(engine) == 1


ECHO = "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\ns.bind(('::', 7))\nwhile True:\n d, a = s.recvfrom(65535)\n s.sendto(d, a)\n"
CALL = """import socket, sys, time
said = []
end = time.monotonic() + 60
for number, address in enumerate(sys.argv[1].split() * 2):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(3)
    s.connect((address, 7007))
    text = b'%d' % number + b'x' * 1200 * number
    while time.monotonic() < end:
        try:
            s.send(text)
            if s.recv(65535) == text:
                said.append(address)
                break
        except OSError:
            time.sleep(0.1)
print(*said)
"""


def test_datagrams(make):
    """UDP at the host's loopback of both families; clients do not get each other's answers; the port comes and goes."""
    engine = make("--ipv6", "--fixed-cidr-v6", "fd55:2::/64")

    def echo():
        engine.docker("run", "-d", "--name", "echo", "-p", "7007:7/udp", "-p", "7007:7/tcp", "-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro",
                      "-v", "/usr/lib64:/lib64:ro", "box", "/usr/bin/python3", "-c", ECHO)  # fmt: skip

    def answers(*addresses):
        return engine.within("/usr/bin/python3", "-c", CALL, " ".join(addresses)).stdout.split()

    echo()
    everywhere = ["127.0.0.1", "::1", "10.215.0.1", "::1"]
    assert answers(*everywhere) == everywhere * 2
    # without the engine, and with a new one
    engine.kill()
    assert answers("::1") == ["::1"] * 2
    engine.start()
    assert answers(*everywhere) == everywhere * 2 and proxies(engine) == 2
    engine.docker("rm", "-f", "echo")
    wait_for(lambda: proxies(engine) == 0, what="the proxies to end")
    echo()
    assert answers("::1") == ["::1"] * 2
    taken = engine.docker("run", "--rm", "-p", "[::1]:7007:7/udp", "box", "true", check=False)
    assert taken.returncode != 0 and "already allocated" in taken.stderr


def test_host_ipv6_to_a_container_without(make):
    """All IPv6 addresses of the host lead to published ports of a container that has IPv4 only; what asks for one too."""
    engine = make()
    beyond = ("ip", "-n", engine.beyond, "-6")
    for argv in ((*beyond, "addr", "add", "fd56::2/64", "dev", "eth0", "nodad"), (*beyond, "route", "add", "default", "via", "fd56::1"),
                 ("ip", "-n", engine.space, "-6", "addr", "add", "fd56::1/64", "dev", "up0", "nodad")):  # fmt: skip
        subprocess.run(argv, check=True)
    server(engine, "web", "-p", "8080:80", "-p", "[fd56::1]:8081:80")
    assert engine.kist("port", "web", "80/tcp").stdout.splitlines() == ["0.0.0.0:8080", "[::]:8080", "[fd56::1]:8081"]
    engine.docker("run", "-d", "--name", "echo", "-p", "7007:7/udp", "-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro",
                  "-v", "/usr/lib64:/lib64:ro", "box", "/usr/bin/python3", "-c", ECHO)  # fmt: skip

    def reached():
        for url in ("http://10.215.0.1:8080/", "http://[fd56::1]:8080/", "http://[fd56::1]:8081/"):
            wait_for(lambda url=url: engine.get(url) == "hello from web", what=url)
        for url in ("http://127.0.0.1:8080/", "http://[::1]:8080/"):
            assert page(engine, url) == "hello from web"
        calls = ["nsenter", f"--net=/run/netns/{engine.beyond}", "/usr/bin/python3", "-c", CALL, "fd56::1 10.215.0.1"]
        done = subprocess.run(calls, capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.split() == ["fd56::1", "10.215.0.1"] * 2

    reached()
    assert engine.kist("network", "doctor", "web").returncode == 0 and proxies(engine) == 3
    engine.kill()
    engine.start()
    reached()
    # without its program the port is said to be broken
    pid = engine.within("sh", "-c", "ss -xlpH | grep -F /8081/tcp | sed 's/.*pid=//; s/,.*//'").stdout.strip()
    subprocess.run(["kill", "-9", pid], check=True)
    broken = wait_for(lambda: (done := engine.kist("network", "doctor", "web", check=False)).returncode != 0 and done, what="the doctor")
    assert "BROKEN  port fd56::1:8081" in broken.stdout and broken.stdout.count("BROKEN") == 1
    engine.docker("rm", "-f", "web", "echo")
    wait_for(lambda: proxies(engine) == 0, what="the proxies to end")


def test_without_a_proxy(make):
    engine = make("--userland-proxy=false")
    server(engine, "web", "-p", "8080:80")
    assert engine.docker("port", "web").stdout.splitlines() == ["80/tcp -> 0.0.0.0:8080"] and proxies(engine) == 0
    assert page(engine, "http://127.0.0.1:8080/") == "hello from web"
    refused = engine.docker("run", "--rm", "-p", "[::1]:8081:80", "box", "true", check=False)
    assert refused.returncode != 0 and "gives containers no IPv6 address" in refused.stderr


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


def test_engines_that_start_at_once_choose_different_subnets(tmp_root, program):
    """What one has chosen is on its bridge before another looks what is free."""
    first = Secluded(tmp_root / "0", program)
    engines = [first]
    for number in range(1, 5):
        engines.append(Daemon(tmp_root / str(number), program))
        engines[-1].argv = lambda plain=engines[-1].argv: ["nsenter", f"--net=/run/netns/{first.space}", *plain()]
    try:
        for engine in engines:
            engine.root.mkdir()
            engine.start(wait=False)
        for engine in engines:
            engine.wait_ready()
        subnets = [config["Subnet"] for engine in engines for config in bridge(engine)["IPAM"]["Config"]]
        assert len(set(subnets)) == len(engines), subnets
    finally:
        for engine in engines[1:]:
            engine.stop()
        first.close()
