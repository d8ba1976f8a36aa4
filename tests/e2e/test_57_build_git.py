# SPDX-License-Identifier: Apache-2.0
"""Git repositories as sources and contexts of builds: from servers on loopback."""
import base64
import os
import socket
import subprocess
import uuid

import pytest
from lib import buildkit as bk
from lib.git_server import GitServer, Repository, git
from lib.wait import wait_for


@pytest.fixture(scope="module")
def shared(shared_daemon, busybox_tar):
    shared_daemon.kist("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", busybox_tar, "bb:latest")
    return shared_daemon


@pytest.fixture
def smart(tmp_path):
    (tmp_path / "git").mkdir()
    server = GitServer(tmp_path / "git")
    yield server
    server.close()


@pytest.fixture
def repository(smart):
    """main with two commits, a branch, an annotated tag."""
    made = Repository(smart.root, "repo")
    made.first = made.commit({"a": "1\n", "dir/f": "F\n", "run": "#!/bin/sh\n"})
    os.chmod(made.work / "run", 0o755)
    os.symlink("a", made.work / "link")
    made.second = made.commit({"a": "2\n"}, "m", ("tag", "-a", "-m", "t", "v1"), ("branch", "side"))
    made.third = made.commit({"a": "3\n"})
    return made


def tag():
    return "git-" + uuid.uuid4().hex[:10]


def sh(daemon, image, script):
    return daemon.kist("run", "--rm", "--network", "none", image, "sh", "-c", script).stdout


def test_add(shared, smart, repository, context):
    url = f"{smart.url}/repo.git"
    name = tag()
    shared.kist(
        "build", "-t", name,
        context(
            f"FROM bb\nARG U={url}\nADD $U /head/\nADD $U#v1 /tag\nADD $U#side:dir /sub/\n"
            f"ADD --checksum={repository.first[:12]} $U#{repository.first} /first/\n"
            f"ADD $U?branch=main&subdir=dir&mtime=commit /times/\nADD --chown=3:4 --exclude=d* $U /some/\n"
        ),
    )  # fmt: skip
    assert sh(shared, name, "cat /head/a /tag/a /sub/f /first/a") == "3\n2\nF\n1\n"
    assert sh(shared, name, "cd /head; find . | sort; stat -c '%a %u:%g' a run dir; readlink link").splitlines() == [
        ".", "./a", "./dir", "./dir/f", "./link", "./run", "644 0:0", "755 0:0", "755 0:0", "a",
    ]  # fmt: skip
    assert sh(shared, name, "stat -c %Y /times/f; ls /some; stat -c %u:%g /some/a") == "1445412480\na\nlink\nrun\n3:4\n"


def test_what_the_server_has_now_decides(shared, smart, repository, context):
    path = context(f"FROM bb\nADD {smart.url}/repo.git /r\nRUN head -c 9 /dev/urandom | md5sum > /stamp\n")
    one, two, three = tag(), tag(), tag()
    shared.kist("build", "-t", one, path)
    asked = len(smart.asked)
    shared.kist("build", "-t", two, path)
    assert not [path for path in smart.asked[asked:] if "upload-pack" in path and "info/refs" not in path][1:]
    repository.commit({"a": "4\n"})
    shared.kist("build", "-t", three, path)
    stamps = [sh(shared, name, "cat /r/a /stamp") for name in (one, two, three)]
    assert stamps[0] == stamps[1] and stamps[2].startswith("4\n") and stamps[2][2:] != stamps[0][2:]


def test_a_commit_needs_no_network_twice(shared, smart, repository, context):
    path = context(f"FROM bb\nADD {smart.url}/repo.git#{repository.second} /r\n")
    shared.kist("build", path)
    smart.close()
    name = tag()
    shared.kist("build", "-t", name, path)
    assert sh(shared, name, "cat /r/a") == "2\n"


def test_keep_git_dir(shared, smart, repository, context, tmp_path):
    name = tag()
    shared.kist("build", "-t", name, context(f"FROM bb\nADD --keep-git-dir {smart.url}/repo.git#refs/tags/v1 /r\n"))
    assert sh(shared, name, "cat /r/.git/HEAD").strip() == repository.second
    out = tmp_path / "out"
    out.mkdir()
    container = shared.kist("create", name).stdout.strip()
    shared.kist("cp", f"{container}:/r", out)
    shared.kist("rm", container)
    assert git("status", "--porcelain", cwd=out / "r") == ""
    assert git("rev-parse", "refs/tags/v1^{commit}", cwd=out / "r") == repository.second
    assert git("remote", "get-url", "origin", cwd=out / "r") == f"{smart.url}/repo.git"


