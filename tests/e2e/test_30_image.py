# SPDX-License-Identifier: Apache-2.0
"""Images: pull, import, names, removal; what must not come in; what a cut leaves."""
import concurrent.futures
import gzip
import io
import json
import os
import socket
import subprocess
import tarfile

import pytest

from lib.wait import wait_for
from lib_store import FakeRegistry, sha256, stray, tar_of


@pytest.fixture
def fake():
    server = FakeRegistry()
    yield server
    server.stop()


def entries(folder):
    return sorted(os.listdir(folder))


def nothing_left(daemon):
    """After a failed pull: no image, no layer, no blob, nothing unfinished."""
    root = daemon.root / "d"
    assert daemon.docker("images", "-aq").stdout == ""
    left = lambda: entries(root / "snapshots") + stray(root) + entries(root / "blobs/sha256")
    wait_for(lambda: not left(), lambda: f"{left()} to go")


def layer_folders(daemon, name):
    """The unpacked layers, highest first."""
    data = daemon.inspect(name)["GraphDriver"]["Data"]
    return [data["UpperDir"], *filter(None, data.get("LowerDir", "").split(":"))]


# ---- the good case ----


def test_pull_list_inspect_remove(daemon, registry):
    name = f"{registry.address}/busybox:1"
    out = daemon.docker("pull", name).stdout
    assert "1: Pulling from busybox" in out
    assert f"Status: Downloaded newer image for {name}" in out
    again = daemon.docker("pull", name).stdout
    assert f"Status: Image is up to date for {name}" in again

    details = daemon.inspect(name)
    assert details["RepoTags"] == [name]
    assert details["RepoDigests"][0].startswith(f"{registry.address}/busybox@sha256:")
    assert details["Config"]["Cmd"] == ["sh"]
    assert details["Os"] == "linux" and details["Architecture"] == "amd64"
    assert len(details["RootFS"]["Layers"]) == 1
    config = json.loads((daemon.root / "d/blobs/sha256" / details["Id"].split(":")[1]).read_text())
    assert config["rootfs"]["diff_ids"] == details["RootFS"]["Layers"]

    short = details["Id"].split(":")[1][:12]
    assert daemon.inspect(short)["Id"] == details["Id"]
    assert daemon.inspect(details["RepoDigests"][0])["Id"] == details["Id"]
    assert daemon.docker("images", "-q").stdout.split() == [short]
    history = daemon.docker("history", "--format", "{{.CreatedBy}}", name).stdout.strip()
    assert history

    removed = daemon.docker("rmi", name).stdout
    assert f"Untagged: {name}" in removed
    assert f"Untagged: {details['RepoDigests'][0]}" in removed
    assert f"Deleted: {details['Id']}" in removed
    nothing_left(daemon)


def test_tags_and_their_removal(daemon, registry):
    name = f"{registry.address}/busybox:1"
    daemon.docker("pull", "-q", name)
    image = daemon.inspect(name)["Id"]
    daemon.docker("tag", name, "one:a")
    daemon.docker("tag", image[7:19], "one:b")
    assert sorted(daemon.inspect("one:a")["RepoTags"]) == sorted([name, "one:a", "one:b"])
    assert daemon.docker("rmi", "one:a").stdout == "Untagged: one:a\n"

    refused = daemon.docker("rmi", image[7:19], check=False)
    assert refused.returncode == 1
    assert (
        f"conflict: unable to delete {image[7:19]} (must be forced) - image is referenced in multiple repositories"
        in refused.stderr
    )
    forced = daemon.docker("rmi", "-f", image).stdout
    assert "Untagged: one:b" in forced and f"Deleted: {image}" in forced

    missing = daemon.docker("rmi", "nosuch", check=False)
    assert missing.returncode == 1 and "No such image: nosuch" in missing.stderr
    assert daemon.kist("rmi", "nosuch", check=False).stderr == "Error response from daemon: No such image: nosuch:latest\n"
    bad = daemon.docker("tag", "nosuch", "UPPER", check=False)
    assert bad.returncode == 1


def test_image_in_use(daemon, registry):
    name = f"{registry.address}/busybox:1"
    daemon.docker("pull", "-q", name)
    image = daemon.inspect(name)["Id"]
    container = daemon.docker("create", "--network", "none", name, "true").stdout.strip()
    refused = daemon.docker("rmi", name, check=False)
    assert (
        f'conflict: unable to remove repository reference "{name}" (must force) - container {container[:12]} is using '
        f"its referenced image {image[7:19]}" in refused.stderr
    )
    refused = daemon.docker("rmi", image, check=False)
    assert (
        f"conflict: unable to delete {image[7:19]} (must be forced) - image is being used by stopped container "
        f"{container[:12]}" in refused.stderr
    )
    daemon.docker("rm", container)
    assert "Deleted:" in daemon.docker("rmi", name).stdout


