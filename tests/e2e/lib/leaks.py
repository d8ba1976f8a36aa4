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


def cgroups(*names):
    """Cgroup folders whose name holds one of these, in any hierarchy."""
    found = []
    for top in pathlib.Path("/sys/fs/cgroup").iterdir() if names else ():
        if top.is_dir() and not top.is_symlink():
            for folder, folders, _ in os.walk(top):
                found += [os.path.join(folder, f) for f in folders if any(name in f for name in names)]
    return found


def links(prefix):
    # Not by `ip link`: its list has holes while links come and go.
    return [name for name in os.listdir("/sys/class/net") if name.startswith(prefix)]


def ports(bridge):
    """The links that are on it."""
    return os.listdir(f"/sys/class/net/{bridge}/brif")


def tables(name):
    run = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return [line for line in run.stdout.splitlines() if line.split()[-1] == name]


def await_none(look, patience=60.0):
    """What look() still finds after at most `patience` seconds."""
    end = time.monotonic() + patience
    while (left := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def find(root):
    """Everything of `root` that does not go."""
    return await_none(
        lambda: [f"process {pid}: {line}" for pid, line in processes(root).items()]
        + [f"mount {point}" for point in mounts(root)]
    )


def clean(root):
    """Ends what find() found, so that one failed test does not fail the next."""
    for pid in processes(root):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for point in sorted(mounts(root), key=len, reverse=True):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
