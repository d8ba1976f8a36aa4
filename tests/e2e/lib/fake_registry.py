# SPDX-License-Identifier: Apache-2.0
"""A registry in Python that can be told to lie, to cut connections, to ask for tokens and to be slow."""
import base64
import gzip
import hashlib
import http.server
import json
import socket
import ssl
import threading
import time
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class FakeRegistry:
    """Content is public in .blobs and .manifests: change it to lie."""

    def __init__(self, tls=None):
        self.blobs = {}
        self.manifests = {}  # reference -> (media type, bytes)
        self.requests = []  # (method, path, headers)
        self.cuts = []  # bytes of a blob after which the connection is cut, one per request
        self.statuses = []  # answered instead, one per request: (status, headers)
        self.redirect_blobs = None  # base URL
        self.token_server = None  # realm URL: ask for a bearer token
        self.tokens = {}
        self.login = None  # "user:password" that tokens, or without a token server everything, ask for
        self.hold = None  # an Event blobs wait for
        self.ranges = True
        self.extra = {}  # headers of every manifest
        self.rate = None  # bytes a second of each connection
        self.digest_header = False
        self.answers = {}  # target -> (headers, bytes): said before anything else is looked at
        self.lock = threading.Lock()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                owner.answer(self)

            do_HEAD = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        if self.hold:
            self.hold.set()
        self.server.shutdown()
        self.server.server_close()

    # ---- content ----

    def add_image(self, tags, tars, **lies):
        """tars: uncompressed layers. Returns the manifest as a dict; lies: diff_ids, layer_type, config_type."""
        layers = []
        for tar in tars:
            data = gzip.compress(tar, 1, mtime=0)
            self.blobs[sha(data)] = data
            layers.append({"mediaType": lies.get("layer_type", LAYER), "digest": sha(data), "size": len(data)})
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["sh"]},
                "rootfs": {"type": "layers", "diff_ids": lies.get("diff_ids", [sha(tar) for tar in tars])},
            }
        ).encode()
        self.blobs[sha(config)] = config
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": lies.get("config_type", CONFIG), "digest": sha(config), "size": len(config)},
            "layers": layers,
        }
        self.put_manifest(tags, manifest)
        return manifest

    def put_manifest(self, tags, manifest, media_type=MANIFEST):
        data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        for name in [sha(data), *tags]:
            self.manifests[name] = (media_type, data)
        return sha(data)

    # ---- answers ----

    def _send(self, handler, status, headers, body=b""):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def _error(self, handler, status, code, headers=None):
        body = json.dumps({"errors": [{"code": code, "message": code.replace("_", " ").lower()}]}).encode()
        self._send(handler, status, {"Content-Type": "application/json", **(headers or {})}, body)

    def answer(self, handler):
        path = urllib.parse.urlsplit(handler.path)
        with self.lock:
            self.requests.append((handler.command, handler.path, dict(handler.headers)))
            status = self.statuses.pop(0) if self.statuses else None
        if handler.path in self.answers:
            return self._send(handler, 200, *self.answers[handler.path])
        if status:
            return self._error(handler, status[0], "UNAVAILABLE", status[1])
        if self.login and (path.path == "/token" or not self.token_server) and not self._is_known(handler):
            return self._error(handler, 401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="fake"'})
        if path.path == "/token":
            return self._token(handler, urllib.parse.parse_qs(path.query))
        if self.token_server and handler.headers.get("Authorization") not in self.tokens:
            challenge = f'Bearer realm="{self.token_server}",service="fake",scope="repository:img:pull"'
            return self._error(handler, 401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
        kind, _, name = path.path.removeprefix("/v2/").partition("/")[2].rpartition("/")
        if "/manifests/" in path.path:
            return self._manifest(handler, name)
        if "/blobs/" in path.path or path.path.startswith("/elsewhere/"):
            return self._blob(handler, name)
        return self._send(handler, 200, {})

    def _is_known(self, handler):
        return handler.headers.get("Authorization") == "Basic " + base64.b64encode(self.login.encode()).decode()

    def _token(self, handler, query):
        self.token_query = query
        token = f"token{len(self.tokens)}"
        self.tokens["Bearer " + token] = query
        self._send(handler, 200, {"Content-Type": "application/json"}, json.dumps({"token": token}).encode())

    def _manifest(self, handler, name):
        if name not in self.manifests:
            return self._error(handler, 404, "MANIFEST_UNKNOWN")
        media_type, data = self.manifests[name]
        headers = {"Content-Type": media_type, **self.extra}
        if self.digest_header:
            headers["Docker-Content-Digest"] = sha(data)
        return self._send(handler, 200, headers, data)

    def _blob(self, handler, name):
        if name not in self.blobs:
            return self._error(handler, 404, "BLOB_UNKNOWN")
        if self.redirect_blobs and not handler.path.startswith("/elsewhere/"):
            return self._send(handler, 307, {"Location": f"{self.redirect_blobs}/elsewhere/x/{name}"})
        data = self.blobs[name]
        status, headers = 200, {"Content-Type": "application/octet-stream"}
        wanted = handler.headers.get("Range")
        if wanted and self.ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) + 1 if last else len(data)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            status, data = 206, data[start:end]
        is_layer = len(data) > 2000 or status == 206
        if self.hold and is_layer:
            self.hold.wait(60)
        with self.lock:
            cut = self.cuts.pop(0) if self.cuts and is_layer and handler.command == "GET" else None
        if self.ranges:
            headers["Accept-Ranges"] = "bytes"
        if cut is None and self.rate and is_layer:
            return self._send_slowly(handler, status, headers, data)
        if cut is None:
            return self._send(handler, status, headers, data)
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:cut])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
        return None

    def _send_slowly(self, handler, status, headers, data):
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        for at in range(0, len(data), 1 << 16):
            handler.wfile.write(data[at : at + (1 << 16)])
            time.sleep((1 << 16) / self.rate)
