# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility.md says what is so: tools/compatibility makes it, and finds what has changed since."""
import pathlib
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]


def check(program, document):
    build = pathlib.Path(program("kist")).parents[2]
    argv = [TOP / "tools/compatibility", "--check", f"--document={document}", build]
    run = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    return run.returncode, run.stdout + run.stderr


def test_the_document_is_true(program, plain):
    code, told = check(program, TOP / "docs/compatibility.md")
    assert code == 0, told


def test_what_is_no_longer_so_is_found(program, tmp_path, plain):
    text = (TOP / "docs/compatibility.md").read_text()
    lies = [
        ("| GET /info | same |", "| GET /info | refused: 501 |", "API: GET /info"),
        ("`--tree`", "`--tree` `--nosuch`", "Command line: images"),
        ("`--cpu-count` only Windows", "`--cpu-count` nobody", "Command line: run"),
        ("| --socket-policy | acts |", "| --socket-policies | acts |", "dockerd's options: --socket-policies"),
    ]
    for true, false, _ in lies:
        assert true in text, true
        text = text.replace(true, false, 1)
    (tmp_path / "lies.md").write_text(text)
    code, told = check(program, tmp_path / "lies.md")
    assert code == 1
    for _, _, words in lies:
        assert f"docs/compatibility.md: {words}: it says" in told, (words, told)
