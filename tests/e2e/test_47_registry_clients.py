# SPDX-License-Identifier: Apache-2.0
"""Other people's clients push to kist-registry and pull from it, and through it."""
import json
import os
import shutil
import subprocess
import time

import pytest

from lib import needs
from lib.crane import find as find_crane
from lib.kist_registry import KistRegistry

CONTAINERD = """
version = 2
root = "{root}/root"
state = "{root}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = "{root}/c.sock"
"""


@pytest.fixture(scope="module")
def ours(session_root, program):
    server = KistRegistry(session_root / "clients-registry", program("kist-registry"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def source(ours, busybox_layout):
    """An image in ours, pushed by skopeo."""
    return ours.push(busybox_layout, "source/busybox:1")


def need(program):
    """oras is no package of Debian 12: it is asked where somebody has put it into $PATH."""
    if program == "oras" and not shutil.which(program):
        pytest.skip(f"Debian 12 has no {program}, and none is in $PATH")
    needs.programs(program)


def digest_of(ours, name, tag):
    reply = ours.request("HEAD", f"/v2/{name}/manifests/{tag}")
    assert reply.status == 200
    return reply.getheader("Docker-Content-Digest")


def layers_of(ours, name, tag):
    return [layer["digest"] for layer in json.loads(ours.request("GET", f"/v2/{name}/manifests/{tag}").data)["layers"]]


@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_podman_and_buildah(ours, source, tmp_root, engine):
    need(engine)
    base = [engine, "--root", tmp_root / "r", "--runroot", tmp_root / "rr", "--storage-driver", "vfs"]
    if engine == "podman":
        base += ["--tmpdir", tmp_root / "t", "--cgroup-manager", "cgroupfs"]

    def call(*arguments):
        done = subprocess.run([*map(str, base), *arguments], capture_output=True, text=True, check=False,
                              env={**os.environ, "HOME": str(tmp_root)}, timeout=300)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    target = f"{ours.address}/{engine}/back:2"
    call("pull", "-q", "--tls-verify=false", source)
    call("tag", source, target)
    call("push", "-q", "--tls-verify=false", target) if engine == "podman" else call(
        "push", "-q", "--tls-verify=false", target, f"docker://{target}"
    )
    call("rmi", "-f", source, target) if engine == "podman" else call("rmi", "-f", target)
    call("pull", "-q", "--tls-verify=false", target)
    assert "back" in call("images")


def test_docker(ours, source, daemon):
    """The stock docker CLI, with our engine behind it."""
    target = f"{ours.address}/docker/back:2"
    daemon.docker("pull", source)
    daemon.docker("tag", source, target)
    daemon.docker("push", target)
    daemon.docker("rmi", source, target)
    daemon.docker("pull", target)
    assert layers_of(ours, "docker/back", "2") == layers_of(ours, "source/busybox", "1")


@pytest.fixture
def ctr(tmp_root):
    need("containerd")
    root = tmp_root / "ctrd"
    root.mkdir()
    (root / "config.toml").write_text(CONTAINERD.format(root=root))
    with open(root / "log", "wb") as log:
        process = subprocess.Popen(["containerd", "-c", root / "config.toml"], stdout=log, stderr=log)

    def call(*arguments, check=True):
        done = subprocess.run(["ctr", "-a", root / "c.sock", "-n", "kt-registry", *arguments], check=False,
                              capture_output=True, text=True, timeout=300)  # fmt: skip
        assert done.returncode == 0 or not check, done.stderr
        return done

    deadline = time.monotonic() + 120
    while call("version", check=False).returncode:
        assert time.monotonic() < deadline and process.poll() is None, (root / "log").read_text()
        time.sleep(0.1)
    yield call
    for image in call("images", "ls", "-q").stdout.split():
        call("images", "rm", "--sync", image)
    process.terminate()
    process.wait(60)


def test_containerd(ours, source, ctr, tmp_root, program):
    target = f"{ours.address}/ctr/back:2"
    ctr("images", "pull", "--plain-http", source)
    ctr("images", "push", "--plain-http", target, source)
    assert digest_of(ours, "ctr/back", "2") == digest_of(ours, "source/busybox", "1")
    # A mirror of ours for everything, which is a cache of `ours`: containerd asks it with ?ns=.
    config = {"upstreams": [{"name": "registry.test", "url": f"http://{ours.address}"}], "access-log": True}
    (tmp_root / "cache.json").write_text(json.dumps(config))
    cache = KistRegistry(tmp_root / "cache", program("kist-registry"), ["--config", tmp_root / "cache.json"])
    cache.start()
    try:
        hosts = tmp_root / "certs.d/registry.test"
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(
            f'server = "http://127.0.0.1:1"\n[host."http://{cache.address}"]\ncapabilities = ["pull", "resolve"]\n'
        )
        ctr("images", "pull", "--hosts-dir", str(tmp_root / "certs.d"), "registry.test/ctr/back:2")
        assert "registry.test/ctr/back:2" in ctr("images", "ls", "-q").stdout
        assert "path=/v2/registry.test/ctr/back/manifests/2" in (cache.root / "log").read_text()
    finally:
        cache.stop()


def test_crane(ours, source):
    crane = find_crane()
    target = f"{ours.address}/crane/back:2"
    subprocess.run([crane, "--insecure", "copy", source, target], check=True, capture_output=True, timeout=300)
    assert digest_of(ours, "crane/back", "2") == digest_of(ours, "source/busybox", "1")
    listed = subprocess.run([crane, "--insecure", "ls", f"{ours.address}/crane/back"], check=True, capture_output=True,
                            text=True, timeout=300)  # fmt: skip
    assert listed.stdout.split() == ["2"]
    subprocess.run([crane, "--insecure", "validate", "--remote", target], check=True, capture_output=True, timeout=300)


def test_oras(ours, tmp_root):
    """An artifact, and another that speaks of it."""
    need("oras")
    (tmp_root / "note.txt").write_text("hello")
    target = f"{ours.address}/oras/note:1"

    def oras(*arguments):
        return subprocess.run(["oras", *arguments], check=True, capture_output=True, text=True, cwd=tmp_root,
                              timeout=300, env={**os.environ, "HOME": str(tmp_root)}).stdout  # fmt: skip

    oras("push", "--plain-http", "--artifact-type", "text/note", target, "note.txt:text/plain")
    oras("attach", "--plain-http", "--artifact-type", "text/sign", target, "note.txt:text/plain")
    assert "text/sign" in oras("discover", "--plain-http", "--format", "json", target)
    (tmp_root / "note.txt").unlink()
    oras("pull", "--plain-http", target)
    assert (tmp_root / "note.txt").read_text() == "hello"
