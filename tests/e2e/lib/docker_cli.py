# SPDX-License-Identifier: Apache-2.0
"""Which docker CLI the machine has: its words and exit codes changed between Debian 12's 20.10 and 28."""
import re
import shutil
import subprocess

import pytest


def major():
    if not shutil.which("docker"):
        return 0
    text = subprocess.run(["docker", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\d+)", text)
    return int(found.group(1)) if found else 0


IS_28 = major() >= 28
needs_28 = pytest.mark.skipif(not IS_28, reason="compares with what docker CLI 28 says")
