# SPDX-License-Identifier: Apache-2.0
"""HTTP by hand: requests no client library would send."""
import socket

CREATE = b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
UNREADABLE = [
    ("no HTTP", b"\x16\x03\x01 hello\r\n\r\n", 400),
    ("no target", b"GET\r\n\r\n", 400),
    ("too many blanks", b"GET / x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("length", CREATE + b"Content-Length: 5x\r\n\r\n{}", 400),
    ("no host", b"GET /_ping HTTP/1.1\r\n\r\n", 400),
    ("version", b"GET /_ping HTTP/9.9\r\nHost: x\r\n\r\n", 505),
    ("header", b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100000 + b"\r\n\r\n", 431),
    ("target", b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    ("chunk", CREATE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ("later chunk", CREATE + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n-5\r\n", 400),
    ("streamed chunk", b"POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n", 400),
    ("second request", b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGARBAGE /\r\n\r\n", 400),
]


def last_answer(address, data):
    """Sends bytes, reads to the end: (status, headers, body) of the last answer."""
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family) as client:
        client.settimeout(120)
        client.connect(address)
        try:
            client.sendall(data)
        except BrokenPipeError:
            pass
        reply = b""
        try:
            while chunk := client.recv(65536):
                reply += chunk
        except ConnectionResetError:
            pass
    top, _, body = reply[reply.rindex(b"HTTP/1.") :].partition(b"\r\n\r\n")
    return int(top.split()[1]), top.decode().lower(), body
