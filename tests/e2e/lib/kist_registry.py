# SPDX-License-Identifier: Apache-2.0
"""kist-registry, on loopback."""
import hashlib
import http.client
import json
import signal
import subprocess
import time

from lib.registry import Registry


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class KistRegistry(Registry):
    """Ours, with the same face as Debian's."""

    def __init__(self, root, program, options=()):
        super().__init__(root)
        self.program = program
        self.options = [str(option) for option in options]

    def start(self):
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--root", str(self.root / "data"), "--listen", self.address, *self.options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                self.request("GET", "/v2/")
                return
            except OSError:
                assert self.process.poll() is None, (self.root / "log").read_text()
                time.sleep(0.02)
        raise AssertionError("kist-registry does not listen")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, body=body, headers=headers or {})
        reply = connection.getresponse()
        reply.data = reply.read()
        connection.close()
        return reply

    def push_blob(self, name, data):
        reply = self.request("POST", f"/v2/{name}/blobs/uploads/?digest={sha(data)}", data)
        assert reply.status == 201, reply.data
        return sha(data)

    def push_image(self, name, tag, layer=b"layer", **more):
        config = b"{}"
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": self.push_blob(name, config),
                "size": len(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": self.push_blob(name, layer),
                    "size": len(layer),
                }
            ],
            **more,
        }
        data = json.dumps(manifest).encode()
        reply = self.request(
            "PUT", f"/v2/{name}/manifests/{tag}", data, {"Content-Type": manifest["mediaType"]}
        )
        assert reply.status == 201, reply.data
        return sha(data), data
