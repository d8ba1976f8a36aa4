# SPDX-License-Identifier: Apache-2.0
"""docker build (the classic protocol) with the stock docker CLI: the language, the cache, bad input, kill -9."""
import io
import os
import signal
import socket
import subprocess
import tarfile

import pytest

from lib.daemon import Daemon
from lib.wait import wait_for

CLASSIC = {"DOCKER_BUILDKIT": "0"}


def load(daemon, tar):
    daemon.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", tar, "bb:latest")
    daemon.environment.update(CLASSIC)
    return daemon


@pytest.fixture
def own(daemon, busybox_tar):
    return load(daemon, busybox_tar)


@pytest.fixture(scope="module")
def shared(shared_daemon, busybox_tar):
    return load(shared_daemon, busybox_tar)


def build(daemon, path, *options, check=True, **more):
    return daemon.docker("build", *options, path, check=check, **more)


def config(daemon, name):
    return daemon.inspect(name)["Config"]


def sh(daemon, image, script):
    return daemon.docker("run", "--rm", "--network", "none", image, "sh", "-c", script).stdout


# ---- the language ----


def test_a_small_build(shared, context):
    path = context('FROM bb\nRUN echo made > /made\nCOPY hello /hello\nCMD ["cat", "/hello"]\n', {"hello": "hi\n"})
    run = build(shared, path, "-t", "small:1", "-t", "small:2")
    assert "Step 1/4 : FROM bb" in run.stdout
    assert "Step 2/4 : RUN echo made > /made" in run.stdout
    assert " ---> Running in " in run.stdout
    assert " ---> Removed intermediate container " in run.stdout
    assert "Successfully built " in run.stdout
    assert "Successfully tagged small:1\nSuccessfully tagged small:2\n" in run.stdout
    assert shared.docker("run", "--rm", "--network", "none", "small:1").stdout == "hi\n"
    assert sh(shared, "small:2", "cat /made") == "made\n"
    history = shared.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", "small:1").stdout.splitlines()
    assert history[0] == 'CMD ["cat" "/hello"]'
    assert history[1] == "COPY hello /hello # buildkit"
    assert history[2] == "RUN /bin/sh -c echo made > /made # buildkit"
    # The containers of the steps are gone.
    assert shared.docker("ps", "-aq").stdout == ""


def test_output_of_a_step_is_shown(shared, context):
    run = build(shared, context("FROM bb\nRUN echo to-stdout; echo to-stderr >&2; printf 'h\\303\\251llo\\n'\n"))
    assert "to-stdout" in run.stdout
    assert "to-stderr" in run.stdout + run.stderr
    assert "h\u00e9llo" in run.stdout


CONFIG = """FROM bb
MAINTAINER someone
ENV A=1 B="two words" C=$A
ENV OLD form  here
ARG WITH=default
ARG WITHOUT
LABEL one=1 "quoted key"="v $A"
EXPOSE 80 8000-8001/udp
VOLUME /data /more
VOLUME ["/json one", "/two"]
USER user
WORKDIR /w
WORKDIR inner/$WITH
STOPSIGNAL SIGQUIT
SHELL ["/bin/sh", "-e", "-c"]
HEALTHCHECK --interval=5s --retries=2 CMD true
ENTRYPOINT ["sh", "-c"]
CMD echo hi
ONBUILD RUN echo triggered > /triggered
"""


