# SPDX-License-Identifier: Apache-2.0
"""BuildKit's protocol: POST /grpc and POST /session, by a small client of our own and by the stock buildx."""
import base64
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
import uuid

import pytest

from lib import buildkit as bk
from lib.docker_cli import IS_28


@pytest.fixture(scope="module")
def own(shared_daemon, busybox_tar):
    shared_daemon.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", busybox_tar, "bk:latest")
    return shared_daemon


class Built:
    def __init__(self, answer, response, status, session):
        self.answer = answer
        self.response = response
        self.vertices, self.logs, self.warnings = status
        self.session = session


def build(daemon, folder, tag=None, attrs=None, secrets=None, mischief=None, exporters=None, **more):
    ref, name = uuid.uuid4().hex, uuid.uuid4().hex
    session = bk.Session(daemon.socket, name, folder, secrets, more.get("shared_key", ""))
    session.mischief = mischief
    session.agents = more.get("agents", {})
    session.takes_tar = more.get("takes_tar", False)
    try:
        if exporters is None:
            exporters = [("moby", {"name": tag} if tag else {})]
        request = bk.solve_request(ref, name, attrs or {}, exporters, more.get("allowed", ()))
        answer = bk.call(daemon.socket, bk.CONTROL + "Solve", request)
        status = bk.status(daemon.socket, ref)
    finally:
        session.close()
    response = bk.text_map(bk.parse(answer.messages[0]).get(1, [])) if answer.messages else {}
    return Built(answer, response, status, session)


# ---- what we are ----


def test_info_and_workers(own):
    info = bk.call(own.socket, bk.CONTROL + "Info")
    assert info.status == 0
    assert bk.parse(bk.parse(info.messages[0])[1][0])[1] == [b"kist"]
    workers = bk.call(own.socket, bk.CONTROL + "ListWorkers")
    worker = bk.parse(bk.parse(workers.messages[0])[1][0])
    assert worker[1] == [b"default"]
    assert bk.parse(worker[3][0])[2] == [b"linux"]


def test_unknown_calls_and_refused_upgrades(own):
    answer = bk.call(own.socket, "/moby.buildkit.v1.Control/Nothing")
    assert (answer.status, answer.error) == (12, "unknown method /moby.buildkit.v1.Control/Nothing")
    for target, headers, expected in [
        ("/grpc", [], b"no upgrade proto in request"),
        ("/grpc", ["Connection: Upgrade", "Upgrade: tcp"], b"protocol tcp not supported"),
        ("/session", ["Connection: Upgrade", "Upgrade: h2c"], b"the session has no id"),
    ]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(own.socket))
            sock.settimeout(60)
            sock.sendall("\r\n".join([f"POST {target} HTTP/1.1", "Host: x", *headers, "", ""]).encode())
            data = b""
            while expected not in data:
                more = sock.recv(4096)
                assert more, data
                data += more
            assert data.startswith(b"HTTP/1.1 400"), data


def test_garbage_ends_only_its_connection(own):
    for target in ["/grpc", "/session"]:
        headers = [f"X-Docker-Expose-Session-Uuid: {uuid.uuid4().hex}"]
        sock, _ = bk.upgrade(own.socket, target, headers)
        sock.sendall(b"\xff" * 4096)
        try:
            while sock.recv(4096):
                pass
        except ConnectionError:
            pass
        sock.close()
    assert bk.call(own.socket, bk.CONTROL + "Info").status == 0


# ---- builds ----


def test_build(own, context):
    tag = "bk-" + uuid.uuid4().hex[:8]
    folder = context(
        "FROM bk\nARG WHO=nobody\nCOPY a.txt sub /in/\nRUN cat /in/a.txt && echo hello $WHO\nENV A=1\n",
        {"a.txt": "content\n", "sub/b.txt": "deep", "not/wanted.txt": "x"},
    )
    built = build(own, folder, tag, {"build-arg:WHO": "you", "label:x": "y"})
    assert built.answer.status == 0, built.answer.error
    assert b"content\nhello you\n" in built.logs
    names = list(built.vertices)
    for name in ["[internal] load build definition from Dockerfile", "[2/3] COPY a.txt sub /in/", "exporting to image"]:
        assert name in names, names
    # Only what COPY names travels.
    assert sorted(set(built.session.requested)) == ["Dockerfile", "a.txt", "sub/b.txt"]
    assert built.response["image.name"] == tag
    got = own.docker("inspect", "-f", "{{.Id}} {{.Config.Labels.x}}", tag).stdout.split()
    assert got == [built.response["containerimage.config.digest"], "y"]
    again = build(own, folder, tag, {"build-arg:WHO": "you", "label:x": "y"})
    assert again.response == built.response
    assert again.vertices["[3/3] RUN cat /in/a.txt && echo hello $WHO"][4] == [1], "cached"


