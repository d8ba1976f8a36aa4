# SPDX-License-Identifier: Apache-2.0
"""How layers are kept: the same life of an image and its containers with each storage driver."""
import contextlib
import gzip
import io
import json
import os
import pathlib
import random
import stat
import struct
import subprocess
import tarfile

import pytest

from lib import images, leaks
from lib.daemon import Daemon
from lib.wait import wait_for
from lib_store import FakeRegistry, sha256, stray, tar_of

DRIVERS = ["overlay2", "erofs", "copy"]
CAPABILITY = b"\x01\0\0\x02\0\x20\0\0" + bytes(12)  # cap_net_raw=ep


@pytest.fixture
def fake():
    server = FakeRegistry()
    yield server
    server.stop()


def start(server):
    try:
        server.start()
    except AssertionError as problem:
        if "this kernel has no EROFS" in str(problem):
            pytest.skip("this kernel has no EROFS")
        raise


@pytest.fixture(params=DRIVERS)
def engine(tmp_root, program, request):
    server = Daemon(tmp_root, program, ["--storage-driver", request.param])
    server.driver = request.param
    start(server)
    yield server
    server.finish()
    assert not leaks.mounts(str(tmp_root))


def high_layer():
    """Everything a layer can say of the one below, and of itself."""
    pax = {"pax_headers": {"SCHILY.xattr.user.word": "said", "SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1")}}
    return tar_of(
        ("bin/.wh.wget", "file", b""),
        ("etc/.wh..wh..opq", "file", b""),
        ("etc/fresh", "file", b"fresh\n"),
        ("bin/hard", "link", "bin/busybox"),
        ("own", "dir", None, {"uid": 7, "gid": 8, "mode": 0o3751}),
        ("own/file", "file", b"own\n", {"uid": 1000, "gid": 1001, "mode": 0o4755, **pax}),
        ("own/again", "link", "own/file"),
        ("own/link", "symlink", "../etc/fresh"),
        ("own/null", "char", None, {"devmajor": 1, "devminor": 3}),
        ("tmp/.wh.nothing", "file", b""),
        ("moved/inner/file", "file", b"deep\n"),
    )


def add_image(fake, rootfs, name="life:1"):
    return fake.add_image(name, [images.tar_of(rootfs), high_layer()])[0]


def run(engine, image, script, *options):
    return engine.kist("run", "--rm", "--network", "none", *options, image, "sh", "-c", script).stdout


