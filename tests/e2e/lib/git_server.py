# SPDX-License-Identifier: Apache-2.0
"""Repositories on loopback: smart http by git's own http-backend, or plain files ("dumb") of the same folder."""
import http.server
import os
import pathlib
import subprocess
import threading

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "n"), ("EMAIL", "e@x"), ("DATE", "@1445412480 +0000"))},
}  # fmt: skip


def git(*args, cwd=None):
    command = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", "-c", "safe.directory=*", *args]
    run = subprocess.run([str(part) for part in command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, (args, run.stderr)
    return run.stdout.strip()


class GitServer:
    """Serves what is below `root`; needs `Authorization: header` if that is set."""

    def __init__(self, root, smart=True):
        self.root, self.asked, self.header = pathlib.Path(root), [], None
        server = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def __init__(self, *args):
                super().__init__(*args, directory=str(root))

            def log_message(self, *_):
                pass

            def do_GET(self):
                server.asked.append(self.path)
                if server.header and self.headers.get("Authorization") != server.header:
                    self.send_response(401)
                    self.end_headers()
                elif smart:
                    self.backend()
                else:
                    super().do_GET()

            do_POST = do_GET

            def backend(self):
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                environment = {
                    **ENVIRONMENT,
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_CONFIG_COUNT": "1",
                    "GIT_CONFIG_KEY_0": "safe.directory",
                    "GIT_CONFIG_VALUE_0": "*",
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                }
                run = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
                head, _, rest = run.stdout.partition(b"\r\n\r\n")
                lines = [line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line]
                status = [int(value.split()[0]) for name, value in lines if name == b"Status"]
                self.send_response(status[0] if status else 200)
                for name, value in lines:
                    if name != b"Status":
                        self.send_header(name.decode(), value.decode())
                self.end_headers()
                self.wfile.write(rest)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Repository:
    """A work folder and what is served of it, bare."""

    def __init__(self, root, name):
        self.work, self.bare = root / f"{name}.work", root / f"{name}.git"
        git("init", "-q", self.work)
        git("init", "-q", "--bare", self.bare)

    def commit(self, files, message="m", *then):
        """Writes, commits, does what else is said, publishes; the commit."""
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        git("add", "-A", cwd=self.work)
        git("commit", "-q", "--allow-empty", "-m", message, cwd=self.work)
        for words in then:
            git(*words, cwd=self.work)
        self.publish()
        return git("rev-parse", "HEAD", cwd=self.work)

    def publish(self):
        git("push", "-q", "--force", self.bare, "refs/heads/*", "refs/tags/*", cwd=self.work)
        git("update-server-info", cwd=self.bare)
