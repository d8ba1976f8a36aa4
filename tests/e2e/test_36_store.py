# SPDX-License-Identifier: Apache-2.0
"""The store on disk: what is damaged is found, told and repaired; garbage goes while others work."""
import json
import os
import pathlib
import subprocess
import threading

import pytest

from lib import docker_cli, images
from lib.daemon import Daemon
from lib_store import FakeRegistry, tar_of


@pytest.fixture
def fake():
    server = FakeRegistry()
    yield server
    server.stop()


def blob_path(daemon, digest):
    return daemon.root / "d/blobs" / digest.replace(":", "/")


def damage(path):
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def check(daemon, *args):
    run = daemon.kist("store", "check", *args, check=False)
    assert run.returncode in (0, 1) and not run.stderr, run.stderr
    return run.returncode, run.stdout


def two_layers(fake, name="two:1"):
    low = tar_of(("d", "dir", None), ("d/low", "file", b"low" * 100), ("link", "symlink", "d/low"), ("gone", "file", b"g"))
    high = tar_of(("d/high", "file", b"high" * 100), (".wh.gone", "file", b""), ("hard", "link", "d/low"))
    return fake.add_image(name, [low, high])


def layer_folders(daemon, name):
    data = daemon.inspect(name)["GraphDriver"]["Data"]
    return [pathlib.Path(p) for p in (data["UpperDir"], *data["LowerDir"].split(":"))]


def test_a_whole_store_has_no_problem(daemon, fake):
    assert check(daemon) == (0, "0 blobs, 0 layers, 0 images: 0 problems\n")
    name, _ = two_layers(fake)
    daemon.docker("pull", name)
    code, out = check(daemon)
    assert (code, out.splitlines()[-1]) == (0, "4 blobs, 2 layers, 1 images: 0 problems")
    assert check(daemon, "-q") == (0, "")


@pytest.mark.parametrize("which", ["layer", "config", "manifest", "missing"])
def test_damaged_blobs_are_fetched_again(daemon, fake, which):
    name, digests = two_layers(fake)
    daemon.docker("pull", name)
    image = daemon.inspect(name)
    digest = {"config": image["Id"], "manifest": image["RepoDigests"][0].split("@")[1]}.get(which, digests[1])
    path = blob_path(daemon, digest)
    good = path.read_bytes()
    if which == "missing":
        path.unlink()
    else:
        damage(path)
    code, out = check(daemon)
    assert code == 1
    assert (f"blob {digest}: sha256:" in out) or which == "missing"
    assert f"image {image['Id']}: " in out or which != "missing"
    if which in ("layer", "config"):
        assert path.read_bytes() != good, "a check without --repair changes nothing"
    code, out = check(daemon, "--repair")
    assert code == 0 and f"fetch from {image['RepoDigests'][0]}: done" in out
    assert path.read_bytes() == good
    assert (which == "missing") == (not os.listdir(daemon.root / "d/quarantine"))
    assert check(daemon)[0] == 0


def test_what_cannot_be_fetched_stays_a_problem(daemon, fake):
    name, digests = two_layers(fake)
    daemon.docker("pull", name)
    fake.stop()
    damage(blob_path(daemon, digests[0]))
    code, out = check(daemon, "--repair")
    assert code == 1 and "connect to" in out and "cannot be pushed or saved" in out
    assert not blob_path(daemon, digests[0]).exists(), "damaged bytes are never served"
    run = daemon.docker("save", "-o", str(daemon.root / "out"), name, check=False)
    assert run.returncode == 1 and "stored as files only" in run.stderr


def change(folder, how):
    target = folder / "d/high"
    if how == "content":
        state = target.stat()
        damage(target)
        os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))
    elif how == "mode":
        target.chmod(0o4755)
    elif how == "owner":
        os.chown(target, 1, 1)
    elif how == "missing":
        target.unlink()
    elif how == "more":
        (folder / "d/evil").write_text("x")
    elif how == "whiteout":
        (folder / "gone").unlink()
        (folder / "gone").write_text("x")
    elif how == "attribute":
        os.setxattr(target, "user.x", b"1")


CHANGES = {
    "content": "d/high: its content differs",
    "mode": "d/high: its mode differs",
    "owner": "d/high: its owner differs",
    "missing": "d: its time differs",
    "more": "d: its time differs",
    "whiteout": "gone: it is of another kind",
    "attribute": "d/high: its attributes differ",
}


