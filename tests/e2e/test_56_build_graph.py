# SPDX-License-Identifier: Apache-2.0
"""Steps of a build side by side: stages that need each other, what is told of them, failures, cancellation, caches."""
import hashlib
import signal
import subprocess
import uuid

import pytest

from lib import buildkit as bk
from lib.wait import wait_for

# A step that has seen another in a shared cache ran beside it; one that has not gives up.
MEET = "touch /meet/{0}; n=0; until [ -e /meet/{1} ]; do n=$((n+1)); [ $n -lt 1200 ] || exit 9; sleep 0.1; done; echo {0} met {1}"


@pytest.fixture(scope="module")
def shared(shared_daemon, busybox_tar):
    shared_daemon.kist("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", busybox_tar, "bg:latest")
    return shared_daemon


@pytest.fixture
def tag():
    return uuid.uuid4().hex[:12]


def meeting(tag, *names):
    """Stages that wait for each other in a ring, and a last one that takes what each has made."""
    lines = []
    for index, name in enumerate(names):
        other = names[(index + 1) % len(names)]
        lines += [
            f"FROM bg AS {name}",
            f"RUN --mount=type=cache,id={tag},target=/meet {MEET.format(name, other)} && echo {tag} > /{name}",
        ]
    return "\n".join(lines + ["FROM bg"] + [f"COPY --from={name} /{name} /{name}" for name in names]) + "\n"


def containers(daemon):
    return daemon.kist("ps", "-aq").stdout.split()


def bk_time(data):
    """google.protobuf.Timestamp"""
    fields = bk.parse(data)
    return fields[1][0], fields.get(2, [0])[0]


