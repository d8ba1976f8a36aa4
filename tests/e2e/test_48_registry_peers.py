# SPDX-License-Identifier: Apache-2.0
"""Our clients against registries that others wrote: Debian's docker-registry, and crane's where there is one.

kist-registry stands in the same row: what holds for one must hold for all.
"""
import hashlib
import io
import json
import os
import secrets
import subprocess
import tarfile

import pytest

from lib import images
from lib.crane import CraneRegistry
from lib.kist_registry import KistRegistry
from lib.registry import Registry

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module", params=["docker-registry", "crane", "kist-registry"])
def server(request, session_root, program):
    root = session_root / f"peer-{request.param}-{secrets.token_hex(3)}"
    one = {
        "docker-registry": lambda: Registry(root),
        "crane": lambda: CraneRegistry(root),
        "kist-registry": lambda: KistRegistry(root, program("kist-registry")),
    }[request.param]()
    one.kind = request.param
    one.start()
    yield one
    one.stop()


@pytest.fixture
def kist(program, tmp_root):
    def run(*args, check=True):
        env = dict(os.environ, HOME=str(tmp_root), DOCKER_CONFIG=str(tmp_root / "config"), DOCKER_HOST=f"unix://{tmp_root}/none.sock")
        env.pop("KIST_HOST", None)
        done = subprocess.run([program("kist"), *map(str, args)], capture_output=True, text=True, env=env, timeout=300, cwd=tmp_root)
        if check:
            assert done.returncode == 0, (args, done.stderr)
        return done

    return run