def test_config_instructions(shared, context):
    build(shared, context(CONFIG), "-t", "cfg", "--label", "given=yes", "--build-arg", "WITH=arg")
    inspect = shared.inspect("cfg")
    found = inspect["Config"]
    assert inspect["Author"] == "someone"
    env = dict(item.split("=", 1) for item in found["Env"])
    assert env["A"] == "1" and env["B"] == "two words" and env["C"] == "" and env["OLD"] == "form  here"
    assert "WITH" not in env
    assert found["Labels"] == {"one": "1", "quoted key": "v 1", "given": "yes"}
    assert set(found["ExposedPorts"]) == {"80/tcp", "8000/udp", "8001/udp"}
    assert set(found["Volumes"]) == {"/data", "/more", "/json one", "/two"}
    assert found["User"] == "user"
    assert found["WorkingDir"] == "/w/inner/arg"
    assert found["StopSignal"] == "SIGQUIT"
    assert found["Shell"] == ["/bin/sh", "-e", "-c"]
    assert found["Healthcheck"]["Test"] == ["CMD-SHELL", "true"]
    assert found["Healthcheck"]["Interval"] == 5_000_000_000 and found["Healthcheck"]["Retries"] == 2
    assert found["Entrypoint"] == ["sh", "-c"]
    assert found["Cmd"] == ["/bin/sh", "-e", "-c", "echo hi"]
    assert found["OnBuild"] == ["RUN echo triggered > /triggered"]


def test_onbuild_runs_in_the_child(shared, context):
    build(shared, context("FROM bb\nONBUILD COPY hello /from-trigger\nONBUILD RUN echo x > /x\n"), "-t", "parent")
    run = build(shared, context("FROM parent\nRUN echo child\n", {"hello": "H"}), "-t", "child")
    assert "# Executing 2 build triggers" in run.stdout
    assert sh(shared, "child", "cat /from-trigger /x") == "Hx\n"
    assert not config(shared, "child").get("OnBuild")


STAGES = """ARG BASE=bb
FROM ${BASE} AS first
RUN mkdir /out && echo one > /out/one && chown 1000:1000 /out/one
FROM first AS second
RUN echo two > /out/two
FROM bb AS unused
RUN false
FROM scratch
COPY --from=second /out /
COPY --from=0 --chown=5:6 --chmod=0640 /out/one /renamed
COPY --from=bb /bin/busybox /bin/sh
COPY --from=bb /bin/busybox /bin/stat
CMD ["/bin/sh"]
"""


def test_stages(shared, context):
    build(shared, context(STAGES), "-t", "stages")
    assert sh(shared, "stages", "/bin/stat -c '%n %u:%g %a' /one /two /renamed") == (
        "/one 1000:1000 644\n/two 0:0 644\n/renamed 5:6 640\n"
    )
    run = build(shared, context(STAGES), "-t", "st1", "--target", "first")
    assert "Step 2/2 : RUN mkdir /out" in run.stdout
    assert sh(shared, "st1", "ls /out") == "one\n"
    failed = build(shared, context(STAGES), "--target", "nosuch", check=False)
    assert failed.returncode != 0 and "nosuch" in failed.stderr


RUNS = """FROM bb
ENV NAME=value
RUN ["/bin/sh", "-c", "echo exec > /exec"]
RUN echo $NAME \\
    # a comment
    and more > /shell
RUN <<EOF
echo first > /heredoc
echo second $NAME >> /heredoc
EOF
RUN <<PROGRAM
#!/bin/cat
only shown
PROGRAM
RUN cat <<ONE > /one && cat <<-TWO > /two
body $NAME
ONE
\ttabs
TWO
RUN --network=none ip addr > /net
USER user
WORKDIR /home/user
RUN id -u > whoami && pwd >> whoami
"""


def test_run_forms(shared, context):
    run = build(shared, context(RUNS), "-t", "forms")
    assert "only shown" in run.stdout
    assert sh(shared, "forms", "cat /exec /shell /heredoc /one /two") == (
        "exec\nvalue and more\nfirst\nsecond value\nbody value\ntabs\n"
    )
    assert "eth0" not in sh(shared, "forms", "cat /net")
    assert sh(shared, "forms", "cat /home/user/whoami") == "1000\n/home/user\n"


COPY_FILES = {
    "a.txt": "a",
    "b.txt": "b",
    "c.md": "c",
    "dir/inner/deep": "deep",
    "dir/top": "top",
    "dir/skip.log": "log",
    "dir/keep.log": "kept",
    "ignored/x": "x",
    ".dockerignore": "**/*.log\nignored\n!dir/keep.log\n",
}
COPIES = """FROM bb
WORKDIR /work
COPY *.txt texts/
COPY dir .
COPY a.txt renamed
COPY a.txt b.txt /two/
COPY ["c.md", "/json form/"]
COPY --chown=user --chmod=u=rwX,go= dir/inner /owned
COPY --exclude=top dir /excluded
COPY --parents dir/inner/deep /parents/
COPY <<EOF /here
hello $PATH
EOF
COPY <<'ONE' <<TWO /many/
$PATH
ONE
two
TWO
"""