def start(daemon, folder, *options):
    return subprocess.Popen(
        [daemon.program("kist"), "-H", f"unix://{daemon.socket}", "build", *options, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(client, word, count=1):
    """What the client prints up to the line that holds the word for the count-th time."""
    lines = []
    while count > 0:
        line = client.stdout.readline()
        assert line, "".join(lines)
        lines.append(line)
        count -= word in line
    return "".join(lines)


# ---- side by side ----


def test_stages_run_at_once_and_are_told_in_order(shared, context, tag):
    names = ["a", "b", "c", "d"]
    run = shared.kist("build", "-t", f"meet:{tag}", context(meeting(tag, *names)))
    at = [run.stdout.index(f"Step {2 * n + 2}/13 : ") for n in range(4)]
    said = [run.stdout.index(f"{name} met {names[(n + 1) % 4]}") for n, name in enumerate(names)]
    assert sorted(at + said) == [place for pair in zip(at, said) for place in pair], run.stdout
    assert shared.kist("run", "--rm", "--network", "none", f"meet:{tag}", "cat", "/a", "/d").stdout == f"{tag}\n" * 2
    assert shared.kist("build", context(meeting(tag, *names))).stdout.count("Using cache") == 8


def test_watchers_hear_of_all_at_once(shared, context, tag):
    ref, name = uuid.uuid4().hex, uuid.uuid4().hex
    session = bk.Session(shared.socket, name, context(meeting(tag, "x", "y")))
    answer = bk.call(shared.socket, bk.CONTROL + "Solve", bk.solve_request(ref, name, {}, [("moby", {})]))
    vertices, printed, _ = bk.status(shared.socket, ref)
    session.close()
    assert answer.status == 0, answer.error
    assert b"x met y\n" in printed and b"y met x\n" in printed
    steps = [vertex for title, vertex in vertices.items() if "RUN" in title]
    # Each began before the other ended.
    begun, ended = [[vertex[number][0] for vertex in steps] for number in (5, 6)]
    assert len(steps) == 2 and bk_time(max(begun)) < bk_time(min(ended))


def test_only_what_the_target_needs(shared, context, tag):
    path = context(f"FROM bg AS no\nRUN echo {tag}; false\nFROM bg AS one\nRUN echo {tag} > /one\n")
    run = shared.kist("build", "--target", "one", path)
    assert "Step 2/2 : RUN" in run.stdout and "false" not in run.stdout


# ---- failures ----

FAILS = """FROM bg AS slow
RUN --mount=type=cache,id={0},target=/meet echo early; touch /meet/slow; sleep 2345
RUN echo never
FROM bg AS bad
RUN --mount=type=cache,id={0},target=/meet until [ -e /meet/slow ]; do sleep 0.1; done; echo {0} fails; exit 7
FROM bg
COPY --from=slow / /slow
COPY --from=bad / /bad
"""


def test_a_failure_stops_the_others(shared, context, tag):
    run = shared.kist("build", "--force-rm", context(FAILS.format(tag)), check=False)
    assert run.returncode == 7
    assert "returned a non-zero code: 7" in run.stderr
    # The step that failed is told though one before it had not ended.
    assert f"Step 5/8 : RUN --mount=type=cache,id={tag}" in run.stdout and f"{tag} fails\n" in run.stdout
    assert "Dockerfile:5" in run.stdout and "\nnever\n" not in run.stdout
    assert containers(shared) == []
    fewer = context(FAILS.format(tag).replace("exit 7", "true").replace("sleep 2345", "true # 2345"))
    assert shared.kist("build", fewer).stdout.count("Using cache") == 0


def test_interrupt_ends_all_that_runs(shared, context, tag):
    step = "RUN --mount=type=cache,id={0},target=/meet touch /meet/{1}; echo started; sleep 3456 # {0}"
    lines = [f"FROM bg AS {name}\n{step.format(tag, name)}" for name in "abc"]
    path = context("\n".join(lines) + "\nFROM bg\n" + "".join(f"COPY --from={name} / /{name}\n" for name in "abc"))
    client = start(shared, path)
    read_until(client, "started")
    wait_for(lambda: len(containers(shared)) == 3, "three steps to run")
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=120)
    wait_for(lambda: containers(shared) == [], "their containers to go")


@pytest.mark.parametrize("step, said", [(9, "returned a non-zero code: 137"), (15, "code: 143")])
def test_a_step_that_a_signal_ends(shared, context, tag, step, said):
    path = context(f"FROM bg\nRUN echo {tag}; sh -c 'kill -{step} $$'; exit $?\n")
    for _ in range(2):
        run = shared.kist("build", "--force-rm", path, check=False)
        assert run.returncode > 128 and said in run.stderr and f"{tag}\n" in run.stdout
    assert containers(shared) == []


# ---- two builds that need the same ----

# Says "started", and ends when the test says so; how often it ran is told by the cache.
WAITS = "RUN --mount=type=cache,id={0},target=/meet echo x >> /meet/runs; echo started; until [ -e /meet/go ]; do sleep 0.1; done; {1}"


def cache_folder(daemon, tag):
    return daemon.root / "d" / "build-mounts" / hashlib.sha256(tag.encode()).hexdigest() / "0"


def runs(daemon, tag):
    """How many steps have begun."""
    path = cache_folder(daemon, tag) / "runs"
    return path.read_text().count("x") if path.exists() else 0


def two_builds(daemon, context, tag, end):
    """Both have printed that the step has started."""
    clients = []
    for name in "ab":
        path = context(f"FROM bg\n{WAITS.format(tag, end)}\nRUN echo {name}\n", name=f"of-{name}")
        clients.append(start(daemon, path, "-t", f"same-{name}:{tag}"))
        read_until(clients[-1], "started", 2)  # the instruction itself has the word too
    return clients


def test_equal_steps_of_two_builds_run_once(shared, context, tag):
    clients = two_builds(shared, context, tag, f"echo {tag} > /made; echo behind")
    (cache_folder(shared, tag) / "go").touch()
    printed = [client.communicate(timeout=120)[0] for client in clients]
    assert [client.returncode for client in clients] == [0, 0], printed
    assert all("behind\n" in text for text in printed)
    assert runs(shared, tag) == 1
    for name in "ab":
        run = shared.kist("run", "--rm", "--network", "none", f"same-{name}:{tag}", "cat", "/made")
        assert run.stdout == tag + "\n"


def test_equal_steps_fail_once(shared, context, tag):
    clients = two_builds(shared, context, tag, "exit 5")
    (cache_folder(shared, tag) / "go").touch()
    printed = [client.communicate(timeout=120)[0] for client in clients]
    assert [client.returncode for client in clients] == [5, 5], printed
    assert all("returned a non-zero code: 5" in text for text in printed)
    assert runs(shared, tag) == 1
    shared.kist("rm", *containers(shared))


def test_who_follows_goes_on_when_the_first_is_canceled(shared, context, tag):
    first, second = two_builds(shared, context, tag, f"echo {tag} > /made")
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=120)
    read_until(second, "started")
    (cache_folder(shared, tag) / "go").touch()
    printed = second.communicate(timeout=120)[0]
    assert second.returncode == 0, printed
    assert runs(shared, tag) == 2
    wait_for(lambda: containers(shared) == [], "all containers to go")


def test_who_follows_can_be_canceled_alone(shared, context, tag):
    first, second = two_builds(shared, context, tag, "true")
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=120)
    (cache_folder(shared, tag) / "go").touch()
    printed = first.communicate(timeout=120)[0]
    assert first.returncode == 0, printed
    assert runs(shared, tag) == 1


def test_other_limits_and_secrets_are_not_shared(shared, context, tag, tmp_path):
    (tmp_path / "secret").write_text("s")
    path = context(f"FROM bg\n{WAITS.format(tag, 'true').replace('RUN', 'RUN --mount=type=secret,id=s', 1)}\n")
    clients = [start(shared, path, "--secret", f"id=s,src={tmp_path}/secret") for _ in range(2)]
    path = context(f"FROM bg\n{WAITS.format(tag, 'echo limits')}\n", name="limits")
    clients += [start(shared, path, "-m", limit) for limit in ("200m", "300m")]
    wait_for(lambda: len(containers(shared)) == 4, "four steps to run")
    wait_for(lambda: runs(shared, tag) == 4, "all to have begun")
    (cache_folder(shared, tag) / "go").touch()
    assert [(client.communicate(timeout=120), client.returncode)[1] for client in clients] == [0] * 4


