# SPDX-License-Identifier: Apache-2.0
"""What confines our helpers, when the kernel has less of it, and when somebody races with it."""
import ctypes
import errno
import io
import multiprocessing
import os
import sys
import tarfile

import pytest

from lib import denied_calls
from lib.daemon import Daemon
from lib.unpack import unpack

LANDLOCK_CREATE_RULESET = 444
RENAME_EXCHANGE = 2
AT_FDCWD = -100
MESSAGE = "No Landlock support: kist-transfer"


def has_landlock():
    return ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, 1) > 0


class OlderDaemon(Daemon):
    """kistd on a kernel without Landlock."""

    def argv(self):
        return [
            sys.executable, denied_calls.__file__, str(errno.EOPNOTSUPP), str(LANDLOCK_CREATE_RULESET), *super().argv()
        ]  # fmt: skip


def test_missing_landlock_is_told(tmp_root, program, registry):
    server = OlderDaemon(tmp_root, program)
    server.start()
    try:
        info = server.kist("info")
        assert MESSAGE in info.stdout + info.stderr
        assert "landlock" not in server.docker("info", "--format", "{{json .SecurityOptions}}").stdout
        assert MESSAGE in server.docker("info", "--format", "{{json .Warnings}}").stdout
        assert server.log.read_text().count(MESSAGE) == 1
        server.docker("pull", "-q", f"{registry.address}/busybox:1")
    finally:
        server.finish()


@pytest.mark.skipif(not has_landlock(), reason="this kernel has no Landlock")
def test_landlock_that_is_there_is_named(shared_daemon):
    assert "name=landlock" in shared_daemon.docker("info", "--format", "{{json .SecurityOptions}}").stdout
    assert MESSAGE not in shared_daemon.docker("info", "--format", "{{json .Warnings}}").stdout
    assert MESSAGE not in shared_daemon.log.read_text()


# ---- a race with the unpacker ----


def exchange_for_ever(target, pairs):
    """renameat2(RENAME_EXCHANGE) as fast as it goes: at every moment each name is a directory or a way out."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = [(os.fsencode(f"{target}/{a}"), os.fsencode(f"{target}/{b}")) for a, b in pairs]
    while True:
        for a, b in names:
            libc.renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE)


def racing_layer(round_number):
    """Files, links, modes, removals and whiteouts below two directories by turns, so that no parent stays open."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for i in range(40):
            for folder in ("a", "b"):
                name = f"{folder}/{round_number}-{i}"
                info = tarfile.TarInfo(name)
                info.size = 3
                tar.addfile(info, io.BytesIO(b"new"))
                for kind, path in ((tarfile.REGTYPE, f"{folder}/keep"), (tarfile.DIRTYPE, f"{folder}/folder")):
                    info = tarfile.TarInfo(path)
                    info.type, info.mode, info.uid = kind, 0o777, 4711
                    tar.addfile(info)
                info = tarfile.TarInfo(f"{folder}/hard-{i}")
                info.type, info.linkname = tarfile.LNKTYPE, name
                tar.addfile(info)
                tar.addfile(tarfile.TarInfo(f"{folder}/.wh.gone"))
    return out.getvalue()


def look(folder):
    """Names, kinds, owners, modes and contents below it."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_uid,
            path.lstat().st_nlink,
            path.read_bytes() if path.is_file() else None,
        )
        for path in [folder, *sorted(folder.rglob("*"))]
    }


def naive_unpack(data, target):
    """What must not be done: paths that are joined and then trusted."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for entry in tar:
            if entry.isreg():
                try:
                    (target / entry.name).write_bytes(b"new")
                except OSError:
                    pass


@pytest.mark.parametrize("unpacker", ["kist-unpack", "naive"])
def test_nothing_outside_is_touched_by_a_race(tmp_root, program, unpacker):
    """Another process exchanges the directories a layer is unpacked to for symbolic links that lead out.

    That the race is won often is shown by the naive unpacker, which is caught writing outside within a few rounds.
    Tried by hand too: with both jail_enter() and RESOLVE_BENEATH taken out of kist-unpack it is caught at once; either
    of them alone holds.
    """
    outside = tmp_root / "outside"
    (outside / "folder").mkdir(parents=True)
    for name in ("keep", "gone", "folder/inner"):
        (outside / name).write_text("old")
    before = look(outside)
    caught = False
    racer = None
    target = tmp_root / "target"
    try:
        for round_number in range(60):
            if racer is None:
                for name in ("a", "b"):
                    (target / name).mkdir(parents=True)
                (target / "way-a").symlink_to(outside)
                (target / "way-b").symlink_to("../outside")
                racer = multiprocessing.Process(
                    target=exchange_for_ever, args=(target, [("a", "way-a"), ("b", "way-b")]), daemon=True
                )
                racer.start()
            layer = racing_layer(round_number)
            if unpacker == "naive":
                naive_unpack(layer, target)
            else:
                unpack(program, layer, target)
            caught = look(outside) != before
            if caught:
                break
    finally:
        if racer:
            racer.kill()
            racer.join()

    assert caught == (unpacker == "naive"), look(outside)