def test_copy_forms(shared, context):
    path = context(COPIES, COPY_FILES)
    build(shared, path, "-t", "copies")
    assert sh(shared, "copies", "cd /work; ls -A . texts") == (
        ".:\ninner\nkeep.log\nrenamed\ntexts\ntop\n\ntexts:\na.txt\nb.txt\n"
    )
    assert sh(shared, "copies", "cat /two/a.txt /two/b.txt '/json form/c.md' /work/inner/deep") == "abcdeep"
    assert sh(shared, "copies", "stat -c '%u:%g %a' /owned /owned/deep") == "1000:1000 700\n1000:1000 600\n"
    assert sh(shared, "copies", "ls /excluded; cat /parents/dir/inner/deep") == "inner\nkeep.log\ndeep"
    assert sh(shared, "copies", "cat /here /many/ONE /many/TWO") == "hello /bin:/usr/bin\n$PATH\ntwo\n"


def test_links_in_the_context_stay_inside(shared, context):
    path = context("FROM bb\nCOPY good /good\nCOPY dir /dir\n", {"real": "real", "dir/file": "f"})
    os.symlink("real", path / "good")
    os.symlink("/etc/shadow", path / "dir/outside")
    build(shared, path, "-t", "links")
    assert sh(shared, "links", "cat /good; readlink /dir/outside") == "real/etc/shadow\n"
    os.symlink("/etc/shadow", path / "bad")
    (path / "Dockerfile").write_text("FROM bb\nCOPY bad /stolen\n")
    failed = build(shared, path, check=False)
    assert failed.returncode != 0
    assert "COPY failed: file not found in build context or excluded by .dockerignore" in failed.stderr
    for source in ("../secret", "/etc/hostname", "a/../../x"):
        (path / "Dockerfile").write_text(f"FROM bb\nCOPY {source} /stolen\n")
        assert build(shared, path, check=False).returncode != 0


def packed():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        info = tarfile.TarInfo("sub/file")
        info.size, info.uid, info.gid, info.mode = 4, 7, 8, 0o4755
        tar.addfile(info, io.BytesIO(b"data"))
    return data.getvalue()


def test_add(shared, context):
    path = context(
        "FROM bb\nADD pack.tar.gz plain.txt /into/\nADD --unpack=false pack.tar.gz /kept.tar.gz\n", {"plain.txt": "p"}
    )
    (path / "pack.tar.gz").write_bytes(packed())
    build(shared, path, "-t", "added")
    shown = sh(shared, "added", "stat -c '%u:%g %a' /into/sub/file; cat /into/sub/file /into/plain.txt")
    assert shown == "7:8 4755\ndatap"
    assert sh(shared, "added", "od -An -tx1 -N2 /kept.tar.gz").split() == ["1f", "8b"]
    (path / "Dockerfile").write_text("FROM bb\nADD pack.tar.gz /x\n")
    (path / "pack.tar.gz").write_bytes(packed()[:20])
    assert build(shared, path, check=False).returncode != 0


@pytest.mark.parametrize("kind", ["xz", "bz2"])
def test_add_of_other_compressions(shared, context, kind):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{kind}") as tar:
        info = tarfile.TarInfo("etc/inside")
        info.size = 6
        tar.addfile(info, io.BytesIO(b"packed"))
    path = context("FROM scratch\nADD root.tar /\n")
    (path / "root.tar").write_bytes(data.getvalue())
    build(shared, path, "-t", f"packed:{kind}")
    (path / "Dockerfile").write_text(f"FROM bb\nCOPY --from=packed:{kind} /etc/inside /x\n")
    build(shared, path, "-t", "unpacked")
    assert sh(shared, "unpacked", "cat /x") == "packed"


