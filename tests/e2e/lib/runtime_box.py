# SPDX-License-Identifier: Apache-2.0
"""Bundles and containers for the tests of kist-runtime."""
import array
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import uuid

from lib.wait import wait_for

PR_SET_CHILD_SUBREAPER = 36


class Box:
    """A private state root and bundle folder; every container of it is deleted at the end."""

    def __init__(self, root, runtime, rootfs):
        self.root = pathlib.Path(root)
        self.runtime = runtime
        self.rootfs = rootfs
        self.state = self.root / "s"
        self.names = []
        self.count = 0

    def name(self):
        name = "t-rt-" + uuid.uuid4().hex[:10]
        self.names.append(name)
        return name

    def call(self, *words, check=True, timeout=120, **options):
        options.setdefault("capture_output", True)
        run = subprocess.run(
            [self.runtime, "--root", str(self.state), *map(str, words)],
            text=True,
            check=False,
            timeout=timeout,
            **options,
        )
        if check:
            assert run.returncode == 0, f"{words}: exit {run.returncode}: {run.stderr or ''}{run.stdout or ''}"
        return run

    def bundle(self, args=None, change=None, files=None):
        """A new bundle with the default spec; `change(spec)` edits it."""
        self.count += 1
        path = self.root / f"b{self.count}"
        path.mkdir()
        shutil.copytree(self.rootfs, path / "rootfs", symlinks=True)
        for name, (text, mode) in (files or {}).items():
            file = path / "rootfs" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
            file.chmod(mode)
        self.call("spec", "--bundle", path)
        spec = json.loads((path / "config.json").read_text())
        spec["process"]["terminal"] = False
        spec["root"]["readonly"] = False
        if args is not None:
            spec["process"]["args"] = args
        if change:
            change(spec)
        (path / "config.json").write_text(json.dumps(spec))
        return path

    def run(self, args=None, change=None, check=True, files=None, options=(), **more):
        bundle = self.bundle(args, change, files)
        return self.call("run", "--bundle", bundle, *options, self.name(), check=check, **more)

    def sh(self, script, change=None, **more):
        """What a shell script prints in a container."""
        return self.run(["sh", "-c", script], change, **more).stdout

    def create(self, args=None, change=None, options=(), **more):
        bundle = self.bundle(args or ["sleep", "1000"], change)
        name = self.name()
        more.setdefault("stdin", subprocess.DEVNULL)
        # Not captured: the container keeps these descriptors, and a pipe would never end.
        with open(self.root / "out", "ab") as out:
            run = subprocess.run(
                [self.runtime, "--root", str(self.state), "create", "--bundle", str(bundle), *map(str, options), name],
                stdout=out,
                stderr=out,
                check=False,
                timeout=120,
                **more,
            )
        assert run.returncode == 0, (self.root / "out").read_text()
        return name

    def started(self, args=None, change=None, options=(), **more):
        name = self.create(args, change, options, **more)
        self.call("start", name)
        return name

    def status(self, name):
        run = self.call("state", name, check=False)
        return json.loads(run.stdout)["status"] if run.returncode == 0 else None

    def pid(self, name):
        return json.loads(self.call("state", name).stdout)["pid"]

    def wait_status(self, name, wanted):
        wait_for(lambda: self.status(name) == wanted, lambda: f"{name} to be {wanted}, is {self.status(name)}")

    def delete(self, name):
        """delete --force, while we reap what its processes leave to us: a pid namespace ends when all are reaped."""
        words = [self.runtime, "--root", str(self.state), "delete", "--force", name]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as run:
            while run.poll() is None:
                reap(run.pid)
                time.sleep(0.005)

    def finish(self):
        for name in self.names:
            if (self.state / name).exists():
                self.delete(name)
        reap()


def adopt_orphans():
    """Detached containers become children of this process, which reaps them at once."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def disown_orphans():
    """They are pid 1's again, which reaps them."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def reap(keep=None):
    """Waits for zombies that are our children, but not for `keep`."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == keep:
            continue
        try:
            fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            if fields[0] == "Z" and int(fields[1]) == os.getpid():
                os.waitpid(int(entry), os.WNOHANG)
        except (OSError, IndexError):
            pass


class ConsoleSocket:
    """Receives the master side of a terminal."""

    def __init__(self, path):
        self.path = str(path)
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(self.path)
        self.server.listen(1)
        self.server.settimeout(60)

    def receive(self):
        peer, _ = self.server.accept()
        with peer:
            data, ancillary, _, _ = peer.recvmsg(256, socket.CMSG_LEN(4))
        fds = array.array("i")
        fds.frombytes(ancillary[0][2])
        return fds[0], data

    def close(self):
        self.server.close()


def read_until(fd, wanted, patience=60):
    """Reads a terminal until `wanted` was seen."""
    end = time.monotonic() + patience
    seen = b""
    os.set_blocking(fd, False)
    while wanted not in seen:
        assert time.monotonic() < end, f"no {wanted!r} in {seen!r}"
        try:
            seen += os.read(fd, 4096)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break
    assert wanted in seen, f"no {wanted!r} in {seen!r}"
    return seen


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
