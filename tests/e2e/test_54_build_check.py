# SPDX-License-Identifier: Apache-2.0
"""kist build --check and --call: questions about a Dockerfile that build nothing. The rules, row by row: tests/unit/builder/test_check.c."""
import base64
import json

import pytest


@pytest.fixture(scope="module")
def shared(shared_daemon, busybox_tar):
    shared_daemon.kist("import", "-c", "ENV FROM_IMAGE=1", busybox_tar, "bc:latest")
    return shared_daemon


@pytest.fixture
def context(tmp_path):
    def make(dockerfile, ignored=None):
        (tmp_path / "Dockerfile").write_text(dockerfile)
        if ignored is not None:
            (tmp_path / ".dockerignore").write_text(ignored)
        return tmp_path

    return make


def test_nothing_to_say(shared, context):
    run = shared.kist("build", "--check", context("FROM bc\nUSER $FROM_IMAGE\nCMD [\"sh\"]\n"))
    assert run.stdout == "Check complete, no warnings found.\n"


def test_findings_for_people(shared, context):
    """What the image sets is known, what is excluded is told; nothing was built."""
    before = shared.kist("images", "-aq").stdout
    path = context("FROM bc\nUSER $FORM_IMAGE\nCOPY secret /s\nCMD sh\n", "secret\n")
    run = shared.kist("build", "--check", path, check=False)
    assert run.returncode == 1 and run.stdout.startswith("Check complete, 3 warnings have been found!\n\nWARNING: UndefinedVar - "
                                                         "https://docs.docker.com/go/dockerfile/rule/undefined-var/\n")
    assert "Usage of undefined variable '$FORM_IMAGE' (did you mean $FROM_IMAGE?)\n" in run.stdout
    assert 'Attempting to Copy file "secret" that is excluded by .dockerignore\n' in run.stdout
    assert "Dockerfile:4\n--------------------\n   2 |     USER $FORM_IMAGE\n   3 |     COPY secret /s\n" in run.stdout
    assert "   4 | >>> CMD sh\n" in run.stdout
    assert shared.kist("images", "-aq").stdout == before


def test_findings_for_programs(shared, context):
    text = "FROM bc\nMAINTAINER me\n"
    run = shared.kist("build", "--call", "check,format=json", context(text), check=False)
    answer = json.loads(run.stdout)
    assert run.returncode == 1 and [w["ruleName"] for w in answer["warnings"]] == ["MaintainerDeprecated"]
    assert answer["warnings"][0]["location"] == {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]}
    assert base64.b64decode(answer["sources"][0]["data"]).decode() == text


def test_what_could_not_be_built(shared, context):
    run = shared.kist("build", "--check", context("FROM bc as x\nBADCMD\n"), check=False)
    assert run.returncode == 1 and "FromAsCasing" in run.stdout
    assert "ERROR: dockerfile parse error on line 2: unknown instruction: BADCMD\nDockerfile:2\n" in run.stdout


def test_targets_and_outline(shared, context):
    path = context("# V the version\nARG V=1\nARG UNUSED\nFROM bc AS one\n# two the second one\nFROM bc AS two\nARG V\n"
                   "# W another\nARG W=2\nRUN --mount=type=secret,id=key,required true\n")
    assert shared.kist("build", "--call=targets", path).stdout == (
        "TARGET        DESCRIPTION\none           \ntwo (default) the second one\n")
    outline = json.loads(shared.kist("build", "--call=outline,format=json", "--build-arg", "V=3", path).stdout)
    assert outline["name"] == "two" and outline["description"] == "the second one"
    assert [(a["name"], a["value"], a["description"]) for a in outline["args"]] == [
        ("V", "3", "the version"), ("W", "2", "another")]
    assert [(s["name"], s["required"]) for s in outline["secrets"]] == [("key", True)]
    text = shared.kist("build", "--call=outline", path).stdout
    assert text == ("TARGET:      two\nDESCRIPTION: the second one\n\nBUILD ARG   VALUE   DESCRIPTION\n"
                    "V           1       the version\nW           2       another\n\nSECRET   REQUIRED\nkey      true\n\n")


def test_bad_calls(shared, context):
    run = shared.kist("build", "--call=guess", context("FROM bc\n"), check=False)
    assert run.returncode == 1 and 'no call "guess"' in run.stderr
    run = shared.kist("build", "--call=outline", "--target=none", context("FROM bc\n"), check=False)
    assert run.returncode != 0 and 'target stage "none" could not be found' in run.stderr
