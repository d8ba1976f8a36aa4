# SPDX-License-Identifier: Apache-2.0
"""A registry made of a dict, that can be slow, cut a blob, or lie; and tars that mean harm."""
import gzip
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
import time

OCI = "application/vnd.oci.image."


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(*entries):
    """entries: (name, type, content or link target, attributes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, value, *rest in entries:
            info = tarfile.TarInfo(name)
            info.type = {
                "file": tarfile.REGTYPE,
                "dir": tarfile.DIRTYPE,
                "link": tarfile.LNKTYPE,
                "symlink": tarfile.SYMTYPE,
                "char": tarfile.CHRTYPE,
            }[kind]
            info.mode = 0o755 if kind == "dir" else 0o644
            info.mtime = 1700000000
            for key, attribute in (rest[0] if rest else {}).items():
                setattr(info, key, attribute)
            data = value if kind == "file" else b""
            info.size = len(data)
            if kind in ("link", "symlink"):
                info.linkname = value
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class FakeRegistry:
    """Serves what add_image() made. Blobs go out in pieces of 64 KiB, `delay` seconds apart."""

    def __init__(self):
        self.blobs = {}
        self.manifests = {}
        self.delay = 0.0
        self.requests = []  # (path, Range header, bytes sent)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                outer.answer(self, body=False)

            def do_GET(self):
                outer.answer(self, body=True)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.server_address[1]}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def add_image(self, name, layers, config=None, diff_ids=None, packed=None):
        """layers: tars. packed: the blobs as served, default gzip of each. Returns the full name and layer digests."""
        packed = packed or [gzip.compress(layer, 1, mtime=0) for layer in layers]
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": "2023-11-14T22:13:20Z",
            "config": config or {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [sha256(layer) for layer in layers]},
            "history": [{"created": "2023-11-14T22:13:20Z", "created_by": f"step {i}"} for i in range(len(packed))],
        }
        data = json.dumps(document).encode()
        digests = [sha256(blob) for blob in packed]
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI + "manifest.v1+json",
            "config": {"mediaType": OCI + "config.v1+json", "digest": sha256(data), "size": len(data)},
            "layers": [
                {"mediaType": OCI + "layer.v1.tar+gzip", "digest": digest, "size": len(blob)}
                for digest, blob in zip(digests, packed)
            ],
        }
        self.blobs[sha256(data)] = data
        self.blobs.update(zip(digests, packed))
        repository, tag = name.split(":")
        body = json.dumps(manifest).encode()
        self.manifests[repository, tag] = self.manifests[repository, sha256(body)] = body
        return f"{self.address}/{name}", digests

    def answer(self, request, body):
        parts = request.path.split("?")[0].strip("/").split("/")
        data, kind = None, "application/json"
        if parts == ["v2"]:
            data = b"{}"
        elif len(parts) >= 4 and parts[-2] == "manifests":
            data, kind = self.manifests.get(("/".join(parts[1:-2]), parts[-1])), OCI + "manifest.v1+json"
        elif len(parts) >= 4 and parts[-2] == "blobs":
            data, kind = self.blobs.get(parts[-1]), "application/octet-stream"
        if data is None:
            self.reply(request, 404, "application/json", b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', body)
            return
        self.reply(request, 200, kind, data, body)

    def reply(self, request, status, kind, data, body):
        asked = request.headers.get("Range")
        start = 0
        if asked and status == 200:
            start = int(asked.split("=")[1].split("-")[0])
            status = 206 if start < len(data) else 416
        record = [request.path, asked, 0]
        self.requests.append(record)
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data) - start if status != 416 else 0))
        if status == 206:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.end_headers()
        try:
            while body and status != 416 and start < len(data):
                request.wfile.write(data[start : start + 65536])
                record[2] += min(65536, len(data) - start)
                start += 65536
                if self.delay and "/blobs/" in request.path:
                    time.sleep(self.delay)
        except OSError:
            pass

    def sent(self, digest):
        """Bytes of a blob that went out so far."""
        return sum(count for path, _, count in self.requests if path.split("?")[0].endswith(digest))


def stray(data_root):
    """What a pull may leave unfinished in a store, apart from parts for the next try."""
    left = []
    for folder in ("tmp", "trash"):
        left += [f"{folder}/{name}" for name in os.listdir(data_root / folder)]
    left += [f"snapshots/{name}" for name in os.listdir(data_root / "snapshots") if name.startswith("new-")]
    return left
