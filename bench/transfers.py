# SPDX-License-Identifier: Apache-2.0
"""Sections of bench/run about registries: push and pull beside dockerd, ctr, skopeo and umoci, kist-registry beside docker-registry."""
import http.client
import io
import multiprocessing
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tarfile
import time
import types

from lib import images
from lib.kist_registry import KistRegistry, sha
from lib.ports import free_port
from lib.registry import Registry

ROUNDS = 3
# MB of unpacked layers: rounds.
PULLS = {200: 3, 1000: 2}
PUSH_MB = 200
LAYER_BYTES = 64_000_000
SECONDS = 5
BLOB_MB = 64
PUSHES = 24
TOP = pathlib.Path(__file__).resolve().parent.parent
FLOOR = "bench/sendfile.c: sendfile(2)"
ACCEPT = "Accept: application/vnd.oci.image.manifest.v1+json, */*"


def run(*argv, **options):
    options.setdefault("check", True)
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, **options)


def processor_s(pids):
    """User and system time of processes and of their children that have ended."""
    fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15] for pid in pids]
    return sum(int(ticks) for one in fields for ticks in one) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text).group(1)) / 1024


class Transfers:
    """Part of Bench: uses its engines and rows."""

    def debian_tar(self):
        tar = pathlib.Path("/var/cache/kist-demo") / f"debian-{run('dpkg', '--print-architecture').stdout.strip()}.tar"
        if not tar.exists():
            self.notes[self.section].append("push: not measured, make demo makes the Debian image first")
            return None
        return tar

    def sized_image(self, size_mb):
        """A name in the registry: Debian's tree, then files of this machine's /usr in layers of 64 MB, up to the size."""
        tar = self.debian_tar()
        if not tar:
            return None
        layers, left = [tar.read_bytes()], size_mb * 1_000_000 - tar.stat().st_size
        files = iter(sorted(path for path in pathlib.Path("/usr/lib").rglob("*") if path.is_file() and not path.is_symlink()))
        while left > 0:
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as archive:
                while out.tell() < min(LAYER_BYTES, left):
                    archive.add(next(files), recursive=False)
            layers.append(out.getvalue())
            left -= len(layers[-1])
        layout = self.root / f"layout-{size_mb}"
        images.Layout(layout).add_image("bench", layers)
        self.registry.push(layout, f"sized:{size_mb}", "bench")
        shutil.rmtree(layout)
        return f"{self.registry.address}/sized:{size_mb}"

    def pull(self):
        """Beside dockerd, its containerd by ctr, and skopeo with umoci: from one registry, unpacked, on the disk."""
        self.engines()
        self.forward_to(self.registry.port)
        inside = ["nsenter", f"--net=/run/netns/{self.dockerd.name}"]
        ctr = [*inside, "ctr", "-a", self.root / "exec/containerd/containerd.sock", "-n", "bench"]
        environment = {"kistd": self.kistd.environment, "dockerd": self.dockerd.environment}
        for size_mb, rounds in PULLS.items():
            image = self.sized_image(size_mb)
            if not image:
                return
            bundle = self.root / "bundle"
            script = f"skopeo copy -q --src-tls-verify=false docker://{image} oci:{bundle}/layout:x && umoci unpack --image {bundle}/layout:x {bundle}/unpacked"

            def prepare(name):
                if name in environment:
                    run(self.docker, "rmi", "-f", image, env=environment[name], check=False)
                elif name == "ctr":
                    run(*ctr, "images", "rm", "--sync", image, check=False)
                shutil.rmtree(bundle, ignore_errors=True)
                bundle.mkdir()
                subprocess.run(["sync"], check=True)

            pull = [self.docker, "pull", "-q", image]
            commands = {"kistd": pull, "dockerd": [*inside, *pull], "ctr": [*ctr, "images", "pull", "--plain-http", image]}
            if shutil.which("umoci"):
                commands["umoci"] = ["sh", "-c", script]
            seconds = self.medians(commands, environment, prepare, rounds)
            spent = {}
            for name, pids in (("kistd", [self.kistd.process.pid]), ("dockerd", self.dockerd_pids())):
                prepare(name)
                before = processor_s(pids)
                run(*commands[name], env=environment[name])
                spent[name] = processor_s(pids) - before
            work = f"pull and unpack of a {size_mb} MB image"
            self.row(work, seconds["kistd"], seconds["dockerd"], self.peer(), "<= 0.3 x", "s")
            self.row(work, seconds["kistd"], seconds["ctr"], run("ctr", "--version").stdout.strip(), "ahead", "s")
            self.row(f"{work}: processor time of the engine", spent["kistd"], spent["dockerd"], self.peer(), "-", "s")
            if "umoci" in seconds:
                self.row(work, seconds["kistd"], seconds["umoci"], "skopeo and umoci", "ahead", "s")
            for name in commands:
                prepare(name)

    def forward_to(self, port):
        """Makes one of the host's registries reachable at the same address inside dockerd's namespace."""
        if port in self.forwarded:
            return
        self.forwarded.add(port)
        path = self.root / f"forward-{port}.sock"
        inside = ["nsenter", f"--net=/run/netns/{self.dockerd.name}"]
        self.forwarders = getattr(self, "forwarders", []) + [
            subprocess.Popen(["socat", f"UNIX-LISTEN:{path},fork", f"TCP:127.0.0.1:{port}"]),
            subprocess.Popen([*inside, "socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"UNIX-CONNECT:{path}"]),
        ]
        time.sleep(0.5)

    def push(self):
        """To an empty docker-registry, each time: an image just imported, and one that came from a registry."""
        self.engines()
        tar = self.debian_tar()
        if not tar:
            return
        target = Registry(self.root / "target")
        target.start()
        self.forward_to(target.port)
        self.forward_to(self.registry.port)
        image, source = f"{target.address}/debian:bench", self.sized_image(PUSH_MB)
        layout = f"oci:{self.root}/debian-layout:x"
        run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{source}", layout)
        environment = {"kistd": self.kistd.environment, "dockerd": self.dockerd.environment}
        inside = ["nsenter", f"--net=/run/netns/{self.dockerd.name}"]
        push = [self.docker, "push", "-q", image]
        size = tar.stat().st_size / 1e6

        def empty_registry():
            target.stop()
            shutil.rmtree(self.root / "target/data", ignore_errors=True)
            target.start()

        def with_imported(name):
            empty_registry()
            run(self.docker, "rmi", "-f", image, source, env=environment[name], check=False)
            run(self.docker, "import", tar, image, env=environment[name])
            subprocess.run(["sync"], check=True)

        def with_pulled(name):
            empty_registry()
            if name in environment:
                run(self.docker, "rmi", "-f", image, source, env=environment[name], check=False)
                run(*(inside if name == "dockerd" else []), self.docker, "pull", "-q", source, env=environment[name])
                run(self.docker, "tag", source, image, env=environment[name])
            subprocess.run(["sync"], check=True)

        commands = {"kistd": push, "dockerd": [*inside, *push]}
        seconds = self.medians(commands, environment, with_imported)
        self.row(f"push of a {size:.0f} MB image made here", seconds["kistd"], seconds["dockerd"], self.peer(), "<= 0.3 x", "s")
        commands["skopeo"] = ["skopeo", "copy", "-q", "--dest-tls-verify=false", layout, f"docker://{image}"]
        seconds = self.medians(commands, environment, with_pulled)
        self.row(f"push of a {PUSH_MB} MB image that was pulled", seconds["kistd"], seconds["dockerd"], self.peer(), "<= 0.3 x", "s")
        self.row("the same, its blobs out of an OCI layout", seconds["kistd"], seconds["skopeo"], run("skopeo", "--version").stdout.strip(), "ahead", "s")
        target.stop()

    def medians(self, commands, environment, prepare, rounds=ROUNDS):
        times = self.alternate(commands, rounds, environment, prepare)
        return {name: statistics.median(values) for name, values in times.items()}

    # ---- registry beside registry ----

    def wrk(self, server, path):
        """Requests and megabytes a second."""
        text = run("wrk", "-t", "2", "-c", "8", "-d", f"{SECONDS}s", "-H", ACCEPT, f"http://{server.address}{path}").stdout
        assert "Non-2xx" not in text, text
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
        amount, unit = re.search(r"Transfer/sec:\s+([\d.]+)([KMG])B", text).groups()
        return rate, float(amount) * {"K": 1 / 1024, "M": 1, "G": 1024}[unit]

    def put_blobs(self, server, repository, blobs, gate=None):
        """POST, then PUT; blobs: their digests and bytes. gate: passed before the first and after the last."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        if gate:
            gate.wait()
        for digest, blob in blobs:
            connection.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
            reply = connection.getresponse()
            reply.read()
            place = reply.headers["Location"].replace(f"http://{server.address}", "")
            mark = "&" if "?" in place else "?"
            connection.request("PUT", f"{place}{mark}digest={digest}", blob, {"Content-Type": "application/octet-stream"})
            reply = connection.getresponse()
            reply.read()
            assert reply.status == 201, reply.status
        if gate:
            gate.wait()
        connection.close()

    def push_rate(self, server, tag):
        """Megabytes a second of different blobs, from four processes that have hashed them before: their start does not count."""
        blobs = [os.urandom(4096) * 1024 for _ in range(PUSHES)]
        named = [(sha(blob), blob) for blob in blobs]
        gate = multiprocessing.Barrier(5, timeout=300)
        clients = [
            multiprocessing.Process(target=self.put_blobs, args=(server, f"push{tag}", named[n::4], gate)) for n in range(4)
        ]
        for client in clients:
            client.start()
        gate.wait()
        start = time.perf_counter()
        gate.wait()
        took = time.perf_counter() - start
        for client in clients:
            client.join()
            assert client.exitcode == 0
        return sum(map(len, blobs)) / 1e6 / took

    def sendfile(self, blob):
        """A process that sends this blob to anybody, and nothing else; its place has the face of a server."""
        program = self.root / "sendfile"
        run("cc", "-O2", "-D_GNU_SOURCE", "-pthread", "-o", program, TOP / "bench/sendfile.c")
        (self.root / "blob").write_bytes(blob)
        port = free_port()
        process = subprocess.Popen([program, str(port), self.root / "blob"])
        return types.SimpleNamespace(address=f"127.0.0.1:{port}", process=process)

    def registries(self):
        if not shutil.which("wrk"):
            self.notes[self.section].append("registries: not measured, wrk is missing (tools/deps bench)")
            return
        servers = {
            "ours": KistRegistry(self.root / "r1", self.program("kist-registry")),
            "theirs": Registry(self.root / "r2"),
        }
        blob = os.urandom(1 << 20) * BLOB_MB
        seen = {name: {"manifest": [], "blob": [], "push": []} for name in servers}
        floor, floor_rates = self.sendfile(blob), []
        for server in servers.values():
            server.start()
        layout = images.oci_layout(self.root / "registry-layout", images.busybox_rootfs(self.root / "registry-rootfs"))
        for server in servers.values():
            server.push(layout, "bench:1")
            self.put_blobs(server, "bench", [(sha(blob), blob)])
        paths = {"manifest": "/v2/bench/manifests/1", "blob": f"/v2/bench/blobs/{sha(blob)}"}
        for turn in range(ROUNDS):
            for name, server in servers.items():
                seen[name]["manifest"].append(self.wrk(server, paths["manifest"])[0])
                seen[name]["blob"].append(self.wrk(server, paths["blob"])[1])
                seen[name]["push"].append(self.push_rate(server, turn))
            floor_rates.append(self.wrk(floor, "/")[1])
        floor.process.kill()
        floor.process.wait()
        memory = {name: resident_mb(server.process.pid) for name, server in servers.items()}
        version = run("docker-registry", "--version", check=False).stdout.strip() or "docker-registry"
        for what, work, unit in (
            ("manifest", "registry: GET of a manifest, 8 connections", "/s"),
            ("blob", f"registry: GET of a {BLOB_MB} MB blob, 8 connections", "MB/s"),
            ("push", "registry: push of 4 MB blobs, 4 at a time", "MB/s"),
        ):
            values = {name: statistics.median(seen[name][what]) for name in servers}
            self.row(work, values["ours"], values["theirs"], version, ">= 2 x", unit)
        ours = statistics.median(seen["ours"]["blob"])
        self.row("registry: the same beside the kernel's part", ours, statistics.median(floor_rates), FLOOR, "-", "MB/s")
        self.row("registry: most memory, RSS", memory["ours"], memory["theirs"], version, "-", "MB")
        for server in servers.values():
            server.stop()