def test_dockerignore_links_and_modes(own, context):
    folder = context(
        "FROM bk\nCOPY . /in\nRUN cd /in && ls -A && readlink link && test -x run && stat -c %a run sub\n",
        {"kept": "1", "left.out": "2", "sub/inner": "3", "run": "4"},
    )
    (folder / "link").symlink_to("kept")
    (folder / "run").chmod(0o751)
    (folder / "sub").chmod(0o2700)
    (folder / ".dockerignore").write_text("*.out\n!nothing\nDockerfile\n")
    built = build(own, folder)
    assert built.answer.status == 0, built.answer.error
    # The test's own client does not filter: what it is asked to leave out is told to it.
    assert b"kept" in built.logs and b"751" in built.logs


def test_only_changes_are_sent(own, context):
    key = "key-" + uuid.uuid4().hex
    folder = context("FROM bk\nCOPY . /in\nRUN cd /in && cat a b d/c* | sort\n", {"a": "1\n", "b": "2\n", "d/c": "3\n"})
    built = build(own, folder, shared_key=key)
    assert built.answer.status == 0, built.answer.error
    assert sorted(built.session.requested) == ["Dockerfile", "Dockerfile", "a", "b", "d/c"]
    (folder / "b").write_text("two\n")
    (folder / "d" / "c").unlink()
    (folder / "d" / "c2").write_text("4\n")
    built = build(own, folder, shared_key=key)
    assert b"1\n4\ntwo\n" in built.logs, "what is gone is gone"
    assert sorted(built.session.requested) == ["Dockerfile", "b", "d/c2"]
    # A directory in the place of a file, and the other way round.
    (folder / "b").unlink()
    (folder / "b").mkdir()
    (folder / "b" / "inner").write_text("5\n")
    (folder / "Dockerfile").write_text("FROM bk\nCOPY . /in\nRUN cat /in/b/inner\n")
    built = build(own, folder, shared_key=key)
    assert b"5\n" in built.logs
    # What one build was sent, another one without the key does not get.
    built = build(own, folder)
    assert "a" in built.session.requested
    # Cut off in the middle: the next build is sent what was not whole.
    (folder / "big").write_bytes(os.urandom(3000000))

    def stop(names):
        raise OSError("the client goes away")

    built = build(own, folder, shared_key=key, mischief=lambda names: stop(names) if "big" in names else names)
    assert built.answer.status == 14, built.answer.error
    built = build(own, folder, shared_key=key)
    assert built.answer.status == 0 and "big" in built.session.requested
    contexts = own.root / "d" / "build-contexts"
    assert any(contexts.iterdir())
    bk.call(own.socket, bk.CONTROL + "Prune", bk.message(f2=1))
    assert not any(contexts.iterdir())


def test_failures(own, context):
    folder = context("FROM bk\nRUN echo before; exit 7\n")
    built = build(own, folder)
    assert built.answer.status == 2
    assert built.answer.error == (
        'process "/bin/sh -c echo before; exit 7" did not complete successfully: exit code: 7'
    )
    assert b"before" in built.logs
    assert "grpc-status-details-bin" in built.answer.headers
    folder = context("FROM bk\nRUNN x\n")
    built = build(own, folder)
    assert (built.answer.status, built.answer.error) == (
        3,
        "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)",
    )
    (folder / "Dockerfile").unlink()
    built = build(own, folder)
    assert built.answer.error.startswith("failed to read dockerfile: open Dockerfile: no such file")
    built = build(own, context("FROM bk\n"), exporters=[("nothing", {})])
    assert built.answer.error == 'exporter "nothing" could not be found'


def test_entitlements(own, context):
    folder = context("FROM bk\nRUN --network=host cat /proc/net/dev\n")
    said = "network.host is not allowed: build with --allow network.host"
    assert said in build(own, folder).answer.error
    built = build(own, folder, allowed=["network.host"])
    assert built.answer.status == 0, built.answer.error
    built = build(own, folder, allowed=["security.insecure"])
    assert built.answer.error == (
        "granting entitlement security.insecure is not allowed by build daemon configuration"
    )
    folder = context("FROM bk\nRUN true\n")
    assert build(own, folder, attrs={"force-network-mode": "host"}).answer.error == said