def check(engine, *options, code=0):
    done = engine.kist("store", "check", *options, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


LOOK = (
    "ls /bin/wget /etc/passwd 2>&1; cat /etc/fresh; stat -c '%n %u:%g %a %F' /own /own/file /own/link /own/null /tmp /bin;"
    " stat -c '%i %h' /own/file /own/again | uniq | wc -l; stat -c %Y /own/file /own; cmp /bin/hard /bin/busybox && readlink /own/link"
)
SEEN = """ls: /bin/wget: No such file or directory
ls: /etc/passwd: No such file or directory
fresh
/own 7:8 3751 directory
/own/file 1000:1001 4755 regular file
/own/link 0:0 777 symbolic link
/own/null 0:0 644 character special file
/tmp 0:0 1777 directory
/bin 0:0 755 directory
1
1700000000
1700000000
../etc/fresh
"""
WORK = (
    "echo more >>/own/file; rm /bin/vi; mkdir /made; echo m >/made/m; chmod 700 /own; mv /bin/cut /bin/cat2; echo x >/own/x;"
    " rm /own/x; rm -r /root; touch /root; dd if=/dev/zero of=/hole bs=1 count=1 seek=1000000 2>/dev/null; mkdir /tmp/a; mv /moved /tmp/a"
)
CHANGED = ["A /hole", "A /made", "A /made/m", "A /tmp/a", "A /tmp/a/moved", "A /tmp/a/moved/inner", "A /tmp/a/moved/inner/file", "A /bin/cat2", "C /bin", "C /own",
           "C /own/file", "C /tmp", "C /root", "D /bin/cut", "D /bin/vi", "D /moved"]  # fmt: skip


def test_from_pull_to_prune(engine, fake, busybox_rootfs):
    name = add_image(fake, busybox_rootfs)
    engine.kist("pull", "-q", name)
    info = json.loads(engine.kist("info", "--format", "{{json .}}").stdout)
    assert info["Driver"] == engine.driver and info["DriverStatus"][0][0] == "Backing Filesystem"
    assert run(engine, name, LOOK) == SEEN
    engine.kist("run", "--network", "none", "--name", "work", name, "sh", "-c", WORK)
    inspected = engine.inspect("work")
    assert (inspected["Driver"], inspected["GraphDriver"]["Name"]) == (engine.driver, engine.driver)
    changes = engine.kist("diff", "work").stdout.splitlines()
    # An overlay takes names of one file apart when it is written to.
    assert sorted(changes) == sorted(CHANGED + ["C /own/again"] * (engine.driver == "copy"))
    size = json.loads(engine.kist("inspect", "-s", "work").stdout)[0]
    assert 1000000 < size["SizeRw"] < 1100000 and size["SizeRootFs"] - size["SizeRw"] < 4100000
    # Nothing but what was changed goes into a layer.
    engine.kist("commit", "work", "made:1")
    seen = run(engine, "made:1", "ls -d /bin/vi /bin/cut /tmp/a/moved/inner/file /root 2>&1; tail -n1 /own/file; stat -c '%a %u' /own; stat -c %s /hole")
    assert seen == ("ls: /bin/vi: No such file or directory\nls: /bin/cut: No such file or directory\n/root\n/tmp/a/moved/inner/file\n"
                    "more\n700 7\n1000001\n")  # fmt: skip
    layer = json.loads(engine.kist("history", "--format", "json", "made:1").stdout.splitlines()[0])
    assert layer["Size"] == "1MB"
    # Files out and in.
    copied = subprocess.run([engine.program("kist"), "cp", "work:/made", "-"], env=engine.environment, capture_output=True, check=True)
    assert tarfile.open(fileobj=io.BytesIO(copied.stdout)).extractfile("made/m").read() == b"m\n"
    (engine.root / "in").write_text("in\n")
    engine.kist("cp", engine.root / "in", "work:/made/in")
    exported = subprocess.run([engine.program("kist"), "export", "work"], env=engine.environment, capture_output=True, check=True)
    names = tarfile.open(fileobj=io.BytesIO(exported.stdout)).getnames()
    assert "made/in" in names and "bin/busybox" in names and "bin/vi" not in names
    # A volume gets the image's files, an image is mounted, nobody writes to it.
    assert run(engine, name, "ls /own", "-v", "filled:/own") == "again\nfile\nlink\nnull\n"
    mount = ("--mount", f"type=image,src={name},dst=/image")
    assert run(engine, name, "cat /image/etc/fresh; ls /image/etc; touch /image/x 2>/dev/null || echo no", *mount) == "fresh\nfresh\nno\n"
    assert "0 problems" in check(engine)
    engine.kist("rm", "work")
    engine.kist("system", "prune", "-af")
    for folder in ("snapshots", "blobs/sha256"):
        wait_for(lambda where=engine.root / "d" / folder: not os.listdir(where), f"{folder} to be empty")


DOCKERFILE = """FROM {base} AS one
RUN echo 1 >/one && rm /bin/wc && echo tail >>/own/file
COPY --chown=5:6 kept /kept/
WORKDIR /work
RUN rm /one && ln /kept/kept /work/linked && ln /kept/kept /work/kept && mkdir /own/sub
FROM {base}
COPY --from=one /work /kept /got/
RUN --mount=type=bind,from=one,source=/own,target=/own2 cp -p /own2/file /f && test -d /own2/sub
"""


def test_build(engine, fake, busybox_rootfs):
    name = add_image(fake, busybox_rootfs)
    context = engine.root / "c"
    (context / "kept").mkdir(parents=True)
    (context / "kept/kept").write_text("kept\n")
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=name))
    engine.kist("build", "-q", "-t", "built:1", context)
    assert run(engine, "built:1", "ls -1 /got /own; tail -n1 /f; stat -c '%u %a' /f; ls /bin/wc") == (
        "/got:\nkept\nlinked\n\n/own:\nagain\nfile\nlink\nnull\ntail\n1000 4755\n/bin/wc\n"
    )
    again = engine.kist("build", "-t", "built:2", context)
    assert engine.inspect("built:1")["Id"] == engine.inspect("built:2")["Id"], again.stdout
    engine.kist("build", "-q", "-t", "first:1", "--target", "one", context)
    seen = run(engine, "first:1", "cat /work/linked; ls /one /bin/wc 2>&1 | wc -l; stat -c '%u:%g' /kept/kept")
    assert seen == "kept\n2\n5:6\n"
    # The same layers by way of a tar, under the same ids.
    archive = engine.root / "built.tar"
    engine.kist("save", "-o", archive, "built:1")
    before = engine.inspect("built:1")["Id"]
    engine.kist("rmi", "built:1", "built:2")
    engine.kist("load", "-i", archive)
    assert engine.inspect("built:1")["Id"] == before
    assert "0 problems" in check(engine)


