# SPDX-License-Identifier: Apache-2.0
"""Docker Compose against our socket: services that find each other on two networks, with ports."""
import os
import re
import shutil
import subprocess

import pytest

from lib import images
from lib.ports import free_port
from test_60_network import fetch

COMPOSE = """
name: {name}
services:
  web:
    image: box
    command: sh -c "mkdir -p /www; echo hello from web > /www/index.html; exec httpd -f -p 80 -h /www"
    ports: ["{port}:80"]
    networks: {{front: {{aliases: [shop]}}, back: {{ipv4_address: 10.91.2.10}}}}
  db:
    image: box
    command: sleep 1000
    networks: [back]
  proxy:
    image: box
    command: sleep 1000
    networks: [front]
    depends_on: [web]
networks:
  front: {{}}
  back:
    internal: true
    ipam: {{config: [{{subnet: 10.91.2.0/24}}]}}
"""


def plugin():
    """Compose v2 as a program: KIST_COMPOSE, or where distributions put it. None: there is only an old one, or none."""
    places = [os.environ.get("KIST_COMPOSE"), shutil.which("docker-compose"),
              "/usr/libexec/docker/cli-plugins/docker-compose", "/usr/lib/docker/cli-plugins/docker-compose",
              "/usr/local/lib/docker/cli-plugins/docker-compose"]  # fmt: skip
    for place in places:
        if place and os.access(place, os.X_OK):
            version = subprocess.run([place, "version", "--short"], capture_output=True, text=True, check=False).stdout
            if version.strip().lstrip("v").split(".")[0] not in ("", "1"):
                return place
    return None


@pytest.fixture
def compose(daemon, busybox_rootfs, tmp_root):
    program = plugin()
    if not program:
        pytest.skip("no Docker Compose of version 2 here (set KIST_COMPOSE)")
    tar = images.tar_of(busybox_rootfs)
    subprocess.run(["docker", "import", "-", "box"], input=tar, env=daemon.environment, check=True, capture_output=True)
    folder = tmp_root / "project"
    folder.mkdir()
    port = free_port()
    (folder / "compose.yaml").write_text(COMPOSE.format(name=f"kt{daemon.name}", port=port))

    def run(*argv):
        done = subprocess.run([program, *argv], cwd=folder, env=daemon.environment, capture_output=True, text=True,
                              timeout=120, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr + daemon.log.read_text()[-2000:]
        return done.stdout

    run.port, run.engine = port, daemon
    yield run
    run("down", "-t", "0", "--remove-orphans")


def test_two_networks(compose):
    compose("up", "-d")
    assert fetch(f"http://127.0.0.1:{compose.port}/") == "hello from web"

    def get(service, host):
        # busybox's nslookup asks by itself: the static libc of the image cannot
        found = compose("exec", "-T", service, "busybox", "nslookup", host).split("Name:")[1]
        address = re.search(r"^Address(?: 1)?: ([0-9.]+)", found, re.M).group(1)
        return compose("exec", "-T", service, "busybox", "wget", "-q", "-O", "-", f"http://{address}/").strip()

    assert get("proxy", "web") == get("proxy", "shop") == get("db", "web") == "hello from web"
    listed = compose("ps", "--format", "{{.Service}} {{.State}}").split("\n")
    assert sorted(l for l in listed if l) == ["db running", "proxy running", "web running"]
    # once more: nothing to do; changed: one service anew
    before = compose.engine.docker("ps", "-q").stdout.split()
    compose("up", "-d")
    assert compose.engine.docker("ps", "-q").stdout.split() == before
    compose("up", "-d", "--scale", "db=2")
    assert len(compose.engine.docker("ps", "-q").stdout.split()) == 4
    compose("restart", "-t", "0", "web")
    assert get("proxy", "web") == "hello from web"
    compose("down", "-t", "0")
    assert compose.engine.docker("ps", "-aq").stdout == ""
    names = compose.engine.docker("network", "ls", "--format", "{{.Name}}", "--filter", "type=custom").stdout
    assert names == ""