def test_prune_takes_the_nameless_only(daemon, fake):
    first, _ = fake.add_image("app:1", [tar_of(("f", "file", b"one"))])
    daemon.docker("pull", "-q", first)
    old = daemon.inspect(first)["Id"]
    fake.add_image("app:1", [tar_of(("f", "file", b"two"))])
    out = daemon.docker("pull", first).stdout
    assert "Downloaded newer image" in out
    new = daemon.inspect(first)["Id"]
    assert new != old
    assert daemon.docker("images", "-q", "-f", "dangling=true").stdout.split() == [old[7:19]]
    pruned = daemon.docker("image", "prune", "-f").stdout
    assert f"deleted: {old}" in pruned
    assert daemon.docker("images", "-q").stdout.split() == [new[7:19]]


def test_layers_in_overlays_form(daemon, fake):
    """Unpacked side by side, and yet with what only the layers below know."""
    empty = tar_of()
    layers = [
        tar_of(
            ("a", "dir", None, {"mode": 0o700, "uid": 5}),
            ("a/f", "file", b"one", {"uid": 6, "mode": 0o4711}),
            ("a/gone", "file", b"x"),
            ("opaque", "dir", None),
            ("opaque/old", "file", b"x"),
        ),
        empty,
        tar_of(
            ("a/new", "file", b"two"),
            ("hard", "link", "a/f"),
            ("a/.wh.gone", "file", b""),
            ("opaque/.wh..wh..opq", "file", b""),
            ("opaque/new", "file", b"y"),
        ),
        empty,
    ]
    name, _ = fake.add_image("layers:1", layers)
    daemon.docker("pull", "-q", name)
    folders = layer_folders(daemon, name)
    assert len(folders) == 4
    top = folders[1]
    assert os.stat(f"{top}/a").st_mode & 0o7777 == 0o700  # not mentioned by the layer: as below
    assert os.stat(f"{top}/a").st_uid == 5
    assert os.stat(f"{top}/hard").st_uid == 6
    assert os.stat(f"{top}/hard").st_mode & 0o7777 == 0o4711
    assert os.stat(f"{top}/a/gone").st_rdev == 0
    assert os.getxattr(f"{top}/opaque", "trusted.overlay.opaque") == b"y"

    merged = daemon.root / "merged"
    merged.mkdir()
    subprocess.run(["mount", "-t", "overlay", "-o", "lowerdir=" + ":".join(folders), "overlay", merged], check=True)
    try:
        assert entries(merged) == ["a", "hard", "opaque"]
        assert entries(merged / "a") == ["f", "new"]
        assert entries(merged / "opaque") == ["new"]
        assert (merged / "hard").read_bytes() == b"one"
    finally:
        subprocess.run(["umount", merged], check=True)


def test_two_pulls_of_one_image(daemon, fake):
    fake.delay = 0.005
    name, digests = fake.add_image("twice:1", [tar_of(("f", "file", os.urandom(2_000_000)))])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [pool.submit(daemon.docker, "pull", name) for _ in range(3)]
        for run in runs:
            run.result()
    assert fake.sent(digests[0]) == len(fake.blobs[digests[0]])


def test_import(daemon, busybox_rootfs):
    tar = subprocess.run(["tar", "-C", busybox_rootfs, "-cz", "."], check=True, capture_output=True).stdout
    changes = ["CMD [\"sh\", \"-c\", \"echo hello\"]", "ENV A=b C='d e'", "EXPOSE 80", "LABEL x=y", "WORKDIR /tmp",
               "HEALTHCHECK --interval=5s CMD true"]  # fmt: skip
    argv = ["import", "-m", "from a test", *(f"--change={change}" for change in changes), "-", "made:here"]
    run = subprocess.run(["docker", *argv], input=tar, capture_output=True, env=daemon.environment, timeout=60)
    assert run.returncode == 0, run.stderr
    details = daemon.inspect("made:here")
    assert run.stdout.decode().strip() == details["Id"]
    assert details["Comment"] == "from a test"
    config = details["Config"]
    assert config["Cmd"] == ["sh", "-c", "echo hello"]
    assert config["Env"] == ["A=b", "C=d e"]
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert config["Labels"] == {"x": "y"}
    assert config["WorkingDir"] == "/tmp"
    assert config["Healthcheck"]["Interval"] == 5_000_000_000
    assert details["RootFS"]["Layers"] == [sha256(gzip.decompress(tar))]
    bad = subprocess.run(
        ["docker", "import", "--change=RUN ls", "-", "x"], input=tar, capture_output=True, env=daemon.environment
    )
    assert bad.returncode != 0 and b"RUN is not a valid change command" in bad.stderr