CHANGES = """FROM bb
RUN true
RUN touch /new && rm /bin/wget && rm -r /home/user && mkdir /home/user && echo x > /home/user/y
"""


def test_layers_are_what_changed(shared, context):
    build(shared, context(CHANGES), "-t", "changed")
    # RUN true changes nothing, not even for the places of /etc/hosts and /proc.
    assert len(shared.inspect("changed")["RootFS"]["Layers"]) == 2
    assert sh(shared, "changed", "ls /home/user") == "y\n"
    gone = shared.docker("run", "--rm", "--network", "none", "changed", "ls", "/bin/wget", check=False)
    assert gone.returncode == 1


# ---- build arguments, network, limits ----

ARGUMENTS = """ARG GLOBAL=g
ARG VERSION
FROM bb
ARG GLOBAL
ARG VERSION=1
ARG SHOWN=${VERSION}-x
ENV HIDES=env
ARG HIDES=arg
ARG TARGETARCH
ARG TARGETPLATFORM
RUN echo "$GLOBAL $VERSION $SHOWN $HIDES $TARGETARCH $TARGETPLATFORM $HTTP_PROXY" > /args
"""


def test_arguments(shared, context):
    given = ("--build-arg", "VERSION=9", "--build-arg", "NOBODY=1", "--build-arg", "HTTP_PROXY=http://secret-proxy:1")
    run = build(shared, context(ARGUMENTS), "-t", "args", *given)
    assert "One or more build-args [NOBODY] were not consumed" in run.stdout
    assert sh(shared, "args", "cat /args").startswith("g 9 9-x env amd64 linux/amd64 http://secret-proxy:1")
    assert "secret-proxy" not in shared.docker("history", "--no-trunc", "args").stdout
    assert not any("VERSION" in item for item in config(shared, "args")["Env"])


LIMITS = """FROM bb
RUN cat /etc/hosts > /hosts; grep /dev/shm /proc/mounts > /shm; sh -c 'ulimit -n' > /limit; ls /sys/class/net > /net
"""


def test_limits_hosts_and_shm(shared, context):
    options = ("--add-host", "friend:10.1.2.3", "--shm-size", "8m", "--ulimit", "nofile=77:88", "--network", "none")
    build(shared, context(LIMITS), "-t", "limits", *options, "--memory", "200m")
    assert "10.1.2.3\tfriend" in sh(shared, "limits", "cat /hosts")
    assert "size=8192k" in sh(shared, "limits", "cat /shm")
    assert sh(shared, "limits", "cat /limit /net") == "77\nlo\n"


# ---- the cache ----


def test_cached_build_gives_the_same_image(shared, context):
    dockerfile = 'FROM bb\nLABEL a=b\nRUN date +%s; head -c 8 /dev/urandom | md5sum > /stamp\nCOPY f /f\nENV X=1\nCMD ["x"]\n'
    path = context(dockerfile, {"f": "1"})
    first = build(shared, path, "-q").stdout
    os.utime(path / "f", (1, 1))  # content counts, not its time
    second = build(shared, path, "-q").stdout
    assert first == second and first.startswith("sha256:")
    assert build(shared, path).stdout.count(" ---> Using cache") == 5
    stamp = sh(shared, first.strip(), "cat /stamp")
    (path / "f").write_text("2")
    third = build(shared, path, "-q").stdout
    assert third != first
    assert sh(shared, third.strip(), "cat /stamp /f") == stamp + "2"
    # A label before it does not run RUN again.
    (path / "Dockerfile").write_text(dockerfile.replace("a=b", "a=c"))
    assert sh(shared, build(shared, path, "-q").stdout.strip(), "cat /stamp") == stamp
    fresh = build(shared, path, "-q", "--no-cache").stdout
    assert sh(shared, fresh.strip(), "cat /stamp") != stamp


REBUILT = """FROM bb AS make
RUN echo same > /out; head -c 8 /dev/urandom | md5sum > /other # {}
FROM bb
COPY --from=make /out /out
RUN head -c 8 /dev/urandom | md5sum > /stamp
"""