@pytest.mark.parametrize("how", CHANGES)
def test_damaged_layers_are_unpacked_again(daemon, fake, how):
    name, _ = two_layers(fake)
    daemon.docker("pull", name)
    high, _ = layer_folders(daemon, name)
    change(high, how)
    code, out = check(daemon)
    assert code == 1 and CHANGES[how] in out
    # A container holds the files: they are not exchanged below it.
    container = daemon.docker("create", name, "x").stdout.strip()
    assert check(daemon, "--repair")[0] == 1
    daemon.docker("rm", container)
    code, out = check(daemon, "--repair")
    assert code == 0 and f"{CHANGES[how]} (repaired)" in out
    assert check(daemon)[0] == 0
    assert layer_folders(daemon, name)[0] != high
    assert (layer_folders(daemon, name)[0] / "d/high").read_bytes() == b"high" * 100


def test_collection_beside_everything(daemon, fake):
    """Pulls, loads, imports and removals by several threads, with a prune all the time: nothing in use is taken."""
    images = []
    for number in range(6):
        base = tar_of(("base", "file", b"shared" * 50))
        images.append(fake.add_image(f"i{number}:1", [base, tar_of((f"f{number}", "file", os.urandom(20000)))])[0])
    archive = daemon.root / "load.tar"
    daemon.docker("pull", "-q", images[0])
    daemon.docker("save", "-o", str(archive), images[0])
    stop = threading.Event()
    problems = []

    def prune():
        while not stop.is_set():
            daemon.docker("image", "prune", "-f")

    def work(number):
        try:
            for _ in range(4):
                daemon.docker("pull", "-q", images[number])
                daemon.docker("load", "-q", "-i", str(archive))
                daemon.docker("tag", images[number], f"mine:{number}")
                daemon.docker("save", "-o", f"{daemon.root}/out{number}", f"mine:{number}")
                daemon.docker("rmi", "-f", images[number], f"mine:{number}", check=False)
        except Exception as problem:  # pylint: disable=broad-except
            problems.append(problem)

    pruner = threading.Thread(target=prune)
    workers = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in [pruner, *workers]:
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    pruner.join()
    assert not problems, problems[0]
    code, out = check(daemon)
    assert code == 0, out
    ids = daemon.docker("images", "-aq").stdout.split()
    daemon.docker("rmi", "-f", *set(ids))
    assert os.listdir(daemon.root / "d/blobs/sha256") == []


def test_disk_usage(daemon, fake):
    name, _ = two_layers(fake)
    other, _ = fake.add_image("one:1", [two_layers_low()])
    daemon.docker("pull", "-q", name)
    daemon.docker("pull", "-q", other)
    daemon.docker("create", "--name", "used", name, "x")
    rows = {
        row.split("\t")[0]: row.split("\t")[1:]
        for row in daemon.docker("system", "df", "--format", "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}").stdout.splitlines()
    }  # fmt: skip
    assert rows["Images"] == ["2", "1", "701B"]  # what they share counts once
    assert rows["Containers"][:2] == ["1", "0"]
    ours = daemon.kist("system", "df").stdout.splitlines()
    theirs = daemon.docker("system", "df").stdout.splitlines()
    # What could be reclaimed is reckoned by the client, and otherwise since docker CLI 28.
    assert docker_cli.major() < 28 or ours == theirs
    assert json.loads(daemon.kist("system", "df", "--format", "json").stdout.splitlines()[0])["Type"] == "Images"


def two_layers_low():
    return tar_of(("d", "dir", None), ("d/low", "file", b"low" * 100), ("link", "symlink", "d/low"), ("gone", "file", b"g"))


def test_a_file_system_without_overlays(tmp_root, program, busybox_rootfs):
    """An overlay's own: whoever insists on overlays keeps images there, no container starts, and that is said before."""
    for name in ("lower", "upper", "work", "d"):
        (tmp_root / name).mkdir()
    options = f"lowerdir={tmp_root}/lower,upperdir={tmp_root}/upper,workdir={tmp_root}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_root / "d"], check=True)
    try:
        server = Daemon(tmp_root, program, ["--storage-driver", "overlay2"])
        server.start()
        info = json.loads(server.kist("info", "--format", "{{json .}}").stdout)
        assert info["Driver"] == "overlay2" and ["Backing Filesystem", "overlayfs"] in info["DriverStatus"]
        assert any("no container starts" in line for line in info["Warnings"])
        assert "no container starts" in server.log.read_text()
        (tmp_root / "bb.tar").write_bytes(images.tar_of(busybox_rootfs))
        server.kist("import", tmp_root / "bb.tar", "bb:1")
        refused = server.kist("run", "--network", "none", "bb:1", "true", check=False)
        assert refused.returncode != 0 and "not supported as upperdir" in refused.stderr
        server.finish()
    finally:
        subprocess.run(["umount", "-l", tmp_root / "d"], check=True)
