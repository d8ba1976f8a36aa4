# SPDX-License-Identifier: Apache-2.0
"""Sections of bench/run that ask many things of both engines over their own API: no client's start-up in between."""
import concurrent.futures
import http.client
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import threading
import time

STOPPED = 10000
RUNNING = 1000
PARALLEL = 64
FOLLOWED = 100
EVENTS = 4000


class Api(http.client.HTTPConnection):
    def __init__(self, environment):
        super().__init__("localhost", timeout=300)
        self.path = environment["DOCKER_HOST"].removeprefix("unix://")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(300)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        self.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        answer = self.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"bench: {method} {path}: {answer.status} {text}")
        return text

    def create(self, name, *command, **host):
        self.call("POST", f"/containers/create?name={name}", {"Image": "bench", "Cmd": command, "HostConfig": host})

    def run_to_end(self, name):
        self.create(name, "true")
        self.call("POST", f"/containers/{name}/start")
        self.call("POST", f"/containers/{name}/wait")
        self.call("DELETE", f"/containers/{name}?force=1")


def seconds_of(work, *args):
    start = time.perf_counter()
    work(*args)
    return time.perf_counter() - start


def median_of(times, work, *args):
    return statistics.median(seconds_of(work, *args) for _ in range(times))


def in_parallel(threads, work, items):
    local = threading.local()

    def one(item):
        return work(item, local)

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, items))