@pytest.mark.parametrize("length", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_import_that_is_cut_between_two_files(daemon, length):
    whole = tar_of(("bin", "dir", None), ("bin/busybox", "file", b"x" * 512), ("bin/sleep", "symlink", "busybox"))
    cut = whole[: 3 * 512]
    body = b"%x\r\n%s\r\n" % (len(cut), cut) if "chunked" in length else cut
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.socket))
        client.sendall(f"POST /images/create?fromSrc=-&repo=cut HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode() + body)
        wait_for(lambda: entries(daemon.root / "d" / "snapshots"), "the import to begin")
    wait_for(lambda: not entries(daemon.root / "d" / "snapshots"), lambda: f"{entries(daemon.root / 'd' / 'snapshots')} to go")
    assert daemon.docker("images", "-q").stdout == "", "half an archive is no image"


def test_pull_by_digest_and_platform(daemon, fake):
    name, _ = fake.add_image("app:1", [tar_of(("f", "file", b"one"))])
    digest = sha256(fake.manifests["app", "1"])
    daemon.docker("pull", "-q", f"{fake.address}/app@{digest}")
    details = daemon.inspect(f"{fake.address}/app@{digest}")
    assert details["RepoTags"] == []
    assert details["RepoDigests"] == [f"{fake.address}/app@{digest}"]


# ---- what must not come in ----


def refused(daemon, name, *words):
    run = daemon.docker("pull", name, check=False)
    assert run.returncode == 1
    for word in words:
        assert word in run.stderr, run.stderr
    nothing_left(daemon)
    assert entries(daemon.root / "d/ingest") == []


def test_unknown_image_and_no_registry(daemon, fake):
    refused(daemon, f"{fake.address}/nosuch:1", "nosuch")
    address = fake.address
    fake.server.server_close()
    refused(daemon, f"{address}/x:1", "refused")


def test_wrong_digest(daemon, fake):
    name, digests = fake.add_image("bad:1", [tar_of(("f", "file", os.urandom(100_000)))])
    data = bytearray(fake.blobs[digests[0]])
    data[5000] ^= 1
    fake.blobs[digests[0]] = bytes(data)
    refused(daemon, name, digests[0])


def test_wrong_diff_id(daemon, fake):
    name, digests = fake.add_image("bad:1", [tar_of(("f", "file", b"x"))], diff_ids=["sha256:" + 64 * "0"])
    refused(daemon, name, digests[0], "match")


def test_truncated_layer(daemon, fake):
    layer = tar_of(("f", "file", os.urandom(100_000)))
    name, digests = fake.add_image("bad:1", [layer], packed=[gzip.compress(layer)[:60_000]])
    refused(daemon, name, digests[0], "cut short")


EVIL = {
    "dot-dot": ([("../../outside", "file", b"evil")], 'its path contains ".."'),
    "dot-dot-inside": ([("a/../../../outside", "file", b"evil")], 'its path contains ".."'),
    "absolute-link": (
        [("out", "symlink", "/tmp"), ("out/t-store-evil", "file", b"evil")],
        "leads out of the layer through a symbolic link",
    ),
    "relative-link": (
        [("out", "symlink", "../../../../tmp"), ("out/t-store-evil", "file", b"evil")],
        "leads out of the layer through a symbolic link",
    ),
    "link-after-use": (
        [
            ("d", "dir", None),
            ("d/f", "file", b"x"),
            ("d", "symlink", "/tmp"),
            ("d/t-store-evil", "file", b"evil"),
        ],
        "leads out of the layer through a symbolic link",
    ),
    "hard-link-out": ([("h", "link", "../../../../etc/shadow")], 'its path contains ".."'),
    "hard-link-absolute": ([("h", "link", "/etc/shadow")], "hard link to etc/shadow, which is not in the layer"),
    "hard-link-through-link": (
        [("l", "symlink", "/etc"), ("h", "link", "l/shadow")],
        "leads out of the layer through a symbolic link",
    ),
    "not-a-directory": ([("f", "file", b"x"), ("f/g", "file", b"x")], "a parent is not a directory"),
    "whiteout-of-nothing": ([("a/.wh.", "file", b"")], "a whiteout of nothing"),
}


@pytest.mark.parametrize("kind", EVIL)
def test_evil_layers(shared_daemon, kind):
    parts, words = EVIL[kind]
    fake = FakeRegistry()
    try:
        name, digests = fake.add_image("evil:1", [tar_of(*parts)])
        refused(shared_daemon, name, digests[0], words)
    finally:
        fake.stop()
    assert not os.path.exists("/tmp/t-store-evil")


def test_not_a_tar(daemon, fake):
    name, digests = fake.add_image("bad:1", [b"this is no tar archive " * 100])
    refused(daemon, name, digests[0], "not a whole tar archive")


@pytest.fixture
def small_daemon(tmp_root, program):
    """A kistd whose data root is a file system of 24 MiB."""
    from lib.daemon import Daemon

    disk = tmp_root / "d"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=711", "tmpfs", disk], check=True)
    server = Daemon(tmp_root, program)
    try:
        server.start()
        yield server
        server.finish()
    finally:
        if server.process:
            server.stop()
        subprocess.run(["umount", disk], check=True)


def test_gzip_bomb(small_daemon, fake):
    """1 GiB of zeros in 1 MiB: stopped at what the disk could hold, before it is full."""
    info = tarfile.TarInfo("bomb")
    info.size = 1 << 30
    packed = gzip.compress(info.tobuf()) + gzip.compress(bytes(16 << 20), 9) * 64
    name, digests = fake.add_image("bomb:1", [b""], packed=[packed], diff_ids=["sha256:" + 64 * "1"])
    refused(small_daemon, name, digests[0], "decompresses to more than the limit")


def test_full_disk(small_daemon, fake):
    layers = [tar_of((f"f{i}", "file", os.urandom(9_000_000))) for i in range(2)]
    name, _ = fake.add_image("big:1", layers)
    run = small_daemon.docker("pull", name, check=False)
    assert run.returncode == 1
    assert "no space left on device" in run.stderr.lower() or "more than the limit" in run.stderr, run.stderr
    nothing_left(small_daemon)
    small, _ = fake.add_image("small:1", [tar_of(("f", "file", b"fits"))])
    small_daemon.docker("pull", "-q", small)
    small_daemon.restart()
    assert small_daemon.docker("images", "--format", "{{.Tag}}").stdout.split() == ["1"]
    assert not stray(small_daemon.root / "d")


# ---- cuts ----


def test_kill_during_pull_then_resume(daemon, fake):
    big = tar_of(("f", "file", os.urandom(8_000_000)))
    name, digests = fake.add_image("big:1", [tar_of(("s", "file", b"small")), big])
    size = len(fake.blobs[digests[1]])
    fake.delay = 0.02
    client = subprocess.Popen(
        ["docker", "pull", name], env=daemon.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: fake.sent(digests[1]) > 3_000_000)
    daemon.kill()
    client.wait(60)
    before = fake.sent(digests[1])
    assert before < size
    daemon.start()

    root = daemon.root / "d"
    assert daemon.docker("images", "-aq").stdout == ""
    left = lambda: entries(root / "snapshots") + stray(root) + entries(root / "blobs/sha256")
    wait_for(lambda: not left(), lambda: f"{left()} to go")
    fake.delay = 0
    daemon.docker("pull", "-q", name)
    # Only the rest was sent, give or take what was on its way.
    assert fake.sent(digests[1]) < size + 2_000_000
    assert any(asked for path, asked, _ in fake.requests if path.endswith(digests[1]))
    wait_for(lambda: not entries(root / "ingest") + stray(root), lambda: f"{entries(root / 'ingest') + stray(root)} to go")
    top = layer_folders(daemon, name)[0]
    with tarfile.open(fileobj=io.BytesIO(big)) as tar:
        assert open(f"{top}/f", "rb").read() == tar.extractfile("f").read()


def test_canceled_pull_goes_on_later(daemon, fake):
    name, digests = fake.add_image("big:1", [tar_of(("f", "file", os.urandom(6_000_000)))])
    size = len(fake.blobs[digests[0]])
    fake.delay = 0.02
    client = subprocess.Popen(
        ["docker", "pull", name], env=daemon.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: fake.sent(digests[0]) > 2_000_000)
    client.terminate()
    client.wait(60)
    root = daemon.root / "d"
    wait_for(lambda: not entries(root / "snapshots"), lambda: f"{entries(root / 'snapshots')} to go")
    assert daemon.docker("images", "-aq").stdout == ""
    fake.delay = 0
    daemon.docker("pull", "-q", name)
    assert fake.sent(digests[0]) < size + 2_000_000


def test_images_survive_kill(daemon, fake):
    name, _ = fake.add_image("app:1", [tar_of(("f", "file", b"one"))])
    daemon.docker("pull", "-q", name)
    daemon.docker("tag", name, "kept:1")
    image = daemon.inspect("kept:1")["Id"]
    daemon.kill()
    daemon.start()
    assert daemon.inspect("kept:1")["Id"] == image
    assert open(f"{layer_folders(daemon, name)[0]}/f").read() == "one"


def test_mirror_of_the_hub(tmp_root, program, fake):
    """--registry-mirror: docker.io names come from there."""
    from lib.daemon import Daemon

    fake.add_image("library/thing:1", [tar_of(("f", "file", b"mirrored"))])
    server = Daemon(tmp_root, program, ["--registry-mirror", f"http://{fake.address}"])
    server.start()
    server.docker("pull", "-q", "thing:1")
    assert server.inspect("thing:1")["RepoTags"] == ["thing:1"]
    assert server.inspect("docker.io/library/thing:1")["RepoDigests"][0].startswith("thing@sha256:")
    server.docker("rmi", "thing:1")
    server.finish()


def test_run_of_many_layers(daemon, fake, busybox_rootfs):
    """More lower layers than one page of mount options holds."""
    from lib import images

    layers = [images.tar_of(busybox_rootfs)]
    layers += [tar_of((f"layer/{i}", "file", str(i).encode())) for i in range(126)]
    name, _ = fake.add_image("deep:1", layers)
    daemon.docker("pull", "-q", name)
    run = daemon.docker("run", "--rm", "--network", "none", name, "sh", "-c", "ls /layer | wc -l; cat /layer/125")
    assert run.stdout == "126\n125"
    assert len(daemon.docker("history", "-q", name).stdout.split()) == 127


@pytest.mark.usefixtures("plain")
def test_unpacker_is_locked_in(tmp_root, program):
    """While it waits for its first byte: no paths but the layer, few capabilities, seccomp, no new privileges."""
    target = tmp_root / "layer"
    target.mkdir()
    folder = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    stream_read, stream_write = os.pipe()
    report_read, report_write = os.pipe()

    def arrange():
        for fd, place in ((folder, 103), (report_write, 104)):
            os.dup2(fd, place)
        os.dup2(103, 3)
        os.dup2(104, 4)

    process = subprocess.Popen(
        [program("kist-unpack"), "unpack", "0", "allow", "lowest"],
        stdin=stream_read,
        close_fds=False,
        preexec_fn=arrange,
    )
    try:
        os.close(report_write)

        def status():
            with open(f"/proc/{process.pid}/status") as lines:
                return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}

        wait_for(lambda: status()["Seccomp"] == "2")
        found = status()
        assert found["NoNewPrivs"] == "1"
        # chown dac_override fowner fsetid mknod sys_admin (trusted.* attributes) setfcap
        wanted = sum(1 << bit for bit in (0, 1, 3, 4, 21, 27, 31))
        assert int(found["CapEff"], 16) == wanted == int(found["CapBnd"], 16)
        assert os.path.samestat(os.stat(f"/proc/{process.pid}/root"), os.stat(target))
        with open(f"/proc/{process.pid}/limits") as limits:
            assert any("Max core file size" in line and line.split()[4] == "0" for line in limits)
        os.write(stream_write, tar_of(("f", "file", b"x")))
        os.close(stream_write)
        os.close(stream_read)
        assert process.wait(60) == 0
        assert os.read(report_read, 1) == b"R"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for fd in (folder, report_read):
            os.close(fd)


def test_waiting_is_told(daemon, fake):
    """Three layers at a time: docker shows the others as waiting."""
    name, digests = fake.add_image("many:1", [tar_of((f"f{i}", "file", b"x")) for i in range(5)])
    out = daemon.docker("pull", name).stdout
    waiting = [line.split(":")[0] for line in out.splitlines() if line.endswith(": Waiting")]
    assert waiting == [digest.split(":")[1][:12] for digest in digests[3:]]
