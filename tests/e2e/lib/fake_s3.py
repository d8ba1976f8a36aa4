# SPDX-License-Identifier: Apache-2.0
"""An S3 storage in Python that checks signatures (AWS Signature Version 4 in the query), and can be told to fail."""
import hashlib
import hmac
import http.server
import threading
import urllib.parse
import uuid

ACCESS_KEY, SECRET, BUCKET, REGION = "keyname", "s3cr3t/+x", "bucket", "us-east-1"


def signature(method, host, path, query):
    """Of a request, from the specification alone."""
    names = dict(query)
    date = names["X-Amz-Date"]
    scope = f"{date[:8]}/{REGION}/s3/aws4_request"
    quoted = "&".join(
        f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}"
        for k, v in sorted(query)
        if k != "X-Amz-Signature"
    )
    canonical = f"{method}\n{path}\n{quoted}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    what = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + SECRET).encode()
    for part in (*scope.split("/"), what):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


class FakeS3:
    def __init__(self):
        self.objects = {}
        self.parts = {}
        self.uploads = {}  # id -> name
        self.may_list = True
        self.hold = None  # (method, what the target holds, an Event): such requests are done, then wait before their answer
        self.held = threading.Event()
        self.requests = []  # (method, name)
        self.failures = 0  # so many requests get 503
        self.lock = threading.Lock()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                owner.answer(self)

            do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def names(self):
        with self.lock:
            return sorted(self.objects)

    def answer(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        query = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
        names = dict(query)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        bucket, _, name = url.path.lstrip("/").partition("/")
        with self.lock:
            self.requests.append((handler.command, name))
            fails = self.failures > 0
            self.failures -= fails
            if fails:
                reply = (503, b"", {})
            elif bucket != BUCKET or names.get("X-Amz-Signature") != signature(
                handler.command, handler.headers["Host"], url.path, query
            ):
                reply = (403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", {})
            else:
                reply = getattr(self, handler.command.lower())(name, names, body, handler.headers.get("Range"))
        if self.hold and handler.command == self.hold[0] and self.hold[1] in handler.path:
            self.held.set()
            self.hold[2].wait(120)
        status, data, headers = reply
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def get(self, name, names, body, wanted):
        if not name and "uploads" in names:
            if not self.may_list:
                return 403, b"<Error><Code>AccessDenied</Code></Error>", {}
            found = [(upload, key) for upload, key in self.uploads.items() if key.startswith(names["prefix"])]
            listed = "".join(f"<Upload><Key>{key}</Key><UploadId>{upload}</UploadId></Upload>" for upload, key in found)
            return 200, f"<ListMultipartUploadsResult>{listed}</ListMultipartUploadsResult>".encode(), {}
        data = self.objects.get(name)
        if data is None:
            return 404, b"<Error><Code>NoSuchKey</Code></Error>", {}
        if wanted:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), int(end or len(data) - 1)
            return 206, data[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return 200, data, {}

    def put(self, name, names, body, wanted):
        etag = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
        if "uploadId" in names:
            self.parts[names["uploadId"]][int(names["partNumber"])] = (body, etag["ETag"])
        else:
            self.objects[name] = body
        return 200, b"", etag

    def post(self, name, names, body, wanted):
        if "uploads" in names:
            upload = f"{uuid.uuid4()}+/="
            self.parts[upload] = {}
            self.uploads[upload] = name
            return 200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>".encode(), {}
        parts = self.parts.pop(names["uploadId"])
        self.uploads.pop(names["uploadId"])
        for number, (_, etag) in parts.items():
            assert f"<PartNumber>{number}</PartNumber><ETag>{etag}</ETag>".encode() in body
        self.objects[name] = b"".join(parts[number][0] for number in sorted(parts))
        return 200, b"<CompleteMultipartUploadResult/>", {}

    def delete(self, name, names, body, wanted):
        if "uploadId" in names:
            self.parts.pop(names["uploadId"], None)
            self.uploads.pop(names["uploadId"], None)
        else:
            self.objects.pop(name, None)
        return 204, b"", {}
