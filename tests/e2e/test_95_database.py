# SPDX-License-Identifier: Apache-2.0
"""A database that cannot be read: kistd says so, changes nothing, and `kist system recover` makes the best of it."""
import os
import pathlib
import sqlite3
import subprocess

import pytest

from lib.wait import wait_for


@pytest.fixture
def filled(own):
    daemon = own
    daemon.docker("run", "--name", "first", "-v", "kept:/data", "busybox", "sh", "-c", "echo content >/data/file; echo own >/file")
    # The copy is made in the background of a start.
    daemon.restart()
    wait_for((daemon.root / "d/meta.db.copy").exists, "the copy")
    daemon.stop()
    return daemon


def tree(root):
    return sorted(str(p) for p in (root / "d").rglob("*") if "meta.db" not in p.name and "trash" not in p.parts)


def refuses(daemon, *words):
    before = tree(daemon.root)
    mark = daemon.log.stat().st_size
    daemon.start(wait=False)
    assert daemon.process.wait(60) != 0
    daemon.process = None
    said = daemon.log.read_bytes()[mark:].decode()
    for word in (*words, "kist system recover"):
        assert word in said, said
    assert tree(daemon.root) == before


def recover(daemon):
    run = daemon.kist("system", "recover", "--data-root", daemon.root / "d")
    assert list((daemon.root / "d").glob("meta.db.unreadable-*")), run.stdout
    daemon.start()
    return run.stdout


def is_whole(daemon):
    assert daemon.docker("ps", "-a", "--format", "{{.Names}}").stdout == "first\n"
    assert daemon.docker("run", "--rm", "-v", "kept:/d", "busybox", "cat", "/d/file").stdout == "content\n"
    assert daemon.docker("start", "-a", "first").returncode == 0
    daemon.docker("commit", "first", "made")
    assert daemon.docker("run", "--rm", "made", "cat", "/file").stdout == "own\n"


def test_a_file_that_is_no_database(filled):
    (filled.root / "d/meta.db").write_bytes(b"not a database at all" * 1000)
    for suffix in ("-wal", "-shm"):
        (filled.root / f"d/meta.db{suffix}").unlink(missing_ok=True)
    refuses(filled, "meta.db")
    assert "there is a copy of" in recover(filled)
    is_whole(filled)


def test_a_file_that_is_gone(filled):
    for suffix in ("", "-wal", "-shm"):
        (filled.root / f"d/meta.db{suffix}").unlink(missing_ok=True)
    refuses(filled, "is not there, but its copy is")
    run = filled.kist("system", "recover", "--data-root", filled.root / "d")
    assert "there is a copy of" in run.stdout
    filled.start()
    is_whole(filled)


def test_a_broken_page_costs_its_rows_only(filled):
    """What came after the copy is there, too, where it can be read."""
    path = filled.root / "d/meta.db"
    database = sqlite3.connect(path)
    (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'image'").fetchone() or (None,)
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    if page is None:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name LIKE '%image%' AND type = 'table'").fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    database.execute("INSERT INTO volumes (name, created, labels, options) VALUES ('late', 1, '{\"labels\":{}}', '{}')")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    os.makedirs(filled.root / "d/volumes/late/_data")
    with open(path, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    assert "volumes" in names
    refuses(filled, "unreadable")
    said = recover(filled)
    assert "the rest is as in the copy" in said
    assert sorted(filled.docker("volume", "ls", "-q").stdout.split()) == ["kept", "late"]
    is_whole(filled)


def test_nothing_is_done_to_a_sound_one(filled):
    run = filled.kist("system", "recover", "--data-root", filled.root / "d")
    assert "there is nothing to do" in run.stdout
    filled.start()
    busy = subprocess.run([filled.program("kist"), "system", "recover", "--data-root", str(filled.root / "d")],
                          capture_output=True, text=True, env=filled.environment, timeout=120, check=False)  # fmt: skip
    assert busy.returncode != 0 and pathlib.Path(filled.root / "d/meta.db").exists()
    is_whole(filled)
