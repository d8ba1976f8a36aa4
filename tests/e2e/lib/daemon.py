# SPDX-License-Identifier: Apache-2.0
"""A kistd of a test's own, and the stock docker CLI and kist pointed at it."""
import json
import os
import secrets
import signal
import socket
import subprocess
import time

from lib import leaks


def _is_report(line):
    """A sanitizer's finding. (In the sandboxed helpers the leak checker cannot run, and says so: no finding.)"""
    return (("ERROR: " in line or "WARNING: " in line) and "Sanitizer" in line) or "runtime error: " in line


class Daemon:
    def __init__(self, root, program, options=()):
        self.root = root
        self.program = program
        self.options = list(options)
        self.name = secrets.token_hex(3)
        self.bridge = f"kt{self.name}"
        self.table = f"kt_{self.name}"
        self.socket = root / "k.sock"
        self.log = root / "kistd.log"
        self.process = None
        # Clients read their own, empty configuration.
        self.environment = dict(
            os.environ,
            DOCKER_HOST=f"unix://{self.socket}",
            KIST_HOST=f"unix://{self.socket}",
            DOCKER_CONFIG=str(root / "docker-config"),
            HOME=str(root),
        )

    def argv(self):
        return [
            self.program("kistd"),
            "--data-root", str(self.root / "d"),
            "--exec-root", str(self.root / "x"),
            "--pidfile", str(self.root / "kistd.pid"),
            "--bridge", self.bridge,
            "--firewall-table", self.table,
            "-H", f"unix://{self.socket}",
            *self.options,
        ]  # fmt: skip

    def start(self, wait=True):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, cwd="/"
            )
        if wait:
            self.wait_ready()

    def wait_ready(self, patience=120):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            assert self.process.poll() is None, "kistd ended: " + self.log.read_text()
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.settimeout(2)
                    probe.connect(str(self.socket))
                    probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                    if b"200" in probe.recv(64):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError("kistd is not ready: " + self.log.read_text())

    def stop(self):
        """A graceful end: containers go on. Returns the exit status."""
        code = self.process.poll() if self.process else None
        if self.process and code is None:
            self.process.terminate()
            code = self.process.wait(60)
        self.process = None
        return code

    def kill(self):
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        self.process = None

    def restart(self):
        self.stop()
        self.start()

    def docker(self, *args, check=True, **options):
        """Runs the stock docker CLI; the result has returncode, stdout and stderr as text."""
        return self._run(["docker", *args], check, options)

    def kist(self, *args, check=True, **options):
        return self._run([self.program("kist"), *args], check, options)

    def _run(self, argv, check, options):
        options.setdefault("timeout", 120)
        run = subprocess.run(
            [str(a) for a in argv], capture_output=True, text=True, errors="replace", env=self.environment, **options
        )
        if check and run.returncode != 0:
            raise AssertionError(
                f"{argv} exited with {run.returncode}\n{run.stdout}\n{run.stderr}\n--- kistd ---\n{self.log.read_text()[-4000:]}"
            )
        return run

    def inspect(self, name):
        return json.loads(self.docker("inspect", name).stdout)[0]

    def finish(self):
        """Removes all containers, ends the daemon, and fails if it leaves anything."""
        if not self.process or self.process.poll() is not None:
            self.start()
        ids = self.docker("ps", "-aq", "--no-trunc", check=False).stdout.split()
        if ids:
            self.docker("rm", "-f", "-v", *ids, check=False)
        code = self.stop()
        left = leaks.await_none(lambda: self._left(ids))
        self._remove_network()
        left += self.reports()
        said = f"\n--- kistd ended with {code} ---\n{self.log.read_text(errors='replace')[-4000:]}"
        assert not left, "left behind: " + "; ".join(left) + said

    def _left(self, ids):
        left = [f"cgroup {path}" for path in leaks.cgroups(*ids)]
        left += [f"link {name}" for name in leaks.links(self.bridge)]
        return left + [f"nft table {name}" for name in leaks.tables(self.table)]

    def reports(self):
        """The first finding of a sanitizer in the engine's log, if there is one."""
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        return [log[log.index(line) :][:4000] for line in log.splitlines() if _is_report(line)][:1]

    def _remove_network(self):
        subprocess.run(["ip", "link", "del", self.bridge], check=False, capture_output=True)
        for family in ("ip", "ip6", "inet", "bridge"):
            subprocess.run(["nft", "delete", "table", family, self.table], check=False, capture_output=True)
