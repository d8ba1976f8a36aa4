# SPDX-License-Identifier: Apache-2.0
"""Section of bench/run about names: kist-resolve beside aardvark-dns (podman's), the same hundred names, asked by dnsperf."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e"))

NAMES = 100
SECONDS = 5
AARDVARK = os.environ.get("KIST_BENCH_AARDVARK") or shutil.which("aardvark-dns", path="/usr/lib/podman:/usr/libexec/podman")


def cpu_seconds(pid):
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def ask(port, pid, questions):
    """Microseconds of the server's CPU a query, and queries per second."""
    before = cpu_seconds(pid)
    argv = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(questions), "-l", str(SECONDS), "-c", "4"]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    count = int(re.search(r"Queries completed:\s+(\d+)", text).group(1))
    rate = float(re.search(r"Queries per second:\s+([\d.]+)", text).group(1))
    return (cpu_seconds(pid) - before) / count * 1e6, rate


class Names:
    def aardvark(self, folder):
        conf = folder / "conf"
        conf.mkdir()
        lines = [f"{i:064d} 10.1.0.{i}  web{i}" for i in range(1, NAMES + 1)]
        (conf / "net1").write_text("127.0.0.1\n" + "\n".join(lines) + "\n")
        questions = folder / "theirs"
        questions.write_text("".join(f"web{i}.dns.podman A\n" for i in range(1, NAMES + 1)))
        server = subprocess.Popen([AARDVARK, "--config", str(conf), "--port", "5399", "run"], stderr=subprocess.DEVNULL)
        time.sleep(1)
        # It forks: the one that serves is its child.
        found = subprocess.run(["pgrep", "-f", str(conf)], capture_output=True, text=True, check=True).stdout.split()
        pid = max((int(p) for p in found), key=lambda p: pathlib.Path(f"/proc/{p}/stat").stat().st_mtime)
        try:
            return *ask(5399, pid, questions), int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M).group(1))
        finally:
            for p in found:
                os.kill(int(p), 9)
            server.wait()

    def names(self):
        from test_62_dns import Resolver

        if not AARDVARK or not shutil.which("dnsperf"):
            self.notes[self.section].append("Names: not measured, dnsperf or aardvark-dns is missing")
            return
        folder = self.root / "names"
        folder.mkdir()
        questions = folder / "ours"
        questions.write_text("".join(f"web{i} A\n" for i in range(1, NAMES + 1)))
        resolver = Resolver(folder, lambda name: self.build / "src/resolver" / name)
        try:
            resolver.scope("c1", ["n1"])
            for i in range(1, NAMES + 1):
                resolver.add("n1", f"e{i}", [f"web{i}"], [f"10.1.0.{i}"])
            ours = ask(resolver.containers["c1"][0].getsockname()[1], resolver.process.pid, questions)
            memory = int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{resolver.process.pid}/smaps_rollup").read_text(), re.M).group(1))
        finally:
            resolver.close()
        theirs = self.aardvark(folder)
        self.row("a container's name answered, CPU of the server", ours[0], theirs[0], "aardvark-dns", "<= 50 us", "us")
        self.row("name server for 100 names, PSS", memory / 1024, theirs[2] / 1024, "aardvark-dns", "-", "MB")
        self.notes[self.section].append(f"Names: {ours[1]:.0f} queries/s beside {theirs[1]:.0f}; dnsperf is the other half of both.")
