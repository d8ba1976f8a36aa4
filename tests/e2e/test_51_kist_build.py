# SPDX-License-Identifier: Apache-2.0
"""kist build, commit, diff and builder prune; docker-py's client.images.build on the same socket."""
import io
import json
import os
import subprocess
import tarfile

import docker
import pytest


@pytest.fixture(scope="module")
def shared(shared_daemon, busybox_tar):
    shared_daemon.kist("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", busybox_tar, "bb:latest")
    return shared_daemon


@pytest.fixture
def context(tmp_path):
    path = tmp_path / "context"

    def make(dockerfile, files=None, name="Dockerfile"):
        path.mkdir(exist_ok=True)
        if dockerfile is not None:
            (path / name).write_text(dockerfile)
        for file, content in (files or {}).items():
            target = path / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        return path

    return make


def sh(daemon, image, script):
    return daemon.kist("run", "--rm", "--network", "none", image, "sh", "-c", script).stdout


def test_build_a_directory(shared, context, tmp_path):
    files = {"a": "A", "skip.log": "x", "deep/skip.log": "x", "deep/keep.log": "k", "dir/x": "x"}
    files[".dockerignore"] = "# comment\n**/*.log\ndir\n!deep/keep.log\nDockerfile\n"
    path = context("FROM bb\nARG V\nCOPY . /c\nRUN echo $V > /v\n", files)
    os.chmod(path / "a", 0o750)
    os.symlink("a", path / "link")
    run = shared.kist(
        "build", "-t", "kb:1", "--build-arg", "V=7", "--label", "l=1", "--iidfile", tmp_path / "iid", path
    )
    assert "Step 2/4 : ARG V" in run.stdout and "Successfully tagged kb:1" in run.stdout
    found = sh(shared, "kb:1", "cd /c; find . | sort; stat -c '%a %u:%g' a; readlink link; cat /v")
    assert found == ".\n./.dockerignore\n./a\n./deep\n./deep/keep.log\n./link\n750 0:0\na\n7\n"
    assert (tmp_path / "iid").read_text() == shared.inspect("kb:1")["Id"]
    assert shared.inspect("kb:1")["Config"]["Labels"] == {"l": "1"}


def test_quiet_and_cached(shared, context):
    path = context("FROM bb\nRUN head -c 9 /dev/urandom | md5sum > /stamp\n")
    first = shared.kist("build", "-q", path).stdout
    assert first.startswith("sha256:") and first.count("\n") == 1
    assert shared.kist("build", "-q", path).stdout == first
    assert shared.kist("build", "-q", "--no-cache", path).stdout != first


def test_dockerfile_elsewhere_and_stdin(shared, context, tmp_path):
    path = context(None, {"f": "F", "sub/My.Dockerfile": "FROM bb\nCOPY f /from-sub\n"})
    (tmp_path / "Other").write_text("FROM bb\nCOPY . /all\n")
    shared.kist("build", "-t", "kb:sub", "-f", path / "sub/My.Dockerfile", path)
    assert sh(shared, "kb:sub", "cat /from-sub") == "F"
    shared.kist("build", "-t", "kb:other", "-f", tmp_path / "Other", path)
    assert sh(shared, "kb:other", "ls /all | grep -v '^sub$'") == "f\n"
    shared.kist("build", "-t", "kb:stdin", "-f", "-", path, input="FROM bb\nCOPY f /from-stdin\n")
    assert sh(shared, "kb:stdin", "cat /from-stdin") == "F"
    shared.kist("build", "-t", "kb:text", "-", input="FROM bb\nRUN echo text > /text\n")
    assert sh(shared, "kb:text", "cat /text") == "text\n"


