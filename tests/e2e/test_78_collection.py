# SPDX-License-Identifier: Apache-2.0
"""Images and results of build steps that go by themselves: image-gc and builder.gc of daemon.json."""
import json

from lib import images
from lib.daemon import Daemon
from lib.engine_api import Api
from lib.wait import wait_for


def start(root, program, rootfs, settings):
    config = root / "daemon.json"
    config.write_text(json.dumps(settings))
    daemon = Daemon(root, program, ["--config-file", str(config)])
    daemon.start()
    tar = root / "bb.tar"
    tar.write_bytes(images.tar_of(rootfs))
    return daemon, tar


def names(daemon):
    return {tag for image in Api(daemon).call("GET", "/images/json")[1] for tag in image["RepoTags"] or []}


def build(daemon, root, words):
    (root / "context").mkdir(exist_ok=True)
    (root / "context/file").write_text(words)
    (root / "context/Dockerfile").write_text("FROM bb:base\nCOPY file /file\n")
    daemon.environment["DOCKER_BUILDKIT"] = "0"
    daemon.docker("build", "-t", f"built:{words}", root / "context")


def cache_count(daemon):
    return len(Api(daemon).call("GET", "/system/df")[1]["BuildCache"] or [])


def test_what_is_unused_goes_and_what_is_used_stays(tmp_root, program, busybox_rootfs):
    wanted = {"image-gc": {"enabled": True, "unused-for": "2s", "keep-storage": "1kB", "interval": "1s"}}
    daemon, tar = start(tmp_root, program, busybox_rootfs, wanted)
    # Created at once, so that no look finds it unused first.
    assert daemon.docker("import", "-c", "LABEL which=stopped", tar, "bb:stopped").returncode == 0
    daemon.docker("create", "--name", "stopped", "bb:stopped", "true", check=False)
    used = {"bb:stopped"} if "stopped" in daemon.docker("ps", "-a", "--format", "{{.Names}}").stdout else set()
    api = Api(daemon)
    daemon.docker("import", "-c", "LABEL which=mounted", tar, "bb:mounted")
    mounts = [{"Type": "image", "Source": "bb:mounted", "Target": "/image"}]
    mounted = api.call("POST", "/containers/create?name=mounts", {"Image": "bb:stopped", "Cmd": ["true"], "HostConfig": {"Mounts": mounts}})[0]
    used |= {"bb:mounted"} if mounted == 201 else set()
    daemon.docker("import", "-c", "LABEL which=unused", tar, "bb:unused")
    daemon.docker("tag", "bb:unused", "other:name")
    wait_for(lambda: not names(daemon) - used, "what nobody uses is gone, with all its names")
    assert used <= names(daemon)
    wait_for(lambda: "collected an image" in daemon.log.read_text(), "a word about it")
    # Without its container it goes too.
    daemon.docker("rm", "stopped", "mounts", check=False)
    wait_for(lambda: not names(daemon), "nothing is used any more")
    assert Api(daemon).call("GET", "/system/df")[1]["LayersSize"] == 0
    daemon.finish()


def test_the_watermark_and_the_build_cache(tmp_root, program, busybox_rootfs):
    """Results of steps go by their age; images stay, because all of them take less than they may."""
    gc = {"enabled": True, "policy": [{"filter": ["unused-for=1s"], "all": True}]}
    image_gc = {"enabled": True, "unused-for": "1s", "keep-storage": "1000GB", "interval": "1s"}
    daemon, tar = start(tmp_root, program, busybox_rootfs, {"builder": {"gc": gc}, "image-gc": image_gc})
    daemon.docker("import", tar, "bb:base")
    for words in ("one", "two"):
        build(daemon, tmp_root, words)
        wait_for(lambda: f"built:{words}" in names(daemon) and cache_count(daemon) == 0, "the cache is collected")
    assert {"bb:base", "built:one", "built:two"} <= names(daemon)
    assert daemon.docker("run", "--rm", "built:one", "cat", "/file").stdout == "one"
    wait_for(lambda: "collected a result of a build step" in daemon.log.read_text(), "a word about it")
    # A reload turns it off: then nothing goes.
    (tmp_root / "daemon.json").write_text("{}")
    daemon.process.send_signal(1)
    wait_for(lambda: "configuration reloaded" in daemon.log.read_text(), "reload")
    build(daemon, tmp_root, "three")
    assert cache_count(daemon) > 0
    daemon.finish()