def test_no_cache_of_stages(own, context):
    folder = context("FROM bk AS one\nRUN echo 1 >/a\nFROM bk AS two\nRUN echo 2 >/b\nCOPY --from=one /a /a\n")
    steps = ["[one 2/2] RUN echo 1 >/a", "[two 2/3] RUN echo 2 >/b"]

    def cached(attrs):
        built = build(own, folder, attrs=attrs)
        assert built.answer.status == 0, built.answer.error
        return [built.vertices[step].get(4) == [1] for step in steps]

    cached({})
    assert cached({}) == [True, True]
    assert cached({"no-cache": "two,unknown"}) == [True, False]
    assert cached({"no-cache": ""}) == [False, False]


def test_named_contexts(own, context):
    folder = context(
        "FROM base AS one\nRUN false\nFROM img\nCOPY --from=dir a.txt /got\n"
        "COPY --from=one /bin/sh /sh\nRUN --mount=from=dir,target=/m cat /m/sub/b /got\n",
        {"a.txt": "first ", "sub/b": "second ", "c": "unwanted"},
    )
    attrs = {"context:dir": "local:dir", "context:img": "docker-image://bk", "context:one": "docker-image://bk:latest"}
    built = build(own, folder, attrs=attrs)
    assert built.answer.status == 0, built.answer.error
    assert b"second first" in built.logs
    assert "dir" in built.session.listed and "context" in built.session.listed
    assert "[context dir] load from client" in built.vertices
    built = build(own, folder, attrs={"context:img": "oci-layout://x"})
    assert "the context img=oci-layout://x is not supported" in built.answer.error


ASK = r'''
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char answer[100] = "";
	const char *path = getenv("SSH_AUTH_SOCK");

	if (!path)
		return puts("no agent"), 0;
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return perror("connect"), 1;
	for (int i = 0; i < 2; i++) {
		if (write(fd, "question", 8) != 8 || read(fd, answer, 99) <= 0)
			return perror("talk"), 1;
		printf("%s says %s\\n", path, answer);
	}
	return 0;
}
'''


def test_ssh_agents(own, context, tmp_path):
    (tmp_path / "ask.c").write_text(ASK)
    subprocess.run(["gcc", "-static", "-o", tmp_path / "ask", tmp_path / "ask.c"], check=True)
    folder = context(
        "FROM bk\nCOPY ask /ask\nRUN --mount=type=ssh --mount=type=ssh,id=other /ask\n"
        "RUN --mount=type=ssh,id=other,target=/run/a,mode=0666 --network=none /ask\nRUN --mount=type=ssh,id=none /ask\n"
    )
    shutil.copy(tmp_path / "ask", folder / "ask")
    agents = {"default": lambda data: b"default:" + data, "other": lambda data: b"other:" + data}
    built = build(own, folder, agents=agents)
    assert built.answer.status == 0, built.answer.error
    assert built.logs.count(b"/run/buildkit/ssh_agent.0 says default:question") == 2, built.logs
    assert built.logs.count(b"/run/a says other:question") == 2
    assert b"no agent" in built.logs
    (folder / "Dockerfile").write_text("FROM bk\nRUN --mount=type=ssh,required=true true\n")
    built = build(own, folder)
    assert 'no SSH key "default" forwarded from the client' in built.answer.error


def test_warnings(own, context):
    built = build(own, context("FROM bk AS Base\nMAINTAINER me\n"))
    assert built.answer.status == 0 and len(built.warnings) == 2
    warning = built.warnings[0]
    assert warning[1] == built.vertices["[internal] load build definition from Dockerfile"][1]
    assert warning[3] == [b"StageNameCasing: Stage name 'Base' should be lowercase (line 1)"]
    assert warning[5] == [b"https://docs.docker.com/go/dockerfile/rule/stage-name-casing/"]
    built = build(own, context("# check=error=true\nFROM bk AS Base\n"))
    assert built.answer.error == "lint violation found for rules: StageNameCasing"


def test_secrets(own, context):
    folder = context("FROM bk\nRUN --mount=type=secret,id=s,required=true cat /run/secrets/s | wc -c\n")
    value = "hidden-" + uuid.uuid4().hex
    built = build(own, folder, secrets={"s": value})
    assert built.answer.status == 0, built.answer.error
    assert str(len(value)).encode() in built.logs
    built = build(own, folder, attrs={"no-cache": ""})
    assert "secret s: not found" in built.answer.error
    found = subprocess.run(["grep", "-rlF", value, str(own.root)], capture_output=True, text=True, check=False)
    assert found.stdout == ""


