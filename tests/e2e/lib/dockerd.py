# SPDX-License-Identifier: Apache-2.0
"""dockerd itself, to compare with: with everything of its own, in a network namespace of its own."""
import os
import pathlib
import re
import secrets
import subprocess
import time

from lib import needs


def program():
    """Debian's dockerd, or the one that KIST_PEER_DOCKERD names."""
    return os.environ.get("KIST_PEER_DOCKERD") or needs.programs("dockerd")[0]


def major(path):
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\d+)", text)
    return int(found.group(1)) if found else 0


class Dockerd:
    def __init__(self, root, path):
        self.root = pathlib.Path(root)
        self.path = path
        self.name = f"kd{secrets.token_hex(3)}"
        self.socket = self.root / "docker.sock"
        self.environment = dict(os.environ, DOCKER_HOST=f"unix://{self.socket}", DOCKER_CONFIG=str(self.root / "config"), HOME=str(self.root))
        self.process = None

    def start(self):
        self.root.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        inside = ["nsenter", f"--net=/run/netns/{self.name}"]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        with open(self.root / "log", "wb") as log:
            self.process = subprocess.Popen(
                [*inside, self.path, "--data-root", str(self.root / "data"), "--exec-root", str(self.root / "exec")]
                + ["--pidfile", str(self.root / "pid"), "-H", f"unix://{self.socket}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + 60
        while self.docker("version", check=False).returncode != 0:
            assert self.process.poll() is None and time.monotonic() < end, (self.root / "log").read_text()[-3000:]
            time.sleep(0.1)

    def docker(self, *args, check=True, **options):
        options.setdefault("timeout", 120)
        run = subprocess.run(["docker", *map(str, args)], capture_output=True, text=True, errors="replace", env=self.environment, **options)
        assert not check or run.returncode == 0, (args, run)
        return run

    def finish(self):
        ids = self.docker("ps", "-aq", check=False).stdout.split()
        if ids:
            self.docker("rm", "-f", "-v", *ids, check=False)
        self.process.terminate()
        self.process.wait(60)
        subprocess.run(["ip", "netns", "del", self.name], check=False)
