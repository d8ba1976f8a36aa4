# SPDX-License-Identifier: Apache-2.0
"""Collection beside pushes, pulls, deletions and mounts of several clients, for KIST_STRESS_S seconds (5).

KIST_STRESS_S=240 pytest -s tests/e2e/test_49_registry_stress.py says at its end what it did.
"""
import http.client
import json
import os
import random
import re
import threading
import time

import pytest

from lib.fake_s3 import ACCESS_KEY, BUCKET, SECRET, FakeS3
from lib.kist_registry import sha
from lib.wait import wait_for

SECONDS = float(os.environ.get("KIST_STRESS_S", "5"))
PUSHERS, READERS, TAGS, REPOSITORIES = 4, 2, 6, 5
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Clients:
    """What the registry acknowledged is in `told`: (repository, tag) -> (digest, manifest, its blobs)."""

    def __init__(self, server, seconds):
        self.seconds = seconds
        self.server = server
        self.lock = threading.Lock()
        self.told = {}
        self.unsure = set()  # asked for, and the answer did not come
        self.problems = []
        self.pushes = self.reads = self.deletions = self.mounts = self.refused = self.bytes = 0
        self.end = time.monotonic() + seconds
        self.shared = [os.urandom(200_000) for _ in range(8)]

    def guard(self, work, seed):
        try:
            work(random.Random(seed))
        except Exception as error:  # pylint: disable=broad-except
            self.problems.append(repr(error))

    def send(self, method, path, body=None, headers=None):
        """Patient with a registry that is killed and started meanwhile: None if nobody can know whether it was done."""
        try:
            return self.server.request(method, path, body, headers)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            return None

    def put_blob(self, dice, repository, data):
        digest = sha(data)
        if dice.random() < 0.3:
            reply = self.send("HEAD", f"/v2/{repository}/blobs/{digest}")
            if reply and reply.status == 200:
                return True
        if data in self.shared and dice.random() < 0.5:
            other = f"r{dice.randrange(REPOSITORIES)}"
            reply = self.send("POST", f"/v2/{repository}/blobs/uploads/?mount={digest}&from={other}")
            if reply and reply.status == 201:
                self.mounts += 1
                return True
        reply = self.send("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", data)
        return reply is not None and reply.status == 201

    def push(self, dice, repository, tag):
        blobs = [json.dumps({"n": dice.random()}).encode(), os.urandom(dice.randrange(1000, 400_000)), dice.choice(self.shared)]
        kinds = ["application/vnd.oci.image.config.v1+json"] + ["application/vnd.oci.image.layer.v1.tar"] * 2
        parts = [{"mediaType": kind, "digest": sha(data), "size": len(data)} for kind, data in zip(kinds, blobs)]
        if not all(self.put_blob(dice, repository, data) for data in blobs):
            return
        if dice.random() < 0.1:
            return  # a client that went away: its blobs are for the collector
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0], "layers": parts[1:]}).encode()
        self.unsure.add((repository, tag))
        reply = self.send("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": MANIFEST})
        if reply is None:
            return
        with self.lock:
            if reply.status == 201:
                self.pushes += 1
                self.bytes += sum(map(len, blobs))
                self.told[repository, tag] = (sha(manifest), manifest, {sha(data): data for data in blobs})
                self.unsure.discard((repository, tag))
                return
            # Slower than the collector's delay: the client is told and would begin again. Nothing changed.
            self.refused += 1
            self.unsure.discard((repository, tag))
            assert reply.status in (400, 404) and b"BLOB_UNKNOWN" in reply.data, (reply.status, reply.data)

    def pusher(self, number):
        def work(dice):
            # A machine that is slower than the time it was given does one at least.
            while time.monotonic() < self.end + (0 if self.pushes else 120):
                repository, tag = f"r{dice.randrange(REPOSITORIES)}", f"p{number}-{dice.randrange(TAGS)}"
                with self.lock:
                    known = self.told.get((repository, tag))
                if not known or dice.random() < 0.8:
                    self.push(dice, repository, tag)
                    continue
                with self.lock:
                    self.told.pop((repository, tag))
                    self.unsure.add((repository, tag))
                reply = self.send("DELETE", f"/v2/{repository}/manifests/{dice.choice([tag, known[0]])}")
                if reply is not None:
                    assert reply.status == 202, (reply.status, reply.data)
                    self.deletions += 1
                    self.unsure.discard((repository, tag))

        return work

    def check(self, key, said):
        """Is an acknowledged image whole? Words if not."""
        repository, tag = key
        digest, manifest, blobs = said
        reply = self.send("GET", f"/v2/{repository}/manifests/{tag}")
        if reply is None:
            return None
        if (reply.status, reply.data) != (200, manifest):
            return f"{repository}:{tag} is not {digest}: {reply.status} {reply.data[:200]}"
        for name, data in blobs.items():
            reply = self.send("GET", f"/v2/{repository}/blobs/{name}")
            if reply is not None and (reply.status, reply.data) != (200, data):
                return f"{repository}:{tag}: {name}: {reply.status} {reply.data[:200]}"
        return None

    def reader(self, dice):
        while time.monotonic() < self.end:
            with self.lock:
                items = list(self.told.items())
            if not items:
                time.sleep(0.01)
                continue
            key, said = dice.choice(items)
            wrong = self.check(key, said)
            with self.lock:
                same = self.told.get(key) is said and key not in self.unsure
            # What was replaced or deleted meanwhile may be gone.
            assert not wrong or not same, wrong
            self.reads += 1


