# SPDX-License-Identifier: Apache-2.0
"""Images made from nothing but Debian packages, and broken ones for the tests of bad input."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import tarfile

APPLETS = (
    "sh ls cat echo true false sleep id env pwd mkdir rm touch ps kill wc head tail grep seq yes mount umount "
    "hostname ip ping nc wget httpd stat chmod chown dd date test printf tty stty uname cp mv ln readlink sort cut tr "
    "dmesg free find xargs od md5sum sha256sum nslookup trap nproc vi top adduser su whoami"
).split()

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nuser:x:1000:1000::/home/user:/bin/sh\n"
GROUP = "root:x:0:\nnogroup:x:65534:\nuser:x:1000:\nstaff:x:50:user\n"


def busybox_rootfs(path):
    """Debian's busybox-static as a root filesystem."""
    path = pathlib.Path(path)
    for folder in ("bin", "etc", "proc", "sys", "dev", "root", "home/user", "tmp", "var/run", "usr/bin"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    os.chmod(path / "tmp", 0o1777)
    os.chown(path / "home/user", 1000, 1000)
    shutil.copy("/bin/busybox", path / "bin/busybox")
    for applet in APPLETS:
        link = path / "bin" / applet
        if not link.exists():
            link.symlink_to("busybox")
    (path / "etc/passwd").write_text(PASSWD)
    (path / "etc/group").write_text(GROUP)
    return path


def tar_of(folder):
    """An uncompressed, reproducible layer of a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in sorted(pathlib.Path(folder).rglob("*")):
            info = tar.gettarinfo(str(entry), arcname=str(entry.relative_to(folder)))
            info.mtime = 1700000000
            info.uname = info.gname = ""
            if info.isreg():
                with open(entry, "rb") as data:
                    tar.addfile(info, data)
            else:
                tar.addfile(info)
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    """An OCI image layout folder; add_image() may be told to lie."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.manifests = []
        (self.path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data, name=None):
        """Stores data under its digest, or under a wrong one."""
        name = name or digest(data)
        (self.path / "blobs" / name.replace(":", "/")).write_bytes(data)
        return name

    def add_image(self, tag, layers, config=None, compress=True, diff_ids=None, media=None):
        """layers: uncompressed tars. Returns the manifest's digest."""
        descriptors = []
        for layer in layers:
            data = gzip.compress(layer, 6, mtime=0) if compress else layer
            kind = media or "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else "")
            descriptors.append({"mediaType": kind, "digest": self.blob(data), "size": len(data)})
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": "2023-11-14T22:13:20Z",
            "config": config or {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(layer) for layer in layers]},
            "history": [{"created": "2023-11-14T22:13:20Z", "created_by": "test"} for _ in layers],
        }
        data = json.dumps(document).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": self.blob(data),
                "size": len(data),
            },
            "layers": descriptors,
        }
        data = json.dumps(manifest).encode()
        name = self.blob(data)
        self.manifests.append(
            {
                "mediaType": manifest["mediaType"],
                "digest": name,
                "size": len(data),
                "annotations": {"org.opencontainers.image.ref.name": tag},
            }
        )
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.manifests}))
        return name


def oci_layout(path, rootfs, tag="busybox"):
    """A layout with one image of one layer."""
    Layout(path).add_image(tag, [tar_of(rootfs)])
    return pathlib.Path(path)