def test_copy_from_a_rebuilt_stage_is_cached_by_content(shared, context):
    first = build(shared, context(REBUILT.format(1)), "-q").stdout.strip()
    second = build(shared, context(REBUILT.format(2)), "-q").stdout.strip()
    assert sh(shared, first, "cat /stamp") == sh(shared, second, "cat /stamp")


def test_cache_survives_a_restart_and_image_removal(own, context):
    path = context("FROM bb\nRUN head -c 8 /dev/urandom | md5sum > /stamp\n")
    first = build(own, path, "-q").stdout.strip()
    own.docker("rmi", "-f", first)
    own.restart()
    assert build(own, path, "-q").stdout.strip() == first


# ---- failures ----


def test_failing_step_tells_its_code(shared, context):
    failed = build(shared, context("FROM bb\nRUN echo before; exit 42\n"), check=False)
    assert failed.returncode == 42
    assert "The command '/bin/sh -c echo before; exit 42' returned a non-zero code: 42" in failed.stderr
    assert "before" in failed.stdout
    assert "Dockerfile:2\n--------------------\n   1 |     FROM bb\n   2 | >>> RUN echo before; exit 42\n" in failed.stdout
    # It stays, to be looked at; --force-rm takes it away.
    left = shared.docker("ps", "-aq").stdout.split()
    assert len(left) == 1
    shared.docker("rm", *left)
    build(shared, context("FROM bb\nRUN exit 3\n"), "--force-rm", check=False)
    assert shared.docker("ps", "-aq").stdout == ""


BAD = [
    ("FROM bb\nRUNS x\n", "unknown instruction: RUNS (did you mean RUN?)"),
    ("RUN x\n", "no build stage in current context"),
    ("FROM bb\nCOPY onlyone\n", "COPY requires at least two arguments"),
    ("FROM bb\nCOPY nosuch /x\n", "stat nosuch: file does not exist"),
    ("FROM bb\nCOPY --chown=nobodyhere Dockerfile /x\n", "can't find uid for user nobodyhere"),
    ("FROM bb\nCOPY --chmod=999 Dockerfile /x\n", "invalid chmod parameter: '999'"),
    ("FROM bb\nCOPY --nosuch=1 a b\n", "unknown flag: --nosuch"),
    ("FROM bb\nENV X\n", "ENV must have two arguments"),
    ("FROM bb\nRUN <<EOF\nno end\n", "unterminated heredoc"),
    ('FROM bb\nENV A="${B:?is missing}"\n', "B: is missing"),
    ("FROM bb\nENV A=${B\n", "syntax error: missing '}'"),
    ("FROM bb\nSTOPSIGNAL NOSUCH\n", "invalid signal: NOSUCH"),
    ("FROM bb\nEXPOSE 99999\n", "invalid containerPort: 99999"),
    ("FROM bb\nSHELL sh -c\n", "SHELL requires the arguments to be in JSON form"),
    ("FROM bb\nONBUILD ONBUILD RUN x\n", "Chaining ONBUILD"),
    ("FROM bb\nONBUILD FROM x\n", "FROM isn't allowed as an ONBUILD trigger"),
    ("FROM bb AS 1x\n", 'invalid name for build stage: "1x"'),
    ("FROM bb a b c\n", "FROM requires either one or three arguments"),
    ("FROM\n", "FROM requires either one or three arguments"),
    ("FROM bb\nHEALTHCHECK MAYBE x\n", 'Unknown type "MAYBE" in HEALTHCHECK (try CMD)'),
    ("FROM bb\nADD https://example.invalid/x /x\n", "look up example.invalid: no such host"),
    ('FROM bb\nCMD ["a\\u0000b"]\n', "an argument with a NUL byte in it"),
    ('FROM bb\nONBUILD RUN ["a\\u0000b"]\n', "an argument with a NUL byte in it"),
    ("FROM bb\nUSER nosuchuser\nRUN true\n", "unable to find user nosuchuser"),
    ('FROM bb\nRUN ["/nosuch"]\n', "no such file or directory"),
    ("FROM bb\nCOPY Dockerfile /etc/passwd/x/\n", "is not a directory"),
    ("# only a comment\n", "no instructions"),
    ("FROM scratch\n", "No image was generated"),
]


