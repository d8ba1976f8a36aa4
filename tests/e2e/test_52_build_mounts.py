# SPDX-License-Identifier: Apache-2.0
"""RUN --mount: bind, cache, tmpfs, secret; nothing of it is in the image."""
import concurrent.futures
import os
import subprocess

import pytest


@pytest.fixture(scope="module")
def shared(shared_daemon, busybox_tar):
    shared_daemon.kist("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", busybox_tar, "bb:latest")
    return shared_daemon


def sh(daemon, image, script):
    return daemon.kist("run", "--rm", "--network", "none", image, "sh", "-c", script).stdout


BINDS = """FROM bb AS made
RUN mkdir /out && echo made > /out/file
FROM bb
WORKDIR /w
RUN --mount=target=/ctx cat /ctx/dir/f > /one && ! touch /ctx/x
RUN --mount=type=bind,source=dir,target=here,rw cat here/f > /two && touch here/new && ls here >> /two
RUN --mount=from=made,source=/out,dst=/mnt/out cat /mnt/out/file > /three
RUN --mount=type=bind,src=dir/f,target=/single cat /single > /four
RUN --mount=from=bb,src=/etc/passwd,target=/p wc -l < /p > /five
"""


def test_bind(shared, context):
    path = context(BINDS, {"dir/f": "F\n"})
    shared.kist("build", "-t", "binds", path)
    assert sh(shared, "binds", "cat /one /two /three /four /five") == "F\nF\nf\nnew\nmade\nF\n3\n"
    # Neither the files nor the places they were mounted on are in the image.
    left = sh(shared, "binds", "ls -d /ctx /w/here /mnt /single /p 2>/dev/null; ls -A /w")
    assert left == ""
    assert (path / "dir").exists() and sorted(os.listdir(path / "dir")) == ["f"]
    # What is mounted decides whether the step runs again.
    (path / "dir/f").write_text("G\n")
    shared.kist("build", "-t", "binds", path)
    assert sh(shared, "binds", "cat /one /four") == "G\nG\n"


def test_a_link_in_the_context_leads_nowhere(shared, context):
    path = context("FROM bb\nRUN --mount=source=link,target=/x ls /x\n")
    os.symlink("/etc", path / "link")
    failed = shared.kist("build", "--force-rm", path, check=False)
    assert failed.returncode != 0 and "file does not exist" in failed.stderr


CACHE = """FROM bb
RUN --mount=type=cache,target=/cache,uid=1000,mode=0700 stat -c '%u %a' /cache > /owner; echo {0} >> /cache/log; cp /cache/log /seen
"""


def test_cache(shared, context):
    shared.kist("build", "-t", "cache:1", context(CACHE.format(1)))
    shared.kist("build", "-t", "cache:2", context(CACHE.format(2)))
    assert sh(shared, "cache:2", "cat /owner /seen; ls /cache 2>&1 | head -n 1") .startswith("1000 700\n1\n2\nls: ")
    shared.kist("builder", "prune", "-af")
    shared.kist("build", "-t", "cache:3", context(CACHE.format(3)))
    assert sh(shared, "cache:3", "cat /seen") == "3\n"


LOCKED = """FROM bb
RUN --mount=type=cache,id=locked,sharing=locked,target=/c test ! -e /c/busy && touch /c/busy && sleep 1 && rm /c/busy # {0}
"""
PRIVATE = """FROM bb
RUN --mount=type=cache,id=private,sharing=private,target=/c test ! -e /c/busy && touch /c/busy && sleep 1 && rm /c/busy # {0}
"""


@pytest.mark.parametrize("dockerfile", [LOCKED, PRIVATE])
def test_cache_is_not_shared(shared, context, dockerfile):
    paths = [context(dockerfile.format(n), name=f"c{n}") for n in range(3)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda path: shared.kist("build", "--force-rm", path, check=False), paths))
    assert [run.returncode for run in runs] == [0, 0, 0], runs[0].stderr


def test_tmpfs(shared, context):
    dockerfile = "FROM bb\nRUN --mount=type=tmpfs,target=/t,size=1m echo x > /t/x; grep ' /t ' /proc/mounts > /mounts\n"
    shared.kist("build", "-t", "tmpfs", context(dockerfile))
    mounts = sh(shared, "tmpfs", "cat /mounts; test ! -e /t")
    assert "size=1024k" in mounts and "noexec" not in mounts


SECRETS = """FROM bb
RUN --mount=type=secret,id=file --mount=type=secret,id=var,env=TOKEN md5sum /run/secrets/file > /sum; stat -c %a /run/secrets/file >> /sum; test -z "$(env | grep TOKEN | grep -v t-in-env)" && echo ${#TOKEN} >> /sum
RUN --mount=type=secret,id=file,target=/here,mode=0444,uid=1000 stat -c '%a %u' /here > /owner
RUN --mount=type=secret,id=missing test ! -e /run/secrets/missing
RUN --mount=type=ssh true
"""


def test_secrets(shared, context, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"s3cr3t-in-file\0binary")
    shared.environment["KB_TOKEN"] = "s3cr3t-in-env"
    try:
        run = shared.kist(
            "build", "-t", "secrets", "--secret", f"id=file,src={secret}", "--secret", "id=var,env=KB_TOKEN",
            context(SECRETS),
        )  # fmt: skip
    finally:
        del shared.environment["KB_TOKEN"]
    assert sh(shared, "secrets", "cat /sum /owner").endswith("400\n13\n444 1000\n")
    assert "s3cr3t" not in run.stdout + run.stderr
    assert "s3cr3t" not in shared.docker("history", "--no-trunc", "secrets").stdout + shared.docker("inspect", "secrets").stdout
    # Not on disk, not in the log, not in the cache.
    places = [str(shared.root / "d"), str(shared.root / "x"), str(shared.log)]
    found = subprocess.run(["grep", "-rl", "s3cr3t-in", *places], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert sh(shared, "secrets", "ls -A /run /here 2>/dev/null || true") == ""


@pytest.mark.parametrize(
    "mount,said",
    [
        ("type=nosuch,target=/x", 'unsupported mount type "nosuch"'),
        ("type=bind", "mount target is missing"),
        ("target=/", 'invalid mount target "/"'),
        ("type=cache,target=/x,sharing=often", 'unsupported sharing value "often"'),
        ("type=tmpfs,target=/x,uid=1", "unexpected key 'uid'"),
        ("type=tmpfs,target=/x,what=1", "unexpected key 'what'"),
        ("type=bind,target=/x,from=$A", "'from' doesn't support variable expansion"),
        ("type=secret,id=nosuch,required", "secret nosuch: not found"),
        ("type=ssh,required=true", "no SSH key \"default\" forwarded from the client"),
        ("type=bind,target=/x,source=nosuch", "stat nosuch: file does not exist"),
        ("type=bind,target", "must be a key=value pair"),
    ],
)
def test_bad_mounts(shared, context, mount, said):
    failed = shared.kist("build", "--force-rm", context(f"FROM bb\nARG A=1\nRUN --mount={mount} true\n"), check=False)
    assert failed.returncode != 0 and said in failed.stderr
