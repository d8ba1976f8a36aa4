# SPDX-License-Identifier: Apache-2.0
"""Verbs that race each other on the same containers: everything ends, nothing hangs, nothing stays."""
import random
import subprocess
import threading
import time

from lib.wait import wait_for

VERBS = (["pause"], ["unpause"], ["kill"], ["stop", "-t", "0"], ["restart", "-t", "0"], ["start"])


def test_verbs_race(own):
    daemon = own
    end = time.monotonic() + 8
    problems = []

    def worker(number):
        chance = random.Random(number)
        name = f"race{number}"
        while time.monotonic() < end:
            daemon.kist("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "1000", check=False)
            calls = [threading.Thread(target=daemon.kist, args=(*verb, name), kwargs={"check": False}) for verb in chance.sample(VERBS, 4)]
            for call in calls:
                call.start()
            for call in calls:
                call.join()
            gone = daemon.kist("rm", "-f", name, check=False)
            if gone.returncode:
                problems.append(gone.stderr)

    workers = [threading.Thread(target=worker, args=(number,)) for number in range(3)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert not problems
    assert daemon.docker("ps", "-aq").stdout == ""
    shims = ["pgrep", "-f", f"kist-shim.*{daemon.root}"]
    wait_for(lambda: not subprocess.run(shims, capture_output=True, check=False).stdout, "the shims to end")
