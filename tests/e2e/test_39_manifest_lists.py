# SPDX-License-Identifier: Apache-2.0
"""Lists of images for several platforms: kist manifest, and docker manifest, against kist-registry."""
import base64
import json
import os
import subprocess

import pytest

from lib import docker_cli, images
from lib.kist_registry import KistRegistry


@pytest.fixture
def server(program, tmp_root):
    registry = KistRegistry(tmp_root / "registry", program("kist-registry"))
    registry.start()
    yield registry
    registry.stop()


@pytest.fixture
def run(program, tmp_root):
    def call(tool, *args, check=True):
        env = dict(os.environ, HOME=str(tmp_root), DOCKER_CONFIG=str(tmp_root / "config"), TMPDIR=str(tmp_root))
        env["DOCKER_HOST"] = f"unix://{tmp_root}/none.sock"
        argv = [program("kist") if tool == "kist" else tool, *map(str, args)]
        done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=120, cwd=tmp_root)
        if check:
            assert done.returncode == 0, (argv, done.stderr)
        return done

    return call


@pytest.fixture
def pushed(run, server, tmp_root, busybox_rootfs):
    """Two images in a repository of the registry, one of them said to be arm64's."""
    layout = images.Layout(tmp_root / "in")
    (tmp_root / "f").mkdir()
    (tmp_root / "f/file").write_text("x")
    layout.add_image("a", [images.tar_of(tmp_root / "f")])
    address = server.address
    run("kist", "image", "copy", "-q", "oci:in:a", f"docker://{address}/parts:amd64")
    run("kist", "image", "mutate", f"{address}/parts:amd64", "--set-platform", "linux/arm64", "-t", f"{address}/parts:arm64")
    return address


def test_create_annotate_push(run, pushed, server):
    name = f"{pushed}/whole:1"
    parts = [f"{pushed}/parts:amd64", f"{pushed}/parts:arm64"]
    assert run("kist", "manifest", "create", name, *parts).stdout == f"Created manifest list {name}\n"
    again = run("kist", "manifest", "create", name, *parts, check=False)
    assert again.returncode == 1 and "--amend" in again.stderr
    run("kist", "manifest", "annotate", "--variant", "v8", "--os-version", "6", name, parts[1])
    local = json.loads(run("kist", "manifest", "inspect", name).stdout)
    assert [m["platform"]["architecture"] for m in local["manifests"]] == ["amd64", "arm64"]
    assert local["manifests"][1]["platform"]["variant"] == "v8" and local["manifests"][1]["platform"]["os.version"] == "6"
    whole = json.loads(run("kist", "manifest", "inspect", "-v", name).stdout)
    assert [one["Descriptor"]["platform"] for one in whole] == [m["platform"] for m in local["manifests"]]
    assert [one["Ref"] for one in whole] == parts
    for one in whole:
        assert json.loads(base64.b64decode(one["Raw"])) == one["OCIManifest"]
    run("kist", "manifest", "create", "--amend", name, parts[0])
    digest = run("kist", "manifest", "push", "--purge", name).stdout.strip()
    remote = json.loads(run("kist", "image", "manifest", name).stdout)
    assert sorted(m["digest"] for m in remote["manifests"]) == sorted(m["digest"] for m in local["manifests"])
    assert run("kist", "image", "digest", name).stdout.strip() == digest
    assert json.loads(run("kist", "image", "config", "--platform", "linux/arm64/v8", name).stdout)["architecture"] == "arm64"
    assert "PASS" in run("kist", "image", "validate", name).stdout
    gone = run("kist", "manifest", "rm", name, check=False)
    assert gone.returncode == 1 and "No such manifest" in gone.stderr
    for bad in ([f"{pushed}/new:1", f"{pushed}/none:1"], [f"{pushed}/new:1", name], ["BAD NAME", parts[0]]):
        refused = run("kist", "manifest", "create", *bad, check=False)
        assert refused.returncode == 1 and refused.stderr, bad
    for command in (["push", f"{pushed}/new:1"], ["annotate", f"{pushed}/new:1", parts[0]]):
        assert run("kist", "manifest", *command, check=False).returncode == 1


def test_the_stock_command_line(run, pushed, server):
    """docker manifest talks to the registry by itself."""
    # In the parts' own repository: docker CLI 20.10 sends nothing but the list.
    name = f"{pushed}/parts:stock"
    parts = [f"{pushed}/parts:amd64", f"{pushed}/parts:arm64"]
    # It wants docker's own types.
    for part in parts:
        run("kist", "image", "copy", "-q", "--format", "v2s2", f"docker://{part}", f"docker://{part}-docker")
    parts = [f"{part}-docker" for part in parts]
    run("docker", "manifest", "create", "--insecure", name, *parts)
    run("docker", "manifest", "annotate", "--variant", "v8", name, parts[1])
    digest = run("docker", "manifest", "push", "--insecure", name).stdout.split()[-1]
    assert run("kist", "image", "digest", name).stdout.strip() == digest
    theirs = json.loads(run("docker", "manifest", "inspect", "--insecure", name).stdout)
    ours = json.loads(run("kist", "manifest", "inspect", name).stdout)
    assert [m["digest"] for m in theirs["manifests"]] == [m["digest"] for m in ours["manifests"]]
    run("docker", "manifest", "rm", name)
    for what in (name, parts[0]):
        theirs = run("docker", "manifest", "inspect", "--insecure", "-v", what).stdout
        ours = run("kist", "manifest", "inspect", "--verbose", what).stdout
        if docker_cli.IS_28:
            assert json.loads(theirs) == json.loads(ours)
        else:
            assert ours.count('"Ref"') == theirs.count('"Ref"')
    assert "PASS" in run("kist", "image", "validate", name).stdout


