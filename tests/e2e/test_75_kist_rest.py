# SPDX-License-Identifier: Apache-2.0
"""Commands and flags of docker's that few use: each acts, or says why not."""
import json
import re

import pytest

from lib.docker_cli import needs_28
from lib.raw_http import last_answer


# Time goes on between two commands.
AGE = re.compile(r"(Less than a|About a|About an|\d+) (seconds?|minutes?|hour)")


def call(engine, path):
    status, _, body = last_answer(str(engine.socket), f"GET {path} HTTP/1.0\r\n\r\n".encode())
    return status, json.loads(body)



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


@needs_28
def test_ps_asks_for_what_it_shows(engine):
    """kist asks the engine for some keys only; whatever the format, it prints what docker's ps prints."""
    engine.kist("run", "-d", "--name", "rest-ps", "-l", "a=b", "-v", "/anonymous", "-p", "80", "rest-bb", "sleep", "1000")
    formats = ["{{.ID}}", "{{.Names}} {{.Image}}", "{{.Command}}", "{{.Ports}}", "{{.State}}/{{.Status}}", "{{.Labels}}", '{{.Label "a"}}']
    formats += ["{{.Mounts}} {{.LocalVolumes}}", "{{.Networks}}", "{{.CreatedAt}}", "{{.RunningFor}}", "json", "{{json .Names}}", "{{$x := .}}{{$x.Labels}}"]
    formats += ["{{with .Labels}}{{.}}{{end}}", "{{if .Mounts}}yes{{end}}", "table {{.Names}}\t{{.Networks}}", "{{.Size}}", "table"]
    for text in formats:
        argv = ["ps", "-a", "--filter", "name=rest-ps", "--format", text]
        ours, theirs = (re.sub(r" +", " ", AGE.sub("<age>", tool(*argv).stdout)) for tool in (engine.kist, engine.docker))
        assert ours == theirs, text
    assert engine.kist("ps", "-aq", "--filter", "name=rest-ps").stdout == engine.docker("ps", "-aq", "--filter", "name=rest-ps").stdout
    status, answer = call(engine, "/containers/json?fields=Names")
    assert status == 200 and [sorted(item) for item in answer] == [["Id", "Names"]] * len(answer)
    engine.kist("rm", "-f", "-v", "rest-ps")
