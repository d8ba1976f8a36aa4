# SPDX-License-Identifier: Apache-2.0
"""Whether CRIU works on this kernel: Debian's 3.17 does not from Linux 6.13 or so on. KIST_CRIU: a folder with another one."""
import functools
import os
import shutil
import subprocess


def path():
    """$PATH with the folder of the CRIU to test with."""
    folder = os.environ.get("KIST_CRIU")
    return f"{folder}:{os.environ['PATH']}" if folder else os.environ["PATH"]


@functools.cache
def why_not():
    """None if it works, else the reason."""
    program = shutil.which("criu", path=path())
    if os.geteuid() != 0:
        return "CRIU needs root"
    if not program:
        return "criu is not installed"
    check = subprocess.run([program, "check"], capture_output=True, text=True, timeout=120, check=False)
    return None if check.returncode == 0 else f"criu check: {(check.stderr or check.stdout).strip().splitlines()[-1:]}"
