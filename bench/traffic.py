# SPDX-License-Identifier: Apache-2.0
"""Sections of bench/run about networks: iperf3 and wrk beside dockerd, and what a network costs a start."""
import json
import re
import shutil
import statistics
import subprocess
import time

from oci import TOP, run
from scale import Api, in_parallel, seconds_of

SECONDS = 1
ROUNDS = 9
LIVES = 21
CROWD = 1000
NETWORK = "kb-net"
# The host's own programs in a container of either engine.
HOST = ["/usr:/usr:ro", "/usr/lib:/lib:ro", "/usr/lib64:/lib64:ro"]


def gigabits(argv):
    return json.loads(run(*argv, "-J", "-t", str(SECONDS)).stdout)["end"]["sum_received"]["bits_per_second"] / 1e9


def requests(argv, url):
    return float(re.search(r"Requests/sec:\s+([\d.]+)", run(*argv, "-t", "1", "-c", "32", "-d", f"{SECONDS}s", url).stdout).group(1))


class Site:
    """One engine, two servers on a network of its, a container beside them, and a host of its own before the door."""

    def __init__(self, bench, name, environment, space, number):
        self.api = Api(environment)
        self.beyond, self.host = f"{bench.dockerd.name}{number}", f"10.21{number}.7.1"
        self.client = ["ip", "netns", "exec", self.beyond]
        self.docker = [bench.docker, "exec", f"kb-{name}-client"]
        self.environment = environment
        self.name = name
        run("ip", "netns", "add", self.beyond)
        run("ip", "-n", space, "link", "add", self.beyond, "type", "veth", "peer", "name", "eth0", "netns", self.beyond)
        for place, link, address in ((space, self.beyond, self.host), (self.beyond, "eth0", f"10.21{number}.7.2")):
            run("ip", "-n", place, "addr", "add", f"{address}/24", "dev", link)
            run("ip", "-n", place, "link", "set", link, "up")

    def container(self, role, *command, binds=(), port=None):
        name = f"kb-{self.name}-{role}"
        bindings = {f"{port}/tcp": [{"HostPort": str(port)}]} if port else {}
        body = {"Image": "bench", "Cmd": command, "ExposedPorts": {key: {} for key in bindings},
                "HostConfig": {"NetworkMode": NETWORK, "Binds": [*HOST, *binds], "PortBindings": bindings}}  # fmt: skip
        self.api.call("POST", f"/containers/create?name={name}", body)
        self.api.call("POST", f"/containers/{name}/start")
        found = json.loads(self.api.call("GET", f"/containers/{name}/json"))
        return found["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]

    def serve(self, registry):
        self.api.call("POST", "/networks/create", {"Name": NETWORK, "Driver": "bridge"})
        folder = registry.rsplit("/", 1)[0]
        self.bulk = self.container("iperf", "/usr/bin/iperf3", "-s", port=5201)
        self.pages = self.container("http", "/kb/kist-registry", "--root", "/tmp/r", "--listen", "0.0.0.0:5000", binds=[f"{folder}:/kb:ro"], port=5000)
        self.container("client", "sleep", "3600")
        for argv, address in ((self.client, self.host), (self.inside(), self.pages)):
            for _ in range(100):
                if run(*argv, "/usr/bin/curl", "-sf", f"http://{address}:5000/v2/", env=self.environment, check=False).returncode == 0:
                    break
                time.sleep(0.1)

    def inside(self):
        return ["env", f"DOCKER_HOST={self.environment['DOCKER_HOST']}", *self.docker]

    def measure(self):
        """Gbit/s and requests/s, through a published port and between containers."""
        return (
            gigabits([*self.client, "iperf3", "-c", self.host]),
            requests([*self.client, "wrk"], f"http://{self.host}:5000/v2/"),
            gigabits([*self.inside(), "/usr/bin/iperf3", "-c", self.bulk]),
            requests([*self.inside(), "/usr/bin/wrk"], f"http://{self.pages}:5000/v2/"),
        )

    def close(self):
        for role in ("iperf", "http", "client"):
            try:
                self.api.call("DELETE", f"/containers/kb-{self.name}-{role}?force=1")
            except SystemExit:
                pass
        run("ip", "netns", "del", self.beyond, check=False)


class Traffic:
    """What Bench inherits; self.engines(), self.both(), self.row() are its."""

    def traffic(self):
        if not shutil.which("iperf3") or not shutil.which("wrk"):
            self.notes[self.section].append("Traffic: not measured, iperf3 or wrk is missing")
            return
        from test_64_network_extremes import Secluded

        self.engines()
        # Where no table of rules but its own is, as around dockerd.
        (self.root / "traffic").mkdir()
        ours = Secluded(self.root / "traffic", self.program)
        sites = []
        try:
            ours.start()
            run(self.docker, "import", "-c", "CMD sh", self.root / "busybox.tar", "bench:latest", env=ours.environment)
            for name, environment, space in (("kistd", ours.environment, ours.space), ("dockerd", self.dockerd.environment, self.dockerd.name)):
                sites.append(Site(self, name, environment, space, len(sites) + 1))
                sites[-1].serve(self.program("kist-registry"))
            found = {site.name: [] for site in sites}
            for number in range(ROUNDS):
                for site in sites[:: 1 if number % 2 else -1]:
                    found[site.name].append(site.measure())
        finally:
            for site in sites:
                site.close()
            ours.close()
        kinds = (("a published port, iperf3", "Gbit/s"), ("a published port, wrk with 32 connections", "requests/s"),
                 ("container to container, iperf3", "Gbit/s"), ("container to container, wrk with 32 connections", "requests/s"))  # fmt: skip
        for index, (what, unit) in enumerate(kinds):
            ours, theirs = (statistics.median(values[index] for values in found[name]) for name in ("kistd", "dockerd"))
            self.row(what, ours, theirs, self.peer(), ">= 1 x", unit)

    # ---- what a network costs a start ----

    def lives(self, api, modes, of=statistics.median):
        """Milliseconds from create to remove, the median (or another) of each mode; they alternate."""
        found = {mode: [] for mode in modes}
        for _ in range(LIVES):
            for mode in modes:

                def live(mode=mode):
                    api.create("kb-life", "true", NetworkMode=mode)
                    api.call("POST", "/containers/kb-life/start")
                    api.call("POST", "/containers/kb-life/wait")
                    api.call("DELETE", "/containers/kb-life?force=1")

                found[mode].append(seconds_of(live))
        return {mode: of(values[1:]) * 1000 for mode, values in found.items()}

    def share(self):
        """The least of each: what is looked for is smaller than what a busy machine adds."""
        found = {}
        for name, environment in self.both():
            api = Api(environment)
            api.call("POST", "/networks/create", {"Name": "kb-share", "Driver": "bridge"})
            found[name] = self.lives(api, ("none", "bridge", "kb-share"), min)
            api.call("DELETE", "/networks/kb-share")
        for mode, what in (("bridge", "the default bridge"), ("kb-share", "a user's network, with its name server")):
            ours, theirs = (found[name][mode] - found[name]["none"] for name in ("kistd", "dockerd"))
            self.row(f"create to remove of `true`, the part of {what}", ours, theirs, self.peer(), "<= 5 ms")

    def wires(self):
        """Milliseconds of a bare link on an empty bridge, and on one with CROWD - 1."""
        program = self.root / "wire"
        sources = ("bench/wire.c", *(f"src/{name}.c" for name in ("sys/netlink", "sys/netlink_request", "base/alloc", "base/text")))
        run("cc", "-O2", "-D_GNU_SOURCE", f"-I{TOP / 'src'}", "-o", program, *(TOP / name for name in sources))
        return [float(word) for word in run(program, str(CROWD), str(LIVES)).stdout.split()]

    def crowd(self):
        """The cost of one more container on a bridge that has none, and on one that has a thousand. The least of each: a
        thousand processes are seldom quiet."""
        self.engines()
        environment = self.kistd.environment
        api = Api(environment)
        body = {"Name": "kb-crowd", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "10.213.0.0/20"}]}}
        api.call("POST", "/networks/create", body)
        first = self.lives(api, ("none", "kb-crowd"), min)
        floor = self.wires()

        def start(number, local):
            if not hasattr(local, "api"):
                local.api = Api(environment)
            local.api.create(f"kb-c{number}", "sleep", "3600", NetworkMode="kb-crowd")
            local.api.call("POST", f"/containers/kb-c{number}/start")

        in_parallel(4, start, range(CROWD - 1))
        last = self.lives(api, ("none", "kb-crowd"), min)
        in_parallel(4, lambda number, _: Api(environment).call("DELETE", f"/containers/kb-c{number}?force=1"), range(CROWD - 1))
        api.call("DELETE", "/networks/kb-crowd")
        for mode, what in (("kb-crowd", f"create to remove of `true`, the {CROWD}th on a bridge"), ("none", f"the same with network none, beside {CROWD - 1} others")):
            self.row(what, last[mode], first[mode], "ours, the first", "<= 1.1 x" if mode == "kb-crowd" else "-")
        self.row(f"the kernel's part: one more link on a bridge, the {CROWD}th", floor[1], floor[0], "bench/wire.c, the first", "-")
