# SPDX-License-Identifier: Apache-2.0
"""Where kist finds its engine: contexts beside the stock CLI, ssh://, TLS; plugins; kist by the name of docker."""
import json
import os
import re
import stat
import subprocess

import pytest

from lib.docker_cli import needs_28

# Fails with usage, so the words of both CLIs can be compared without an engine.
CONTEXT_COMMANDS = """
context create one --description d1 --docker host=tcp://192.0.2.1:2376
context create two --docker host=ssh://u@h
context ls
context ls --format {{json.}}
context ls --format json
context inspect one
context inspect one --format {{.Endpoints.docker.Host}}
context use one
context ls -q
context rm one
context show
context create one
context create three --docker hast=x
context create bad%name
context inspect nosuch
context use nosuch
context rm nosuch
context update two --description x
context create default
context rm default
context create e
context export two
context import three two.dockercontext
context import three two.dockercontext
context create five --from one --description copied
context ls --format {{.Name}}/{{.Current}}/{{.Description}}/{{.DockerEndpoint}}
context rm -f one two three
context show
context inspect --format {{.Name}}
""".strip().splitlines()


def run(argv, folder, **more):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DOCKER_", "KIST_"))}
    environment |= {"HOME": str(folder), "DOCKER_CONFIG": str(folder / "config")} | more
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, env=environment, cwd=folder, timeout=120, check=False)


@needs_28
def test_contexts_are_those_of_docker(program, tmp_root):
    """The same commands to both, each with a folder of its own; ids are the names' digests, so nothing differs."""
    said = []
    for tool in ("docker", program("kist")):
        folder = tmp_root / os.path.basename(tool)
        folder.mkdir()
        lines = []
        for command in CONTEXT_COMMANDS:
            words = command.replace("{{json.}}", "{{json@.}}").split()
            it = run([tool, *(word.replace("@", " ") if word.startswith("{{") else word for word in words)], folder)
            text = it.stdout + it.stderr.replace(str(folder), "HERE")
            text = re.sub(r"unix:///\S+sock", "DEFAULT", text).replace(str(folder), "HERE")
            lines += [command, re.sub(r" +", " ", text), str(it.returncode)]
        said.append(lines)
    for ours, theirs in zip(said[1], said[0]):
        assert ours == theirs
    # What one writes the other reads.
    run([program("kist"), "context", "create", "shared", "--docker", "host=unix:///x.sock"], tmp_root / "docker")
    assert run(["docker", "context", "inspect", "-f", "{{.Endpoints.docker.Host}}", "shared"], tmp_root / "docker").stdout == "unix:///x.sock\n"


def test_a_context_chooses_the_engine(daemon, program, tmp_root):
    kist, here = program("kist"), f"unix://{daemon.socket}"
    assert run([kist, "context", "create", "ours", "--docker", f"host={here}"], tmp_root).returncode == 0
    for argv, more in (
        (["-c", "ours"], {}),
        ([], {"DOCKER_CONTEXT": "ours"}),
        (["-H", here], {"DOCKER_CONTEXT": "nosuch"}),
        ([], {"DOCKER_HOST": here, "DOCKER_CONTEXT": "nosuch"}),
    ):
        it = run([kist, *argv, "info", "--format", "{{.DockerRootDir}}"], tmp_root, **more)
        assert it.stdout == f"{tmp_root}/d\n", (argv, more, it)
    assert run([kist, "context", "use", "ours"], tmp_root).returncode == 0
    assert run([kist, "info", "--format", "{{.DockerRootDir}}"], tmp_root).stdout == f"{tmp_root}/d\n"
    it = run([kist, "-c", "nosuch", "ps"], tmp_root)
    assert it.returncode == 1 and 'unable to resolve docker endpoint: context "nosuch": context not found' in it.stderr


