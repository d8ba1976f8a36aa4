# SPDX-License-Identifier: Apache-2.0
"""What is said with an image (provenance, SBOM), images for several platforms, layers in other forms."""
import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import urllib.request
import uuid

import pytest

from lib.docker_cli import IS_28

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def own(shared_daemon, busybox_tar):
    shared_daemon.kist("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", busybox_tar, "ba:latest")
    return shared_daemon


@pytest.fixture
def context(tmp_path):
    path = tmp_path / "context"
    path.mkdir()
    (path / "a").write_text(uuid.uuid4().hex)
    (path / "status").write_text(
        "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1+b3\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    )
    (path / "Dockerfile").write_text(
        'FROM ba\nARG WHO\nCOPY status /var/lib/dpkg/status\nRUN echo "$WHO" >/who\nLABEL x=y\n'
    )
    return path


class Layout:
    """Blobs of an archive or a registry."""

    def __init__(self, archive=None, registry=None, name=None):
        self.files = {}
        if archive:
            with tarfile.open(archive) as tar:
                self.files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}
            entries = json.loads(self.files["index.json"])["manifests"]
            self.names = [entry.get("annotations", {}).get("io.containerd.image.name") for entry in entries]
            self.root = self.get(entries[0]["digest"])
            return
        repository, _, tag = name.partition("/")[2].rpartition(":")
        self.url = f"http://{registry.address}/v2/{repository}"
        self.root = json.loads(self.fetch(f"manifests/{tag}"))

    def fetch(self, path):
        request = urllib.request.Request(f"{self.url}/{path}", headers={"Accept": f"{INDEX}, {MANIFEST}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def raw(self, digest):
        if self.files:
            data = self.files["blobs/" + digest.replace(":", "/")]
        else:
            try:
                data = self.fetch("blobs/" + digest)
            except urllib.error.HTTPError:
                data = self.fetch("manifests/" + digest)
        assert "sha256:" + hashlib.sha256(data).hexdigest() == digest
        return data

    def get(self, digest):
        return json.loads(self.raw(digest))

    def images(self):
        return [entry for entry in self.root["manifests"] if entry["platform"]["os"] != "unknown"]

    def said(self, image):
        """{predicate type: statement} of an image of the index."""
        for entry in self.root["manifests"]:
            notes = entry.get("annotations", {})
            if notes.get("vnd.docker.reference.digest") != image["digest"]:
                continue
            assert notes["vnd.docker.reference.type"] == "attestation-manifest"
            assert entry["platform"] == {"architecture": "unknown", "os": "unknown"}
            manifest = self.get(entry["digest"])
            config = self.get(manifest["config"]["digest"])
            assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
            found = {}
            for layer in manifest["layers"]:
                assert layer["mediaType"] == "application/vnd.in-toto+json"
                found[layer["annotations"]["in-toto.io/predicate-type"]] = self.get(layer["digest"])
            return found
        return {}


SLSA = "https://slsa.dev/provenance/"


def test_provenance_and_sbom(own, context, tmp_path):
    own.kist(
        "build", "-t", "ba-x:1", "--build-arg", "WHO=somebody", "--provenance", "mode=max,builder-id=https://me",
        "--sbom=true", "-o", f"type=oci,dest={tmp_path}/o.tar,annotation-index.who=me", context,
    )  # fmt: skip
    layout = Layout(tmp_path / "o.tar")
    assert layout.names == ["docker.io/library/ba-x:1"] and layout.root["annotations"] == {"who": "me"}
    (image,) = layout.images()
    said = layout.said(image)
    assert set(said) == {SLSA + "v0.2", "https://spdx.dev/Document"}
    statement = said[SLSA + "v0.2"]
    assert statement["_type"] == "https://in-toto.io/Statement/v0.1"
    (subject,) = statement["subject"]
    assert subject["digest"]["sha256"] == image["digest"].partition(":")[2]
    assert subject["name"].startswith("pkg:docker/ba-x@1?platform=linux%2F")
    predicate = statement["predicate"]
    assert predicate["builder"]["id"] == "https://me"
    assert predicate["buildType"] == "https://mobyproject.org/buildkit@v1"
    (material,) = predicate["materials"]
    assert material["uri"].startswith("pkg:docker/ba@latest?platform=linux%2F") and len(material["digest"]["sha256"]) == 64
    assert predicate["invocation"]["configSource"] == {"entryPoint": "Dockerfile"}
    assert predicate["invocation"]["parameters"]["args"]["build-arg:WHO"] == "somebody"
    steps = predicate["buildConfig"]["llbDefinition"]
    runs = [step["op"]["Op"]["exec"]["meta"]["args"] for step in steps if "exec" in step["op"]["Op"]]
    assert runs == [["/bin/sh", "-c", 'echo "$WHO" >/who']]
    assert all(int(link[4:].partition(":")[0]) < len(steps) for step in steps for link in step["inputs"])
    own_part = predicate["metadata"]["https://mobyproject.org/buildkit@v1#metadata"]
    assert base64.b64decode(own_part["source"]["infos"][0]["data"]).decode() == (context / "Dockerfile").read_text()
    packages = said["https://spdx.dev/Document"]["predicate"]["packages"]
    assert [(package["name"], package["versionInfo"]) for package in packages] == [("bash", "5.2-1+b3")]
    assert packages[0]["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/linux/bash@5.2-1%2Bb3?arch=amd64")
    # skopeo takes the index apart, and what it finds runs here.
    subprocess.run(
        ["skopeo", "copy", "-q", f"oci-archive:{tmp_path}/o.tar:1", f"docker-archive:{tmp_path}/d.tar:ba-y:1"],
        check=True, capture_output=True,
    )  # fmt: skip
    own.kist("load", "-i", tmp_path / "d.tar")
    assert own.kist("run", "--rm", "--network", "none", "ba-y:1", "cat", "/who").stdout == "somebody\n"


def test_pushed(own, registry, context, tmp_path):
    """Little is said without a word: no build arg, no Dockerfile; SLSA v1 by its version."""
    tag = f"{registry.address}/ba-{uuid.uuid4().hex[:8]}:1"
    metadata = tmp_path / "metadata.json"
    own.kist(
        "build", "-t", tag, "--build-arg", "WHO=nobody-knows", "--attest", "type=provenance,version=v1", "--push",
        "--metadata-file", metadata, context,
    )  # fmt: skip
    layout = Layout(registry=registry, name=tag)
    (image,) = layout.images()
    predicate = layout.said(image)[SLSA + "v1"]["predicate"]
    assert predicate["buildDefinition"]["externalParameters"]["request"]["frontend"] == "dockerfile.v0"
    assert predicate["buildDefinition"]["resolvedDependencies"][0]["uri"].startswith("pkg:docker/ba@latest")
    assert predicate["runDetails"]["metadata"]["buildkit_completeness"]["request"] is False
    assert "nobody-knows" not in json.dumps(predicate)
    # Layers travel compressed, and the name means the index.
    manifest = layout.get(image["digest"])
    assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    written = json.loads(metadata.read_text())
    assert written["image.name"] == tag
    assert json.loads(base64.b64decode(written["containerimage.descriptor"]))["mediaType"] == INDEX
    assert f"{tag.rpartition(':')[0]}@{written['containerimage.digest']}" in own.inspect(tag)["RepoDigests"]
    own.kist("rmi", "-f", tag)
    own.kist("pull", "-q", tag)
    assert own.kist("run", "--rm", "--network", "none", tag, "cat", "/who").stdout == "nobody-knows\n"


def test_platforms(own, registry, tmp_path):
    """Nothing is run, so any machine will do; each has its own arguments."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "of-arm64").write_text("arm64")
    (context / "of-amd64").write_text("amd64")
    (context / "Dockerfile").write_text(
        "FROM --platform=$BUILDPLATFORM ba AS tool\nARG TARGETARCH\nRUN echo made for $TARGETARCH >/made\n"
        "FROM scratch\nARG TARGETARCH TARGETPLATFORM\nCOPY of-$TARGETARCH /file\nCOPY --from=tool /made /made\n"
        "LABEL for=$TARGETPLATFORM\n"
    )
    tag = f"{registry.address}/ba-{uuid.uuid4().hex[:8]}:1"
    platforms = "linux/amd64,linux/arm64"
    done = own.kist("build", "--platform", platforms, "-t", tag, "--provenance=true", "--push", context)
    assert "Platform linux/arm64" in done.stdout
    layout = Layout(registry=registry, name=tag)
    found = {}
    for image in layout.images():
        config = layout.get(layout.get(image["digest"])["config"]["digest"])
        found[image["platform"]["architecture"]] = (config["architecture"], config["config"]["Labels"]["for"])
        assert SLSA + "v0.2" in layout.said(image)
    assert found == {"amd64": ("amd64", "linux/amd64"), "arm64": ("arm64", "linux/arm64")}
    # A cache has the steps of all of them, each once.
    own.kist("build", "--platform", platforms, "--cache-to", f"type=local,dest={tmp_path}/c,mode=max", context)
    index = json.loads((tmp_path / "c" / "index.json").read_text())
    blobs = tmp_path / "c" / "blobs" / "sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"].partition(":")[2]).read_text())
    records = json.loads((blobs / manifest["config"]["digest"].partition(":")[2]).read_text())["records"]
    keys = [record["digest"] for record in records]
    assert len(keys) == len(set(keys)) == 6, records
    # Stored: this machine's has the name, and all of them can be pushed.
    other = f"{registry.address}/ba-{uuid.uuid4().hex[:8]}:1"
    own.kist("build", "-q", "--platform", platforms, "-t", other, context)
    assert own.inspect(other)["Architecture"] in ("amd64", "arm64")
    own.kist("push", "-q", "--all-platforms", other)
    assert len(Layout(registry=registry, name=other).images()) == 2
    own.kist("build", "--platform", platforms, "-o", f"type=oci,dest={tmp_path}/o.tar", context)
    layout = Layout(tmp_path / "o.tar")
    layers = [layout.get(image["digest"])["layers"] for image in layout.images()]
    texts = []
    for name in [layer["digest"] for image in layers for layer in image]:
        (tmp_path / "l.tar").write_bytes(layout.raw(name))
        with tarfile.open(tmp_path / "l.tar") as tar:
            texts += [tar.extractfile(entry).read().decode().strip() for entry in tar if entry.isfile()]
    assert sorted(texts) == ["amd64", "arm64", "made for amd64", "made for arm64"]
    for kind in ["docker", "tar"]:
        failed = own.kist("build", "--platform", platforms, "-o", f"type={kind},dest={tmp_path}/x", context, check=False)
        assert failed.returncode == 1 and ("manifest lists" in failed.stderr or "one platform" in failed.stderr)
    assert not (tmp_path / "x").exists()


def test_programs_of_another_machine(own, tmp_path):
    """Where nothing runs them, the error says what would; a handler that is there is let try, and fails on rubbish."""
    machine, name = (0x3E, "amd64") if os.uname().machine == "aarch64" else (0x16, "s390x")
    elf = bytearray(b"\x7fELF\x02\x02\x01" + bytes(57)) if name == "s390x" else bytearray(b"\x7fELF\x02\x01\x01" + bytes(57))
    order = "big" if name == "s390x" else "little"
    elf[16:18], elf[18:20] = (2).to_bytes(2, order), machine.to_bytes(2, order)
    (tmp_path / "program").write_bytes(elf)
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY program /program\nRUN ["/program"]\n')
    failed = own.kist("build", "--platform", "linux/" + name, tmp_path, check=False)
    assert failed.returncode != 0
    runs = os.path.exists("/proc/sys/fs/binfmt_misc/qemu-" + name)
    assert runs != (f"has no handler for programs of linux/{name}" in failed.stderr and "qemu-user-static" in failed.stderr)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_layers_in_other_forms(own, context, tmp_path, compression):
    level = ",compression-level=19" if compression == "zstd" else ""
    ids = set()
    for turn in range(2):
        own.kist("build", "-t", "ba-z:1", "-o", f"type=oci,dest={tmp_path}/{turn}.tar,compression={compression}{level}", context)
        ids.add(Layout(tmp_path / f"{turn}.tar").root["layers"][-1]["digest"])
    assert len(ids) == 1
    layout = Layout(tmp_path / "0.tar")
    assert layout.root["layers"][-1]["mediaType"].endswith("+" + compression)
    own.kist("load", "-i", tmp_path / "0.tar")
    assert own.kist("run", "--rm", "--network", "none", "ba-z:1", "cat", "/var/lib/dpkg/status").stdout.startswith("Package")


@pytest.mark.parametrize(
    "args, said",
    [
        (("--provenance=true",), "attestations go with an image that is pushed or in an OCI archive"),
        (("--sbom=true", "-o", "type=docker,dest=x"), "attestations go with an image that is pushed"),
        (("--provenance", "mode=full", "-o", "type=oci,dest=x"), "provenance: mode=full is not supported"),
        (("--sbom", "generator=x/y", "-o", "type=oci,dest=x"), "sbom: generator=x/y is not supported: the scanner is built in"),
        (("--attest", "type=vex", "-o", "type=oci,dest=x"), 'attestation type "vex" is not supported'),
        (("--attest", "mode=max", "-o", "type=oci,dest=x"), "attestation type not specified"),
        (("-o", "type=oci,dest=x,compression=estargz"), "compression=estargz is not supported: nothing here reads"),
        (("-o", "type=oci,dest=x,compression=gzip,compression-level=9"), "compression-level=9 is for compression=zstd"),
        (("-o", "type=oci,dest=x,compression=zstd,compression-level=30"), "zstd has levels from 1 to 22"),
        (("-o", "type=docker,dest=x,compression=gzip"), "compression=gzip is for what is pushed and type=oci"),
        (("-o", "type=oci,dest=x,annotation-index.a=b"), "index annotations not supported for single platform export"),
        (("--platform", "linux/amd64,nosuch/thing/at/all"), "nosuch/thing/at/all"),
    ],
)
def test_refused(own, context, tmp_path, args, said):
    failed = subprocess.run(
        [own.program("kist"), "build", *args, str(context)], env=own.environment, cwd=tmp_path, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert failed.returncode != 0 and said in failed.stderr, failed.stderr
    assert not (tmp_path / "x").exists()


def find_buildx():
    for place in ["/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins"]:
        if os.path.exists(place + "/docker-buildx"):
            return place + "/docker-buildx"
    return shutil.which("docker-buildx") or os.environ.get("KIST_BUILDX")


@pytest.mark.skipif(not IS_28 or not find_buildx(), reason="needs docker CLI 28 and its buildx")
def test_buildx(own, registry, context, tmp_path):
    plugins = tmp_path / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(find_buildx())
    environment = dict(own.environment, DOCKER_CONFIG=str(tmp_path / "config"))

    def buildx(*args, check=True):
        command = ["docker", "buildx", *map(str, args)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    # Pushed without a word, an image says how it was made.
    tag = f"{registry.address}/ba-{uuid.uuid4().hex[:8]}:1"
    buildx("build", "-t", tag, "--push", "--metadata-file", tmp_path / "m", context)
    layout = Layout(registry=registry, name=tag)
    assert list(layout.said(layout.images()[0])) == [SLSA + "v0.2"]
    assert json.loads((tmp_path / "m").read_text())["containerimage.digest"].startswith("sha256:")
    # Not where it is stored or in an archive.
    buildx("build", "-t", "ba-plain", context)
    buildx("build", "-o", f"type=oci,dest={tmp_path}/o.tar", context)
    assert Layout(tmp_path / "o.tar").root["mediaType"] == MANIFEST
    (context / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY a /$TARGETARCH\n")
    done = buildx(
        "build", "--progress", "plain", "--platform", "linux/amd64,linux/arm64", "--sbom=true", "--provenance=mode=max",
        "-o", f"type=oci,dest={tmp_path}/p.tar", "-t", "ba-p:1", context,
    )  # fmt: skip
    assert "[linux/arm64 1/1] COPY a /" in done.stderr, done.stderr
    layout = Layout(tmp_path / "p.tar")
    assert [image["platform"]["architecture"] for image in layout.images()] == ["amd64", "arm64"]
    for image in layout.images():
        assert set(layout.said(image)) == {SLSA + "v0.2", "https://spdx.dev/Document"}
    shown = buildx("build", "--sbom=true", "-t", "ba-q", context, check=False)
    assert shown.returncode != 0 and "attestations go with an image that is pushed" in shown.stderr
