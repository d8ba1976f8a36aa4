# SPDX-License-Identifier: Apache-2.0
"""What is left of a test's private folder: processes, mounts, cgroups, links, tables."""
import os
import pathlib
import signal
import subprocess
import time


def _own_pids():
    """Our process and its ancestors, whose command lines may hold the folder's name too."""
    pids = set()
    pid = os.getpid()
    while pid > 0:
        pids.add(pid)
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        pid = int(stat.rsplit(")", 1)[1].split()[1])
    return pids


def processes(root):
    """Live processes whose command line, folder or root is below `root`: {pid: text}."""
    found = {}
    own = _own_pids()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in own:
            continue
        try:
            state = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0]
            line = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            places = [os.readlink(f"/proc/{entry}/cwd"), os.readlink(f"/proc/{entry}/root")]
        except OSError:
            continue
        if state in "ZX":
            continue
        if root in line or any(place.startswith(root) for place in places):
            found[int(entry)] = line.strip()
    return found


def mounts(root):
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if point == root or point.startswith(root + "/"):
            found.append(point)
    return found


def cgroups(name):
    """Cgroup folders whose name holds `name`, in any hierarchy."""
    found = []
    for top in pathlib.Path("/sys/fs/cgroup").iterdir():
        if top.is_dir() and not top.is_symlink():
            for folder, folders, _ in os.walk(top):
                found += [os.path.join(folder, f) for f in folders if name in f]
    return found


def links(prefix):
    text = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return [line.split(":")[1].strip() for line in text.splitlines() if line.split(":")[1].strip().startswith(prefix)]


def tables(name):
    run = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return [line for line in run.stdout.splitlines() if line.split()[-1] == name]


def find(root, patience=30.0):
    """Everything of `root` that is still there after at most `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        left = [f"process {pid}: {line}" for pid, line in processes(root).items()]
        left += [f"mount {point}" for point in mounts(root)]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


def clean(root):
    """Ends what find() found, so that one failed test does not fail the next."""
    for pid in processes(root):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for point in sorted(mounts(root), key=len, reverse=True):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