def test_context_from_stdin(shared, tmp_path):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in (("Dockerfile", b"FROM bb\nCOPY f /f\n"), ("f", b"from-tar")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    archive = tmp_path / "context.tar.gz"
    archive.write_bytes(data.getvalue())
    with open(archive, "rb") as stdin:
        shared.kist("build", "-t", "kb:tar", "-", stdin=stdin)
    assert sh(shared, "kb:tar", "cat /f") == "from-tar"


WORDS = [
    ("RUN " + "x" * 65536, "dockerfile line greater than max allowed size of 65535"),
    ("COPY --link --link Dockerfile /x", "duplicate flag specified: --link"),
    ("COPY --chown Dockerfile /x", "missing a value on flag: --chown"),
    ("COPY --link=maybe Dockerfile /x", "expecting boolean value for flag --link, not: maybe"),
    ("COPY --nosuch Dockerfile /x", "unknown flag: --nosuch"),
    ('CMD ["a", 1]', "when using JSON array syntax, arrays must be comprised of strings only"),
    ("ENV A=1 B", "Syntax error - can't find = in \"B\". Must be of the form: name=value"),
    ("COPY Dockerfile <<EOF\nx\nEOF", "a heredoc cannot be the destination"),
    ("ENV A=${}", "syntax error: bad substitution"),
    ("ENV A=${B", "syntax error: missing '}'"),
    ("ENV A=${B?}", "B: is not allowed to be unset"),
    ("ENV B=\"\"\nENV A=${B:?}", "B: is not allowed to be empty"),
    ("ENV A=${B@x}", "unsupported modifier (@) in substitution"),
    ("WORKDIR 'x", "unexpected end of statement while looking for matching single-quote"),
    ("ARG S=bb\nCOPY --from=$S /bin/sh /x", "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"),
    ("ARG S=bb\nRUN --mount=from=$S,target=/x true", "'from' doesn't support variable expansion, define alias stage instead"),
    ("COPY x", "COPY requires at least two arguments, but only one was provided. Destination could not be determined"),
    ("ADD x", "ADD requires at least two arguments, but only one was provided. Destination could not be determined"),
    ("COPY --chmod=9 Dockerfile /x", "invalid chmod parameter: '9'. it should be octal string and between 0 and 07777"),
    ("COPY --from=last /x /x", "last: circular dependency detected"),
    ("WORKDIR", "WORKDIR requires exactly one argument"),
    ("USER", "USER requires exactly one argument"),
    ("EXPOSE", "EXPOSE requires at least one argument"),
    ("RUN --mount=type=secret,id=nosuch,required true", "secret nosuch: not found"),
    ("RUN --mount=type=nosuch,target=/x true", "nosuch"),
    ("RUN --network=nosuch true", "nosuch"),
    ("RUN --security=nosuch true", "nosuch"),
]  # fmt: skip


def test_every_mistake_in_the_reference_s_words(shared, context):
    wrong = []
    for line, said in WORDS:
        failed = shared.kist("build", "--force-rm", context(f"FROM bb AS last\n{line}\n"), check=False)
        if failed.returncode == 0 or said not in failed.stderr + failed.stdout:
            wrong.append((line[:80], failed.stderr))
    assert not wrong
    path = context("FROM bb\nCOPY . /x\n", {".dockerignore": "!\n"})
    failed = shared.kist("build", path, check=False)
    assert failed.returncode != 0 and 'illegal exclusion pattern: "!"' in failed.stderr


SCRIPT = """#!/bin/kist
from bb
# a comment
env WHO=you
copy f /f
mkdir /made && \\
  echo $WHO > /made/who
run env > /env
cmd ["cat", "/made/who"]
"""


def test_a_script(shared, context, tmp_path):
    path = context(None, {"f": "F"})
    (tmp_path / "steps").write_text(SCRIPT)
    shared.kist("build", "-t", "kb:script", "--script", tmp_path / "steps", path)
    assert sh(shared, "kb:script", "cat /f /made/who; grep WHO /env") == "Fyou\nWHO=you\n"
    assert shared.inspect("kb:script")["Config"]["Cmd"] == ["cat", "/made/who"]
    again = shared.kist("build", "-t", "kb:script2", "--script", "-", path, input=SCRIPT)
    assert again.stdout.count("Using cache") == again.stdout.count("Step ") - 1
    assert shared.inspect("kb:script2")["Id"] == shared.inspect("kb:script")["Id"]
    for script, said in (
        ("make\n", 'script, line 1: the first step must be "from IMAGE"'),
        ("", "the script has no steps"),
        ("from bb\n\ncopy nosuch /x\n", "nosuch"),
        ("from bb\nexit 7\n", "returned a non-zero code: 7"),
    ):
        failed = shared.kist("build", "--force-rm", "--script", "-", path, input=script, check=False)
        assert failed.returncode != 0 and said in failed.stderr, script
    failed = shared.kist("build", "--script", "-", "-f", "x", path, input="", check=False)
    assert failed.returncode != 0 and "--script takes the place of a Dockerfile" in failed.stderr


def test_failures(shared, context, tmp_path):
    failed = shared.kist("build", "--force-rm", context("FROM bb\nRUN exit 42\n"), check=False)
    assert failed.returncode == 42
    assert "The command '/bin/sh -c exit 42' returned a non-zero code: 42" in failed.stderr
    assert shared.kist("ps", "-aq").stdout == ""
    for args, said in (
        ((tmp_path / "nosuch",), "not found"),
        (("https://example.invalid/x.git",), "failed to fetch remote https://example.invalid/x.git"),
        (("-f", "Nosuch", context("FROM bb\n")), "no such file or directory"),
        (("-f", "-", "-"), "can't use stdin for both"),
        (("-t", "Bad Name", context("FROM bb\n")), "invalid tag"),
        (("--ulimit", "x", context("FROM bb\n")), "invalid ulimit"),
    ):
        failed = shared.kist("build", *args, check=False, input="")
        assert failed.returncode != 0 and said in failed.stderr, args


def test_an_unreadable_file_builds_nothing(shared, context):
    path = context("FROM bb\nCOPY . /c\n", {"z/ok": "1"})
    deep = path / "z"
    for _ in range(300):
        deep = deep / "d"
    os.makedirs(deep)
    failed = shared.kist("build", "-t", "kb:never", path, check=False)
    assert failed.returncode != 0 and "directories deep" in failed.stderr
    assert shared.kist("images", "-q", "kb:never").stdout == ""


def test_commit_and_diff(shared):
    shared.kist("run", "--name", "kc", "--network", "none", "bb", "sh", "-c", "echo n > /new; rm /bin/wget")
    assert sorted(shared.kist("diff", "kc").stdout.splitlines()) == ["A /new", "C /bin", "D /bin/wget"]
    made = shared.kist("commit", "-m", "why", "-c", "ENV X=1", "kc", "kcommitted:2").stdout.strip()
    assert shared.inspect("kcommitted:2")["Id"] == made
    assert sh(shared, "kcommitted:2", "cat /new; echo $X; ls /bin/wget 2>&1 | head -n 1").startswith("n\n1\nls: ")
    shared.kist("rm", "kc")
    assert shared.kist("commit", "nosuch", check=False).returncode == 1


def test_prune_of_the_cache(shared, context):
    path = context("FROM bb\nRUN head -c 100000 /dev/urandom > /big\n")
    image = shared.kist("build", "-q", path).stdout.strip()
    usage = json.loads(shared.kist("system", "df", "--format", "json").stdout.splitlines()[-1])
    assert usage["Type"] == "Build Cache" and int(usage["TotalCount"]) > 0
    # An image has this layer too: it stays without --all, and its step stays cached.
    shared.kist("builder", "prune", "-f")
    assert shared.kist("build", "-q", path).stdout.strip() == image
    shared.kist("rmi", "-f", image)
    # Its files, and the same bytes as a blob to push.
    assert "Total reclaimed space: 20" in shared.kist("builder", "prune", "-f").stdout
    assert shared.kist("build", "-q", path).stdout.strip() != image
    shared.kist("builder", "prune", "-af")
    usage = json.loads(shared.kist("system", "df", "--format", "json").stdout.splitlines()[-1])
    assert int(usage["TotalCount"]) == 0


def test_docker_py(shared, context):
    client = docker.DockerClient(base_url=f"unix://{shared.socket}", version="auto", timeout=60)
    try:
        path = context("FROM bb\nARG A\nRUN echo $A > /a\nCOPY f /f\n", {"f": "py"})
        image, lines = client.images.build(path=str(path), tag="py:1", buildargs={"A": "arg"}, rm=True)
        assert "py:1" in image.tags
        assert any("Step 2/4" in line.get("stream", "") for line in lines)
        assert client.containers.run("py:1", "cat /a /f", remove=True, network_mode="none") == b"arg\npy"
        with pytest.raises(docker.errors.BuildError) as failed:
            client.images.build(path=str(context("FROM bb\nRUN exit 3\n")), forcerm=True)
        assert "returned a non-zero code: 3" in str(failed.value)
        # Without rm the containers of the steps stay, as dockerd leaves them.
        client.images.build(path=str(context("FROM bb\nRUN echo kept > /kept\n")), tag="py:kept", rm=False)
        kept = client.containers.list(all=True)
        assert len(kept) == 1
        assert client.containers.run("py:kept", "cat /kept", remove=True, network_mode="none") == b"kept\n"
        kept[0].remove()
        container = client.containers.create("bb")
        assert container.commit("py", "committed").tags == ["py:committed"]
        assert container.diff() is None or container.diff() == []
        container.remove()
    finally:
        client.close()


def test_help_and_man_name_the_commands(shared):
    for group in (("build",), ("commit",), ("diff",), ("builder", "prune")):
        run = subprocess.run([shared.program("kist"), *group, "--help"], capture_output=True, text=True, check=True)
        assert "Usage:" in run.stdout