class Scale:
    """What Bench inherits; self.engines(), self.row() are its."""

    def both(self):
        self.engines()
        return (("kistd", self.kistd.environment), ("dockerd", self.dockerd.environment))

    def exec(self):
        found = {}
        for name, environment in self.both():
            Api(environment).create("kb-exec", "sleep", "600")
            Api(environment).call("POST", "/containers/kb-exec/start")
        path = self.root / "answers.sock"
        answers = subprocess.Popen([sys.executable, pathlib.Path(__file__).with_name("answers.py"), path], stdout=subprocess.PIPE)
        answers.stdout.readline()
        alone = dict(self.kistd.environment, DOCKER_HOST=f"unix://{path}")
        for _ in range(15):
            for name, environment in (*self.both(), ("the CLI alone", alone)):
                argv = [self.docker, "exec", "kb-exec", "true"]
                found.setdefault(name, []).append(seconds_of(lambda: subprocess.run(argv, env=environment, check=True)))
        answers.kill()
        answers.wait()
        for _, environment in self.both():
            Api(environment).call("DELETE", "/containers/kb-exec?force=1")
        ms = {name: statistics.median(values[2:]) * 1000 for name, values in found.items()}
        self.row("docker CLI `exec true`", ms["kistd"], ms["dockerd"], self.peer(), "<= 0.2 x")
        self.row("docker CLI `exec true`", ms["kistd"], ms["the CLI alone"], "the CLI alone: bench/answers.py", "-")

    def parallel(self):
        found = {}
        for name, environment in self.both():

            def one(number, local, environment=environment):
                if not hasattr(local, "api"):
                    local.api = Api(environment)
                return seconds_of(local.api.run_to_end, f"kb-p{number}")

            one(1000, threading.local())
            start = time.perf_counter()
            each = sorted(in_parallel(PARALLEL, one, range(PARALLEL)))
            found[name] = (time.perf_counter() - start, each[-1])
        self.row(f"{PARALLEL} runs of `true` at once, bridge: all", found["kistd"][0], found["dockerd"][0], self.peer(), "-", "s")
        self.row(f"{PARALLEL} runs of `true` at once, bridge: the slowest", found["kistd"][1], found["dockerd"][1], self.peer(), "-", "s")

    def stopped(self):
        found = {}
        for name, environment in self.both():
            api = Api(environment)
            create = seconds_of(lambda api=api: [api.create(f"kb-s{number}", "true") for number in range(STOPPED)]) / STOPPED
            listed = median_of(7, api.call, "GET", "/containers/json?all=1")
            api.close()
            found[name] = (create, listed, self.restart(name))
            in_parallel(2, lambda number, _, env=environment: Api(env).call("DELETE", f"/containers/kb-s{number}"), range(STOPPED))
        rows = (("create, each", "ms", 1000, "-"), ("list all over the API", "ms", 1000, "<= 50 ms"), ("start of the engine", "s", 1, "<= 1 s"))
        for index, (what, unit, factor, budget) in enumerate(rows):
            ours, theirs = found["kistd"][index] * factor, found["dockerd"][index] * factor
            self.row(f"{STOPPED} stopped containers: {what}", ours, theirs, self.peer(), budget, unit)

    def stats_of_all(self, environment):
        """As `docker stats --no-stream` does, but for its second of waiting: one look at each, not the two that give a rate."""

        def one(number, local):
            if not hasattr(local, "api"):
                local.api = Api(environment)
            local.api.call("GET", f"/containers/kb-r{number}/stats?stream=0&one-shot=1")

        in_parallel(16, one, range(RUNNING))

    def running(self):
        found = {}
        for name, environment in self.both():

            def start(number, local, environment=environment):
                if not hasattr(local, "api"):
                    local.api = Api(environment)
                local.api.create(f"kb-r{number}", "sleep", "600")
                local.api.call("POST", f"/containers/kb-r{number}/start")

            started = seconds_of(in_parallel, 8, start, range(RUNNING)) / RUNNING
            listed = median_of(7, Api(environment).call, "GET", "/containers/json")
            stats = seconds_of(self.stats_of_all, environment)
            found[name] = (started * 1000, listed * 1000, stats, self.whole_memory_mb(name))
            in_parallel(4, lambda number, _, env=environment: Api(env).call("DELETE", f"/containers/kb-r{number}?force=1"), range(RUNNING))
        for index, (what, unit) in enumerate((("create and start, each", "ms"), ("list over the API", "ms"), ("stats of all, 16 at once", "s"), ("engine and shims, PSS", "MB"))):
            self.row(f"{RUNNING} running containers: {what}", found["kistd"][index], found["dockerd"][index], self.peer(), "-", unit)

    def logs(self):
        """A container that writes as fast as it can: 100 MB through the log."""
        found = {}
        line = "x" * 99
        for name, environment in self.both():
            api = Api(environment)
            api.create("kb-log", "sh", "-c", f"yes {line} | head -n 1000000", NetworkMode="none")
            api.call("POST", "/containers/kb-log/start")
            start = time.perf_counter()
            api.call("POST", "/containers/kb-log/wait")
            written = 100 / (time.perf_counter() - start)
            found[name] = (written, 100 / seconds_of(api.call, "GET", "/containers/kb-log/logs?stdout=1&stderr=1"))
            api.call("DELETE", "/containers/kb-log?force=1")
        for index, what in enumerate(("written", "read")):
            self.row(f"log of one container, {what}", found["kistd"][index], found["dockerd"][index], self.peer(), "-", "MB/s")
        self.followed()

    def followed(self):
        """Readers that follow containers which write a line every tenth of a second: what that costs the engine."""
        found = {}
        script = "while :; do echo a line of a container that is followed; sleep 0.1; done"
        for name, environment in self.both():
            api = Api(environment)
            followers = []
            for number in range(FOLLOWED):
                api.create(f"kb-f{number}", "sh", "-c", script, NetworkMode="none")
                api.call("POST", f"/containers/kb-f{number}/start")
                followers.append(socket.socket(socket.AF_UNIX))
                followers[-1].connect(environment["DOCKER_HOST"].removeprefix("unix://"))
                ask = f"GET /containers/kb-f{number}/logs?follow=1&stdout=1&tail=0 HTTP/1.0\r\nHost: x\r\n\r\n"
                followers[-1].sendall(ask.encode())
            drained = [threading.Thread(target=self.drain, args=(follower,)) for follower in followers]
            for thread in drained:
                thread.start()
            time.sleep(1)
            before = self.engine_cpu_s(name)
            time.sleep(10)
            found[name] = (self.engine_cpu_s(name) - before) * 10
            in_parallel(4, lambda number, _, env=environment: Api(env).call("DELETE", f"/containers/kb-f{number}?force=1"), range(FOLLOWED))
            for thread in drained:
                thread.join()
            for follower in followers:
                follower.close()
        self.row(f"{FOLLOWED} logs followed, 10 lines/s each: CPU of engine and shims", found["kistd"], found["dockerd"], self.peer(), "-", "%")

    @staticmethod
    def drain(reader):
        while reader.recv(65536):
            pass

    def events(self):
        """Clients that make events as fast as they can; one reader takes them, another one never reads."""
        found = {}
        for name, environment in self.both():
            api = Api(environment)
            api.create("kb-events", "sleep", "600", NetworkMode="none")
            api.call("POST", "/containers/kb-events/start")
            readers = [socket.socket(socket.AF_UNIX) for _ in range(2)]
            for reader in readers:
                reader.connect(environment["DOCKER_HOST"].removeprefix("unix://"))
                reader.sendall(b'GET /events?filters={"event":["exec_create"]} HTTP/1.0\r\nHost: x\r\n\r\n')

            def one(_, local, environment=environment):
                if not hasattr(local, "api"):
                    local.api = Api(environment)
                local.api.call("POST", "/containers/kb-events/exec", {"Cmd": ["true"]})

            def read_all(reader=readers[0], token=b'"Action":"exec_create: true"'):
                tail = b""
                left = EVENTS
                while left > 0:
                    piece = reader.recv(1 << 20)
                    if not piece:
                        raise SystemExit(f"bench: the events ended, {left} before the last")
                    # The end of the piece before is too short to hold one that was counted.
                    left -= (tail + piece).count(token)
                    tail = (tail + piece)[1 - len(token) :]

            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                start = time.perf_counter()
                done = pool.submit(read_all)
                in_parallel(8, one, range(EVENTS))
                done.result(300)
                found[name] = EVENTS / (time.perf_counter() - start)
            for reader in readers:
                reader.close()
            api.call("DELETE", "/containers/kb-events?force=1")
        self.row("events that reach a reader beside one that never reads", found["kistd"], found["dockerd"], self.peer(), "-", "1/s")
