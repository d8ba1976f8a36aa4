# SPDX-License-Identifier: Apache-2.0
"""A registry in Python that takes pushes, and can be told to cut, to refuse, to be small-minded."""
import hashlib
import http.server
import json
import socket
import threading
import urllib.parse


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# Shorter bodies are configs, and have no trouble.
LAYER_MIN = 2000


class SinkRegistry:
    def __init__(self):
        self.blobs = {}  # repository -> digests -> bytes
        self.manifests = {}  # (repository, tag) -> (type, bytes)
        self.uploads = {}  # id -> bytearray
        self.requests = []  # (method, path, length)
        self.cuts = []  # bytes after which a body is cut, one per PUT or PATCH of a layer
        self.statuses = []  # answered instead of taking a body, one per PUT or PATCH of a layer: (status, headers)
        self.body_max = None  # longer bodies are 413
        self.lose_uploads = False  # after a cut
        self.takes_chunks = False  # bodies of unknown length; else they are not even read
        self.chunk_cut = None  # bytes after which such a body is cut, once
        self.lock = threading.Lock()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self):
                owner.answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.server_address[1]}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def methods(self):
        return [method for method, _, _ in self.requests]

    # ---- answers ----

    def reply(self, handler, status, headers=None, body=b""):
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        if status >= 400 and not body:
            body = json.dumps({"errors": [{"code": "UNKNOWN", "message": f"status {status}"}]}).encode()
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def answer(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        length = int(handler.headers.get("Content-Length") or 0)
        self.requests.append((handler.command, handler.path, length))
        parts = url.path.removeprefix("/v2/").split("/")
        if len(parts) < 3:
            return self.reply(handler, 200)
        if "uploads" in parts:
            at = parts.index("uploads")
            return self.upload(handler, "/".join(parts[: at - 1]), parts[at + 1], query, length)
        repository, kind, name = "/".join(parts[:-2]), parts[-2], parts[-1]
        if handler.command == "PUT":
            data = handler.rfile.read(length)
            self.manifests[repository, name] = (handler.headers["Content-Type"], data)
            return self.reply(handler, 201, {"Docker-Content-Digest": sha(data)})
        if kind == "manifests" and (repository, name) in self.manifests:
            media, data = self.manifests[repository, name]
            return self.reply(handler, 200, {"Content-Type": media, "Docker-Content-Digest": sha(data)}, data)
        if kind == "blobs" and name in self.blobs.get(repository, {}):
            return self.reply(handler, 200, {}, self.blobs[repository][name])
        return self.reply(handler, 404)

    def place(self, repository, upload):
        headers = {"Location": f"/v2/{repository}/blobs/uploads/{upload}?state=x"}
        if self.uploads[upload]:
            headers["Range"] = f"0-{len(self.uploads[upload]) - 1}"
        return headers

    def upload(self, handler, repository, upload, query, length):
        if handler.command == "POST":
            source = self.blobs.get(query.get("from"), {})
            if query.get("mount") in source:
                self.blobs.setdefault(repository, {})[query["mount"]] = source[query["mount"]]
                return self.reply(handler, 201)
            upload = f"u{len(self.requests)}"
            self.uploads[upload] = bytearray()
            return self.reply(handler, 202, self.place(repository, upload))
        if upload not in self.uploads:
            handler.rfile.read(length)
            return self.reply(handler, 404)
        if handler.command == "GET":
            return self.reply(handler, 204, self.place(repository, upload))
        if self.takes_chunks and handler.headers.get("Transfer-Encoding") == "chunked" and not self.take_chunks(handler, upload):
            return None
        if length and not self.take_body(handler, upload, length):
            return None
        if handler.command == "PATCH":
            return self.reply(handler, 202, self.place(repository, upload))
        data = bytes(self.uploads.pop(upload))
        if sha(data) != query.get("digest"):
            return self.reply(handler, 400)
        self.blobs.setdefault(repository, {})[sha(data)] = data
        return self.reply(handler, 201)

    def take_chunks(self, handler, upload):
        while size := int(handler.rfile.readline(), 16):
            self.uploads[upload] += handler.rfile.read(size)
            handler.rfile.readline()
            if self.chunk_cut is not None and len(self.uploads[upload]) > self.chunk_cut:
                self.chunk_cut = None
                handler.connection.shutdown(socket.SHUT_RDWR)
                handler.close_connection = True
                return False
        handler.rfile.readline()
        return True

    def take_body(self, handler, upload, length):
        with self.lock:
            is_layer = length > LAYER_MIN
            status = self.statuses.pop(0) if self.statuses and is_layer else None
            cut = self.cuts.pop(0) if self.cuts and is_layer else None
        if self.body_max and length > self.body_max:
            status = (413, {})
        start = handler.headers.get("Content-Range", f"{len(self.uploads[upload])}-").split("-")[0]
        if int(start) != len(self.uploads[upload]):
            status = (416, self.place("x", upload))
        if status:
            handler.rfile.read(length)
            self.reply(handler, *status)
            return False
        self.uploads[upload] += handler.rfile.read(length if cut is None else min(cut, length))
        if cut is None:
            return True
        if self.lose_uploads:
            del self.uploads[upload]
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
        return False
