# SPDX-License-Identifier: Apache-2.0
"""kist image copy and its like: no engine, beside skopeo where both do the same work."""
import gzip
import hashlib
import io
import json
import os
import secrets
import signal
import subprocess
import tarfile
import time

import pytest

from lib import images
from lib.fake_registry import FakeRegistry

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def kist(program, tmp_root):
    """kist without any engine: a copy that needed one would fail."""

    def run(*args, check=True, **options):
        env = dict(os.environ, HOME=str(tmp_root), DOCKER_HOST=f"unix://{tmp_root}/none.sock", KIST_HOST="", TMPDIR=str(tmp_root))
        env.pop("KIST_HOST")
        done = subprocess.run(
            [program("kist"), *map(str, args)], capture_output=True, text=True, env=env, timeout=120, cwd=tmp_root, **options
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def fake():
    server = FakeRegistry()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def two_platforms(session_root):
    """A layout with an index of two platforms, each with a layer of its own and one shared."""
    layout = images.Layout(session_root / "two-platforms")
    shared = tar_of({"etc/shared": b"s" * 5000})
    entries = []
    for architecture in ("amd64", "arm64"):
        digest = layout.add_image(architecture, [shared, tar_of({"bin/" + architecture: os.urandom(3000)})])
        path = layout.path / "blobs" / digest.replace(":", "/")
        manifest = json.loads(path.read_text())
        config = json.loads((layout.path / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_text())
        config["architecture"] = architecture
        data = json.dumps(config).encode()
        manifest["config"].update(digest=layout.blob(data), size=len(data))
        data = json.dumps(manifest).encode()
        platform = {"architecture": architecture, "os": "linux"}
        entries.append({"mediaType": MANIFEST, "digest": layout.blob(data), "size": len(data), "platform": platform})
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    digest = layout.blob(data)
    top = {"mediaType": INDEX, "digest": digest, "size": len(data), "annotations": {"org.opencontainers.image.ref.name": "multi"}}
    (layout.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return layout.path, digest, {entry["platform"]["architecture"]: entry["digest"] for entry in entries}


def skopeo(*args):
    subprocess.run(["skopeo", "copy", "-q", *map(str, args)], check=True)


def digest_of_dir(path):
    return sha((path / "manifest.json").read_bytes())


def test_the_same_digests_as_skopeo(kist, registry, tmp_root):
    """docker:// -> oci: -> docker-archive: -> dir:, each step by both, each reading what the other wrote."""
    name = f"{registry.address}/busybox:1"
    want = kist("image", "digest", name).stdout.strip()
    skopeo("--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_root}/s1:x")
    assert kist("image", "copy", f"docker://{name}", "oci:k1:x").stdout.strip() == want
    index = [json.loads((tmp_root / layout / "index.json").read_text())["manifests"] for layout in ("s1", "k1")]
    assert index[0] == index[1]
    skopeo(f"oci:{tmp_root}/k1:x", f"dir:{tmp_root}/s2")
    assert kist("image", "copy", "oci:s1:x", "dir:k2").stdout.strip() == want
    assert digest_of_dir(tmp_root / "s2") == digest_of_dir(tmp_root / "k2") == want
    # To docker's format: the manifest is written anew, byte for byte as skopeo does.
    skopeo("--format", "v2s2", f"oci:{tmp_root}/k1:x", f"dir:{tmp_root}/s3")
    kist("image", "copy", "--format", "v2s2", "oci:k1:x", "dir:k3")
    assert (tmp_root / "s3/manifest.json").read_bytes() == (tmp_root / "k3/manifest.json").read_bytes()
    # Archives have no manifest: what must agree is the image, and its layers' bytes.
    skopeo(f"oci:{tmp_root}/k1:x", f"docker-archive:{tmp_root}/s4.tar:foo:1")
    kist("image", "copy", "dir:s2", "docker-archive:k4.tar:foo:1")
    members = []
    for archive in ("s4.tar", "k4.tar"):
        with tarfile.open(tmp_root / archive) as tar:
            entry = json.load(tar.extractfile("manifest.json"))[0]
            members.append((entry["Config"], entry["Layers"], [sha(tar.extractfile(x).read()) for x in entry["Layers"]]))
    assert members[0] == members[1]
    skopeo(f"docker-archive:{tmp_root}/k4.tar:foo:1", f"dir:{tmp_root}/s5")
    kist("image", "copy", "docker-archive:s4.tar:docker.io/library/foo:1", "dir:k5")
    ids = [json.loads((tmp_root / x / "manifest.json").read_text())["config"]["digest"] for x in ("s5", "k5")]
    assert ids[0] == ids[1]
    # And through an archive with a layout in it.
    kist("image", "copy", "dir:k2", "oci-archive:k6.tar:x")
    skopeo(f"oci-archive:{tmp_root}/k6.tar:x", f"dir:{tmp_root}/s6")
    assert digest_of_dir(tmp_root / "s6") == want


def test_a_whole_index_or_one_platform(kist, registry, two_platforms, tmp_root):
    layout, top, by_platform = two_platforms
    target = f"docker://{registry.address}/two-platforms-{secrets.token_hex(6)}:m"
    assert kist("image", "copy", "--all", f"oci:{layout}:multi", target).stdout.strip() == top
    again = kist("image", "copy", "--all", "--preserve-digests", target, "oci:copy:multi")
    assert again.stdout.strip() == top and again.stderr.count("copied") == 5
    assert "5" not in kist("image", "copy", "--all", target, "oci:copy:multi").stderr.replace("already there", "").split()
    assert kist("image", "validate", "oci:copy:multi").stdout.endswith("2 images\n")
    for architecture, digest in by_platform.items():
        platform = f"linux/{architecture}"
        assert kist("image", "copy", "--platform", platform, target, f"dir:{architecture}").stdout.strip() == digest
        assert json.loads(kist("image", "config", "--platform", platform, target).stdout)["architecture"] == architecture
        skopeo("--override-arch", architecture, "--src-tls-verify=false", target, f"dir:{tmp_root}/s-{architecture}")
        assert digest_of_dir(tmp_root / f"s-{architecture}") == digest
    # To docker's format and back again: every level is rewritten, and hangs together.
    kist("image", "copy", "--all", "--format", "v2s2", target, f"{target}-docker")
    assert "manifest.list.v2" in kist("image", "manifest", f"{target}-docker").stdout
    assert "PASS" in kist("image", "validate", f"{target}-docker").stdout
    assert kist("image", "copy", "--all", f"{target}-docker", "oci:back:m").returncode == 0
    assert "PASS" in kist("image", "validate", "oci:back:m").stdout
    refused = kist("image", "copy", "--all", target, "docker-archive:a.tar:x:1", check=False)
    assert refused.returncode == 1 and "holds one image" in refused.stderr
    missing = kist("image", "copy", "--platform", "linux/s390x", target, "dir:z", check=False)
    assert missing.returncode == 1 and "no matching manifest for linux/s390x" in missing.stderr


def test_sha512_and_zstd(kist, program, tmp_root):
    """Blobs of either name and packing go through a registry and back, as they are."""
    from lib.kist_registry import KistRegistry

    layout = images.Layout(tmp_root / "in")
    tar = tar_of({"f": b"z" * 50000})
    packed = subprocess.run(["zstd", "-c"], input=tar, capture_output=True, check=True).stdout
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha(tar)]}}).encode()

    def long(data):
        name = "sha512:" + hashlib.sha512(data).hexdigest()
        (layout.path / "blobs/sha512").mkdir(exist_ok=True)
        return layout.blob(data, name)

    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": long(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd", "digest": long(packed), "size": len(packed)}],
    }
    data = json.dumps(manifest).encode()
    top = {"mediaType": MANIFEST, "digest": long(data), "size": len(data)}
    (layout.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    server = KistRegistry(tmp_root / "registry", program("kist-registry"))
    server.start()
    try:
        name = f"docker://{server.address}/long"
        kist("image", "copy", "oci:in", f"{name}@{top['digest']}")
        assert kist("image", "copy", f"{name}@{top['digest']}", "oci:back:x").stdout.strip() == top["digest"]
        assert "PASS" in kist("image", "validate", "oci:back:x").stdout
        kist("image", "copy", "oci:back:x", "docker-archive:plain.tar:x:1")
        with tarfile.open(tmp_root / "plain.tar") as archive:
            assert archive.extractfile(json.load(archive.extractfile("manifest.json"))[0]["Layers"][0]).read() == tar
    finally:
        server.stop()


def estargz(files):
    """A layer as stargz-snapshotter writes it: a gzip member for each payload, a table of contents, a footer that points there."""
    out, entries = io.BytesIO(), []
    tar = tar_of(files)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        at = 0
        for info in archive:
            out.write(gzip.compress(tar[at : info.offset_data], mtime=0))
            entries.append({"name": info.name, "type": "reg", "size": info.size, "offset": out.tell(), "chunkDigest": sha(files[info.name])})
            at = info.offset_data
    # The last payload without the two blocks that end an archive: the table comes before them.
    end = at + (info.size + 511) // 512 * 512
    out.write(gzip.compress(tar[at:end], mtime=0))
    toc = json.dumps({"version": 1, "entries": entries}, indent="\t").encode()
    place = out.tell()
    out.write(gzip.compress(tar_of({"stargz.index.json": toc}), mtime=0))
    footer = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0" + b"%016xSTARGZ" % place + b"\x01\0\0\xff\xff" + bytes(8)
    assert len(footer) == 51
    return out.getvalue() + footer, sha(toc)


def test_estargz(kist, fake, daemon, tmp_root):
    """Many gzip members and an empty one at the end: one layer like any, its annotations and bytes are kept."""
    files = {"etc/a": b"a" * 3000, "etc/noise": os.urandom(300_000), "z": b"last"}
    layer, toc = estargz(files)
    plain = gzip.decompress(layer)
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha(plain)]}}).encode()
    fake.blobs.update({sha(layer): layer, sha(config): config})
    part = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": sha(layer), "size": len(layer),
            "annotations": {"containerd.io/snapshot/stargz/toc.digest": toc, "io.containers.estargz.uncompressed-size": str(len(plain))}}  # fmt: skip
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [part],
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(config), "size": len(config)}}  # fmt: skip
    digest = fake.put_manifest(["1"], manifest)
    name = f"{fake.address}/img:1"
    assert kist("image", "copy", f"docker://{name}", "oci:out:1").stdout.strip() == digest
    assert (tmp_root / "out/blobs" / sha(layer).replace(":", "/")).read_bytes() == layer
    assert "PASS" in kist("image", "validate", "oci:out:1").stdout
    daemon.docker("pull", name)
    assert daemon.inspect(name)["RootFS"]["Layers"] == [sha(plain)]
    daemon.docker("export", "-o", tmp_root / "fs.tar", daemon.docker("create", name, "x").stdout.strip())
    with tarfile.open(tmp_root / "fs.tar") as archive:
        assert {path: archive.extractfile(path).read() for path in files} == files


