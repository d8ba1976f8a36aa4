# SPDX-License-Identifier: Apache-2.0
"""A volume plugin as docker's protocol v1 has it: folders below one of the test's, and a memory of what it was asked."""
import http.server
import json
import socketserver
import threading


class VolumePlugin(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, sockets, folder, name, scope="local", kinds=("VolumeDriver",)):
        self.name = name
        self.folder = folder
        self.scope = scope
        self.kinds = list(kinds)
        self.path = sockets / f"{name}.sock"
        self.volumes = {}  # name -> options
        self.mounts = {}  # name -> ids
        self.asked = []  # (method, body)
        self.answers = {}  # method -> what it says instead: a dict, bytes, or an Event it waits for first
        folder.mkdir(exist_ok=True)
        self.path.unlink(missing_ok=True)
        super().__init__(str(self.path), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()
        self.path.unlink(missing_ok=True)

    def said(self, method):
        """The bodies of all calls of a method."""
        return [body for asked, body in list(self.asked) if asked == method]

    def describe(self, name):
        mounted = str(self.folder / name) if self.mounts.get(name) else ""
        return {"Name": name, "Mountpoint": mounted, "CreatedAt": "2026-01-02T03:04:05Z", "Status": {"hello": ["world", 1]}}

    def answer(self, method, body):
        name = body.get("Name")
        if method == "Plugin.Activate":
            return {"Implements": self.kinds}
        if method == "VolumeDriver.Capabilities":
            return {"Capabilities": {"Scope": self.scope}}
        if method == "VolumeDriver.List":
            return {"Volumes": [self.describe(each) for each in self.volumes], "Err": ""}
        if method == "VolumeDriver.Create":
            self.volumes[name] = body["Opts"]
            (self.folder / name).mkdir(exist_ok=True)
            return {"Err": ""}
        if name not in self.volumes:
            return {"Err": f"I have no {name}"}
        if method == "VolumeDriver.Remove":
            del self.volumes[name]
            return {"Err": ""}
        if method == "VolumeDriver.Mount":
            self.mounts.setdefault(name, []).append(body["ID"])
            return {"Mountpoint": str(self.folder / name), "Err": ""}
        if method == "VolumeDriver.Unmount":
            self.mounts[name].remove(body["ID"])
            return {"Err": ""}
        if method == "VolumeDriver.Get":
            return {"Volume": self.describe(name), "Err": ""}
        return {"Mountpoint": self.describe(name)["Mountpoint"], "Err": ""}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = self.path[1:]
        self.server.asked.append((method, body))
        said = self.server.answers.get(method)
        if isinstance(said, threading.Event):
            said.wait(300)
            said = None
        if said is None:
            said = self.server.answer(method, body)
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        try:
            self.send_response(500 if isinstance(said, dict) and said.get("status") == 500 else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass

    def log_message(self, *args):
        pass
