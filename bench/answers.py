# SPDX-License-Identifier: Apache-2.0
"""A server that answers what the docker CLI asks for an exec at once, and does nothing: the CLI's own part of the time."""
import re
import socket
import sys
import threading

HEAD = b"HTTP/1.1 %s\r\nApi-Version: 1.51\r\nOstype: linux\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
# The first that is in the request line.
ANSWERS = (
    (b"/_ping", b"200 OK", b"OK"),
    (b"POST", b"201 Created", b'{"Id":"abc"}'),
    (b"/exec/", b"200 OK", b'{"ID":"abc","Running":false,"ExitCode":0,"ProcessConfig":{}}'),
    (b"", b"200 OK", b'{"Id":"abc","State":{"Running":true},"Config":{}}'),
)


def serve(client):
    got = b""
    while piece := client.recv(65536):
        got += piece
        while b"\r\n\r\n" in got:
            head, rest = got.split(b"\r\n\r\n", 1)
            size = re.search(rb"content-length: *(\d+)", head, re.I)
            size = int(size[1]) if size else 0
            if len(rest) < size:
                break
            got = rest[size:]
            line = head.split(b"\r\n")[0]
            if line.startswith(b"POST") and b"/start " in line:
                client.sendall(UPGRADED)
                client.close()
                return
            status, body = next(answer[1:] for answer in ANSWERS if answer[0] in line)
            client.sendall(HEAD % (status, len(body)) + (b"" if line.startswith(b"HEAD") else body))


def main():
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(64)
        print("ready", flush=True)
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
