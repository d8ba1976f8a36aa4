#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""reap.py COMMAND [ARG...]: runs the command, reaps what it leaves behind at once, and ends what is left at the end.

Suites that wait for pids to be gone need a parent that reaps orphans quickly; process 1 of a container or of a small
machine may take seconds.
"""
import ctypes
import os
import pathlib
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36


def children():
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1] == str(os.getpid()):
                yield int(entry)
        except OSError:
            pass


def end_leftovers():
    """A program that keeps the terminal open would keep everybody waiting."""
    while True:
        left = list(children())
        if not left:
            return
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    command = os.fork()
    if command == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    while True:
        pid, status = os.wait()
        if pid == command:
            end_leftovers()
            return os.waitstatus_to_exitcode(status) & 255


if __name__ == "__main__":
    sys.exit(main())