@pytest.fixture(params=["folder", "s3"])
def storage(request):
    """Where the bytes are at last: a function that names them, and what the configuration says of it."""
    if request.param == "folder":
        yield None
        return
    one = FakeS3()
    yield one
    one.stop()


def s3_of(storage, folder):
    (folder / "secret").write_text(SECRET)
    return {"endpoint": storage.endpoint, "bucket": BUCKET, "access-key": ACCESS_KEY, "secret-file": str(folder / "secret"), "cache": 1 << 20}


def names_in(storage, server):
    if storage:
        return {"sha256:" + name.rpartition("/")[2] for name in storage.names()}
    return {"sha256:" + path.name for path in (server.root / "data/blobs/sha256").iterdir()}


def test_nothing_is_lost(start_registry, storage, tmp_root):
    more = {"s3": s3_of(storage, tmp_root)} if storage else {}
    server = start_registry({"garbage": {"interval": 1, "delay": 2, "untagged": True}, "metrics": True, **more})
    # Each of its requests to a storage in Python takes as long as ten to a folder.
    clients = Clients(server, SECONDS / 2 if storage else SECONDS)
    server.push_blob("orphans", os.urandom(1000))
    works = [clients.pusher(number) for number in range(PUSHERS)] + [clients.reader] * READERS
    threads = [threading.Thread(target=clients.guard, args=(work, seed)) for seed, work in enumerate(works)]
    for thread in threads:
        thread.start()
    # kill -9 in between, each minute and once at least.
    kills = 0
    while (left := clients.end - time.monotonic()) > 0:
        time.sleep(min(left, 60 if kills or clients.seconds > 120 else clients.seconds / 2))
        if time.monotonic() < clients.end:
            server.kill()
            server.start()
            kills += 1
    for thread in threads:
        thread.join()
    assert not clients.problems, clients.problems[:3]
    assert clients.pushes > 0
    kept = [(key, said) for key, said in clients.told.items() if key not in clients.unsure]
    # What nobody needs goes, and nothing else: what stays is what is tagged.
    for repository, tag in list(clients.unsure):
        server.request("DELETE", f"/v2/{repository}/manifests/{tag}")
    needed = {digest for _, (manifest, _, blobs) in kept for digest in (manifest, *blobs)}
    wait_for(lambda: names_in(storage, server) == needed)
    wrong = [words for words in (clients.check(key, said) for key, said in kept) if words]
    assert not wrong, wrong[:3]
    log = (server.root / "log").read_text()
    collected = sum(int(number) for number in re.findall(r"garbage collected .*bytes=(\d+)", log))
    assert collected > 0
    print(f"\n{clients.seconds:.0f} s: {clients.pushes} pushes ({clients.bytes / 1e6:.0f} MB), {clients.mounts} mounts, {clients.deletions} deletions, "
          f"{clients.refused} told to begin again, {clients.reads} images read whole, {kills} kills; at the end {len(kept)} images, all "
          f"whole, {collected / 1e6:.0f} MB collected in {log.count('garbage collected')} rounds")  # fmt: skip
