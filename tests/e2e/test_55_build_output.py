# SPDX-License-Identifier: Apache-2.0
"""kist build -o: archives, files and pushes; builds that come out the same twice."""
import hashlib
import io
import json
import os
import subprocess
import tarfile
import uuid

import pytest


@pytest.fixture(scope="module")
def shared(shared_daemon, busybox_tar):
    shared_daemon.kist("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", busybox_tar, "bo:latest")
    return shared_daemon


@pytest.fixture
def context(tmp_path):
    path = tmp_path / "context"
    path.mkdir()
    (path / "a").write_text(uuid.uuid4().hex)
    (path / "Dockerfile").write_text("FROM bo\nCOPY a /in/a\nRUN ln -s a /in/link && echo 1 >/made\nLABEL x=y\n")
    return path


def files_in(path):
    with tarfile.open(path) as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}
    for name, content in files.items():
        if name.startswith("blobs/sha256/"):
            assert hashlib.sha256(content).hexdigest() == name.rpartition("/")[2]
    return files


def blob(files, digest):
    return json.loads(files["blobs/" + digest.replace(":", "/")])


def test_several_outputs_at_once(shared, context, tmp_path):
    before = shared.kist("images", "-aq", "--no-trunc").stdout
    out = tmp_path / "out"
    (tmp_path / "o.tar").write_text("old")
    done = shared.kist(
        "build", "-t", "bo-a:1", "-t", "bo-b", "--iidfile", tmp_path / "iid",
        "-o", f"type=oci,dest={tmp_path}/o.tar,annotation.who=me", "-o", f"type=docker,dest={tmp_path}/d.tar",
        "-o", f"type=tar,dest={tmp_path}/f.tar", "-o", out, context,
    )  # fmt: skip
    assert "Step 2/4 : COPY a /in/a" in done.stdout
    files = files_in(tmp_path / "o.tar")
    index = json.loads(files["index.json"])
    names = [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]]
    assert names == ["docker.io/library/bo-a:1", "docker.io/library/bo-b:latest"]
    manifest = blob(files, index["manifests"][0]["digest"])
    assert manifest["annotations"] == {"who": "me"} and "manifest.json" not in files
    assert blob(files, manifest["config"]["digest"])["config"]["Labels"] == {"x": "y"}
    assert (tmp_path / "iid").read_text() == manifest["config"]["digest"]
    assert json.loads(files_in(tmp_path / "d.tar")["manifest.json"])[0]["RepoTags"] == ["bo-a:1", "bo-b:latest"]
    text = (context / "a").read_text()
    assert files_in(tmp_path / "f.tar")["in/a"].decode() == text
    assert (out / "in" / "a").read_text() == text and os.readlink(out / "in" / "link") == "a"
    assert (out / "bin" / "sh").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["context", "d.tar", "f.tar", "iid", "o.tar", "out"]
    # Nothing of it is an image here, until it is loaded.
    assert shared.kist("images", "-aq", "--no-trunc").stdout == before
    shared.kist("load", "-i", tmp_path / "d.tar")
    assert shared.kist("run", "--rm", "--network", "none", "bo-b", "cat", "/in/a").stdout == text
    skopeo = subprocess.run(["skopeo", "inspect", f"oci-archive:{tmp_path}/o.tar:1"], capture_output=True, check=False)
    assert skopeo.returncode == 0, skopeo.stderr


def test_to_standard_output(shared, context):
    command = [shared.program("kist"), "build", "-o", "-", str(context)]
    done = subprocess.run(command, env=shared.environment, capture_output=True, check=True, timeout=120)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert tar.extractfile("in/a").read().decode() == (context / "a").read_text()
    assert b"Step 1/4" in done.stderr
    command = [shared.program("kist"), "build", "-q", "-o", "type=oci", str(context)]
    done = subprocess.run(command, env=shared.environment, capture_output=True, check=True, timeout=120)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert "index.json" in tar.getnames()


def test_stored_and_pushed(shared, registry, context):
    tag = f"{registry.address}/bo-{uuid.uuid4().hex[:8]}:1"
    shared.kist("build", "-q", "-t", tag, "-o", "type=image", context)
    assert shared.kist("images", "-q", tag).stdout
    shared.kist("rmi", tag)
    shared.kist("build", "-t", tag, "--push", context)
    shared.kist("rmi", tag)
    shared.kist("pull", tag)
    assert shared.inspect(tag)["Config"]["Labels"] == {"x": "y"}


