# SPDX-License-Identifier: Apache-2.0
"""The clock is set while containers run: nothing ends, starts or waits for another reason than before."""
import subprocess
import time

from lib import images, needs
from lib.daemon import Daemon
from lib.engine_api import Api
from lib.wait import wait_for

# The time of day, moved by as many seconds as the file says. Only programs that are told of the file see it.
SOURCE = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now)
{
	const char *path = getenv("TEST_CLOCK_OFFSET");
	long r = syscall(SYS_clock_gettime, clock, now);
	FILE *file = r == 0 && path && clock == CLOCK_REALTIME ? fopen(path, "re") : NULL;
	long offset = 0;

	if (file && fscanf(file, "%ld", &offset) == 1)
		now->tv_sec += offset;
	if (file)
		fclose(file);
	return (int)r;
}
"""


def test_a_clock_that_is_set_changes_no_run(tmp_root, program, busybox_rootfs, plain):
    (tmp_root / "clock.c").write_text(SOURCE)
    subprocess.run([*needs.programs("cc"), "-shared", "-fPIC", "-o", tmp_root / "clock.so", tmp_root / "clock.c"], check=True)
    daemon = Daemon(tmp_root, program)
    offset = tmp_root / "offset"
    offset.write_text("0")
    kistd = daemon.argv
    words = [f"LD_PRELOAD={tmp_root}/clock.so", f"TEST_CLOCK_OFFSET={offset}"]
    daemon.argv = lambda: ["env", *words, *kistd()]
    daemon.start()
    (tmp_root / "bb.tar").write_bytes(images.tar_of(busybox_rootfs))
    daemon.docker("import", tmp_root / "bb.tar", "bb")

    def streak(name):
        health = daemon.inspect(name)["State"]["Health"]
        return health["Status"], len(health["Log"]), health["FailingStreak"]

    check = {"Test": ["CMD-SHELL", "false"], "Interval": 200_000_000, "Retries": 1, "StartPeriod": 3600 * 10**9, "StartInterval": 200_000_000}
    body = {"Image": "bb", "Cmd": ["sleep", "1000"], "Healthcheck": check}
    assert Api(daemon).call("POST", "/v1.44/containers/create?name=young", body)[0] == 201
    daemon.docker("start", "young")
    daemon.docker("run", "-d", "--name", "again", "--restart", "always", "bb", "sh", "-c", "sleep 0.2")
    daemon.docker("run", "-d", "--name", "ends", "bb", "sleep", "1000")
    waiting = subprocess.Popen(["docker", "wait", "ends"], env=daemon.environment, stdout=subprocess.PIPE, text=True)
    for seconds in (36000, -36000):
        offset.write_text(str(seconds))
        restarts = daemon.inspect("again")["RestartCount"]
        begun = time.monotonic()
        wait_for(lambda: daemon.inspect("again")["RestartCount"] > restarts, "it is restarted still")
        assert time.monotonic() - begun < 120
        # Probes that fail in the start period count for nothing, whatever the clock says.
        for _ in range(3):
            last = daemon.inspect("young")["State"]["Health"]["Log"][-1]["Start"] if streak("young")[1] else ""
            wait_for(lambda: (daemon.inspect("young")["State"]["Health"]["Log"] or [{"Start": last}])[-1]["Start"] != last, "one more probe")
        assert streak("young")[0] == "starting" and streak("young")[2] == 0
        assert waiting.poll() is None and daemon.inspect("ends")["State"]["Running"]
    offset.write_text("0")
    begun = time.monotonic()
    daemon.docker("stop", "-t", "1", "ends")
    assert waiting.communicate(timeout=60)[0].strip() == "137" and time.monotonic() - begun < 60
    daemon.finish()