def test_ssh_hosts(daemon, program, tmp_root):
    """A program named ssh plays the other machine; both command lines reach the engine through kist system dial-stdio."""
    tools = tmp_root / "bin"
    tools.mkdir()
    (tools / "kist").symlink_to(program("kist"))
    (tools / "docker-remote").symlink_to(program("kist"))
    ssh = tools / "ssh"
    ssh.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {tmp_root}/asked\n'
        'while [ "$1" != -- ] && [ $# -gt 0 ]; do shift; done\n'
        f"shift; shift; KIST_HOST=unix://{daemon.socket}; export KIST_HOST\n"
        'case "$1" in docker) shift; exec kist "$@";; esac\n'
        'exec sh -c "$*"\n'
    )
    ssh.chmod(0o755)
    path = {"PATH": f"{tools}:{os.environ['PATH']}"}
    it = run([program("kist"), "-H", "ssh://me@far:2222", "info", "--format", "{{.DockerRootDir}}"], tmp_root, **path)
    assert it.stdout == f"{tmp_root}/d\n", it
    asked = (tmp_root / "asked").read_text()
    assert "-T -lme -p2222 -- far" in asked
    it = run([program("kist"), "-H", f"ssh://far{daemon.socket}", "info", "--format", "{{.DockerRootDir}}"], tmp_root, **path)
    assert it.stdout == f"{tmp_root}/d\n", it
    it = run(["docker", "-H", "ssh://me@far", "info", "--format", "{{.DockerRootDir}}"], tmp_root, **path)
    assert it.stdout == f"{tmp_root}/d\n", it
    for bad in ("ssh://-oProxyCommand=x", "ssh://a:secret@h", "ssh://h/a'b", "ssh://"):
        it = run([program("kist"), "-H", bad, "ps"], tmp_root, **path)
        assert it.returncode == 1 and "ssh://[user@]host[:port]" in it.stderr, it


@pytest.fixture
def plugin(tmp_root):
    folder = tmp_root / "config" / "cli-plugins"
    folder.mkdir(parents=True)
    file = folder / "docker-hello"
    file.write_text('#!/bin/sh\necho "$DOCKER_HOST|$*|$(basename "$DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND")"\nexit 7\n')
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def test_plugins_of_docker_run(daemon, program, tmp_root, plugin):
    here = f"unix://{daemon.socket}"
    it = run([program("kist"), "hello", "--there", "x"], tmp_root, KIST_HOST=here)
    assert (it.stdout, it.returncode) == (f"{here}|hello --there x|kist\n", 7)
    assert "hello" in run([program("kist"), "--help"], tmp_root).stdout
    # Where config.json says so, one takes the place of a command of ours.
    (tmp_root / "config" / "config.json").write_text(json.dumps({"aliases": {"builder": "hello"}}))
    assert run([program("kist"), "builder", "ls"], tmp_root, KIST_HOST=here).stdout == f"{here}|builder ls|kist\n"
    elsewhere = tmp_root / "more"
    elsewhere.mkdir()
    plugin.rename(elsewhere / "docker-other")
    assert "unknown command: kist other" in run([program("kist"), "other"], tmp_root, KIST_HOST=here).stderr
    (tmp_root / "config" / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(elsewhere)]}))
    assert run([program("kist"), "other"], tmp_root, KIST_HOST=here).returncode == 7


def test_by_the_name_of_docker(daemon, program, tmp_root):
    link = tmp_root / "docker"
    link.symlink_to(program("kist"))
    here = {"DOCKER_HOST": f"unix://{daemon.socket}"}
    assert run([link, "--version"], tmp_root).stdout.startswith("Docker version 28.")
    assert run([link, "ps", "-q"], tmp_root, **here).stdout == ""
    assert "Usage:  docker run [OPTIONS]" in run([link, "run", "--help"], tmp_root).stdout
    it = run([link, "run", "nosuch/image:x", "true"], tmp_root, **here)
    assert it.returncode == 125 and "docker: Error response from daemon" in it.stderr
    assert "Run 'docker run --help'" in it.stderr
