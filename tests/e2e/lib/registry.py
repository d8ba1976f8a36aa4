# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-registry as a peer, on loopback."""
import pathlib
import socket
import subprocess
import time
import urllib.request

from lib.ports import free_port


class Registry:
    def __init__(self, root, htpasswd=None, tls=None):
        self.root = pathlib.Path(root)
        self.htpasswd = htpasswd
        self.tls = tls  # (certificate, key)
        self.port = free_port()
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _config(self):
        text = f"""version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {self.root}/data}}
  delete: {{enabled: true}}
http:
  addr: {self.address}
"""
        if self.tls:
            text += f"  tls: {{certificate: {self.tls[0]}, key: {self.tls[1]}}}\n"
        if self.htpasswd:
            text += f"auth:\n  htpasswd: {{realm: kist, path: {self.htpasswd}}}\n"
        return text

    def start(self):
        self.root.mkdir(parents=True, exist_ok=True)
        config = self.root / "config.yml"
        config.write_text(self._config())
        with open(self.root / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                assert self.process.poll() is None, (self.root / "log").read_text()
                time.sleep(0.05)
        raise AssertionError("docker-registry does not listen")

    def push(self, layout, name, source_tag="busybox"):
        """Pushes an image of an OCI layout with skopeo; returns the full name."""
        full = f"{self.address}/{name}"
        subprocess.run(
            ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:{source_tag}", f"docker://{full}"],
            check=True,
        )
        return full

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=60) as reply:
            return reply.read()

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.process = None
