# SPDX-License-Identifier: Apache-2.0
"""COPY --link and ADD --link: a layer that does not depend on what is below it."""
import uuid

import pytest


@pytest.fixture(scope="module")
def shared(shared_daemon, busybox_tar):
    shared_daemon.kist("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", busybox_tar, "bb:latest")
    return shared_daemon


def tag():
    return "link-" + uuid.uuid4().hex[:10]


def sh(daemon, image, script):
    return daemon.kist("run", "--rm", "--network", "none", image, "sh", "-c", script).stdout


def layers(daemon, image):
    return daemon.inspect(image)["RootFS"]["Layers"]


LINKED = """ARG BASE=one
FROM bb AS one
RUN echo one > /which
FROM bb AS two
RUN echo two > /which && mkdir -p /deep/there && echo old > /deep/there/f && ln -s /real /lnk && mkdir /real
FROM $BASE
COPY --link --chown=5:6 f dir /deep/there/
COPY --link f /lnk/f
RUN cat /deep/there/f > /seen
"""


def test_the_base_changes_and_the_layer_stays(shared, context):
    path = context(LINKED, {"f": "new\n", "dir/g": "g\n"})
    one, two = tag(), tag()
    shared.kist("build", "-t", one, path)
    run = shared.kist("build", "-t", two, "--build-arg", "BASE=two", path)
    assert layers(shared, one)[-3:-1] == layers(shared, two)[-3:-1]
    assert layers(shared, one)[-4] != layers(shared, two)[-4]
    parts = run.stdout.split("Step ")
    for step in parts:
        if ": COPY --link" in step:
            assert "---> Using cache" in step, run.stdout
    assert sh(shared, one, "cat /which /deep/there/f /seen; stat -c %u:%g /deep/there/g") == "one\nnew\nnew\n5:6\n"
    # A link in the destination is not followed: the layer knows nothing of it.
    assert sh(shared, two, "cat /which /deep/there/f /lnk/f /seen; ls /real; test -L /lnk || echo plain") == "two\nnew\nnew\nnew\nplain\n"
    # The files are shared, and outlive each other's images.
    shared.kist("rmi", one)
    shared.kist("builder", "prune", "-af")
    assert sh(shared, two, "cat /deep/there/f /lnk/f") == "new\nnew\n"
    assert sh(shared, two, "echo changed > /lnk/f; cat /lnk/f") == "changed\n"
    assert sh(shared, two, "cat /lnk/f") == "new\n"


def test_cached_and_changed(shared, context):
    path = context("FROM scratch\nCOPY --link f /a\nADD --link f /b/\nCOPY --from=bb --link /bin/busybox /bin/sh\n", {"f": "1"})
    one, two, three = tag(), tag(), tag()
    shared.kist("build", "-t", one, path)
    shared.kist("build", "-t", two, path)
    assert shared.inspect(one)["Id"] == shared.inspect(two)["Id"]
    (path / "f").write_text("2")
    shared.kist("build", "-t", three, path)
    assert layers(shared, three)[2] == layers(shared, one)[2]
    assert layers(shared, three)[0] != layers(shared, one)[0]
    assert shared.kist("run", "--rm", "--network", "none", three, "/bin/sh", "-c", "read a < /a; read b < /b/f; echo $a $b", check=False).stdout == "2 2\n"


def test_what_needs_the_base_is_refused(shared, context):
    failed = shared.kist("build", context("FROM bb\nCOPY --link --chown=nobody f /f\n", {"f": ""}), check=False)
    assert failed.returncode != 0 and "COPY failed" in failed.stderr + failed.stdout
