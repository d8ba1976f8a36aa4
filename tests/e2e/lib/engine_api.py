# SPDX-License-Identifier: Apache-2.0
"""The Engine API of a daemon over its socket, as plain as it goes."""
import http.client
import json
import socket


class Api(http.client.HTTPConnection):
    """The Engine API of a daemon: api.call("GET", "/info") -> (status, decoded JSON)."""

    def __init__(self, daemon):
        super().__init__("localhost", timeout=120)
        self.path = str(daemon.socket)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        self.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        reply = self.getresponse()
        data = reply.read()
        return reply.status, json.loads(data) if data else None