def test_what_a_registry_holds(kist, registry, tmp_root):
    repository = f"{registry.address}/holds-{secrets.token_hex(6)}"
    for tag in ("b", "a"):
        out = kist("image", "copy", f"docker://{registry.address}/busybox:1", f"docker://{repository}:{tag}")
    assert "already there" in out.stderr
    assert kist("image", "ls-tags", repository).stdout.split() == ["a", "b"]
    assert repository.partition("/")[2] in kist("image", "catalog", registry.address).stdout.split()
    ours = json.loads(kist("image", "inspect", f"docker://{repository}:a").stdout)
    theirs = json.loads(subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{repository}:a"], capture_output=True, check=True).stdout)
    for key in ("Name", "Digest", "Created", "Labels", "Architecture", "Os", "Layers", "Env"):
        assert ours[key] == theirs[key], key
    raw = kist("image", "inspect", "--raw", f"docker://{repository}:a").stdout
    assert raw == kist("image", "manifest", f"{repository}:a").stdout and sha(raw.encode()) == ours["Digest"]
    config = kist("image", "inspect", "--raw", "--config", f"docker://{repository}:a").stdout
    assert sha(config.encode()) == json.loads(raw)["config"]["digest"]
    kist("image", "sync", repository, "dir:mirror")
    assert digest_of_dir(tmp_root / "mirror" / f"{repository.rpartition('/')[2]}:b") == ours["Digest"]
    kist("image", "delete", "--by-digest", f"{repository}:a")
    gone = kist("image", "digest", f"{repository}:b", check=False)
    assert gone.returncode == 1 and "not found" in gone.stderr


def test_referrers(kist, fake):
    """The registry has no referrers API, but the tag that stands in for it."""
    manifest = fake.add_image(["1"], [tar_of({"f": b"x"})])
    digest = sha(json.dumps(manifest).encode())
    entry = {"mediaType": MANIFEST, "digest": sha(b"1"), "size": 1, "artifactType": "application/spdx+json"}
    other = {"mediaType": MANIFEST, "digest": sha(b"2"), "size": 1, "artifactType": "application/x-sig"}
    fake.put_manifest([digest.replace(":", "-")], {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry, other]}, INDEX)
    name = f"{fake.address}/img:1"
    assert kist("image", "referrers", name).stdout.count("\n") == 2
    found = kist("image", "referrers", "--artifact-type", "application/spdx+json", name).stdout
    assert found == f"{sha(b'1')} application/spdx+json\n"