# ---- the engine ----


@pytest.fixture
def listed(run, pushed):
    """The name of a list for amd64 and arm64."""
    name = f"{pushed}/parts:both"
    run("kist", "manifest", "create", name, f"{pushed}/parts:amd64", f"{pushed}/parts:arm64")
    run("kist", "manifest", "push", "--purge", name)
    return name


def digest_of(run, name):
    return run("kist", "image", "digest", name).stdout.strip()


def test_all_platforms_through_the_engine(run, listed, pushed, server, daemon):
    index = json.loads(run("kist", "image", "manifest", listed).stdout)
    daemon.kist("pull", "-q", "--all-platforms", listed)
    parts = {m["platform"]["architecture"]: f"{pushed}/parts@{m['digest']}" for m in index["manifests"]}
    for architecture, name in parts.items():
        assert daemon.inspect(name)["Architecture"] == architecture
    assert daemon.inspect(listed)["Architecture"] == os.uname().machine.replace("x86_64", "amd64").replace("aarch64", "arm64")
    # The list stays, byte for byte, through kill -9 and a collection.
    daemon.kist("pull", "-q", f"{pushed}/parts:arm64")
    daemon.kist("rmi", f"{pushed}/parts:arm64")
    daemon.kist("pull", "-q", "--all-platforms", listed)
    daemon.kill()
    daemon.start()
    copy = f"{pushed}/copies/of:it"
    daemon.kist("tag", listed, copy)
    out = daemon.kist("push", "--all-platforms", copy).stdout
    assert digest_of(run, copy) == digest_of(run, listed)
    assert out.count("digest: sha256:") == 1 and f"it: digest: {digest_of(run, listed)}" in out
    assert "PASS" in run("kist", "image", "validate", copy).stdout
    for m in index["manifests"]:
        assert server.request("GET", f"/v2/copies/of/manifests/{m['digest']}").status == 200
    # One of them alone is an ordinary push.
    daemon.kist("push", "-q", copy)
    assert digest_of(run, copy) in [m["digest"] for m in index["manifests"]]
    # Images without a tag are what prune removes, these too.
    daemon.kist("image", "prune", "-f")
    refused = daemon.kist("push", "--all-platforms", copy, check=False)
    assert refused.returncode == 1 and "pull it for all platforms first" in refused.stderr


def test_all_platforms_that_are_not_there(run, listed, pushed, daemon):
    daemon.kist("pull", "-q", listed)
    daemon.kist("tag", listed, f"{pushed}/new:1")
    for args, words in (
        (["push", "--all-platforms", f"{pushed}/new:1"], "is not here: pull it for all platforms first"),
        (["push", "--all-platforms", "--platform", "linux/arm64", f"{pushed}/new:1"], "can't be used with --platform"),
        (["pull", "--all-platforms", "--platform", "linux/arm64", listed], "can't be used with --platform"),
        (["pull", "--all-platforms", f"{pushed}/parts:none"], "not found"),
    ):
        refused = daemon.kist(*args, check=False)
        assert refused.returncode == 1 and words in refused.stderr, (args, refused.stderr)
    assert run("kist", "image", "digest", f"{pushed}/new:1", check=False).returncode == 1
    # What is no list is pulled as it is, and cannot be pushed as one.
    daemon.kist("pull", "-q", "--all-platforms", f"{pushed}/parts:arm64")
    assert daemon.inspect(f"{pushed}/parts:arm64")["Architecture"] == "arm64"
    daemon.kist("rmi", listed, f"{pushed}/new:1")
    refused = daemon.kist("push", "--all-platforms", f"{pushed}/parts:arm64", check=False)
    assert refused.returncode == 1 and "did not come from a list" in refused.stderr
    # The rest of the list, after which it can.
    daemon.kist("pull", "-q", "--all-platforms", listed)
    daemon.kist("tag", listed, f"{pushed}/new:1")
    daemon.kist("push", "-q", "--all-platforms", f"{pushed}/new:1")
    assert digest_of(run, f"{pushed}/new:1") == digest_of(run, listed)


def test_all_platforms_of_a_list_for_others(run, pushed, daemon):
    """Without one for this machine: the name means the first."""
    name = f"{pushed}/parts:others"
    other = "riscv64"
    run("kist", "image", "mutate", f"{pushed}/parts:amd64", "--set-platform", f"linux/{other}", "-t", f"{pushed}/parts:{other}")
    run("kist", "manifest", "create", name, f"{pushed}/parts:{other}")
    run("kist", "manifest", "push", "--purge", name)
    assert "no matching manifest" in daemon.kist("pull", name, check=False).stderr
    daemon.kist("pull", "-q", "--all-platforms", name)
    assert daemon.inspect(name)["Architecture"] == other
    daemon.kist("tag", name, f"{pushed}/new:others")
    daemon.kist("push", "-q", "--all-platforms", f"{pushed}/new:others")
    assert digest_of(run, f"{pushed}/new:others") == digest_of(run, name)
