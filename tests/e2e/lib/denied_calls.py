# SPDX-License-Identifier: Apache-2.0
"""Runs a program below a seccomp filter that answers some system calls with an errno: an older kernel, in effect.

    python3 denied_calls.py ERRNO NUMBER[,NUMBER...] PROGRAM [ARGUMENT...]
"""
import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, MODE_FILTER = 22, 2
LOAD_NUMBER = struct.pack("HBBI", 0x20, 0, 0, 0)  # BPF_LD | BPF_W | BPF_ABS of seccomp_data.nr
ALLOW = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)


def deny(errno_value, numbers):
    """Needs root; the filter stays for all that this process starts."""
    program = LOAD_NUMBER
    for number in numbers:
        program += struct.pack("HBBI", 0x15, 0, 1, number)  # equal: the next, else: skip it
        program += struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | errno_value)
    program += ALLOW
    code = ctypes.create_string_buffer(program)
    filter_program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, MODE_FILTER, filter_program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")


if __name__ == "__main__":
    deny(int(sys.argv[1]), [int(n) for n in sys.argv[2].split(",")])
    os.execv(sys.argv[3], sys.argv[3:])