def test_referrers_in_pages(kist, fake):
    """As a registry gives them that has thousands; one that sends the same page for ever is left."""
    manifest = fake.add_image(["1"], [tar_of({"f": b"x"})])
    path = f"/v2/img/referrers/{sha(json.dumps(manifest).encode())}"
    entries = [{"mediaType": MANIFEST, "digest": sha(bytes([i])), "size": 1, "artifactType": f"text/{i}"} for i in range(5)]
    for page, (first, more) in enumerate([(0, 1), (2, 2), (4, 2)]):
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries[first : first + 2]}).encode()
        target = path if page == 0 else f"{path}?page={page}"
        fake.answers[target] = ({"Content-Type": INDEX, "Link": f'<{path}?page={more}>; rel="next"'}, body)
    found = kist("image", "referrers", f"{fake.address}/img:1").stdout
    assert found.splitlines() == [f"{entry['digest']} {entry['artifactType']}" for entry in entries]
    assert kist("image", "referrers", "--artifact-type", "text/4", f"{fake.address}/img:1").stdout == f"{sha(bytes([4]))} text/4\n"


def test_validate_an_artifact(kist, fake):
    """What oras pushes: files that are called layers and are none, and a config that is no image's."""
    file, config = b"hello", b"{}"
    fake.blobs.update({sha(file): file, sha(config): config})
    part = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha(file), "size": len(file)}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "text/note", "layers": [part],
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha(config), "size": 2}}  # fmt: skip
    fake.put_manifest(["note"], manifest)
    assert "PASS" in kist("image", "validate", f"{fake.address}/img:note").stdout
    fake.blobs[sha(file)] = b"hullo"
    assert kist("image", "validate", f"{fake.address}/img:note", check=False).returncode == 1


