# SPDX-License-Identifier: Apache-2.0
"""A registry that lies on demand: serves an OCI layout over plain HTTP and lets a test bend each reply."""
import http.server
import json
import pathlib
import threading


class LayoutRegistry:
    """bend(kind, reference, status, headers, body) -> (status, headers, body) may change any reply.

    kind is "manifest" or "blob". A header Content-Length that is longer than the body makes a cut connection.
    """

    def __init__(self, layout, bend=None):
        self.layout = pathlib.Path(layout)
        self.bend = bend or (lambda kind, reference, status, headers, body: (status, headers, body))
        self.requests = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802
                owner.answer(self, True)

            def do_HEAD(self):  # noqa: N802
                owner.answer(self, False)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.server_address[1]}"

    def find(self, kind, reference):
        """(status, headers, body) as an honest registry answers."""
        if kind == "manifest" and not reference.startswith("sha256:"):
            index = json.loads((self.layout / "index.json").read_text())
            named = [m for m in index["manifests"] if m["annotations"]["org.opencontainers.image.ref.name"] == reference]
            if not named:
                return 404, {"Content-Type": "application/json"}, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
            reference = named[0]["digest"]
        path = self.layout / "blobs" / reference.replace(":", "/")
        if not path.exists():
            return 404, {"Content-Type": "application/json"}, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}'
        body = path.read_bytes()
        kind_of = "application/octet-stream"
        if kind == "manifest":
            kind_of = "application/vnd.oci.image.manifest.v1+json"
        return 200, {"Content-Type": kind_of, "Docker-Content-Digest": reference}, body

    def answer(self, handler, with_body):
        self.requests.append((handler.command, handler.path, dict(handler.headers)))
        parts = handler.path.split("?")[0].split("/")
        if handler.path.rstrip("/") == "/v2":
            status, headers, body = 200, {}, b"{}"
        elif len(parts) >= 5 and parts[-2] in ("manifests", "blobs"):
            kind = parts[-2][:-1]
            status, headers, body = self.bend(kind, parts[-1], *self.find(kind, parts[-1]))
        else:
            status, headers, body = 404, {}, b"{}"
        wanted = handler.headers.get("Range")
        if wanted and status == 200 and wanted.startswith("bytes="):
            first = int(wanted[6:].split("-")[0])
            headers = dict(headers, **{"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"})
            status, body = 206, body[first:]
        handler.send_response(status)
        headers.setdefault("Content-Length", str(len(body)))
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.end_headers()
        if with_body:
            handler.wfile.write(body)
        if int(headers["Content-Length"]) != len(body):
            handler.close_connection = True
