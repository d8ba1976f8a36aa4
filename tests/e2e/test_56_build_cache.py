# SPDX-License-Identifier: Apache-2.0
"""Caches of builds in registries and folders: what one engine made, another does not make again."""
import hashlib
import json
import os
import shutil
import subprocess
import urllib.request
import uuid

import pytest

from lib.daemon import Daemon
from lib.docker_cli import IS_28

CONFIG = "application/vnd.buildkit.cacheconfig.v0"


@pytest.fixture(scope="module")
def first(shared_daemon, busybox_tar):
    shared_daemon.kist("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin", busybox_tar, "bc:latest")
    return shared_daemon


@pytest.fixture
def second(daemon):
    """Another engine, with an empty store."""
    return daemon


@pytest.fixture(scope="module")
def base(first, registry):
    name = f"{registry.address}/bc-base-{uuid.uuid4().hex[:8]}:1"
    first.kist("tag", "bc", name)
    first.kist("push", "-q", name)
    return name


@pytest.fixture
def context(tmp_path, base):
    path = tmp_path / "context"
    path.mkdir()
    (path / "a").write_text(uuid.uuid4().hex)
    (path / "Dockerfile").write_text(
        f"FROM {base} AS one\nENV A=1\nWORKDIR /w\nCOPY a /in/a\nRUN head -c 20 /dev/urandom >/random\n"
        f"FROM {base} AS other\nRUN head -c 20 /dev/urandom >/other\n"
        "FROM one\nCOPY --from=other /other /copied\nLABEL x=y\n"
    )
    return path


def fetch(url, accept="*/*"):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=60) as answer:
        return answer.read()


def put(registry, repository, tag, blobs, manifest):
    """What somebody else may have put there."""
    for data in blobs:
        done = urllib.request.urlopen(
            urllib.request.Request(f"http://{registry.address}/v2/{repository}/blobs/uploads/", method="POST", data=b""), timeout=60
        )
        where = done.headers["Location"]
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        where += ("&" if "?" in where else "?") + "digest=" + digest
        urllib.request.urlopen(urllib.request.Request(where, method="PUT", data=data, headers={"Content-Type": "application/octet-stream"}), timeout=60)
    request = urllib.request.Request(
        f"http://{registry.address}/v2/{repository}/manifests/{tag}", method="PUT", data=json.dumps(manifest).encode(),
        headers={"Content-Type": manifest["mediaType"]},
    )  # fmt: skip
    urllib.request.urlopen(request, timeout=60)


def cache_of(registry, ref):
    """(manifest, config) as they are in the registry."""
    repository, _, tag = ref.partition("/")[2].rpartition(":")
    url = f"http://{registry.address}/v2/{repository}"
    manifest = json.loads(fetch(f"{url}/manifests/{tag}", "application/vnd.oci.image.manifest.v1+json"))
    return manifest, json.loads(fetch(f"{url}/blobs/{manifest['config']['digest']}"))


def check_format(manifest, config):
    """What BuildKit's own reader asks of a cache."""
    assert manifest["config"]["mediaType"] == CONFIG
    blobs = [layer["digest"] for layer in manifest["layers"]]
    assert [layer["blob"] for layer in config["layers"]] == blobs
    for index, layer in enumerate(config["layers"]):
        assert -1 <= layer["parent"] < index
        assert layer["annotations"]["diffID"].startswith("sha256:")
        assert manifest["layers"][index]["annotations"]["containerd.io/uncompressed"] == layer["annotations"]["diffID"]
    assert len({record["digest"] for record in config["records"]}) == len(config["records"])
    for index, record in enumerate(config["records"]):
        assert all(0 <= result["layer"] < len(blobs) for result in record["layers"])
        assert all(link["link"] < index for links in record.get("inputs", []) for link in links)


def test_registry(first, second, registry, context):
    ref = f"{registry.address}/bc-cache-{uuid.uuid4().hex[:8]}:x"
    tag = "bc-" + uuid.uuid4().hex[:8]
    first.kist("build", "-q", "-t", tag, "--cache-to", f"type=registry,ref={ref},mode=max", context)
    manifest, config = cache_of(registry, ref)
    check_format(manifest, config)
    assert len(config["records"]) == 5
    done = second.kist("build", "-t", tag, "--cache-from", f"type=registry,ref={ref}", context)
    assert "Running in" not in done.stdout and done.stdout.count("Using cache") >= 6, done.stdout
    assert second.inspect(tag)["Id"] == first.inspect(tag)["Id"]
    assert second.kist("run", "--rm", "--network", "none", tag, "wc", "-c", "/copied").stdout.split()[0] == "20"
    # Now they are the second engine's own.
    assert "Running in" not in second.kist("build", context).stdout


def test_less_of_it(first, second, registry, context):
    """mode=min: the layers of the image, not those of other stages."""
    ref = f"{registry.address}/bc-cache-{uuid.uuid4().hex[:8]}:x"
    first.kist("build", "-q", "--cache-to", f"type=registry,ref={ref}", context)
    manifest, config = cache_of(registry, ref)
    check_format(manifest, config)
    assert len(config["records"]) == 4
    done = second.kist("build", "--cache-from", f"type=registry,ref={ref}", context)
    assert done.stdout.count("Running in") == 1, done.stdout


