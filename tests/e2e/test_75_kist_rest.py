# SPDX-License-Identifier: Apache-2.0
"""Commands and flags of docker's that few use: each acts, or says why not."""
import pytest


@pytest.fixture(scope="module")
def engine(shared_daemon, registry):
    shared_daemon.docker("pull", "-q", f"{registry.address}/busybox:latest")
    shared_daemon.docker("tag", f"{registry.address}/busybox:latest", "rest-bb")
    return shared_daemon


@pytest.mark.parametrize(
    "command,words",
    [
        ("search busybox", "search is a service of Docker Hub alone"),
        ("plugin inspect nosuch", 'plugin "nosuch" not found'),
        ("plugin enable nosuch", 'plugin "nosuch" not found'),
        ("plugin disable -f nosuch", 'plugin "nosuch" not found'),
        ("plugin rm nosuch", 'plugin "nosuch" not found'),
        ("plugin set nosuch a=b", 'plugin "nosuch" not found'),
        ("plugin push nosuch", 'plugin "nosuch" not found'),
        ("plugin upgrade nosuch", 'plugin "nosuch" not found'),
        ("plugin install nosuch", "is not supported by kist"),
        ("plugin create nosuch /tmp", "is not supported by kist"),
        ("volume update nosuch", "volume update only valid for cluster volumes"),
        ("volume create --sharing all", "cluster volumes need a swarm"),
        ("run --use-api-socket rest-bb true", "mount a socket that has a policy"),
        ("image inspect --platform linux/s390x rest-bb", "does not provide the specified platform (linux/s390x)"),
        ("history --platform linux/s390x rest-bb", "does not provide the specified platform (linux/s390x)"),
        ("rmi --platform linux/s390x rest-bb", "does not provide the specified platform (linux/s390x)"),
        ("push --platform linux/s390x rest-bb", "does not provide the specified platform (linux/s390x)"),
        ("build --isolation hyperv /dev/null", ""),
        ("build --disable-content-trust=false .", "--disable-content-trust=false"),
    ],
)
def test_refused_with_a_reason(engine, command, words):
    run = engine.kist(*command.split(), check=False)
    assert run.returncode != 0 and words in run.stderr, run


def test_what_acts(engine, tmp_path):
    assert engine.kist("plugin", "ls").stdout == "ID        NAME      DESCRIPTION   ENABLED\n"
    assert engine.kist("plugin", "ls", "-q").stdout == ""
    machine = engine.kist("image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", "rest-bb").stdout.strip()
    assert engine.kist("history", "-q", "--platform", machine, "rest-bb").stdout
    engine.kist("tag", "rest-bb", "rest-other")
    assert "Untagged: rest-other:latest" in engine.kist("rmi", "--platform", machine, "rest-other").stdout
    (tmp_path / "Dockerfile").write_text("FROM rest-bb\n")
    assert engine.kist("build", "-q", "--compress", "--isolation", "default", tmp_path).returncode == 0
    run = engine.kist("build", "--squash", tmp_path, check=False)
    assert run.returncode == 1 and "squash" in run.stderr
    run = engine.kist("build", "--isolation", "hyperv", tmp_path, check=False)
    assert run.returncode == 1 and "hyperv" in run.stderr