# ---- cache mounts between steps of one build ----

ALONE = "test ! -e /meet/busy || exit 8; touch /meet/busy; {0}; rm /meet/busy"


@pytest.mark.parametrize("sharing", ["locked", "private"])
def test_caches_that_are_not_shared(shared, context, tag, sharing):
    """Steps that would see each other in the cache if they had it at once; private ones wait for each other elsewhere."""
    names = ["a", "b", "c"]
    lines = []
    for index, name in enumerate(names):
        meet = MEET.format(name, names[(index + 1) % 3]).replace("/meet/", "/shared/")
        inside = meet if sharing == "private" else "sleep 0.2"
        lines += [
            f"FROM bg AS {name}",
            f"RUN --mount=type=cache,id={tag},sharing={sharing},target=/meet"
            f" --mount=type=cache,id=of-{tag},target=/shared {ALONE.format(inside)}",
        ]
    text = "\n".join(lines + ["FROM bg"] + [f"COPY --from={name} /bin/busybox /{name}" for name in names]) + "\n"
    shared.kist("build", context(text))


@pytest.mark.parametrize("sharing", ["locked", "private", "shared"])
def test_one_cache_at_two_places(shared, context, tag, sharing):
    mount = f"--mount=type=cache,id={tag},sharing={sharing},target="
    run = shared.kist("build", context(f"FROM bg\nRUN {mount}/one {mount}/two echo {tag} > /one/x; cat /two/x\n"))
    assert f"\n{tag}\n" in run.stdout


def test_two_caches_in_either_order(shared, context, tag):
    mounts = [f"--mount=type=cache,id={tag}-{n},sharing=locked,target=/{n}" for n in "xy"]
    lines = []
    for stage in range(6):
        first, second = mounts if stage % 2 else reversed(mounts)
        lines += [f"FROM bg AS s{stage}", f"RUN {first} {second} echo {tag} > /made{stage}"]
    copies = [f"COPY --from=s{stage} /made{stage} /" for stage in range(6)]
    shared.kist("build", context("\n".join([*lines, "FROM bg", *copies]) + "\n"))


def test_a_step_without_memory(shared, context, tag):
    path = context(f"FROM bg\nRUN echo {tag}; tail /dev/zero\n")
    run = shared.kist("build", "--force-rm", "-m", "30m", path, check=False)
    assert run.returncode == 137 and "returned a non-zero code: 137 (it was killed: out of memory)" in run.stderr
    assert containers(shared) == []


# ---- content that is not read again ----


def test_a_kept_context_is_known_by_its_files(shared, context, tag):
    folder = context("FROM bg\nCOPY a /a\nCOPY d /d\nRUN cat /a /d/b\n", {"a": f"{tag} one\n", "d/b": f"{tag} two\n"})

    def build():
        ref, name = uuid.uuid4().hex, uuid.uuid4().hex
        session = bk.Session(shared.socket, name, folder, None, tag)
        answer = bk.call(shared.socket, bk.CONTROL + "Solve", bk.solve_request(ref, name, {}, [("moby", {})]))
        vertices, printed, _ = bk.status(shared.socket, ref)
        session.close()
        assert answer.status == 0, answer.error
        return [title.split("] ")[1] for title, vertex in sorted(vertices.items()) if vertex.get(4)], printed

    build()
    assert build() == (["FROM docker.io/library/bg:latest", "COPY a /a", "COPY d /d", "RUN cat /a /d/b"], b"")
    # As long as before, and back again: the files are others, the content is known.
    (folder / "d/b").write_text(f"{tag} TWO\n")
    assert build() == (["FROM docker.io/library/bg:latest", "COPY a /a"], f"{tag} one\n{tag} TWO\n".encode())
    (folder / "d/b").write_text(f"{tag} two\n")
    assert len(build()[0]) == 4
    (folder / "a").chmod(0o600)
    assert "COPY a /a" not in build()[0]


# ---- a look at what failed ----


def test_a_shell_where_a_step_failed(shared, context, tag):
    path = context(f"FROM bg\nENV word=of-the-step\nWORKDIR /here\nRUN echo {tag} > half; exit 6\n")
    before = shared.kist("images", "-aq").stdout
    run = shared.kist("build", "--debug", path, check=False, input="pwd; echo $word; cat half\n")
    assert run.returncode == 6
    assert run.stdout.endswith(f"/here\nof-the-step\n{tag}\n"), run.stdout + run.stderr
    assert containers(shared) == [] and shared.kist("images", "-aq").stdout == before
    run = shared.kist("build", path, check=False)
    assert run.returncode == 6 and "kist build --debug gives a shell there" in run.stderr
    (left,) = containers(shared)
    assert f"Its files are in container {left}" in run.stderr
    shared.kist("rm", left)


def test_no_shell_where_nothing_ran(shared, context):
    run = shared.kist("build", "--debug", context("FROM bg\nCOPY nosuch /x\n"), check=False, input="echo shell\n")
    assert run.returncode == 1 and "shell" not in run.stdout
