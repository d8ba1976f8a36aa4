# SPDX-License-Identifier: Apache-2.0
"""What the tests stand beside. tools/deps installs it all: what is missing is a machine half set up, not a test left out."""
import os
import pathlib
import shutil


def programs(*names):
    """Their paths; fails with the command that brings them."""
    search = os.environ["PATH"] + ":/usr/sbin:/sbin"
    found = [shutil.which(name, path=search) for name in names]
    missing = [name for name, path in zip(names, found) if not path]
    assert not missing, f"{', '.join(missing)}: not installed; sudo tools/deps test"
    return found


def file(path):
    assert pathlib.Path(path).exists(), f"{path} is missing; sudo tools/deps test"
    return path
