# SPDX-License-Identifier: Apache-2.0
"""Sections of bench/run about the OCI runtime alone: beside crun (the newest and Debian's), runc, and the kernel's floor."""
import ctypes
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from lib import images

TOP = pathlib.Path(__file__).resolve().parents[1]
# Peers newer than Debian's may be named: KIST_BENCH_CRUN=/path/crun.
CRUN = os.environ.get("KIST_BENCH_CRUN", "/usr/bin/crun")
OLD_CRUN = "/usr/bin/crun"
RUNC = os.environ.get("KIST_BENCH_RUNC", "/usr/sbin/runc")
FLOOR = "bench/floor.c: clone3, mounts, exec"
MANY = 200
LIMITS_KIB = (128, 256, 384, 512, 640, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 16384)
CLONE_NEWNS = 0x00020000
PR_SET_CHILD_SUBREAPER = 36

# crun refuses hybrid hosts: all sides run in a mount namespace without the unified hierarchy.
PURE_V1 = ("unshare", "-m", "--propagation", "private", "sh", "-c", "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"", "sh")

# A host whose only hierarchy is cgroup2, as far as mounts tell.
PURE_V2 = ("unshare", "-m", "--propagation", "private", "sh", "-c",
           "umount -l -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"", "sh")


def run(*argv, **options):
    options.setdefault("check", True)
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, **options)


def version_of(program):
    return run(program, "--version").stdout.splitlines()[0].split(", build")[0]


def hyperfine(commands, rounds, runs):
    """hyperfine over {name: command line}, in several rounds so that the sides alternate: {name: median milliseconds}."""
    samples = {name: [] for name in commands}
    for _ in range(rounds):
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            argv = ["hyperfine", "-N", "-w", "3", "-r", str(runs), "--style", "none", "--export-json", out.name]
            for name, command in commands.items():
                argv += ["-n", name, command]
            subprocess.run([*PURE_V1, *argv], check=True, stdout=subprocess.DEVNULL)
            for result in json.load(open(out.name))["results"]:
                samples[result["command"]] += result["times"]
    return {name: statistics.median(values) * 1000 for name, values in samples.items()}


def timed(*argv):
    """Milliseconds from the spawn to the end; what it leaves behind becomes our child."""
    words = [str(word) for word in argv]
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1)]
    begin = time.perf_counter()
    _, status = os.waitpid(os.posix_spawn(words[0], words, os.environ, file_actions=null), 0)
    took = time.perf_counter() - begin
    if status:
        raise SystemExit(f"bench: {words} ended with {status}")
    return took * 1000


def reap():
    try:
        while os.waitpid(-1, 0)[0]:
            pass
    except ChildProcessError:
        pass