@pytest.mark.parametrize(
    "names, said",
    [
        (["../escape"], "bad name"),
        (["/etc/passwd"], "bad name"),
        (["a/../../b"], "bad name"),
        (["none/child"], "comes before its directory"),
    ],
)
def test_bad_listings(own, context, names, said):
    folder = context("FROM bk\nCOPY . /in\n")
    built = build(own, folder, mischief=lambda real: real if "Dockerfile" in real and len(real) == 1 else names)
    # The Dockerfile itself is asked for first, by the same client: either request is refused.
    assert built.answer.status != 0
    assert said in built.answer.error, built.answer.error


def test_link_is_not_followed(own, context, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = context("FROM bk\nCOPY . /in\n")
    (folder / "way").symlink_to(outside)

    def below_link(names):
        return names + ["way/planted"] if "way" in names else names

    built = build(own, folder, mischief=below_link)
    assert "comes before its directory" in built.answer.error
    assert not list(outside.iterdir())


def test_canceled(own, context):
    folder = context("FROM bk\nRUN sleep 100\n")
    ref, name = uuid.uuid4().hex, uuid.uuid4().hex
    session = bk.Session(own.socket, name, folder)
    request = bk.solve_request(ref, name, {}, [("moby", {})])
    solving = bk.Call(own.socket, bk.CONTROL + "Solve", request)
    result = {}
    watcher = threading.Thread(target=lambda: result.update(status=bk.status(own.socket, ref)))
    watcher.start()
    solving.cancel()
    solving.sock.close()
    watcher.join(60)
    assert not watcher.is_alive(), "the stream of a canceled build ends"
    session.close()
    # The same name may be used once.
    again = bk.call(own.socket, bk.CONTROL + "Solve", request)
    assert (again.status, again.error) == (6, f"job ID {ref} exists")


def test_cache_and_history(own, context):
    built = build(own, context(f"FROM bk\nRUN echo {uuid.uuid4().hex}\n"))
    assert built.answer.status == 0, built.answer.error
    usage = bk.call(own.socket, bk.CONTROL + "DiskUsage")
    records = [bk.parse(item) for item in bk.parse(usage.messages[0])[1]]
    assert any(b"RUN echo" in record.get(9, [b""])[0] for record in records)
    history = bk.call(own.socket, bk.CONTROL + "ListenBuildHistory", bk.message(f3=1))
    assert history.status == 0 and len(history.messages) >= 1
    record = bk.parse(bk.parse(history.messages[-1])[2][0])
    assert record[2] == [b"dockerfile.v0"]
    # Asked for late, an internal build's progress ends as well; the history does not know it.
    ref = uuid.uuid4().hex
    asked = bk.call(own.socket, bk.CONTROL + "Solve", bk.message(f1=ref, f6="nothing", f11=1))
    assert (asked.status, asked.error) == (2, "unknown frontend nothing")
    assert bk.status(own.socket, ref) == ({}, b"", [])
    assert not bk.call(own.socket, bk.CONTROL + "ListenBuildHistory", bk.message(f2=ref, f3=1)).messages
    pruned = bk.call(own.socket, bk.CONTROL + "Prune", bk.message(f1="nonsense=1"))
    assert (pruned.status, pruned.error) == (3, "invalid filter 'nonsense'")


def test_files_out(own, context):
    folder = context(
        "FROM scratch\nCOPY in /top\nCOPY --chmod=4751 run /bin/run\nWORKDIR /empty\n",
        {"in/a": "first", "in/deep/b": "x" * 100000, "run": "#!"},
    )
    (folder / "in" / "link").symlink_to("a")
    built = build(own, folder, exporters=[("local", {})])
    assert built.answer.status == 0, built.answer.error
    assert built.session.received == {"bin/run": b"#!", "top/a": b"first", "top/deep/b": b"x" * 100000}
    stats = built.session.received_stats
    assert stats["top/link"] == (1 << 27 | 0o777, "a")
    assert stats["empty"] == (1 << 31 | 0o755, "")
    assert stats["bin/run"][0] == 1 << 23 | 0o751
    assert "exporting to client directory" in built.vertices
    built = build(own, folder, exporters=[("tar", {})], takes_tar=True)
    assert built.answer.status == 0, built.answer.error
    with tarfile.open(fileobj=io.BytesIO(built.session.tar)) as tar:
        assert {name.rstrip("/") for name in tar.getnames()} == set(stats)
        assert tar.extractfile("top/a").read() == b"first"


def layout_of(data):
    """(names of the files, index, manifest, config) of an archive; every blob has the digest it is called by."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}
    for name, content in files.items():
        if name.startswith("blobs/sha256/"):
            assert hashlib.sha256(content).hexdigest() == name.rpartition("/")[2]
    index = json.loads(files["index.json"])
    manifest = json.loads(files["blobs/" + index["manifests"][0]["digest"].replace(":", "/")])
    config = json.loads(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])
    for layer in manifest["layers"]:
        assert len(files["blobs/" + layer["digest"].replace(":", "/")]) == layer["size"]
    return files, index, manifest, config


def test_archives_out(own, context):
    folder = context("FROM bk\nCOPY a /in\nLABEL x=y\n", {"a": uuid.uuid4().hex})
    before = own.docker("images", "-aq", "--no-trunc").stdout
    attrs = {"name": "some/name:1,other", "annotation.who": "me", "annotation-manifest[linux/amd64].why": "so"}
    built = build(own, folder, exporters=[("oci", attrs)], takes_tar=True)
    assert built.answer.status == 0, built.answer.error
    files, index, manifest, config = layout_of(built.session.tar)
    assert "manifest.json" not in files and json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    names = [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]]
    assert names == ["docker.io/some/name:1", "docker.io/library/other:latest"]
    assert manifest["annotations"] == {"who": "me", "why": "so"}
    assert config["config"]["Labels"] == {"x": "y"} and len(manifest["layers"]) == 2
    assert built.response["containerimage.config.digest"] == manifest["config"]["digest"]
    assert "exporting to oci image format" in built.vertices
    built = build(own, folder, exporters=[("docker", {"name": "some/name:1"})], takes_tar=True)
    files = layout_of(built.session.tar)[0]
    assert json.loads(files["manifest.json"])[0]["RepoTags"] == ["some/name:1"]
    # They are nobody's image here.
    assert own.docker("images", "-aq", "--no-trunc").stdout == before


@pytest.mark.parametrize(
    "kind, attrs, said",
    [
        ("oci", {"tar": "false"}, "output type=oci: tar=false is not supported"),
        ("docker", {"compression": "zstd"}, "output type=docker: compression=zstd is for what is pushed and type=oci"),
        ("moby", {"push-by-digest": "true"}, "output type=moby: push-by-digest=true is not supported"),
        ("local", {"mode": "delete"}, "output type=local: mode=delete is not supported"),
        ("moby", {"nonsense": "1"}, "output type=moby: nonsense=1 is not supported"),
        ("oci", {"annotation-index.a": "b"}, "index annotations not supported for single platform export"),
        ("moby", {"push": "true"}, "tag is needed when pushing to registry"),
    ],
)
def test_outputs_refused(own, context, kind, attrs, said):
    built = build(own, context("FROM bk\n"), exporters=[(kind, attrs)])
    assert (built.answer.status != 0, built.answer.error) == (True, said)


def test_annotations_of_a_stored_image(own, context):
    folder = context(f"FROM bk\nLABEL x={uuid.uuid4().hex}\n")
    tag = "bk-" + uuid.uuid4().hex[:8]
    for value in ["one", "two"]:
        built = build(own, folder, exporters=[("moby", {"name": tag, "annotation.who": value})])
        assert built.answer.status == 0, built.answer.error
        saved = subprocess.run(["docker", "save", tag], env=own.environment, capture_output=True, check=True).stdout
        assert layout_of(saved)[2]["annotations"] == {"who": value}


def test_reproducible(own, context):
    folder = context(
        "FROM bk\nCOPY in /in\nRUN echo 1 >/made && mkdir /d && ln -s x /d/l\nWORKDIR /w\nENV A=1\n", {"in/a": "1"}
    )
    attrs = {"no-cache": "", "build-arg:SOURCE_DATE_EPOCH": "1000000000"}
    wanted = [("oci", {"name": "repro:1", "rewrite-timestamp": "true"})]
    made = []
    for _ in range(2):
        built = build(own, folder, attrs=attrs, exporters=wanted, takes_tar=True)
        assert built.answer.status == 0, built.answer.error
        made.append(built.session.tar)
        os.utime(folder / "in" / "a", (2000000000 + len(made), 2000000000 + len(made)))
    assert made[0] == made[1]
    files, _, manifest, config = layout_of(made[0])
    assert config["created"] == "2001-09-09T01:46:40Z"
    assert {entry["created"] for entry in config["history"][-4:]} == {"2001-09-09T01:46:40Z"}
    for layer in manifest["layers"][1:]:
        with tarfile.open(fileobj=io.BytesIO(files["blobs/" + layer["digest"].replace(":", "/")])) as tar:
            assert all(entry.mtime <= 1000000000 for entry in tar)
    # Without: the config is the same, the files are as young as they are.
    built = build(own, folder, attrs=attrs, exporters=[("oci", {})], takes_tar=True)
    assert layout_of(built.session.tar)[2]["layers"] != manifest["layers"]
    assert layout_of(built.session.tar)[3]["created"] == config["created"]
    built = build(own, folder, attrs=attrs, exporters=[("tar", {})], takes_tar=True)
    with tarfile.open(fileobj=io.BytesIO(built.session.tar)) as tar:
        assert max(entry.mtime for entry in tar) <= 1000000000
    built = build(own, folder, attrs={"build-arg:SOURCE_DATE_EPOCH": "yesterday"})
    assert built.answer.error == "invalid SOURCE_DATE_EPOCH: yesterday"


# ---- POST /build?version=2 of older clients ----


def post(daemon, target, body=b""):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(120)
        sock.connect(str(daemon.socket))
        head = f"POST {target} HTTP/1.0\r\nHost: x\r\nContent-Type: application/x-tar\r\n"
        sock.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        data = b""
        while more := sock.recv(65536):
            data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), [json.loads(line) for line in rest.splitlines() if line.startswith(b"{")]


def test_version_2(own, context):
    tag, ref, name = ("v2-" + uuid.uuid4().hex[:8] for _ in range(3))
    folder = context("FROM bk\nCOPY a /a\nRUN echo hello\n", {"a": "1"})
    session = bk.Session(own.socket, name, folder)
    query = f"/v1.41/build?version=2&session={name}"
    code, lines = post(own, f"{query}&remote=client-session&buildid={ref}&t={tag}")
    assert code == 200
    traces = [base64.b64decode(line["aux"]) for line in lines if line.get("id") == "moby.buildkit.trace"]
    assert b"[3/3] RUN echo hello" in b"".join(traces) and b"hello\n" in b"".join(traces)
    assert lines[-1] == {"id": "moby.image.id", "aux": {"ID": own.docker("inspect", "-f", "{{.Id}}", tag).stdout.strip()}}
    assert post(own, f"{query}&q=1")[1][-1] == {"stream": lines[-1]["aux"]["ID"] + "\n"}
    # The context from standard input comes in a request of its own.
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as out:
        out.add(folder / "Dockerfile", "Dockerfile")
        out.add(folder / "a", "a")
    ref, result = uuid.uuid4().hex, {}
    target = f"/v1.41/build?version=2&buildid=upload-request:{ref}"
    upload = threading.Thread(target=lambda: result.update(answer=post(own, target, tar.getvalue())))
    upload.start()
    code, lines = post(own, f"{query}&remote=upload-request&buildid={ref}")
    upload.join(60)
    assert result["answer"][0] == 200 and lines[-1]["id"] == "moby.image.id"
    # A step that fails; a build that is canceled by its name.
    (folder / "Dockerfile").write_text("FROM bk\nRUN exit 9\n")
    assert "exit code: 9" in post(own, query)[1][-1]["errorDetail"]["message"]
    (folder / "Dockerfile").write_text("FROM bk\nRUN sleep 1000\n")
    ref = uuid.uuid4().hex
    building = threading.Thread(target=lambda: result.update(answer=post(own, f"{query}&buildid={ref}")))
    building.start()
    end = time.monotonic() + 120
    while building.is_alive() and time.monotonic() < end:  # it may not have begun yet
        assert post(own, f"/v1.41/build/cancel?id={ref}")[0] == 200
        building.join(0.1)
    assert not building.is_alive()
    assert result["answer"][0] >= 400 or "error" in result["answer"][1][-1]
    session.close()


# ---- the stock client ----


def find_buildx():
    for place in ["/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins"]:
        if os.path.exists(place + "/docker-buildx"):
            return place + "/docker-buildx"
    return shutil.which("docker-buildx") or os.environ.get("KIST_BUILDX")


needs_buildx = pytest.mark.skipif(not IS_28 or not find_buildx(), reason="needs docker CLI 28 and its buildx")


@pytest.fixture
def buildx(own, tmp_path):
    plugins = tmp_path / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(find_buildx())
    environment = dict(own.environment, DOCKER_CONFIG=str(tmp_path / "config"))

    def run(*args, check=True):
        done = subprocess.run(
            ["docker", *map(str, args)], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    run.environment = environment
    return run


@needs_buildx
def test_buildx_build(own, buildx, context, tmp_path):
    tag = "bx-" + uuid.uuid4().hex[:8]
    folder = context("FROM bk\nCOPY a.txt /in/\nRUN cat /in/a.txt\n", {"a.txt": "content\n"})
    done = buildx("build", "--progress", "plain", "-t", tag, "--iidfile", tmp_path / "iid", folder)
    assert "#6 [2/3] COPY a.txt /in/" in done.stderr, done.stderr
    assert f"naming to docker.io/library/{tag}:latest" in done.stderr
    assert own.docker("inspect", "-f", "{{.Id}}", tag).stdout.strip() == (tmp_path / "iid").read_text()
    again = buildx("build", "--progress", "plain", folder)
    assert "CACHED" in again.stderr
    assert buildx("build", "-q", folder).stdout.startswith("sha256:")
    assert "RUN cat" in buildx("buildx", "du", "--verbose").stdout


@needs_buildx
def test_buildx_failure(buildx, context):
    folder = context("FROM bk\nRUN echo why; exit 3\n")
    done = buildx("build", "--progress", "plain", folder, check=False)
    assert done.returncode == 1
    assert ">>> RUN echo why; exit 3" in done.stderr
    assert 'process "/bin/sh -c echo why; exit 3" did not complete successfully: exit code: 3' in done.stderr


@needs_buildx
def test_buildx_call(buildx, context):
    folder = context("FROM bk AS Final\nARG WHO=me\n")
    done = buildx("buildx", "build", "--call=check", folder, check=False)
    assert done.returncode == 1
    assert "WARNING: StageNameCasing" in done.stdout and "Stage name 'Final' should be lowercase" in done.stdout
    assert "final (default)" in buildx("buildx", "build", "--call=targets", folder).stdout
    assert "WHO" in buildx("buildx", "build", "--call=outline", folder).stdout


@needs_buildx
def test_buildx_outputs(buildx, context, tmp_path):
    folder = context("FROM bk\nCOPY a.txt /in/\n", {"a.txt": "content"})
    buildx("buildx", "build", "-o", f"type=local,dest={tmp_path}/out", "-o", f"type=tar,dest={tmp_path}/o.tar", folder)
    assert (tmp_path / "out" / "in" / "a.txt").read_text() == "content"
    assert (tmp_path / "out" / "bin" / "sh").exists()
    with tarfile.open(tmp_path / "o.tar") as tar:
        assert tar.extractfile("in/a.txt").read() == b"content"


@needs_buildx
def test_buildx_archives(own, buildx, context, tmp_path):
    folder = context("FROM bk\nCOPY a.txt /in/\n", {"a.txt": uuid.uuid4().hex})
    tag = "bx-" + uuid.uuid4().hex[:8]
    buildx(
        "buildx", "build", "-t", tag, "--annotation", "who=me", "-o", f"type=oci,dest={tmp_path}/o.tar",
        "-o", f"type=docker,dest={tmp_path}/d.tar", "-o", f"type=local,dest={tmp_path}/out", folder,
    )  # fmt: skip
    assert (tmp_path / "out" / "in" / "a.txt").read_text() == (folder / "a.txt").read_text()
    _, index, manifest, _ = layout_of((tmp_path / "o.tar").read_bytes())
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == f"docker.io/library/{tag}:latest"
    assert manifest["annotations"] == {"who": "me"}
    assert own.docker("images", "-q", tag).stdout == ""
    own.docker("load", "-i", tmp_path / "d.tar")
    assert own.docker("run", "--rm", tag, "cat", "/in/a.txt").stdout == (folder / "a.txt").read_text()


@needs_buildx
def test_buildx_push(own, buildx, registry, context, tmp_path):
    tag = f"{registry.address}/bx-{uuid.uuid4().hex[:8]}:1"
    folder = context("FROM bk\nCOPY a.txt /in/\n", {"a.txt": uuid.uuid4().hex})
    metadata = tmp_path / "metadata.json"
    done = buildx("buildx", "build", "--progress", "plain", "-t", tag, "--push", "--metadata-file", metadata, folder)
    assert f"pushing manifest for {tag}" in done.stderr
    assert json.loads(metadata.read_text())["image.name"] == tag
    own.docker("rmi", tag)
    assert own.docker("run", "--rm", tag, "cat", "/in/a.txt").stdout == (folder / "a.txt").read_text()
    # Reproducible: SOURCE_DATE_EPOCH of the environment, twice without the cache.
    environment = dict(buildx.environment, SOURCE_DATE_EPOCH="1000000000")
    for name in ["1", "2"]:
        subprocess.run(
            ["docker", "buildx", "build", "--no-cache", "-o", f"type=oci,dest={tmp_path}/{name},rewrite-timestamp=true",
             folder], env=environment, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize(
    "cache, said",
    [
        (bk.message(f4=bk.message(f1="gha", f2={"url": "x"})), "cache export type=gha is not supported"),
        (bk.message(f4=bk.message(f1="registry")), "registry cache exporter requires ref"),
        (bk.message(f4=bk.message(f1="inline", f2={"mode": "max"})), "cache export type=inline: mode=max is not"),
        (bk.message(f5=bk.message(f1="s3", f2={"bucket": "x"})), "cache import type=s3 is not supported"),
    ],
)
def test_caches_refused(own, cache, said):
    request = bk.message(f1=uuid.uuid4().hex, f6="dockerfile.v0", f8=cache)
    answer = bk.call(own.socket, bk.CONTROL + "Solve", request)
    assert answer.status != 0 and said in answer.error


@needs_buildx
def test_buildx_caches(own, buildx, registry, context, tmp_path):
    names = [f"{registry.address}/bx-{uuid.uuid4().hex[:8]}:{i}" for i in range(2)]
    own.docker("tag", "bk", names[0])
    own.docker("push", "-q", names[0])
    folder = context(f"FROM {names[0]}\nRUN head -c 20 /dev/urandom >/r\nENV A=1\n")
    buildx("buildx", "build", "-t", names[1], "--cache-to", "type=inline", "--push", folder)
    own.docker("rmi", names[1])
    own.docker("builder", "prune", "-af")
    done = buildx("buildx", "build", "--progress", "plain", "--cache-from", names[1], folder)
    assert f"importing cache manifest from {names[1]}" in done.stderr and "CACHED" in done.stderr, done.stderr
    done = buildx("buildx", "build", "--progress", "plain", "--cache-from", names[0], folder)
    assert "the image has no inline cache" in done.stderr and "ERROR" in done.stderr
    # In a folder of the client, and in a registry.
    for to, source in [
        (f"type=local,dest={tmp_path}/cache", f"type=local,src={tmp_path}/cache"),
        (f"type=registry,ref={names[0]}-cache", f"type=registry,ref={names[0]}-cache"),
    ]:
        buildx("buildx", "build", "--cache-to", to + ",mode=max", folder)
        buildx("buildx", "build", "--cache-to", to + ",mode=max", folder)
        own.docker("builder", "prune", "-af")
        done = buildx("buildx", "build", "--progress", "plain", "--cache-from", source, folder)
        assert "importing cache manifest from" in done.stderr and "CACHED" in done.stderr, done.stderr
    assert (tmp_path / "cache" / "index.json").exists()
    done = buildx("buildx", "build", "--cache-from", f"type=local,src={tmp_path}/none", folder)
    assert done.returncode == 0


@needs_buildx
def test_buildx_standard_input(own, buildx, context):
    tag = "bx-" + uuid.uuid4().hex[:8]
    folder = context("FROM bk\nCOPY . /in\n", {"a.txt": "content"})
    script = f"tar -C {folder} -c . | docker build -q -t {tag} -"
    subprocess.run(["sh", "-c", script], env=buildx.environment, check=True, timeout=120, capture_output=True)
    assert own.docker("run", "--rm", tag, "cat", "/in/a.txt").stdout == "content"


@needs_buildx
def test_buildx_bake_and_history(own, buildx, context):
    tags = ["bx-" + uuid.uuid4().hex[:8] for _ in range(2)]
    folder = context("FROM bk\nARG WHO\nRUN echo $WHO >/who\n")
    targets = {
        f"t{i}": {"context": str(folder), "tags": [tag], "args": {"WHO": tag}} for i, tag in enumerate(tags)
    }
    (folder / "bake.json").write_text(json.dumps({"group": {"default": {"targets": list(targets)}}, "target": targets}))
    buildx("buildx", "bake", "--allow", f"fs.read={folder}", "-f", folder / "bake.json")
    for tag in tags:
        assert own.docker("run", "--rm", tag, "cat", "/who").stdout.strip() == tag
    assert "Completed" in buildx("buildx", "history", "ls").stdout
