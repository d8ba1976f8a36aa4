# SPDX-License-Identifier: Apache-2.0
"""Commands and flags of docker's that few use: each acts, or says why not."""
import json
import re
import uuid

import pytest

from lib.docker_cli import needs_28
from lib.fake_registry import FakeRegistry
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
        ("search --limit 101 busybox", "limit 101 is outside the range of [1, 100]"),
        ("search --limit -1 busybox", "limit -1 is outside the range of [1, 100]"),
        ("search --filter stars=many busybox", "invalid filter 'stars=[many]'"),
        ("search --filter is-official=maybe busybox", "invalid filter 'is-official=[maybe]'"),
        ("search --filter nosuch=1 busybox", "invalid filter 'nosuch'"),
        ("search https://localhost/busybox", "should not have a scheme"),
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


def test_images_as_a_tree(engine):
    name = "tree-" + uuid.uuid4().hex[:8]
    for tag in ("1", "2"):
        engine.kist("tag", "rest-bb", f"{name}:{tag}")
    engine.kist("create", "--name", name, f"{name}:1", "true")
    try:
        lines = engine.kist("images", "--tree", name).stdout.splitlines()
        details = json.loads(engine.kist("image", "inspect", name + ":1").stdout)[0]
        short = details["Id"].removeprefix("sha256:")[:12]
        assert re.split(r"  +", lines[0].strip()) == ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"]
        tags = [line.split()[0] for line in lines[1:] if line.startswith(name)]
        assert sorted(tags) == [f"{name}:1", f"{name}:2"]
        platform = f"└─ {details['Os']}/{details['Architecture']}"
        assert lines[-1].startswith(platform) and short in lines[-1] and lines[-1].rstrip().endswith("in use")
        for flag, word in (("-q", "quiet"), ("--no-trunc", "no-trunc"), ("--digests", "show-digest"), ("--format=json", "format")):
            run = engine.kist("images", "--tree", flag, check=False)
            assert run.returncode == 1 and run.stderr == f"--{word} is not yet supported with --tree\n"
        assert re.split(r"  +", engine.kist("volume", "ls", "--cluster").stdout.strip()) == ["VOLUME NAME", "GROUP", "DRIVER", "AVAILABILITY", "STATUS"]
    finally:
        engine.kist("rm", name)
        engine.kist("rmi", f"{name}:1", f"{name}:2")


class Searchable(FakeRegistry):
    """One that kept the first version's search, or has a page for people wherever it has nothing else."""

    page = None

    def answer(self, handler):
        if not handler.path.startswith("/v1/search?"):
            return super().answer(handler)
        self.requests.append((handler.command, handler.path, dict(handler.headers)))
        results = [
            {"name": "team/web", "description": "The web\tof the team, which has a long description of itself", "star_count": 7, "is_official": False, "is_automated": False},
            {"name": "web", "description": None, "star_count": 3, "is_official": True},
        ]
        body = self.page or json.dumps({"num_results": 2, "query": "x", "results": results}).encode()
        self._send(handler, 200, {"Content-Type": "application/json"}, body)


def test_search_of_a_registry_that_has_one(engine):
    registry = Searchable()
    try:
        run = engine.kist("search", "--limit", "7", f"{registry.address}/we b")
        assert registry.requests[-1][1] == "/v1/search?q=we%20b&n=7"
        lines = run.stdout.splitlines()
        assert lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
        assert lines[1].startswith(f"{registry.address}/team/web ") and "…" in lines[1] and lines[1].split()[-1] == "7"
        assert lines[2].split() == [f"{registry.address}/web", "3", "[OK]"]
        names = lambda *words: engine.kist("search", "--format", "{{.Name}}", *words, f"{registry.address}/web").stdout.split()
        assert names("-f", "stars=5") == [f"{registry.address}/team/web"]
        assert names("-f", "is-official=true") == [f"{registry.address}/web"]
        assert len(names("--limit", "1")) == 1
        assert call(engine, "/v1.45/images/search?term=")[0] == 400
        _, found = call(engine, f"/v1.45/images/search?term={registry.address}/web")
        assert set(found[0]) == {"star_count", "is_official", "name", "is_automated", "description"}
    finally:
        registry.stop()


def test_search_of_a_registry_that_has_none(engine, registry):
    """Honest about it: names of its catalog, no stars. Neither the page for people nor a 404 is an answer."""
    names = engine.kist("search", "--format", "{{.Name}} {{.StarCount}}{{.Description}}", f"{registry.address}/busyb").stdout.splitlines()
    assert f"{registry.address}/busybox 0" in names and all("busyb" in name for name in names), names
    assert engine.kist("search", "--no-trunc", f"{registry.address}/nosuch").stdout.split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    other = Searchable()
    other.page = b"<html>welcome</html>"
    try:
        run = engine.kist("search", f"{other.address}/x", check=False)
        assert run.returncode == 1 and f"{other.address} has no search, and its list of repositories" in run.stderr
    finally:
        other.stop()


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
