# SPDX-License-Identifier: Apache-2.0
"""The same Dockerfiles built by kist and by Debian's buildah: the same files and the same config."""
import hashlib
import io
import json
import shutil
import subprocess
import tarfile

import pytest

pytestmark = pytest.mark.skipif(shutil.which("buildah") is None, reason="no buildah to compare with")

FILES = {"a.txt": "A", "b.txt": "B", "dir/inner/deep": "deep", "dir/top": "top", "script.sh": "#!/bin/sh\necho hi\n"}

DOCKERFILES = {
    "config": """ARG UNUSED=1
FROM BASE
ENV A=1 B="two words" C=${A:-x}${NOPE:-fallback}
ENV D=$B/$C
LABEL one=1 "quoted key"="v $A"
EXPOSE 80 53/udp
VOLUME /data /more
USER user
WORKDIR /w
WORKDIR sub/$A
STOPSIGNAL SIGQUIT
ENTRYPOINT ["sh", "-c"]
CMD ["echo hi"]
""",
    "shell forms": """FROM BASE
CMD echo $PATH
ENTRYPOINT exec top
""",
    "entrypoint drops an inherited cmd": "FROM BASE\nENTRYPOINT [\"/bin/true\"]\n",
    "run": """FROM BASE
ARG V=default
RUN echo $V > /v && mkdir -p /x/y && chmod 2750 /x && chown 1000:50 /x/y
RUN ["/bin/sh", "-c", "ln -s ../v /x/link; ln /v /x/hard"]
USER user
RUN id -u > /tmp/whoami
WORKDIR /home/user
RUN pwd > here
""",
    "removals": """FROM BASE
RUN rm /bin/wget && rm -r /home/user && mkdir /home/user && touch /home/user/new
RUN mv /etc/group /etc/group.moved && mkdir /bin/wget && touch /bin/wget/file
""",
    "copy": """FROM BASE
WORKDIR /work
COPY *.txt texts/
COPY dir .
COPY a.txt renamed
COPY dir/inner dir/top /into/
COPY --chown=1000:50 dir /owned
COPY ["a.txt", "/json form/"]
COPY script.sh /bin/
""",
    "copy over what is there": """FROM BASE
RUN mkdir -p /t/inner && echo old > /t/top && echo kept > /t/kept && ln -s /t /l
COPY dir /t
COPY a.txt /t/top
""",
    "stages": """ARG FROM_ARG=BASE
FROM $FROM_ARG AS one
RUN mkdir /out && echo 1 > /out/one && chown 5:6 /out/one
FROM one AS two
RUN echo 2 > /out/two
FROM BASE
COPY --from=two /out /out
COPY --from=0 /out/one /single
COPY --from=one --chown=7:8 /out/ /owned/
""",
    "scratch": "FROM scratch\nCOPY dir /\nCOPY a.txt /etc/deep/a\nCMD [\"/x\"]\n",
    "arg and env": """FROM BASE
ARG ONE=1
ARG TWO=${ONE}2
ENV ONE=env
ARG ONE=arg
RUN echo "$ONE $TWO ${ONE:+set} ${NONE:-unset}" > /out
LABEL two=$TWO
""",
    "add": "FROM BASE\nADD pack.tar.gz a.txt /into/\nADD pack.tar.gz /\n",
}  # fmt: skip


def packed():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, mode, owner in (("sub/file", 0o640, 7), ("sub/other", 0o755, 0)):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.gid = 4, mode, owner, owner
            tar.addfile(info, io.BytesIO(b"data"))
    return data.getvalue()


def remove(tree, path):
    for known in [name for name in tree if name == path or name.startswith(path + "/")]:
        del tree[known]


def apply_layer(tree, layer):
    with tarfile.open(fileobj=layer) as tar:
        members = [(entry, entry.name.lstrip("./").rstrip("/")) for entry in tar]
        for entry, path in members:
            folder, _, name = path.rpartition("/")
            hidden = f"{folder}/{name[4:]}" if folder else name[4:]
            if name == ".wh..wh..opq":
                for known in [item for item in tree if item.startswith(folder + "/")]:
                    del tree[known]
            elif name.startswith(".wh."):
                remove(tree, hidden)
        for entry, path in members:
            if not path or path.rpartition("/")[2].startswith(".wh."):
                continue
            if entry.islnk():
                tree[path] = tree[entry.linkname.lstrip("./")]
                continue
            content = hashlib.sha256(tar.extractfile(entry).read()).hexdigest() if entry.isreg() else entry.linkname
            if not entry.isdir():
                remove(tree, path)
            tree[path] = (entry.type, oct(entry.mode & 0o7777), entry.uid, entry.gid, content)


def load(archive):
    """(files, config) of the one image in an archive of docker's form."""
    tree = {}
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]
        config = json.load(tar.extractfile(manifest["Config"]))
        for name in manifest["Layers"]:
            apply_layer(tree, io.BytesIO(tar.extractfile(name).read()))
    return tree, config


# Where builders mount things, they leave places of their own.
MOUNTED = ("proc", "sys", "dev", "run", "etc/hosts", "etc/hostname", "etc/resolv.conf", "var/run")
COMPARED = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "Volumes", "StopSignal", "Shell")


def files_of(tree):
    return {path: what for path, what in tree.items() if not any(path == m or path.startswith(m + "/") for m in MOUNTED)}


@pytest.fixture(scope="module")
def peers(shared_daemon, registry, session_root):
    storage = ["--root", str(session_root / "buildah"), "--runroot", str(session_root / "buildah-run")]
    buildah = ["buildah", *storage, "--storage-driver", "vfs"]

    def both(context, out):
        shared_daemon.kist("build", "-q", "-t", "peer:kist", context)
        shared_daemon.docker("save", "-o", out / "kist.tar", "peer:kist")
        subprocess.run(
            [*buildah, "bud", "--isolation", "chroot", "--format", "docker", "--tls-verify=false", "--network", "host",
             "-q", "-t", "peer:buildah", str(context)],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        subprocess.run(
            [*buildah, "push", "-q", "peer:buildah", f"docker-archive:{out}/buildah.tar"],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        return load(out / "kist.tar"), load(out / "buildah.tar")

    yield both, f"{registry.address}/busybox:latest"


@pytest.mark.parametrize("name", sorted(DOCKERFILES))
def test_same_as_buildah(peers, tmp_path, name):
    both, base = peers
    context = tmp_path / "context"
    for path, content in FILES.items():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        (context / path).write_text(content)
    (context / "script.sh").chmod(0o755)
    (context / "pack.tar.gz").write_bytes(packed())
    (context / "Dockerfile").write_text(DOCKERFILES[name].replace("BASE", base))
    (ours, our_config), (theirs, their_config) = both(context, tmp_path)
    assert files_of(ours) == files_of(theirs)
    # Nothing and the root are one working directory.
    their_config["config"]["WorkingDir"] = their_config["config"].get("WorkingDir") or "/"
    our_config["config"]["WorkingDir"] = our_config["config"].get("WorkingDir") or "/"
    for key in COMPARED:
        assert (our_config["config"].get(key) or None) == (their_config["config"].get(key) or None), key
    labels = dict(their_config["config"].get("Labels") or {})
    labels.pop("io.buildah.version", None)
    assert (our_config["config"].get("Labels") or {}) == labels