def test_the_store_of_an_engine(daemon, registry, tmp_root):
    name = f"{registry.address}/busybox:1"
    want = daemon.kist("image", "digest", name).stdout.strip()
    daemon.kist("image", "copy", f"docker://{name}", "copied:1")
    assert daemon.kist("run", "--rm", "--network", "none", "copied:1", "echo", "in").stdout == "in\n"
    daemon.kist("pull", "-q", name)
    assert daemon.inspect("copied:1")["Id"] == daemon.inspect(name)["Id"]
    daemon.kist("image", "copy", "store:copied:1", f"oci:{tmp_root}/out:x")
    assert json.loads((tmp_root / "out/index.json").read_text())["manifests"][0]["digest"] == want
    assert "PASS" in daemon.kist("image", "validate", f"oci:{tmp_root}/out:x").stdout
    missing = daemon.kist("image", "copy", "nothing-here", f"dir:{tmp_root}/none", check=False)
    assert missing.returncode == 1 and "nothing-here" in missing.stderr and not (tmp_root / "none").exists()


def test_killed_copy_goes_on_where_it_was(program, kist, fake, tmp_root):
    layer = tar_of({"big": os.urandom(9 << 20)})
    manifest = fake.add_image(["1"], [layer])
    packed = manifest["layers"][0]
    fake.cuts = [6 << 20]
    fake.statuses = []
    partial = tmp_root / "out/blobs/sha256" / f".partial-{packed['digest'][7:]}"
    env = dict(os.environ, HOME=str(tmp_root), TMPDIR=str(tmp_root))
    run = subprocess.Popen(
        [program("kist"), "image", "copy", f"docker://{fake.address}/img:1", f"oci:{tmp_root}/out:x"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size >= 4 << 20) and time.monotonic() < end:
        time.sleep(0.005)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait(60)
    if partial.exists():
        assert not (tmp_root / "out/index.json").exists()
    had = partial.stat().st_size if partial.exists() else packed["size"]
    assert had >= 4 << 20
    fake.requests.clear()
    kist("image", "copy", f"docker://{fake.address}/img:1", "oci:out:x")
    asked = [headers.get("Range") for method, path, headers in fake.requests if method == "GET" and packed["digest"] in path]
    assert all(a and int(a[6:].split("-")[0]) >= had for a in asked)
    assert "PASS" in kist("image", "validate", "oci:out:x").stdout
    assert [p.name for p in (tmp_root / "out/blobs/sha256").iterdir() if p.name.startswith(".")] == []


BAD = {
    "a layer that is another": lambda fake, m: fake.blobs.__setitem__(m["layers"][0]["digest"], gzip.compress(b"other" * 99)),
    "a layer that is cut": lambda fake, m: fake.blobs.__setitem__(
        m["layers"][0]["digest"], fake.blobs[m["layers"][0]["digest"]][:40]
    ),
    "no config": lambda fake, m: fake.blobs.pop(m["config"]["digest"]),
    "a manifest that is another": lambda fake, m: fake.manifests.__setitem__("1", (MANIFEST, b'{"schemaVersion":2}')),
    "a manifest with a bad digest": lambda fake, m: fake.manifests.__setitem__(
        "1", (MANIFEST, json.dumps(m).replace("sha256:", "sha256:../").encode())
    ),
    "deep nesting": lambda fake, m: fake.manifests.__setitem__("1", (MANIFEST, b"[" * 100000)),
}


@pytest.mark.parametrize("lie", BAD)
def test_lies_of_a_registry(kist, fake, tmp_root, lie):
    manifest = fake.add_image(["1"], [tar_of({"f": b"abc" * 100})])
    BAD[lie](fake, manifest)
    for target in ("oci:out:x", "oci-archive:out.tar:x", "dir:outdir"):
        run = kist("image", "copy", "-q", f"docker://{fake.address}/img:1", target, check=False)
        assert run.returncode == 1 and run.stderr.strip() and not run.stdout
    assert not (tmp_root / "out.tar").exists() and not (tmp_root / "out/index.json").exists()
    assert not (tmp_root / "outdir/manifest.json").exists()


def test_bad_operands(kist, tmp_root, busybox_layout):
    def refused(*args):
        run = kist("image", *args, check=False)
        assert run.returncode == 1 and run.stderr, args
        return run.stderr

    assert "is missing" in refused("copy", "oci:/etc:x", "dir:d")
    assert "No such file" in refused("copy", "oci:/nowhere:x", "dir:d")
    assert 'no image "other"' in refused("copy", f"oci:{busybox_layout}:other", "dir:d")
    assert "manifest.json is missing" in refused("copy", "dir:/etc", "oci:o:x")
    (tmp_root / "junk.tar").write_bytes(os.urandom(4096))
    refused("copy", "docker-archive:junk.tar", "dir:d")
    refused("copy", "oci-archive:junk.tar:x", "dir:d")
    assert "is no repository" in refused("ls-tags", f"oci:{busybox_layout}")
    assert "unknown format" in refused("copy", "--format", "v1", f"oci:{busybox_layout}:busybox", "dir:d")
    assert "exclude each other" in refused("copy", "--all", "--platform", "linux/amd64", f"oci:{busybox_layout}:busybox", "dir:d")
    assert "invalid reference format" in refused("copy", "docker://host.example/UPPER", "dir:d")
    kist("image", "copy", f"oci:{busybox_layout}:busybox", "docker-archive:a.tar:x:1")
    assert "is there already" in refused("copy", f"oci:{busybox_layout}:busybox", "docker-archive:a.tar:x:1")
    with tarfile.open(tmp_root / "evil.tar", "w") as tar:
        data = json.dumps([{"Config": "../../etc/passwd", "RepoTags": ["x:1"], "Layers": ["/etc/shadow"]}]).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    assert "leads out of the image" in refused("copy", "docker-archive:evil.tar", "dir:d")


def test_tls_and_credentials(kist, program, tmp_root, busybox_layout):
    """--tls-verify=true refuses plain http on loopback too; credentials are sent only when given."""
    from lib.registry import Registry

    subprocess.run(["htpasswd", "-Bbn", "u", "p"], check=True, stdout=open(tmp_root / "users", "wb"))
    server = Registry(tmp_root / "registry", htpasswd=tmp_root / "users")
    server.start()
    try:
        target = f"docker://{server.address}/x:1"
        source = f"oci:{busybox_layout}:busybox"
        assert "no basic auth credentials" in kist("image", "copy", source, target, check=False).stderr
        kist("image", "copy", "--dest-creds", "u:p", source, target)
        wrong = kist("image", "manifest", "--creds", "u:wrong", f"{server.address}/x:1", check=False)
        assert wrong.returncode == 1 and "schemaVersion" not in wrong.stdout
        assert "schemaVersion" in kist("image", "manifest", "--creds", "u:p", f"{server.address}/x:1").stdout
        plain = kist("image", "manifest", "--creds", "u:p", "--tls-verify", f"{server.address}/x:1", check=False)
        assert plain.returncode == 1 and "TLS" in plain.stderr
    finally:
        server.stop()
