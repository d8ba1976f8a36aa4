#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""reap.py COMMAND [ARG...]: runs the command and reaps whatever it leaves behind, at once.

Suites that wait for pids to be gone need a parent that reaps orphans quickly; process 1 of a container or of a small
machine may take seconds.
"""
import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    command = os.fork()
    if command == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    while True:
        pid, status = os.wait()
        if pid == command:
            return os.waitstatus_to_exitcode(status) & 255


if __name__ == "__main__":
    sys.exit(main())