def test_killed(engine, fake, busybox_rootfs):
    """kill -9 in a pull, beside a running container, and in a removal: what was told stays, the rest goes."""
    name = add_image(fake, busybox_rootfs)
    fake.delay = 0.05
    pull = subprocess.Popen([engine.program("kist"), "pull", "-q", name], env=engine.environment, stdout=-3, stderr=-3)
    wait_for(lambda: any(record[2] > 100000 for record in fake.requests), "half a layer")
    engine.kill()
    pull.wait(60)
    fake.delay = 0
    engine.start()
    engine.kist("pull", "-q", name)
    engine.kist("run", "-d", "--network", "none", "--name", "stays", name, "sh", "-c", "echo w >/written; exec sleep 1000")
    wait_for(lambda: "A /written" in engine.kist("diff", "stays").stdout, "its file")
    engine.kist("create", "--name", "goes", name)
    engine.kill()
    engine.start()
    assert engine.kist("exec", "stays", "cat", "/written").stdout == "w\n"
    assert run(engine, name, LOOK) == SEEN
    assert "0 problems" in check(engine)
    engine.kist("rm", "goes")
    engine.kist("stop", "-t", "0", "stays")
    engine.kist("start", "stays")
    engine.kill()
    engine.start()
    engine.kist("rm", "-f", "stays")
    engine.kist("rmi", name)
    wait_for(lambda: not os.listdir(engine.root / "d/snapshots"), "the last layer to go")
    wait_for(lambda: not stray(engine.root / "d"), lambda: stray(engine.root / "d"))


def test_users_of_their_own(engine, fake, busybox_rootfs):
    """A container with its own user namespace sees the image's owners, and writes as its own root."""
    name = add_image(fake, busybox_rootfs)
    engine.kist("pull", "-q", name)
    assert run(engine, name, LOOK, "--userns", "auto") == SEEN
    engine.kist("run", "--userns", "auto", "--network", "none", "--name", "mapped", name, "sh", "-c", "echo x >>/own/file; chown 9 /bin/hard; touch /new")
    assert {"A /new", "C /own/file", "C /bin/hard"} <= set(engine.kist("diff", "mapped").stdout.splitlines())
    engine.kist("commit", "mapped", "mapped:1")
    assert run(engine, "mapped:1", "stat -c '%u:%g' /new /own/file /bin/hard /bin/busybox") == "0:0\n1000:1001\n9:0\n0:0\n"


def flip(path, at):
    """Another byte, and no other sign of it."""
    state = path.stat()
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_damage_is_found_and_repaired(engine, fake, busybox_rootfs):
    name = add_image(fake, busybox_rootfs)
    engine.kist("pull", "-q", name)
    folders = sorted((engine.root / "d/snapshots").iterdir(), key=lambda folder: int(folder.name))
    if engine.driver == "erofs":
        image = folders[0] / "layer.erofs"
        flip(image, image.read_bytes().index((busybox_rootfs / "bin/busybox").read_bytes()[:4096]) + 5000)
    else:
        flip(folders[0] / "fs/bin/busybox", 5000)
    found = check(engine, code=1)
    assert "bin/busybox: its content differs" in found
    done = check(engine, "--repair")
    # A copy's layers share their files, and the damage.
    assert done.count("its content differs (repaired)") == (2 if engine.driver == "copy" else 1), done
    assert "0 problems" in check(engine)
    assert run(engine, name, LOOK) == SEEN