@pytest.mark.parametrize("dockerfile,said", BAD)
def test_bad_dockerfiles(shared, context, dockerfile, said):
    failed = build(shared, context(dockerfile), "--force-rm", check=False)
    assert failed.returncode != 0
    assert said in failed.stderr + failed.stdout


def post(daemon, path, body, length=None):
    """A raw request; with a length longer than the body it is cut, and nobody waits for the answer."""
    head = (
        f"POST {path} HTTP/1.0\r\nContent-Type: application/x-tar\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(120)
        wire.connect(str(daemon.socket))
        wire.sendall(head.encode() + body)
        if length:
            return 0, ""
        data = b""
        while piece := wire.recv(65536):
            data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, rest.decode(errors="replace")


def tar_with(name, content=b"FROM bb\n", link=None):
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as tar:
        info = tarfile.TarInfo(name)
        if link:
            info.type, info.linkname = tarfile.SYMTYPE, link
        else:
            info.size = len(content)
        tar.addfile(info, None if link else io.BytesIO(content))
    return body.getvalue()


def test_missing_dockerfile_and_image(shared, context):
    failed = build(shared, context("FROM nosuch.invalid:5000/img\n"), check=False)
    assert failed.returncode != 0 and "nosuch.invalid" in failed.stderr + failed.stdout
    status, reply = post(shared, "/build?dockerfile=Other", tar_with("x"))
    assert status == 400 and "Cannot locate specified Dockerfile: Other" in reply


@pytest.mark.parametrize(
    "query,status",
    [
        ("version=2", 400),
        ("remote=/etc", 400),
        ("remote=client-session", 400),
        ("remote=https://127.0.0.1:9/x.git", 503),
        ("isolation=hyperv", 400),
        ("squash=1", 400),
        ("buildargs=notjson", 400),
        ("labels=[]", 400),
        ("memory=lots", 400),
        ("t=Not%20a%20name", 400),
        ("outputs=%5B%7B%22Type%22%3A%22nothing%22%7D%5D", 501),
        ("ulimits=%7B%7D", 400),
    ],
)
def test_bad_queries(shared, query, status):
    found, reply = post(shared, f"/build?{query}", tar_with("Dockerfile"))
    assert found == status, reply


def test_cut_and_hostile_contexts(shared):
    whole = tar_with("Dockerfile")
    folders = shared.root / "d/snapshots"
    post(shared, "/build?t=cut", whole[:1024], length=len(whole))
    wait_for(lambda: not list(folders.glob("new-*")), "half a context to go")
    assert shared.docker("images", "-q", "cut").stdout == ""
    assert post(shared, "/build", b"garbage" * 100)[0] == 400
    status, reply = post(shared, "/build", tar_with("../escaped"))
    assert status == 400 and ".." in reply
    status, reply = post(shared, "/build", tar_with("Dockerfile", link="/etc/hostname"))
    assert status == 400 and "Cannot locate specified Dockerfile" in reply


def start_build(daemon, path):
    """A build whose step has said "started"."""
    client = subprocess.Popen(
        ["docker", "build", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=daemon.environment,
    )
    for line in client.stdout:
        if line.startswith("started"):
            break
    return client


def test_kill_of_the_engine_in_a_build(own, context):
    path = context("FROM bb\nRUN echo one > /one\nRUN echo started; sleep 1000\n")
    client = start_build(own, path)
    own.kill()
    client.communicate(timeout=120)
    own.start()
    wait_for(lambda: own.docker("ps", "-aq").stdout == "", "the step's container to go")
    (path / "Dockerfile").write_text("FROM bb\nRUN echo one > /one\nRUN echo two > /two\n")
    run = build(own, path, "-t", "after")
    assert run.stdout.count(" ---> Using cache") == 1
    assert sh(own, "after", "cat /one /two") == "one\ntwo\n"


def test_interrupt_ends_the_step(own, context):
    client = start_build(own, context("FROM bb\nRUN echo started; sleep 1234\n"))
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=120)
    wait_for(lambda: own.docker("ps", "-aq").stdout == "", "the step's container to go")


def test_full_disk(tmp_root, program, busybox_tar, context):
    """What does not fit fails with the reason and leaves nothing; the engine goes on."""
    (tmp_root / "d").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(tmp_root / "d")], check=True)
    server = Daemon(tmp_root, program)
    try:
        server.start()
        load(server, busybox_tar)
        path = context("FROM bb\nCOPY big /big\n")
        with open(path / "big", "wb") as big:
            big.write(os.urandom(16 << 20))
        failed = build(server, path, "-t", "full", check=False)
        assert failed.returncode != 0 and "No space left on device" in failed.stderr + failed.stdout
        (path / "Dockerfile").write_text("FROM bb\nRUN head -c 60000000 /dev/urandom > /x\n")
        (path / "big").unlink()
        assert build(server, path, "--force-rm", check=False).returncode != 0
        assert server.docker("images", "-q", "full").stdout == ""
        (path / "Dockerfile").write_text("FROM bb\nRUN echo fits > /x\n")
        # What failed is deleted in the background.
        wait_for(lambda: build(server, path, "-t", "fits", "--force-rm", check=False).returncode == 0, "what fits to be built")
        assert sh(server, "fits", "cat /x") == "fits\n"
        server.finish()
    finally:
        if server.process and server.process.poll() is None:
            server.stop()
        subprocess.run(["umount", "-l", str(tmp_root / "d")], check=True)