def test_submodules(shared, smart, repository, context):
    outer = Repository(smart.root, "outer")
    middle = Repository(smart.root, "middle")
    middle.commit({"m": "M\n"}, "m", ("submodule", "add", "-q", f"{smart.url}/repo.git", "inner"), ("commit", "-q", "-m", "s"))  # fmt: skip
    outer.commit({"o": "O\n"}, "m", ("submodule", "add", "-q", f"{smart.url}/middle.git", "deep"), ("commit", "-q", "-m", "s"))  # fmt: skip
    name = tag()
    shared.kist("build", "-t", name, context(f"FROM bb\nADD {smart.url}/outer.git /r\nADD {smart.url}/outer.git?submodules=0 /n\n"))  # fmt: skip
    assert sh(shared, name, "cat /r/o /r/deep/m /r/deep/inner/a; ls -A /n/deep; find /r -name .git") == "O\nM\n3\n"


def test_files_over_http(shared, tmp_path, context):
    """A server that knows nothing of git: no single commit can be had of it."""
    (tmp_path / "git").mkdir()
    server = GitServer(tmp_path / "git", smart=False)
    try:
        made = Repository(server.root, "repo")
        first = made.commit({"a": "1\n"})
        made.commit({"a": "2\n"})
        name = tag()
        shared.kist("build", "-t", name, context(f"FROM bb\nADD {server.url}/repo.git /new\nADD {server.url}/repo.git#{first} /old\n"))  # fmt: skip
        assert sh(shared, name, "cat /new/a /old/a") == "2\n1\n"
    finally:
        server.close()


def test_secrets(shared, smart, repository, context, tmp_path):
    (tmp_path / "token").write_text("t0ken")
    smart.header = "basic " + base64.b64encode(b"x-access-token:t0ken").decode()
    path = context(f"FROM bb\nADD {smart.url}/repo.git /r\n")
    failed = shared.kist("build", path, check=False)
    assert failed.returncode != 0 and "could not read Username" in failed.stderr + failed.stdout
    host = smart.url.removeprefix("http://")
    for secret in ("GIT_AUTH_TOKEN", f"GIT_AUTH_TOKEN.{host}"):
        run = shared.kist("build", "--no-cache", "--secret", f"id={secret},src={tmp_path}/token", "-t", tag(), path)
        assert "t0ken" not in run.stdout + run.stderr + shared.log.read_text()


def test_a_stranger_cannot_name_our_files(shared, smart, repository, context, tmp_path):
    """A submodule that is a folder of this machine; a hook and a filter in the repository's own words."""
    other = Repository(tmp_path, "private")
    other.commit({"secret": "s"})
    outer = Repository(smart.root, "hostile")
    outer.commit(
        {"o": "O\n"}, "m", ("submodule", "add", "-q", str(other.bare), "deep"),
        ("config", "-f", ".gitmodules", "submodule.deep.url", "file:///etc/private.git"), ("commit", "-q", "-a", "-m", "s"),
    )  # fmt: skip
    failed = shared.kist("build", context(f"FROM bb\nADD {smart.url}/hostile.git /r\n"), check=False)
    assert failed.returncode != 0 and "transport 'file' not allowed" in failed.stderr + failed.stdout


def asking(address):
    """Programs other than kist that have this address among their arguments."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as line:
                words = line.read()
        except OSError:
            continue
        if address in words and not words.split(b"\0")[0].endswith(b"/kist"):
            found.append(number)
    return found


@pytest.mark.parametrize("how", ["client", "engine"])
def test_git_ends_with_its_build(daemon, busybox_tar, context, how):
    daemon.kist("import", busybox_tar, "bb:latest")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        address = f"127.0.0.1:{silent.getsockname()[1]}/{uuid.uuid4().hex}.git"
        path = context(f"FROM bb\nADD http://{address} /x\n")
        argv = [daemon.program("kist"), "-H", f"unix://{daemon.socket}", "build", path]
        client = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: asking(address.encode()))
            if how == "client":
                client.kill()
            else:
                daemon.kill()
            wait_for(lambda: not asking(address.encode()))
        finally:
            client.kill()
            client.wait(60)
    if how == "engine":
        daemon.start()


# ---- contexts ----


def solve(daemon, folder, attrs, name):
    """A build as BuildKit's clients ask for it."""
    ref, session_name = uuid.uuid4().hex, uuid.uuid4().hex
    session = bk.Session(daemon.socket, session_name, folder, None, "")
    session.mischief, session.agents, session.takes_tar = None, {}, False
    try:
        request = bk.solve_request(ref, session_name, attrs, [("moby", {"name": name})], ())
        return bk.call(daemon.socket, bk.CONTROL + "Solve", request)
    finally:
        session.close()


