# SPDX-License-Identifier: Apache-2.0
"""The engine's side of kist-transfer, in Python: the JSON lines of src/transfer/message.h."""
import json
import os
import socket
import subprocess
import threading

FD = 3


class Refused(Exception):
    """The "end" event told an error."""

    def __init__(self, event):
        super().__init__(event.get("errorMessage"))
        self.kind = event["errorKind"]


class Transfer:
    """One kist-transfer process; layers land in `folder`/<hex>, their uncompressed tars in `folder`/<hex>.tar."""

    def __init__(self, program, folder, unpack=True, env=None):
        self.folder = folder
        self.unpack = unpack
        self.documents = {}
        self.statuses = []
        self.asked_again = []
        self.have = set()
        self.readers = []
        self.end = None
        ours, theirs = socket.socketpair()
        self.socket = ours
        theirs_fd = theirs.fileno()
        os.set_inheritable(theirs_fd, True)
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", f"exec \"$0\" {FD}<&{theirs_fd}", program],
            pass_fds=(theirs_fd,),
            env=env,
        )
        theirs.close()
        self.input = ours.makefile("r", encoding="utf-8", newline="\n")

    def send(self, message, fds=()):
        data = json.dumps(message).encode() + b"\n"
        if fds:
            socket.send_fds(self.socket, [data], list(fds))
        else:
            self.socket.sendall(data)

    def path_of(self, index):
        return self.folder / self.layers()[index]["digest"].split(":")[1]

    def layers(self):
        return json.loads(self.documents["manifest"]["text"])["layers"]

    def _drain(self, fd, path):
        with os.fdopen(fd, "rb") as source, open(path, "wb") as target:
            while chunk := source.read(1 << 16):
                target.write(chunk)

    def _grant(self, event):
        index = event.get("index", 0)
        path = self.path_of(index)
        if event.get("again"):
            self.asked_again.append(index)
            # The first try's pipe is closed by now: its reader must not write into the second's file.
            while self.readers:
                self.readers.pop().join()
            path.unlink(missing_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fds = [file]
        if self.unpack:
            out, into = os.pipe()
            thread = threading.Thread(target=self._drain, args=(out, path.with_suffix(".tar")))
            thread.start()
            self.readers.append(thread)
            fds.append(into)
        self.send({"want": True, "unpack": self.unpack}, fds)
        for fd in fds:
            os.close(fd)

    def _handle(self, event):
        kind = event["event"]
        if kind == "document":
            self.documents[event["kind"]] = event
        elif kind == "which":
            self.send({"have": [layer["digest"] in self.have for layer in self.layers()]})
        elif kind == "layer":
            self._grant(event)
        elif kind == "progress":
            self.statuses.append((event.get("index", 0), event["status"], event.get("current", 0)))
        elif kind == "done":
            self.statuses.append((event.get("index", 0), "done", 0))

    def run(self, **request):
        """Sends the request and serves the child until its end; raises Refused if it ends with an error."""
        self.send(request)
        for line in self.input:
            event = json.loads(line)
            if event["event"] == "end":
                self.end = event
                break
            self._handle(event)
        self.finish()
        assert self.end, f"kist-transfer ended without a word: {self.process.returncode}"
        if "errorKind" in self.end:
            raise Refused(self.end)
        return self.end

    def finish(self):
        self.socket.close()
        self.input.close()
        try:
            self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self.process.wait()
        for thread in self.readers:
            thread.join()
