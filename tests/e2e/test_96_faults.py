# SPDX-License-Identifier: Apache-2.0
"""kill -9 of kistd, of a shim, of a container's init, at every moment that has a name in the sources (base/fault.h).

A life is all that can happen to a container: pull, create, start, exec, commit, stop, remove. It is broken at one
point; then ps must tell the truth, nothing may be left that nobody knows of, what was acknowledged must be there,
and the same life must work. A new fault_point() is gone through without a word here. KIST_FAULT_ONLY=WORDS goes
through those alone that have the words in their name.
"""
import concurrent.futures
import glob
import http.client
import os
import pathlib
import re
import signal
import subprocess

from lib import leaks
from lib.daemon import Daemon
from lib.engine_api import Api
from lib.wait import wait_for

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src"
POINTS = sorted(
    point for path in SOURCES.rglob("*.c") for point in re.findall(r'fault_point\("([^"]+)"\)', path.read_text())
)
WORKERS = 3
SCRIPT = "trap 'exit 3' TERM; echo text > /file; while :; do sleep 1000 & wait; done"
# What changes without anybody's doing, and the inside of layers.
UNSTEADY = re.compile(r"meta\.db.*|lock|.*\.pid")


class Broken(Exception):
    """A step of a life that did not go as it does."""


class Place:
    """One engine, and what it looks like when nothing is going on."""

    def __init__(self, root, program, registry):
        root.mkdir()
        self.daemon = Daemon(root, program, ["--cgroup-parent", f"/{root.parent.name}-{root.name}"])
        self.image = f"{registry.address}/busybox:1"
        self.acknowledged = []
        self.wanted = []

    # ---- a life ----

    def call(self, method, path, body=None, expected=(200, 201, 204)):
        api = Api(self.daemon)
        try:
            status, answer = api.call(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"{method} {path}: {error!r}") from None
        finally:
            api.close()
        if status not in expected:
            raise Broken(f"{method} {path}: {status} {answer}")
        return answer

    def pull(self):
        api = Api(self.daemon)
        try:
            api.request("POST", f"/images/create?fromImage={self.image}")
            said = api.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"pull: {error!r}") from None
        finally:
            api.close()
        if "error" in said or "Status: " not in said:
            raise Broken(f"pull: {said}")

    def create(self):
        host = {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]}}
        body = {"Image": self.image, "Cmd": ["sh", "-c", SCRIPT], "Volumes": {"/data": {}}, "HostConfig": host}
        self.call("POST", "/containers/create?name=life", body)

    def start(self):
        self.call("POST", "/containers/life/start")
        self.pid = self.state()["Pid"]

    def exec(self):
        identity = self.call("POST", "/containers/life/exec", {"Cmd": ["true"]})["Id"]
        self.call("POST", f"/exec/{identity}/start", {"Detach": True})
        wait_for(lambda: not self.call("GET", f"/exec/{identity}/json")["Running"], "the end of an exec")
        code = self.call("GET", f"/exec/{identity}/json")["ExitCode"]
        if code != 0:
            raise Broken(f"exec ended with {code}")

    def commit(self):
        self.call("POST", "/commit?container=life&repo=made")

    def stop(self):
        self.call("POST", "/containers/life/stop?t=60")
        state = self.state()
        if state["Running"] or state["ExitCode"] != 3:
            raise Broken(f"stopped: {state}")

    def remove(self):
        self.call("DELETE", "/containers/life?v=1")

    def state(self):
        return self.call("GET", "/containers/life/json")["State"]

    def live(self, pulls=False):
        """All of it, with or without the pull, which takes longest; its image stays then."""
        self.acknowledged, self.wanted = [], []
        steps = (self.create, self.start, self.exec, self.commit, self.stop, self.remove)
        for step in (self.pull, *steps) if pulls else steps:
            self.wanted.append(step.__name__)
            if step.__name__ not in ("create", "remove", "pull") and not self.state()["Running"]:
                if step.__name__ != "start":
                    raise Broken(f"{step.__name__}: it does not run: {self.state()}")
            step()
            self.acknowledged.append(step.__name__)
        self.call("DELETE", "/images/made")
        if pulls:
            self.call("DELETE", f"/images/{self.image}")

    # ---- looking ----

    def groups(self):
        top = f"{self.daemon.root.parent.name}-{self.daemon.root.name}"
        return {path.name for path in pathlib.Path("/sys/fs/cgroup").glob(f"*/{top}/*") if path.is_dir()} | {
            path.name for path in pathlib.Path("/sys/fs/cgroup").glob(f"{top}/*") if path.is_dir()
        }

    def rules(self):
        listed = [line.split() for line in leaks.tables(self.daemon.table)]
        texts = [subprocess.run(["nft", "-s", "list", *words], capture_output=True, text=True).stdout for words in listed]
        # An engine that begins anew chooses the subnet of its bridge anew.
        return {re.sub(r"172\.\d+\.", "172.x.", line.strip()) for text in texts for line in text.splitlines()}

    def files(self):
        found = []
        for top in ("d", "x"):
            for folder, folders, names in os.walk(self.daemon.root / top):
                found += [os.path.join(folder, name) for name in folders + names if not UNSTEADY.fullmatch(name)]
                if pathlib.Path(folder).parent.name in ("snapshots", "volumes"):
                    folders.clear()
        # Folders of layers are numbered, and how many there are matters.
        numbers = {path: str(number) for number, path in enumerate(sorted(glob.glob(f"{self.daemon.root}/d/snapshots/[0-9]*")))}
        return {numbers.get(path, path) for path in found if "snapshots" not in os.path.dirname(os.path.dirname(path))}

    def world(self):
        """Everything that a life must not change."""
        return {
            "processes": sorted(
                line for pid, line in leaks.processes(str(self.daemon.root)).items() if pid != self.daemon.process.pid
            ),
            "mounts": leaks.mounts(str(self.daemon.root)),
            "cgroups": self.groups(),
            "ports": leaks.ports(self.daemon.bridge),
            "rules": self.rules(),
            "files": self.files(),
            "volumes": self.call("GET", "/volumes")["Volumes"],
            "images": self.call("GET", "/images/json?all=1"),
            "containers": self.call("GET", "/containers/json?all=1"),
        }

    def lies(self):
        """What ps says, against the kernel."""
        found = []
        shims = [line for line in leaks.processes(str(self.daemon.root)).values() if "kist-shim" in line]
        listed = self.call("GET", "/containers/json?all=1")
        running = {item["Id"] for item in listed if item["State"] == "running"}
        for identity in running:
            pid = self.call("GET", f"/containers/{identity}/json")["State"]["Pid"]
            try:
                inside = identity in pathlib.Path(f"/proc/{pid}/cgroup").read_text()
            except OSError:
                inside = False
            if pid <= 0 or not inside:
                found.append(f"{identity} runs, says ps, and {pid} is no process of it")
        if self.groups() - running:
            found.append(f"cgroups of what does not run: {self.groups() - running}")
        if len(shims) != len(running):
            found.append(f"{len(running)} run, and there are these shims: {shims}")
        if len(leaks.ports(self.daemon.bridge)) != len(running):
            found.append(f"{len(running)} run, and the bridge has {leaks.ports(self.daemon.bridge)}")
        return found

    def check_truth(self, when):
        assert not leaks.await_none(self.lies), f"{when}: {self.lies()}"

    def check_acknowledged(self, point):
        """What a client was told is so."""
        names = {name for item in self.call("GET", "/containers/json?all=1") for name in item["Names"]}
        images = [tag for item in self.call("GET", "/images/json") for tag in item["RepoTags"] or []]
        if "remove" not in self.acknowledged:
            assert "pull" not in self.acknowledged or self.image in images, images
            assert "commit" not in self.acknowledged or "made:latest" in images, images
        if "create" in self.acknowledged and "remove" not in self.wanted:
            assert "/life" in names, names
        if "remove" in self.acknowledged:
            assert "/life" not in names, names
        if "start" in self.acknowledged and "stop" not in self.wanted and point.startswith("kistd"):
            state = self.state()
            assert state["Running"] and state["Pid"] == self.pid, state

    # ---- a point ----

    def begin(self):
        self.daemon.start()
        self.live(pulls=True)
        self.without = wait_for(self.settled_world, "the first life to leave nothing")
        self.pull()
        self.live()
        self.still = wait_for(self.settled_world, "the second life to leave nothing")
        self.daemon.stop()

    def settled_world(self):
        world = self.world()
        busy = [world[key] for key in ("processes", "mounts", "cgroups", "ports", "containers", "volumes") if world[key]]
        return world if not busy and not any("/trash/" in path for path in world["files"]) else None

    def clear(self):
        for item in self.call("GET", "/containers/json?all=1"):
            self.call("DELETE", f"/containers/{item['Id']}?force=1&v=1")
        self.call("DELETE", "/images/made", expected=(200, 404))

    def difference(self, still):
        found = {}
        for key, value in self.world().items():
            if value != still[key]:
                found[key] = (value - still[key], still[key] - value) if isinstance(value, set) else (value, still[key])
        return found

    def go_through(self, point):
        mark = self.daemon.root / "mark"
        mark.unlink(missing_ok=True)
        self.daemon.environment |= {"KIST_FAULT": point, "KIST_FAULT_MARK": str(mark)}
        self.daemon.start()
        pulls = "pull" in point
        if pulls:
            self.call("DELETE", f"/images/{self.image}")
        broken = None
        try:
            self.live(pulls)
        except Broken as error:
            broken = error
        assert broken or mark.exists(), "nothing ever came to this point"
        if point.startswith("kistd"):
            assert self.daemon.process.wait(60) == -signal.SIGKILL
        else:
            self.check_truth(f"after {broken}")
            self.daemon.kill()
        del self.daemon.environment["KIST_FAULT"]
        self.daemon.start()
        self.check_truth(f"after a start, after {broken}")
        self.check_acknowledged(point)
        self.clear()
        self.live(pulls)
        left = leaks.await_none(lambda: self.difference(self.without if pulls else self.still))
        assert not left, f"left after {broken}: {left}"
        if pulls:
            self.pull()
        self.daemon.kill()


def go_through_all(place, points):
    failed = []
    place.begin()
    while points:
        point = points.pop()
        try:
            place.go_through(point)
        except Exception as error:  # noqa: BLE001 - each point is told of, with its reason
            failed.append(f"{point}: {error!r}")
            if place.daemon.process and place.daemon.process.poll() is None:
                place.daemon.kill()
            place.daemon.environment.pop("KIST_FAULT", None)
            place.daemon.start()
            place.clear()
            place.pull()
            place.daemon.kill()
    return failed


def test_kill_at_every_point_that_has_a_name(tmp_root, program, registry, sanitized):
    assert len(POINTS) > 60 and len(set(POINTS)) == len(POINTS)
    # With sanitizers everything is slow, and what they find, they find at any point.
    points = POINTS[:: 7 if sanitized else 1]
    only = os.environ.get("KIST_FAULT_ONLY")
    points = [point for point in points if not only or only in point]
    places = [Place(tmp_root / str(number), program, registry) for number in range(min(WORKERS, len(points)))]
    try:
        with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
            failed = [text for run in [pool.submit(go_through_all, place, points) for place in places] for text in run.result()]
        assert not failed, "\n".join(failed)
    finally:
        for place in places:
            place.daemon.finish()


