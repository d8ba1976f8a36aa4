# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of a test's own that stand for hosts, and wires between them."""
import secrets
import subprocess
import time


def run(*argv, check=True, **options):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=120, **options)
    assert not check or done.returncode == 0, f"{argv} exited with {done.returncode}: {done.stdout} {done.stderr}"
    return done


class Space:
    """A network namespace with loopback up."""

    def __init__(self, tag):
        self.name = f"kn{tag}{secrets.token_hex(3)}"
        self.path = f"/run/netns/{self.name}"
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        self.servers = []

    def within(self, *argv, check=True, **options):
        return run("nsenter", f"--net={self.path}", *argv, check=check, **options)

    def ip(self, *argv, check=True):
        return run("ip", "-n", self.name, *argv, check=check)

    def wire(self, link, other, other_link, address, other_address):
        """A veth pair to another space, an address at each end."""
        self.ip("link", "add", link, "type", "veth", "peer", "name", other_link, "netns", other.name)
        for space, name, text in ((self, link, address), (other, other_link, other_address)):
            space.ip("addr", "add", text, "dev", name, *(["nodad"] if ":" in text else []))
            space.ip("link", "set", name, "up")

    def serve(self, folder, port, text):
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text(text)
        argv = ["nsenter", f"--net={self.path}", "busybox", "httpd", "-f", "-p", str(port), "-h", str(folder)]
        self.servers.append(subprocess.Popen(argv))

    def get(self, url, patience=60.0):
        """A page, or None; tries while a server may still be starting."""
        end = time.monotonic() + patience
        while True:
            page = self.within("timeout", "3", "busybox", "wget", "-q", "-O", "-", url, check=False)
            if page.returncode == 0 or time.monotonic() > end:
                return page.stdout.strip() if page.returncode == 0 else None
            time.sleep(0.05)

    def close(self):
        for server in self.servers:
            server.kill()
            server.wait()
        run("ip", "netns", "del", self.name, check=False)