# ---- commit, diff ----


def test_commit_and_diff(shared):
    script = "echo new > /new; rm /bin/wget; echo more >> /etc/passwd"
    shared.docker("run", "--name", "c1", "--network", "none", "-e", "E=1", "bb", "sh", "-c", script)
    lines = shared.docker("diff", "c1").stdout.splitlines()
    assert sorted(lines) == ["A /new", "C /bin", "C /etc", "C /etc/passwd", "D /bin/wget"]
    changes = ("-c", "ENV F=2", "-c", 'CMD ["cat", "/new"]')
    made = shared.docker("commit", "-a", "me", "-m", "why", *changes, "c1", "committed:v1").stdout.strip()
    details = shared.inspect("committed:v1")
    assert details["Id"] == made
    assert details["Author"] == "me"
    assert {"E=1", "F=2"} <= set(details["Config"]["Env"])
    assert len(details["RootFS"]["Layers"]) == 2
    assert shared.docker("history", "--format", "{{.Comment}}", "committed:v1").stdout.splitlines()[0] == "why"
    run = ("run", "--rm", "--network", "none", "committed:v1")
    assert shared.docker(*run).stdout == "new\n"
    assert shared.docker(*run, "ls", "/bin/wget", check=False).returncode != 0
    shared.docker("rm", "c1")


def test_bad_commits(shared):
    assert shared.docker("diff", "nosuch", check=False).returncode != 0
    assert shared.docker("commit", "nosuch", check=False).returncode != 0
    shared.docker("create", "--name", "c2", "bb")
    failed = shared.docker("commit", "-c", "RUN x", "c2", check=False)
    assert failed.returncode != 0 and "RUN is not a valid change command" in failed.stderr
    assert shared.docker("commit", "c2", "Bad Name", check=False).returncode != 0
    shared.docker("rm", "c2")


def test_commit_of_a_running_container(shared):
    shared.docker("run", "-d", "--name", "live", "--network", "none", "bb", "sh", "-c", "echo x > /x; sleep 1000")
    wait_for(lambda: "A /x" in shared.docker("diff", "live").stdout, "the file")
    shared.docker("commit", "live", "live-image")
    assert sh(shared, "live-image", "cat /x") == "x\n"
    assert shared.inspect("live")["State"]["Status"] == "running"
    shared.docker("rm", "-f", "live")
