# SPDX-License-Identifier: Apache-2.0
"""kist-unpack on its own, as store/unpack.c runs it."""
import fcntl
import os
import subprocess
import tempfile


def unpack(program, layer, target, above="above"):
    """Unpacks a tar (bytes) into a folder; returns b"R..." or b"E..." as it was reported."""
    with tempfile.TemporaryFile() as stream:
        stream.write(layer)
        stream.seek(0)
        folder = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        reading, writing = os.pipe()
        # Above 3 and 4, where the child expects the two.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (folder, writing)]

        def arrange():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        child = subprocess.Popen(
            [program("kist-unpack"), "unpack", "0", "allow", above], stdin=stream, pass_fds=(3, 4), preexec_fn=arrange
        )
        for fd in (folder, writing, *high):
            os.close(fd)
        with os.fdopen(reading, "rb") as report:
            said = report.read()
        assert child.wait(120) in (0, 1) and said[:1] in (b"R", b"E"), (child.returncode, said)
        return said