def tar_of(name, data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def pushed(kist, server, tmp_root):
    """Two images of a repository, one of them said to be arm64's; a layer of 3 MB that does not compress."""
    layout = images.Layout(tmp_root / "in")
    layout.add_image("a", [tar_of("noise", os.urandom(3_000_000)), tar_of("text", b"words " * 5000)])
    repository = f"{server.address}/parts-{secrets.token_hex(4)}"
    kist("image", "copy", "-q", "oci:in:a", f"docker://{repository}:amd64")
    kist("image", "mutate", f"{repository}:amd64", "--set-platform", "linux/arm64", "-t", f"{repository}:arm64")
    return repository


def test_there_and_back(kist, pushed, tmp_root):
    """From a folder to the registry, to another repository there, and to a folder again: the same bytes."""
    want = json.loads((tmp_root / "in/index.json").read_text())["manifests"][0]["digest"]
    assert kist("image", "digest", f"{pushed}:amd64").stdout.strip() == want
    again = kist("image", "copy", f"docker://{pushed}:amd64", f"docker://{pushed}/other:1")
    assert again.stdout.strip() == want
    assert "already there" in kist("image", "copy", f"docker://{pushed}:amd64", f"docker://{pushed}/other:1").stderr
    kist("image", "copy", "-q", f"docker://{pushed}/other:1", "oci:out:a")
    for folder in ("in", "out"):
        found = {path.name for path in (tmp_root / folder / "blobs/sha256").iterdir()}
        assert want[7:] in found
    assert {path.name for path in (tmp_root / "out/blobs/sha256").iterdir()} == {path.name for path in (tmp_root / "in/blobs/sha256").iterdir()}
    assert kist("image", "ls-tags", pushed).stdout.split() == ["amd64", "arm64"]
    assert pushed.partition("/")[2] in kist("image", "catalog", pushed.partition("/")[0]).stdout.split()
    assert "PASS" in kist("image", "validate", f"{pushed}:amd64").stdout


def test_lists(kist, pushed, tmp_root):
    name = f"{pushed}-list:1"
    parts = [f"{pushed}:amd64", f"{pushed}:arm64"]
    kist("manifest", "create", name, *parts)
    kist("manifest", "annotate", "--variant", "v8", name, parts[1])
    digest = kist("manifest", "push", "--purge", name).stdout.strip()
    listed = json.loads(kist("manifest", "inspect", name).stdout)
    assert [entry["platform"]["architecture"] for entry in listed["manifests"]] == ["amd64", "arm64"]
    # All of it to another name and to a folder; one platform alone.
    assert kist("image", "copy", "--all", f"docker://{name}", f"docker://{pushed}-all:1").stdout.strip() == digest
    assert kist("image", "copy", "--all", f"docker://{pushed}-all:1", "oci:all:x").stdout.strip() == digest
    entries = {entry["platform"]["architecture"]: entry["digest"] for entry in listed["manifests"]}
    assert kist("image", "copy", "--platform", "linux/arm64", f"docker://{name}", "dir:one").stdout.strip() == entries["arm64"]
    assert sha((tmp_root / "one/manifest.json").read_bytes()) == entries["arm64"]


def test_through_the_engine(daemon, kist, pushed):
    """Pull, push under another name, and pull that: docker's words, and the same digest."""
    want = kist("image", "digest", f"{pushed}:amd64").stdout.strip()
    daemon.kist("pull", "-q", f"{pushed}:amd64")
    daemon.kist("tag", f"{pushed}:amd64", f"{pushed}/back:2")
    out = daemon.docker("push", f"{pushed}/back:2").stdout
    assert f"2: digest: {want}" in out
    daemon.docker("rmi", "-f", f"{pushed}:amd64", f"{pushed}/back:2")
    daemon.docker("pull", f"{pushed}/back:2")
    assert f"{pushed}/back@{want}" in daemon.inspect(f"{pushed}/back:2")["RepoDigests"]
    # An image that was made here: its layer is packed while it goes.
    ident = daemon.docker("commit", daemon.docker("create", f"{pushed}/back:2", "x").stdout.strip(), f"{pushed}/made:1").stdout.strip()
    daemon.docker("push", f"{pushed}/made:1")
    assert json.loads(kist("image", "manifest", f"{pushed}/made:1").stdout)["config"]["digest"] == ident


def test_artifacts_and_referrers(kist, pushed, server, tmp_root):
    """With the API or, where there is none, by the tag that stands in for it; two of them, each pushed twice."""
    subject = json.loads(kist("image", "manifest", f"{pushed}:amd64").stdout)
    text = kist("image", "manifest", f"{pushed}:amd64").stdout
    layout = images.Layout(tmp_root / "notes")
    digests = {}
    for kind in ("text/note", "text/other"):
        blob = f"a {kind} about {pushed}".encode()
        note = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "annotations": {"of": kind},
                "config": {"mediaType": EMPTY, "digest": layout.blob(b"{}"), "size": 2},
                "layers": [{"mediaType": "text/plain", "digest": layout.blob(blob), "size": len(blob)}],
                "subject": {"mediaType": subject["mediaType"], "digest": sha(text.encode()), "size": len(text.encode())}}  # fmt: skip
        data = json.dumps(note).encode()
        digests[kind] = layout.blob(data)
        named = {"mediaType": MANIFEST, "digest": digests[kind], "size": len(data), "annotations": {"org.opencontainers.image.ref.name": "n"}}
        (tmp_root / "notes/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
        for _ in range(2):
            kist("image", "copy", "-q", "oci:notes:n", f"docker://{pushed}:note")
    found = kist("image", "referrers", f"{pushed}:amd64").stdout
    assert sorted(found.splitlines()) == sorted(f"{digest} {kind}" for kind, digest in digests.items())
    assert kist("image", "referrers", "--artifact-type", "text/other", f"{pushed}:amd64").stdout == f"{digests['text/other']} text/other\n"
    # The image itself is what it was, and has no more tags than it had, but the one that stands in.
    assert kist("image", "manifest", f"{pushed}:amd64").stdout == text
    tags = set(kist("image", "ls-tags", pushed).stdout.split())
    assert tags - {sha(text.encode()).replace(":", "-")} == {"amd64", "arm64", "note"}
    # One that is deleted is listed no more, and can be pushed again.
    kist("image", "copy", "-q", "oci:notes:n", f"docker://{pushed}:note")
    kist("image", "delete", "--by-digest", f"{pushed}:note")
    assert kist("image", "referrers", f"{pushed}:amd64").stdout == f"{digests['text/note']} text/note\n"
    kist("image", "copy", "-q", "oci:notes:n", f"docker://{pushed}:note")
    assert sorted(kist("image", "referrers", f"{pushed}:amd64").stdout.splitlines()) == sorted(found.splitlines())
    # With the image go those that speak of it, and those that speak of them.
    data = json.dumps({**note, "artifactType": "text/sign", "annotations": {}, "subject": dict(named, annotations={})}).encode()
    signed = layout.blob(data)
    named = {"mediaType": MANIFEST, "digest": signed, "size": len(data), "annotations": {"org.opencontainers.image.ref.name": "n"}}
    (tmp_root / "notes/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    kist("image", "copy", "-q", "oci:notes:n", f"docker://{pushed}:signature")
    kist("image", "copy", "-q", "--referrers", f"docker://{pushed}:amd64", f"docker://{pushed}-copy:1")
    assert sorted(kist("image", "referrers", f"{pushed}-copy:1").stdout.splitlines()) == sorted(found.splitlines())
    other = f"{pushed}-copy@{digests['text/other']}"
    assert kist("image", "referrers", other).stdout == f"{signed} text/sign\n" and "PASS" in kist("image", "validate", other).stdout
    refused = kist("image", "copy", "--referrers", f"docker://{pushed}:amd64", "oci:x:1", check=False)
    assert refused.returncode == 1 and "they are copied between registries" in refused.stderr
    # Every tag; the list that stands in for the API is none of them.
    kist("image", "sync", "-q", "--referrers", pushed, f"docker://{server.address}/synced")
    synced = f"{server.address}/synced/{pushed.rpartition('/')[2]}"
    assert sorted(kist("image", "referrers", f"{synced}:amd64").stdout.splitlines()) == sorted(found.splitlines())
    assert kist("image", "manifest", f"{synced}:arm64").stdout == kist("image", "manifest", f"{pushed}:arm64").stdout
    kist("image", "sync", "-q", pushed, "dir:tags")
    assert len(list((tmp_root / "tags").iterdir())) == 4


def test_deletion(kist, pushed):
    digest = kist("image", "digest", f"{pushed}:arm64").stdout.strip()
    kist("image", "delete", "--by-digest", f"{pushed}:arm64")
    assert "not found" in kist("image", "digest", f"{pushed}@{digest}", check=False).stderr
    assert kist("image", "digest", f"{pushed}:amd64").stdout