@contextlib.contextmanager
def on_an_overlay(root):
    for name in ("lower", "upper", "work", "d"):
        (root / name).mkdir()
    options = f"lowerdir={root}/lower,upperdir={root}/upper,workdir={root}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root / "d"], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", root / "d"], check=True)


def test_the_file_system_decides(tmp_root, program, fake, busybox_rootfs):
    """An overlay cannot hold overlays, nor their marks: there it is copies, and containers start."""
    with on_an_overlay(tmp_root):
        server = Daemon(tmp_root, program)
        server.start()
        info = json.loads(server.kist("info", "--format", "{{json .}}").stdout)
        assert info["Driver"] == "copy" and ["Backing Filesystem", "overlayfs"] in info["DriverStatus"]
        assert any("each container is a copy of its image" in line for line in info["Warnings"])
        name = add_image(fake, busybox_rootfs)
        server.kist("pull", "-q", name)
        assert run(server, name, LOOK) == SEEN
        server.kist("run", "--network", "none", "--name", "work", name, "sh", "-c", WORK)
        server.kist("commit", "work", "made:1")
        assert run(server, "made:1", "tail -n1 /own/file") == "more\n"
        assert "0 problems" in check(server)
        server.finish()


def test_a_store_keeps_its_driver(tmp_root, program, fake, busybox_rootfs):
    """Without an option as before; with another: only when nothing is lost by it."""
    server = Daemon(tmp_root, program, ["--storage-driver", "vfs"])
    server.start()
    name = add_image(fake, busybox_rootfs)
    server.kist("pull", "-q", name)
    server.stop()
    server.options = ["--storage-driver", "overlay2"]
    server.start(wait=False)
    assert server.process.wait(60) == 1
    assert "holds images of the storage driver copy, which overlay2 cannot use" in server.log.read_text()
    server.options = []
    server.start()
    assert server.kist("info", "--format", "{{.Driver}}").stdout == "copy\n"
    assert run(server, name, LOOK) == SEEN
    server.kist("rmi", name)
    server.options = ["--storage-driver", "overlay2"]
    server.restart()
    assert server.kist("info", "--format", "{{.Driver}}").stdout == "overlay2\n"
    server.stop()
    server.options = ["--storage-driver", "zfs"]
    server.start(wait=False)
    assert server.process.wait(60) != 0
    assert "storage driver zfs: there are overlay2 (also overlay), erofs and copy (also vfs)" in server.log.read_text()
    server.options = []
    server.start()
    assert server.kist("info", "--format", "{{.Driver}}").stdout == "overlay2\n"
    server.finish()
    assert pathlib.Path(tmp_root / "d/snapshots").is_dir()


def erofs_mounts(root):
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if f" {root}/" in line and " - erofs " in line]