@pytest.fixture
def sources(repository):
    repository.commit(
        {
            "Dockerfile": "FROM bb\nCOPY a /a\nRUN cat /a > /ran\n",
            "dir/Other": "FROM bb\nCOPY . /all\n",
            ".dockerignore": "dir/f\n",
        }
    )
    return repository


def test_context(shared, smart, sources, context):
    one, two = tag(), tag()
    shared.kist("build", "-t", one, f"{smart.url}/repo.git")
    assert sh(shared, one, "cat /ran") == "3\n"
    shared.kist("build", "-t", two, "-f", "Other", f"{smart.url}/repo.git#main:dir")
    assert sh(shared, two, "ls -A /all") == "Other\nf\n"
    failed = shared.kist("build", f"{smart.url}/repo.git#v1", check=False)
    assert failed.returncode != 0 and "Cannot locate specified Dockerfile: Dockerfile" in failed.stderr
    failed = shared.kist("build", f"{smart.url}/none.git", check=False)
    assert failed.returncode != 0 and "failed to fetch remote" in failed.stderr


def test_context_of_buildkit(shared, smart, sources, context):
    one, two = tag(), tag()
    folder = context("FROM bb\nCOPY --from=src a /named\n")
    answer = solve(shared, folder, {"context": f"{smart.url}/repo.git#main"}, one)
    assert answer.status == 0, answer.error
    assert sh(shared, one, "cat /ran") == "3\n"
    answer = solve(shared, folder, {"context:src": f"{smart.url}/repo.git#side"}, two)
    assert answer.status == 0, answer.error
    assert sh(shared, two, "cat /named") == "2\n"
    kept = {"context": f"{smart.url}/repo.git", "dockerfilekey": "dockerfile", "build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"}
    context("FROM bb\nCOPY .git/HEAD /head\n")
    answer = solve(shared, folder, kept, one)
    assert answer.status == 0, answer.error
    assert len(sh(shared, one, "cat /head").strip()) == 40


BAD = [
    ("ADD {url}/repo.git#nosuch /x", "repository does not contain ref nosuch"),
    ("ADD {url}/none.git /x", "failed to fetch remote {url}/none.git"),
    ("ADD --checksum=abcdef0 {url}/repo.git /x", "expected checksum to match abcdef0, got {third}"),
    ("ADD --checksum=xyz {url}/repo.git /x", "invalid checksum xyz for Git URL, expected hex commit hash"),
    ("ADD {url}/repo.git#:nosuch /x", "failed to open subdir nosuch"),
    ("ADD {url}/repo.git?x=y /x", 'unexpected query "x"'),
    ("ADD {url}/repo.git?fetch-by-commit /x", "fetch-by-commit requires a checksum or a commit SHA ref"),
    ("ADD --keep-git-dir {url}/repo.git?keep-git-dir=0 /x", "inconsistent keep-git-dir configuration"),
    (f"ADD {{url}}/repo.git#{'0' * 40} /x", "failed to fetch remote {url}/repo.git|commit can not be found"),
    ("COPY {url}/repo.git /x", "source can't be a git ref for COPY"),
    ("ADD git@127.0.0.1:--upload-pack=x/y /x", "failed to fetch remote git@127.0.0.1:--upload-pack=x/y"),
]


def test_bad_references(shared, smart, repository, context):
    for line, said in BAD:
        failed = shared.kist("build", context(f"FROM bb\n{line.format(url=smart.url)}\n"), check=False)
        text = failed.stderr + failed.stdout
        assert failed.returncode != 0, line
        assert any(part in text for part in said.format(url=smart.url, third=repository.third).split("|")), text
