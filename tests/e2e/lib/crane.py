# SPDX-License-Identifier: Apache-2.0
"""`crane registry serve` as a peer, on loopback: go-containerregistry's own server, written by nobody else's book."""
import os
import shutil
import subprocess
import time

import pytest

from lib.registry import Registry


def find():
    """$KIST_CRANE, or what is in $PATH; no package of Debian 12 has one."""
    program = os.environ.get("KIST_CRANE") or shutil.which("crane")
    if not program:
        pytest.skip("Debian 12 has no crane, and neither $KIST_CRANE nor $PATH names one")
    return program


class CraneRegistry(Registry):
    """The same face as Debian's docker-registry."""

    def start(self):
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / "log", "ab") as log:
            self.process = subprocess.Popen(
                [find(), "registry", "serve", "--address", self.address, "--disk", self.root / "blobs"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=dict(os.environ, HOME=str(self.root)),
            )  # fmt: skip
        (self.root / "blobs").mkdir(exist_ok=True)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                self.get("/v2/")
                return
            except OSError:
                assert self.process.poll() is None, (self.root / "log").read_text()
                time.sleep(0.05)
        raise AssertionError("crane does not listen")