def loops(root):
    """Loop devices whose file is below the folder."""
    files = [path.read_text().strip() for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file")]
    return [file for file in files if file.startswith(f"{root}/")]


@pytest.fixture(params=["here", "tmpfs"])
def place(tmp_root, request):
    """A data root; no kernel mounts an image from a file on tmpfs: it goes by a loop device."""
    if request.param == "here":
        yield request.param
        return
    (tmp_root / "d").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", tmp_root / "d"], check=True)
    yield request.param
    wait_for(lambda: loops(tmp_root) == [], "the loop devices to go")
    subprocess.run(["umount", tmp_root / "d"], check=True)


def test_images_are_mounted_once_and_not_left(tmp_root, program, fake, busybox_rootfs, place):
    """One mount a layer, however many containers; none after the engine's end, none twice after a kill."""
    server = Daemon(tmp_root, program, ["--storage-driver", "erofs"])
    start(server)
    name = add_image(fake, busybox_rootfs)
    server.kist("pull", "-q", name)
    files = sorted((tmp_root / "d/snapshots").glob("*/layer.erofs"))
    assert len(files) == 2
    for file in files:
        said = subprocess.run(["fsck.erofs", file], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr
    for _ in range(2):
        server.kist("run", "-d", "--network", "none", name, "sleep", "1000")
        assert len(erofs_mounts(tmp_root)) == 2
    assert place == "here" or len(loops(tmp_root)) == 2
    server.kill()
    server.start()
    assert erofs_mounts(tmp_root) == []
    for container in server.kist("ps", "-q").stdout.split():
        assert server.kist("exec", container, "cat", "/etc/fresh").stdout == "fresh\n"
    assert run(server, name, LOOK) == SEEN
    assert len(erofs_mounts(tmp_root)) == 2
    # Folders and images side by side: what is there stays, what comes is the other.
    server.options = ["--storage-driver", "overlay2"]
    server.restart()
    assert erofs_mounts(tmp_root) == []
    other = fake.add_image("other:1", [images.tar_of(busybox_rootfs), tar_of(("other", "file", b"other\n"))])[0]
    server.kist("pull", "-q", other)
    assert run(server, other, "cat /other; ls /bin/wget") == "other\n/bin/wget\n"
    assert run(server, name, LOOK) == SEEN
    assert len(list((tmp_root / "d/snapshots").glob("*/layer.erofs"))) == 2
    assert "0 problems" in check(server)
    server.finish()
    assert erofs_mounts(tmp_root) == []


def everything(top):
    """A tree with what is at the edges of the format."""
    bytes_of = random.Random(7).randbytes
    top.mkdir()
    for size in (0, 1, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 300001):
        (top / f"size-{size}").write_bytes(bytes_of(size))
        os.setxattr(top / f"size-{size}", "user.size", bytes_of(size % 3000))
    os.link(top / "size-300001", top / "again")
    (top / "deep/er/still").mkdir(parents=True)
    os.link(top / "size-1", top / "deep/er/still/linked")
    os.setxattr(top / "deep", "trusted.overlay.opaque", b"y")
    os.setxattr(top / "size-1", "security.capability", CAPABILITY)
    os.symlink("to/where", top / "link")
    os.symlink("x" * 4090, top / "long")
    os.mknod(top / "gone", stat.S_IFCHR, 0)
    os.mknod(top / "device", stat.S_IFBLK | 0o640, os.makedev(259, 70000))
    os.mkfifo(top / "fifo")
    with open(top / "sparse", "wb") as file:
        file.truncate(6 << 30)
        file.seek(5 << 30)
        file.write(b"middle")
    os.chown(top / "size-1", 70000, 4000000000)
    os.chmod(top / "size-1", 0o6755)
    os.utime(top / "link", ns=(1, 1234567891), follow_symlinks=False)
    os.utime(top / "size-0", ns=(1, -5000000001))
    (top / "many").mkdir()
    for number in range(3000):
        (top / "many" / f"{number * 7919 % 3000}{'-' * (number % 200)}\u00e4").touch()


def look_at(top):
    found = {}
    for folder, folders, files in os.walk(top):
        for name in [".", *folders, *files]:
            path = os.path.join(folder, name)
            state = os.lstat(path)
            kind = stat.S_IFMT(state.st_mode)
            xattrs = {} if kind == stat.S_IFLNK else {key: os.getxattr(path, key) for key in os.listxattr(path)}
            content = os.readlink(path) if kind == stat.S_IFLNK else None
            if kind == stat.S_IFREG:
                with open(path, "rb") as file:
                    file.seek((5 << 30) - 10 if state.st_size > 1 << 30 else 0)
                    content = file.read(400000)
            links, size = (None, None) if kind == stat.S_IFDIR else (state.st_nlink, state.st_size)
            found[os.path.relpath(path, top)] = (
                state.st_mode, state.st_uid, state.st_gid, state.st_rdev, size, state.st_mtime_ns, links, xattrs, content,
            )  # fmt: skip
    return found


def write_image(program, source, image, folder):
    """As the engine calls kist-files: the request on 0, the report on 3, the image's file on 4."""
    image.touch()
    with open(image, "r+b") as file, open(folder / "report", "w+b") as report:
        high = [os.dup2(report.fileno(), 103), os.dup2(file.fileno(), 104)]

        def place():
            os.dup2(103, 3)
            os.dup2(104, 4)

        subprocess.run(  # pylint: disable=subprocess-popen-preexec-fn
            [program("kist-files"), "erofs"], input=f"source-lower={source}\0".encode(), preexec_fn=place, close_fds=False, check=True
        )
        for number in high:
            os.close(number)
        report.seek(0)
        return report.read()


def test_what_an_image_keeps(tmp_root, program):
    """Our images beside erofs-utils and the kernel: both take them, and everything is in them."""
    everything(tmp_root / "tree")
    image = tmp_root / "image"
    assert write_image(program, tmp_root / "tree", image, tmp_root)[:1] == b"R"
    assert image.stat().st_blocks * 512 < 4 << 20, "a hole takes no room"
    said = subprocess.run(["dump.erofs", "-s", image], capture_output=True, text=True, check=True).stdout
    assert "Filesystem inode count" in said and f"{len(look_at(tmp_root / 'tree')) - 2}" in said.replace(",", "")
    (tmp_root / "m").mkdir()
    subprocess.run(["mount", "-t", "erofs", "-o", "ro", image, tmp_root / "m"], check=True)
    try:
        before, after = look_at(tmp_root / "tree"), look_at(tmp_root / "m")
        assert sorted(before) == sorted(after)
        assert [name for name, value in before.items() if after[name] != value] == []
        assert os.stat(tmp_root / "m/again").st_ino == os.stat(tmp_root / "m/size-300001").st_ino
        assert os.stat(tmp_root / "m").st_nlink == 4
    finally:
        subprocess.run(["umount", tmp_root / "m"], check=True)


def estargz_of(entries):
    """A layer as containerd's stargz-snapshotter makes it: each entry a gzip member, then the table of contents, then where that is."""
    tars = [tar_of((name, "file", data))[: 512 + (len(data) + 511) // 512 * 512] for name, data in entries]
    members = [gzip.compress(tar, mtime=0) for tar in tars]
    offsets = [sum(map(len, members[:number])) for number in range(len(members))]
    table = {"version": 1, "entries": [
        {"name": name, "type": "reg", "size": len(data), "offset": offset, "digest": sha256(data)}
        for (name, data), offset in zip(entries, offsets)
    ]}  # fmt: skip
    toc = tar_of(("stargz.index.json", "file", json.dumps(table).encode()))
    extra = b"SG" + struct.pack("<H", 22) + b"%016xSTARGZ" % sum(map(len, members))
    footer = b"\x1f\x8b\x08\x04" + bytes(4) + b"\0\xff" + struct.pack("<H", len(extra)) + extra + b"\x01\0\0\xff\xff" + bytes(8)
    assert len(footer) == 51 and gzip.decompress(footer) == b""
    return b"".join(tars) + toc, b"".join(members) + gzip.compress(toc, mtime=0) + footer


def test_estargz(daemon, fake, busybox_rootfs):
    """A layer in eStargz is a gzip of many members; who cannot fetch it lazily has its landmark and table as files, as in containerd."""
    plain, packed = estargz_of([("lazy/first", b"first\n" * 9), (".no.prefetch.landmark", b"\x0f"), ("lazy/second", b"second\n")])
    low = images.tar_of(busybox_rootfs)
    name, digests = fake.add_image("lazy:1", [low, plain], packed=[gzip.compress(low, 1, mtime=0), packed])
    daemon.kist("pull", "-q", name)
    assert run(daemon, name, "cat /lazy/second; wc -c </lazy/first; ls -a / | grep -e stargz -e landmark") == (
        "second\n54\n.no.prefetch.landmark\nstargz.index.json\n"
    )
    archive = daemon.root / "lazy.tar"
    daemon.kist("save", "-o", archive, name)
    assert digests[1].split(":")[1] in "".join(tarfile.open(archive).getnames())
    assert "0 problems" in check(daemon)
