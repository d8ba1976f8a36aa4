# SPDX-License-Identifier: Apache-2.0
"""Compose 1.29, which is python's docker and its classic builder: Debian 12's, or the program KIST_COMPOSE_1 names."""
import os
import subprocess

from lib import images, needs

COMPOSE = """
version: "3.8"
services:
  web:
    build: .
    command: sh -c "mkdir -p /www; cp /made /www/index.html; exec httpd -f -p 80 -h /www"
    volumes: ["data:/data", "./:/src:ro"]
    environment: {A: "1"}
    networks: {front: {aliases: [shop]}, back: {}}
    healthcheck: {test: ["CMD", "true"], interval: 1s}
    ulimits: {nofile: 1234}
    cap_drop: [NET_RAW]
  db:
    image: c1-box
    command: sleep 1000
    depends_on: [web]
    networks: [back]
    logging: {driver: json-file, options: {max-size: 1m}}
networks:
  front: {}
  back: {internal: true}
volumes: {data: {}}
"""


def program_1():
    # Debian's, also where a later one stands before it in $PATH.
    path = os.environ.get("KIST_COMPOSE_1") or needs.file("/usr/bin/docker-compose")
    said = subprocess.run([path, "version", "--short"], capture_output=True, text=True, check=False, timeout=60)
    assert said.stdout.startswith("1."), said
    return path


def test_a_project_from_build_to_down(daemon, tmp_root, busybox_rootfs):
    (tmp_root / "box.tar").write_bytes(images.tar_of(busybox_rootfs))
    daemon.kist("import", "-c", 'CMD ["sh"]', tmp_root / "box.tar", "c1-box:latest")
    app = tmp_root / "app"
    app.mkdir()
    (app / "Dockerfile").write_text("FROM c1-box\nRUN echo built > /made\n")
    (app / "docker-compose.yml").write_text(COMPOSE)
    environment = dict(daemon.environment, COMPOSE_PROJECT_NAME="c1", COMPOSE_DOCKER_CLI_BUILD="0", DOCKER_BUILDKIT="0")

    def compose(*argv):
        it = subprocess.run([program_1(), *argv], cwd=app, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert it.returncode == 0, (argv, it, daemon.log.read_text()[-2000:])
        return it.stdout + it.stderr

    compose("up", "-d", "--build")
    assert compose("exec", "-T", "db", "wget", "-qO-", "http://web") == "built\n"
    assert compose("exec", "-T", "web", "sh", "-c", "ulimit -n; echo $A; ls /src").split() == ["1234", "1", "Dockerfile", "docker-compose.yml"]
    assert "hello" in compose("run", "--rm", "db", "echo", "hello")
    assert "httpd" in compose("top") and "c1_web_1" in compose("ps")
    compose("up", "-d", "--scale", "db=2")
    for command in (["restart", "-t", "0", "db"], ["kill"], ["up", "-d"]):
        compose(*command)
    compose("down", "-v", "-t", "0")
    assert daemon.docker("ps", "-aq").stdout == ""
    assert daemon.docker("volume", "ls", "-q").stdout == ""