def test_only_what_is_found_is_fetched(first, second, registry, context):
    ref = f"{registry.address}/bc-cache-{uuid.uuid4().hex[:8]}:x"
    first.kist("build", "-q", "--cache-to", f"type=registry,ref={ref},mode=max", context)
    text = (context / "Dockerfile").read_text()
    (context / "Dockerfile").write_text(text.replace(">/random", ">/random; echo"))
    done = second.kist("build", "--cache-from", f"type=registry,ref={ref}", context)
    assert done.stdout.count("Running in") == 1, done.stdout
    _, config = cache_of(registry, ref)
    layers = {record["digest"]: config["layers"][record["layers"][0]["layer"]]["blob"] for record in config["records"]}
    here = {path.name for path in (second.root / "d" / "blobs" / "sha256").iterdir()}
    # One was not found, and is not here; the COPY above it may have come out the same.
    assert len(layers) - 2 <= sum(blob.partition(":")[2] in here for blob in layers.values()) < len(layers)


@pytest.mark.parametrize("how", ["config", "layer", "diff_id", "loop", "json", "gone"])
def test_broken(first, second, registry, context, how):
    """Somebody's cache is wrong: the build says so and makes what it needs."""
    ref = f"{registry.address}/bc-bad-{uuid.uuid4().hex[:8]}:x"
    repository = ref.partition("/")[2].rpartition(":")[0]
    (context / "Dockerfile").write_text(f"FROM {context.parent.name and 'scratch'}\nCOPY a /a\nCOPY a /b\n")
    first.kist("build", "-q", "--cache-to", f"type=registry,ref={ref},mode=max", context)
    manifest, config = cache_of(registry, ref)
    blobs = []
    if how == "layer":
        blobs.append(b"no tar at all")
        other = "sha256:" + hashlib.sha256(blobs[0]).hexdigest()
        manifest["layers"][1].update(digest=other, size=len(blobs[0]))
        config["layers"][1]["blob"] = other
    elif how == "diff_id":
        config["layers"][0]["annotations"]["diffID"] = "sha256:" + "0" * 64
    elif how == "loop":
        config["layers"][0]["parent"] = 1
    text = b"{broken" if how == "json" else json.dumps(config).encode()
    blobs.append(text)
    manifest["config"].update(digest="sha256:" + hashlib.sha256(text).hexdigest(), size=len(text))
    if how == "config":
        manifest["config"]["size"] += 1
    if how != "gone":
        put(registry, repository, "x", blobs, manifest)
    name = ref + "-not" if how == "gone" else ref
    done = second.kist("build", "--cache-from", f"type=registry,ref={name}", context)
    assert "Successfully built" in done.stdout
    if how != "loop":
        assert "[Warning]" in done.stdout, done.stdout
    assert done.stdout.count("Using cache") == (1 if how == "layer" else 0), done.stdout


def test_secrets_stay(first, registry, tmp_path, context, base):
    secret = uuid.uuid4().hex
    (tmp_path / "secret").write_text(secret)
    (context / "Dockerfile").write_text(f"FROM {base}\nRUN --mount=type=secret,id=s cat /run/secrets/s | wc -c >/size\n")
    out = tmp_path / "cache"
    first.kist(
        "build", "--secret", f"id=s,src={tmp_path}/secret", "--cache-to", f"type=local,dest={out},mode=max", context
    )
    for place, _, names in os.walk(out):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                assert secret.encode() not in file.read()
    index = json.loads((out / "index.json").read_text())
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "latest"
    manifest = json.loads((out / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
    check_format(manifest, json.loads((out / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_text()))


@pytest.mark.parametrize(
    "args, said",
    [
        (("--cache-to", "type=gha"), "cache export type=gha is not supported: type=registry, local and inline are"),
        (("--cache-to", "type=registry"), "registry cache exporter requires ref"),
        (("--cache-to", "type=registry,ref=x,mode=most"), "cache export type=registry: mode=most is not supported"),
        (("--cache-to", "type=local,src=x"), "cache export type=local: src=x is not supported"),
        (("--cache-to", "type=inline,mode=max"), "cache export type=inline: mode=max is not supported"),
        (("--cache-from", "type=local,src=x"), "cache import type=local is not supported here"),
        (("--cache-from", "type=s3,bucket=x"), "cache import type=s3 is not supported: type=registry and local are"),
    ],
)
def test_refused(first, context, args, said):
    failed = first.kist("build", *args, context, check=False)
    assert failed.returncode != 0 and said in failed.stderr, failed.stderr


def test_where_nobody_takes_it(first, context):
    """The image is there; that its cache is nowhere fails the build, unless it may."""
    tag = "bc-" + uuid.uuid4().hex[:8]
    failed = first.kist("build", "-t", tag, "--cache-to", "type=registry,ref=127.0.0.1:9/x:1", context, check=False)
    assert failed.returncode == 1 and "cache export type=registry" in failed.stderr, failed.stderr
    done = first.kist("build", "--cache-to", "type=registry,ref=127.0.0.1:9/x:1,ignore-error=true", context)
    assert "[Warning] cache export type=registry" in done.stdout
