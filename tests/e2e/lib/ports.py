# SPDX-License-Identifier: Apache-2.0
"""Ports for what a test publishes or lets a server listen on; numbers that addresses are made of.

Outside the range that the kernel takes for connections and for port 0, and kept from every other test of this machine
until this process ends: an abstract socket stands for each.
"""
import random
import socket

FIRST, LAST = 10000, 32000
_kept = []


def _is_free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


def _keep(number, kind="port"):
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0kist-test-{kind}-{number}")
    except OSError:
        mark.close()
        return None
    return mark


def free_port(count=1):
    """The first of `count` ports in a row, free for TCP and UDP."""
    while True:
        first = random.randrange(FIRST, LAST - count)
        marks = []
        for port in range(first, first + count):
            mark = _keep(port)
            if mark:
                marks.append(mark)
            if not mark or not _is_free(port):
                break
        else:
            _kept.extend(marks)
            return first
        for mark in marks:
            mark.close()


def free_number(kind, count):
    """One of 0 to count - 1 that no other test has of this kind, and none gets before this process ends."""
    for number in random.sample(range(count), count):
        if mark := _keep(number, kind):
            _kept.append(mark)
            return number
    raise AssertionError(f"all {count} numbers of {kind} are taken")