@pytest.mark.parametrize(
    "args, said",
    [
        (("-o", "type=nothing"), 'exporter "nothing" could not be found'),
        (("-o", "dest=x,tar=true"), "type is required for output"),
        (("-o", "type=local"), "dest is required for local exporter"),
        (("-o", "type=oci,dest=/tmp"), "destination file /tmp is a directory"),
        (("-o", "type=oci,dest=/nosuch/folder/x"), "create /nosuch/folder/x"),
        (("-o", "type=oci,dest=x,compression=lzma"), "unsupported layer compression type lzma"),
        (("-o", "type=oci,dest=x,tar=false"), "output type=oci: tar=false is not supported"),
        (("-o", "type=tar,dest=-", "-o", "type=oci,dest=-"), "only one output can go to standard output"),
        (("-o", "type=tar,dest=x,push=true"), "push=true is for images"),
        (("--push",), "tag is needed when pushing to registry"),
    ],
)
def test_refused(shared, context, tmp_path, args, said):
    failed = subprocess.run(
        [shared.program("kist"), "build", *args, str(context)], env=shared.environment, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert failed.returncode in (1, 125) and said in failed.stderr, failed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["context"]


def test_a_build_that_fails_leaves_no_file(shared, context, tmp_path):
    (context / "Dockerfile").write_text("FROM bo\nRUN exit 5\n")
    failed = shared.kist("build", "-o", f"type=oci,dest={tmp_path}/o.tar", context, check=False)
    assert failed.returncode == 5
    # A stage that has no files to give.
    (context / "Dockerfile").write_text("FROM scratch\n")
    failed = shared.kist("build", "-o", f"type=oci,dest={tmp_path}/o.tar", context, check=False)
    assert failed.returncode == 1 and "No image was generated" in failed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["context"]


def test_the_same_twice(shared, context, tmp_path):
    (context / "Dockerfile").write_text(
        "FROM bo\nARG SOURCE_DATE_EPOCH\nCOPY a /in/a\nRUN echo $SOURCE_DATE_EPOCH >/made && mkdir /d\nENV A=1\n"
    )
    environment = dict(shared.environment, SOURCE_DATE_EPOCH="1000000000")
    ids = set()
    for turn in range(2):
        os.utime(context / "a", (1700000000 + turn, 1700000000 + turn))
        done = subprocess.run(
            [shared.program("kist"), "build", "-q", "--no-cache", "-t", "bo-same", str(context)],
            env=environment, check=True, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        ids.add(done.stdout.strip())
    assert len(ids) == 1, ids
    assert shared.inspect("bo-same")["Created"] == "2001-09-09T01:46:40Z"
    seen = shared.kist("run", "--rm", "--network", "none", "bo-same", "sh", "-c", "stat -c %Y /in/a /made; cat /made")
    assert seen.stdout.split() == ["1000000000"] * 3
    # Another moment is another image; none at all the files as they are.
    other = shared.kist("build", "-q", "--build-arg", "SOURCE_DATE_EPOCH=1000000001", context).stdout.strip()
    assert other not in ids
    shared.kist("build", "-q", "-t", "bo-same", context)
    seen = shared.kist("run", "--rm", "--network", "none", "bo-same", "stat", "-c", "%Y", "/in/a")
    assert seen.stdout.strip() == "1700000001"
    failed = shared.kist("build", "--build-arg", "SOURCE_DATE_EPOCH=-1", context, check=False)
    assert failed.returncode == 1 and "invalid SOURCE_DATE_EPOCH: -1" in failed.stderr


# ---- caches in images ----


def forget(daemon, *names):
    """No image of these names and no cache."""
    daemon.kist("rmi", "-f", *names, check=False)
    daemon.kist("builder", "prune", "-af")


@pytest.fixture
def remote_base(shared, registry):
    """A base that every engine has from the registry."""
    name = f"{registry.address}/bo-base-{uuid.uuid4().hex[:8]}:1"
    shared.kist("tag", "bo", name)
    shared.kist("push", "-q", name)
    return name


def test_inline_cache(shared, registry, remote_base, context):
    tag = f"{registry.address}/bo-cache-{uuid.uuid4().hex[:8]}:1"
    (context / "Dockerfile").write_text(
        f"FROM {remote_base} AS one\nENV A=1\nWORKDIR /w\nCOPY a /in/a\nFROM one\n"
        "RUN head -c 20 /dev/urandom >/random\nLABEL x=y\n"
    )
    made = shared.kist("build", "-q", "-t", tag, "--cache-to", "type=inline", "--push", context).stdout.split()[0]
    forget(shared, tag)
    done = shared.kist("build", "-t", tag, "--cache-from", f"type=registry,ref={tag}", "--cache-to", "type=inline", context)
    assert done.stdout.count("Using cache") == 5 and "Running in" not in done.stdout, done.stdout
    assert shared.inspect(tag)["Id"] == made
    # It can be pushed and run; what is made above it is built.
    shared.kist("push", "-q", tag)
    assert shared.kist("run", "--rm", "--network", "none", tag, "wc", "-c", "/random").stdout.split()[0] == "20"
    with open(context / "Dockerfile", "a", encoding="utf-8") as file:
        file.write("RUN echo more >/more\n")
    forget(shared, tag)
    done = shared.kist("build", "-t", tag, "--cache-from", f"type=registry,ref={tag}", context)
    assert done.stdout.count("Running in") == 1, done.stdout
    # Without the flag the image says nothing, and nothing is taken from it.
    shared.kist("push", "-q", tag)
    forget(shared, tag)
    done = shared.kist("build", "--cache-from", f"type=registry,ref={tag}", context)
    assert "the image has no inline cache" in done.stdout and done.stdout.count("Running in") == 2, done.stdout


def test_a_cache_counts_where_it_is_named(shared, registry, remote_base, context):
    """Somebody else's image with records of a step of ours: only who names it gets that step from it."""
    tag = f"{registry.address}/bo-cache-{uuid.uuid4().hex[:8]}:1"
    (context / "Dockerfile").write_text(f"FROM {remote_base}\nRUN echo step; head -c 20 /dev/urandom >/random\n")
    shared.kist("build", "-q", "-t", tag, "--cache-to", "type=inline", "--push", context)
    forget(shared, tag)
    shared.kist("pull", "-q", tag)
    assert "Running in" in shared.kist("build", context).stdout
    forget(shared, tag)
    done = shared.kist("build", "--no-cache", "--cache-from", f"type=registry,ref={tag}", context)
    assert "Running in" in done.stdout
    for ref, said in [("nowhere.invalid/x:1", "importing cache manifest from nowhere.invalid/x:1"), ("Bad Name", "Bad Name")]:
        done = shared.kist("build", "--cache-from", f"type=registry,ref={ref}", context)
        assert "[Warning]" in done.stdout and said in done.stdout, done.stdout


# ---- builder du, builder history ----


def test_du_and_history(shared, context):
    tag = "bo-history-" + uuid.uuid4().hex[:8]
    (context / "Dockerfile").write_text(f"FROM bo\nCOPY a /in/a\nRUN echo {tag} >/made\nLABEL x=y\n")
    shared.kist("build", "-q", "-t", tag, context)
    shared.kist("build", "-q", "-t", tag, context)
    (context / "Dockerfile").write_text("FROM bo\nCOPY a /in/a\nRUN exit 3\n")
    shared.kist("build", "-t", tag, context, check=False)
    rows = [json.loads(line) for line in shared.kist("builder", "history", "--format", "json").stdout.splitlines()]
    rows = [row for row in rows if row["Name"] == tag]
    assert [row["Status"] for row in rows] == ["Error", "Completed", "Completed"]
    assert [row["Steps"] for row in rows] == ["1/2 (1 cached)", "2/2 (2 cached)", "2/2 (0 cached)"]
    assert "returned a non-zero code: 3" in rows[0]["Error"]
    table = shared.kist("builder", "history").stdout.splitlines()
    assert table[0].split() == ["BUILD", "ID", "NAME", "STATUS", "STEPS", "CREATED", "AT", "DURATION"]
    assert rows[0]["Ref"] in shared.kist("builder", "history", "-q").stdout.split()
    usage = shared.kist("builder", "du").stdout
    assert "COPY a /in/a" in usage and "Reclaimable:" in usage and "Total:" in usage
    rows = [json.loads(line) for line in shared.kist("builder", "du", "--format", "json").stdout.splitlines()]
    assert [row["Shared"] for row in rows if row["Description"] == f"RUN echo {tag} >/made"] == ["true"]
    assert len(shared.kist("builder", "du", "-q").stdout.split()) == len(rows)