def in_pure_v1(function):
    """What function returns in a process where the host is as in PURE_V1. Orphans become its children."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            libc = ctypes.CDLL(None)
            if libc.unshare(CLONE_NEWNS) == 0 and libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0:
                run("mount", "--make-rprivate", "/")
                run("umount", "/sys/fs/cgroup/unified", check=False)
                os.write(write, json.dumps(function()).encode())
                status = 0
        except BaseException as problem:  # whatever it is, it must not run the parent's code
            print(repr(problem), file=sys.stderr)
        os._exit(status)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("bench: a measurement failed")
    return json.loads(text)


def starts(argv):
    return subprocess.run([str(a) for a in argv], capture_output=True, check=False).returncode == 0


class Oci:
    """self.root, self.state (on a tmpfs, as /run is), self.program(), self.row(), self.notes are the caller's."""

    def bundle(self, *args, limit=None):
        bundle = self.root / "-".join(["bundle", *args, *([str(limit)] if limit else [])])
        if not bundle.exists():
            images.busybox_rootfs(bundle / "rootfs")
            run(RUNC, "spec", cwd=bundle)
            config = json.loads((bundle / "config.json").read_text())
            config["ociVersion"] = "1.0.2"  # Debian's crun refuses newer ones
            config["process"]["args"] = list(args) or ["/bin/true"]
            config["process"]["terminal"] = False
            config["process"].pop("rlimits", None)
            config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO"}]}
            if limit:
                config["linux"]["resources"]["memory"] = {"limit": limit}
            (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def runtimes(self):
        """{name: [program, its state's options]}: ours first, then the peers there are."""
        found = {"kist-runtime": self.program("kist-runtime"), "crun": CRUN, "runc": RUNC}
        if os.path.exists(OLD_CRUN) and version_of(OLD_CRUN) != version_of(CRUN):
            found["old-crun"] = OLD_CRUN
        return {name: [program, "--root", f"{self.state}/{name}"] for name, program in found.items()}

    def compare(self, work, values, budget="-", unit="ms"):
        """A row for each peer; values by the names of runtimes(). The budget is about the newest crun."""
        for name, words in self.runtimes().items():
            if name != "kist-runtime" and name in values:
                self.row(work, values["kist-runtime"], values[name], version_of(words[0]), budget if name == "crun" else "-", unit)

    def floor(self):
        """What the kernel takes, and nothing else."""
        program = self.root / "floor"
        if not program.exists():
            run("cc", "-O2", "-D_GNU_SOURCE", "-static", "-o", program, TOP / "bench/floor.c")
        return [str(program), f"{self.bundle()}/rootfs", "/bin/true"]

    def oci(self):
        bundle = self.bundle()
        commands = {name: " ".join([*words, "run", "-b", str(bundle), f"kb-{name}"]) for name, words in self.runtimes().items()}
        commands["floor"] = " ".join(self.floor())
        ms = hyperfine(commands, 5, 20)
        self.compare("OCI `run true`", ms, "<= 0.4 x crun")
        self.row("OCI `run true`", ms["kist-runtime"], ms["floor"], FLOOR, "-")

    def life(self):
        bundle = self.bundle("sleep", "1000")
        runtimes = self.runtimes()

        def measure():
            times = {verb: {name: [] for name in runtimes} for verb in ("create, start, delete", "exec true", "delete --force")}
            for number in range(20):
                for name, words in runtimes.items():
                    box = f"kb-life-{number}"
                    three = timed(*words, "create", "-b", bundle, box) + timed(*words, "start", box)
                    times["exec true"][name].append(timed(*words, "exec", box, "true"))
                    run(*words, "kill", box, "KILL")
                    reap()
                    times["create, start, delete"][name].append(three + timed(*words, "delete", box))
                    timed(*words, "create", "-b", bundle, box)
                    timed(*words, "start", box)
                    times["delete --force"][name].append(timed(*words, "delete", "--force", box))
                    reap()
            return times

        for verb, times in in_pure_v1(measure).items():
            self.compare(f"OCI `{verb}`", {name: statistics.median(values) for name, values in times.items()}, "< crun")

    def together(self):
        commands = {name: [*words, "run", "-b", str(self.bundle()), "kb-t"] for name, words in self.runtimes().items()}
        commands["floor"] = self.floor()

        def measure():
            found = {}
            for name, words in commands.items():
                begin, ends = time.perf_counter(), []
                pids = {os.posix_spawn(words[0], words if name == "floor" else [*words[:-1], f"kb-t{n}"], os.environ) for n in range(MANY)}
                while pids:
                    pid, status = os.wait()
                    if pid in pids and status:
                        raise SystemExit(f"bench: {name}: one of {MANY} ended with {status}")
                    if pid in pids:
                        pids.discard(pid)
                        ends.append(time.perf_counter() - begin)
                found[name] = {"all are through": ends[-1], "half are through": ends[MANY // 2], "99 % are through": ends[int(MANY * 0.99) - 1]}
            return found

        rounds = [in_pure_v1(measure) for _ in range(3)]
        for what in ("half are through", "99 % are through", "all are through"):
            seconds = {name: statistics.median(r[name][what] for r in rounds) for name in commands}
            self.compare(f"OCI {MANY} x `run true` at once: {what}", seconds, unit="s")
            self.row(f"OCI {MANY} x `run true` at once: {what}", seconds["kist-runtime"], seconds["floor"], FLOOR, "-", "s")

    def count_calls(self, layout, words, bundle):
        """{system call: how often} of one run, the program in the container included; the filter is compiled before."""
        out = self.root / "strace"
        argv = [*words, "run", "-b", bundle, "kb-calls"]
        if not starts([*layout, *argv]):
            # An old crun wants controllers that are not in this cgroup2, and leaves its group behind.
            run(*layout, "rmdir", "/sys/fs/cgroup/kb-calls", check=False)
            return {}
        run(*layout, "strace", "-f", "-c", "-o", out, *argv)
        rows = [line.split() for line in out.read_text().splitlines()]
        return {row[-1]: int(row[3]) for row in rows if len(row) in (5, 6) and row[3].isdigit() and row[-1] != "total"}

    def calls(self):
        bundle = self.bundle()
        runtimes = self.runtimes()
        for host, layout in (("nine v1 hierarchies", PURE_V1), ("cgroup2 alone", PURE_V2)):
            counts = {name: self.count_calls(layout, words, bundle) for name, words in runtimes.items()}
            self.compare(f"system calls per OCI `run true`, {host}", {name: sum(each.values()) for name, each in counts.items() if each},
                         "<= 350", "")  # fmt: skip
            ours = sorted(counts["kist-runtime"].items(), key=lambda item: (-item[1], item[0]))
            self.notes[self.section].append(f"Ours with {host}: " + ", ".join(f"{call} {count}" for call, count in ours) + ".\n")

        sleeper = self.bundle("sleep", "1000")

        def peak_mb():
            """While the container runs: of the process that started it, which has done everything by then."""
            found = {}
            for name, words in runtimes.items():
                pid = os.posix_spawn(words[0], [*words, "run", "-b", str(sleeper), "kb-peak"], os.environ)
                while not starts([*words, "exec", "kb-peak", "true"]):
                    time.sleep(0.05)
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                found[name] = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
                run(*words, "kill", "kb-peak", "KILL")
                os.waitpid(pid, 0)
            return found

        def smallest_kib():
            found = {}
            for name, words in runtimes.items():
                for kib in LIMITS_KIB:
                    argv = [*words, "run", "-b", self.bundle(limit=kib * 1024), "kb-limit"]
                    if all(starts(argv) for _ in range(3)):
                        found[name] = kib
                        break
            return found

        self.compare("peak resident memory of OCI `run true`", in_pure_v1(peak_mb), "<= 3.5 MB", "MB")
        self.compare("smallest memory limit under which OCI `run true` works", in_pure_v1(smallest_kib), "<= 512 KiB", "KiB")

    def trace(self):
        """--trace, step by step, into the notes. The fast end of many runs: a table of waits for other work tells nothing."""
        bundle = self.bundle()
        words = self.runtimes()["kist-runtime"]

        def measure():
            steps = {}
            for _ in range(200):
                run(words[0], "--trace", self.root / "trace", *words[1:], "run", "-b", bundle, "kb-trace")
                for line in (self.root / "trace").read_text().splitlines():
                    step = json.loads(line)
                    steps.setdefault(f"{step['side']} {step['step']}", []).append((step["begin_us"], step["took_us"]))
            return steps

        lines = ["## Where each microsecond of OCI `run true` is", "",
                 "10th percentiles of 200 runs of `kist-runtime --trace FILE run`. Both sides work at the same time; a step lasts from the end of the one before it on its side.",
                 "The start of the program itself (execve and the libc, before the first step) and its end are not in it.",
                 "", "| begins at, us | host side | init | takes, us |", "|---|---|---|---|"]  # fmt: skip
        found = {name: [sorted(column)[len(column) // 10] for column in zip(*values)] for name, values in in_pure_v1(measure).items()}
        for name, (begin, took) in sorted(found.items(), key=lambda item: item[1][0]):
            side, step = name.split(" ", 1)
            lines.append(f"| {begin:.0f} | {step if side == 'host' else ''} | {step if side == 'init' else ''} | {took:.0f} |")
        print("\n".join(lines))
        self.notes[self.section] += lines
