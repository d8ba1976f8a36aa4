# SPDX-License-Identifier: Apache-2.0
"""Volumes of plugins: docker's protocol v1, spoken with a plugin of ours that remembers what it was asked."""
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from lib.daemon import Daemon
from lib.engine_api import Api
from lib.volume_plugin import VolumePlugin
from lib.wait import wait_for


@pytest.fixture
def sockets(tmp_root):
    path = tmp_root / "plugins"
    path.mkdir()
    return path


@pytest.fixture
def plugin(tmp_root, sockets):
    plugin = VolumePlugin(sockets, tmp_root / "remote", "far", scope="global")
    yield plugin
    for said in plugin.answers.values():
        if isinstance(said, threading.Event):
            said.set()
    plugin.close()


@pytest.fixture
def engine(tmp_root, program, sockets, plugin, busybox_tar):
    server = Daemon(tmp_root, program, ["--plugin-dir", f"{sockets}:{tmp_root}/specs"])
    server.start()
    server.docker("import", busybox_tar, "busybox:latest")
    yield server
    for said in plugin.answers.values():
        if isinstance(said, threading.Event):
            said.set()
    plugin.answers.clear()
    server.finish()


def fails(engine, *args):
    run = engine.docker(*args, check=False)
    assert run.returncode != 0, run
    return run.stderr.strip()


def test_a_volume_of_a_plugin_from_its_making_to_its_end(engine, plugin):
    assert engine.docker("volume", "create", "-d", "far", "-o", "size=3", "--label", "a=b", "data").stdout == "data\n"
    assert plugin.said("VolumeDriver.Create") == [{"Name": "data", "Opts": {"size": "3"}}]
    assert plugin.said("Plugin.Activate") == [{}]
    volume = json.loads(engine.docker("volume", "inspect", "data").stdout)[0]
    assert volume == {
        "CreatedAt": "2026-01-02T03:04:05Z", "Driver": "far", "Labels": {"a": "b"}, "Mountpoint": "", "Name": "data",
        "Options": {"size": "3"}, "Scope": "global", "Status": {"hello": ["world", 1]},
    }  # fmt: skip
    plugin.volumes["theirs"] = {}
    engine.docker("volume", "create", "near")
    listed = "{{.Driver}} {{.Name}} {{.Scope}}"
    assert engine.docker("volume", "ls", "--format", listed).stdout == "far data global\nlocal near local\nfar theirs global\n"
    assert engine.docker("volume", "ls", "--format", listed, "--filter", "driver=far").stdout == "far data global\nfar theirs global\n"
    assert engine.docker("volume", "ls", "-q", "--filter", "driver=local").stdout == "near\n"
    assert json.loads(engine.docker("info", "--format", "{{json .Plugins.Volume}}").stdout) == ["far", "local"]

    # Each use has an id of its own, and its end has the same.
    engine.docker("run", "-d", "--name", "one", "-v", "data:/m", "busybox", "sleep", "1000")
    engine.docker("run", "--rm", "--mount", "type=volume,src=data,dst=/n", "busybox", "sh", "-c", "echo hello >/n/f")
    assert (plugin.folder / "data" / "f").read_text() == "hello\n"
    assert engine.docker("exec", "one", "cat", "/m/f").stdout == "hello\n"
    wait_for(lambda: len(plugin.mounts["data"]) == 1, "one use")
    ids = [body["ID"] for body in plugin.said("VolumeDriver.Mount")]
    assert len(set(ids)) == len(ids) and all(len(each) == 64 for each in ids)
    mount = engine.inspect("one")["Mounts"][0]
    assert (mount["Driver"], mount["Name"], mount["Source"]) == ("far", "data", str(plugin.folder / "data"))
    one = engine.inspect("one")["Id"]
    assert f"remove data: volume is in use - [{one}]" in fails(engine, "volume", "rm", "data")
    engine.docker("rm", "-f", "one")
    assert plugin.mounts["data"] == []
    # As dockerd: prune is for those of driver local.
    engine.kist("volume", "prune", "-f", "-a")
    assert sorted(plugin.volumes) == ["data", "theirs"]
    engine.docker("volume", "rm", "data", "theirs")
    assert plugin.volumes == {} and engine.docker("volume", "ls", "-q").stdout == ""


def test_volumes_that_containers_make(engine, plugin):
    engine.docker("run", "--rm", "--volume-driver", "far", "-v", "byname:/m", "busybox", "touch", "/m/a")
    engine.docker("run", "--rm", "--mount", "type=volume,src=bymount,dst=/m,volume-driver=far,volume-opt=k=v", "busybox", "touch", "/m/b")
    assert plugin.volumes == {"byname": {}, "bymount": {"k": "v"}}
    # Without a name it goes with its container.
    engine.docker("run", "--rm", "--mount", "type=volume,dst=/m,volume-driver=far", "busybox", "touch", "/m/c")
    assert len(plugin.said("VolumeDriver.Create")) == 3 and sorted(plugin.volumes) == ["bymount", "byname"]
    # What the image has there goes into a new one; one that the plugin has already is used by its name.
    engine.docker("run", "--rm", "--volume-driver", "far", "-v", "filled:/etc", "busybox", "true")
    assert (plugin.folder / "filled" / "passwd").exists()
    plugin.volumes["known"] = {}
    (plugin.folder / "known").mkdir()
    engine.docker("run", "--rm", "-v", "known:/m", "busybox", "touch", "/m/d")
    assert (plugin.folder / "known" / "d").exists()
    wait_for(lambda: not any(plugin.mounts.values()), lambda: f"no use, not {plugin.mounts}")


def test_what_goes_wrong_is_told(engine, plugin, sockets, tmp_root):
    assert fails(engine, "volume", "create", "-d", "none", "x").endswith('create x: error looking up volume plugin none: plugin "none" not found')
    for driver, expected in (("none", 404), ("../far", 400), (".", 400)):
        status, answer = Api(engine).call("POST", "/volumes/create", {"Name": "x", "Driver": driver})
        assert (status, f'error looking up volume plugin {driver}: plugin "{driver}" not found' in answer["message"]) == (expected, True)
    plugin.answers["VolumeDriver.Create"] = {"Err": "no space in the cloud"}
    assert fails(engine, "volume", "create", "-d", "far", "x").endswith(": create x: no space in the cloud")
    plugin.answers["VolumeDriver.Create"] = {"Err": "the disk is on fire", "status": 500}
    assert fails(engine, "volume", "create", "-d", "far", "x").endswith(": create x: VolumeDriver.Create: the disk is on fire")
    plugin.answers["VolumeDriver.Create"] = b"<html>rubbish"
    assert "create x: plugin far answered VolumeDriver.Create with something that cannot be read" in fails(engine, "volume", "create", "-d", "far", "x")
    plugin.answers.clear()
    plugin.volumes.clear()
    engine.docker("volume", "create", "-d", "far", "x")
    assert "create x: driver 'far' already has volume 'x': volume name must be unique" in fails(engine, "volume", "create", "-d", "local", "x")
    for said, words in (({"Err": "locked"}, "locked"), ({"Mountpoint": "data"}, "no absolute path"), (b"[]", "cannot be read")):
        plugin.answers["VolumeDriver.Mount"] = said
        run = fails(engine, "run", "--name", "cc", "--mount", "type=volume,src=x,dst=/m,volume-nocopy", "busybox", "true")
        assert "error while mounting volume ''" in run and words in run, run
        engine.docker("rm", "cc")
    plugin.answers.clear()
    # Gone without a word: it is not there, and may be made again.
    plugin.volumes.clear()
    assert Api(engine).call("GET", "/volumes/x") == (404, {"message": "get x: no such volume"})
    assert engine.docker("volume", "ls", "-q").stdout == ""
    engine.docker("volume", "create", "-d", "far", "x")
    other = VolumePlugin(sockets, tmp_root / "other", "net", kinds=("NetworkDriver",))
    assert 'does not implement the requested driver: plugin="net", requested implementation="VolumeDriver"' in fails(engine, "volume", "create", "-d", "net", "y")
    other.close()
    # Found by an address in a file, too.
    (tmp_root / "specs").mkdir()
    plugin.path.rename(tmp_root / "elsewhere")
    (tmp_root / "specs" / "far.json").write_text(json.dumps({"Name": "far", "Addr": f"unix://{tmp_root}/elsewhere"}))
    engine.docker("volume", "create", "-d", "far", "byjson")
    (tmp_root / "specs" / "far.json").unlink()
    (tmp_root / "specs" / "far.spec").write_text(f"unix://{tmp_root}/elsewhere\n")
    engine.docker("volume", "rm", "byjson")
    (tmp_root / "specs" / "far.spec").unlink()
    # Its plugin is gone: what is known is shown, and may be forgotten.
    listed = engine.docker("volume", "ls", "--format", "{{.Driver}} {{.Name}}", check=False)
    assert listed.stdout == "far x\n"
    assert 'list far: error looking up volume plugin far: plugin "far" not found' in Api(engine).call("GET", "/volumes")[1]["Warnings"]
    status, answer = Api(engine).call("GET", "/volumes/x")
    assert status == 404 and 'get x: error while checking if volume "x" exists in driver "far"' in answer["message"]
    status, answer = Api(engine).call("DELETE", "/volumes/x")
    assert status == 404 and 'plugin "far" not found' in answer["message"]
    engine.docker("volume", "rm", "-f", "x")
    assert engine.docker("volume", "ls", "-q").stdout == ""


def test_a_plugin_that_hangs_holds_nothing_else_up(engine, plugin):
    engine.docker("volume", "create", "-d", "far", "data")
    engine.docker("volume", "create", "near")
    engine.docker("create", "--name", "stuck", "--mount", "type=volume,src=data,dst=/m,volume-nocopy", "busybox", "true")
    plugin.answers["VolumeDriver.Mount"] = threading.Event()
    begin = time.monotonic()
    start = subprocess.Popen(["docker", "start", "stuck"], env=engine.environment, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: plugin.said("VolumeDriver.Mount"), "the question")
    # Others run, volumes are listed, made and removed; the one that waits can be looked at.
    engine.docker("run", "--rm", "-v", "near:/m", "busybox", "true")
    engine.docker("volume", "rm", "near")
    engine.docker("volume", "ls")
    assert engine.inspect("stuck")["State"]["Running"] is False
    engine.docker("rm", "-f", "stuck")
    assert start.wait(60) != 0 and "error while mounting volume ''" in start.stderr.read()
    assert time.monotonic() - begin < 100, "the limit was waited for"
    # A client that leaves takes its question with it.
    plugin.answers["VolumeDriver.Create"] = threading.Event()
    create = subprocess.Popen(["docker", "volume", "create", "-d", "far", "slow"], env=engine.environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(plugin.said("VolumeDriver.Create")) == 2, "the question")
    create.send_signal(signal.SIGKILL)
    create.wait()
    plugin.answers["VolumeDriver.Create"].set()
    del plugin.answers["VolumeDriver.Create"]
    engine.docker("volume", "create", "-d", "far", "slow")
    plugin.answers["VolumeDriver.Mount"].set()


def test_uses_are_right_again_after_a_kill(engine, plugin):
    engine.docker("volume", "create", "-d", "far", "data")
    options = ["--mount", "type=volume,src=data,dst=/m,volume-nocopy"]
    for name in ("lives", "dies"):
        engine.docker("run", "-d", "--name", name, *options, "busybox", "sleep", "1000")
    engine.docker("create", "--name", "begins", *options, "busybox", "sleep", "1000")
    assert len(plugin.mounts["data"]) == 2
    pid = engine.inspect("dies")["State"]["Pid"]
    # One is being mounted, and may be or not: only its plugin knows.
    hang = plugin.answers["VolumeDriver.Mount"] = threading.Event()
    start = subprocess.Popen(["docker", "start", "begins"], env=engine.environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(plugin.said("VolumeDriver.Mount")) == 3, "the question")
    engine.kill()
    start.wait(60)
    hang.set()
    del plugin.answers["VolumeDriver.Mount"]
    wait_for(lambda: len(plugin.mounts["data"]) == 3, "the answer that nobody hears")
    os.kill(pid, signal.SIGKILL)
    engine.start()
    wait_for(lambda: len(plugin.mounts["data"]) == 1, lambda: f"one use, not {plugin.mounts}")
    assert engine.docker("exec", "lives", "ls", "/m").stdout == ""
    engine.docker("rm", "-f", "lives")
    assert plugin.mounts["data"] == []
    mounted = sorted(body["ID"] for body in plugin.said("VolumeDriver.Mount"))
    assert mounted == sorted(body["ID"] for body in plugin.said("VolumeDriver.Unmount"))


def test_a_container_that_waits_for_its_plugin_holds_no_start_up(engine, plugin, sockets):
    """A policy's start: others come up, and this one when its plugin does."""
    engine.docker("run", "-d", "--name", "far", "--restart", "always", "--volume-driver", "far", "--mount", "type=volume,src=data,dst=/m,volume-nocopy,volume-driver=far", "busybox", "sleep", "1000")
    pid = engine.inspect("far")["State"]["Pid"]
    engine.kill()
    os.kill(pid, signal.SIGKILL)
    plugin.close()
    engine.start()
    assert engine.docker("run", "--rm", "busybox", "echo", "up").stdout == "up\n"
    again = VolumePlugin(sockets, plugin.folder, "far")
    again.volumes, again.mounts = plugin.volumes, plugin.mounts
    wait_for(lambda: engine.docker("start", "far", check=False).returncode == 0 and engine.inspect("far")["State"]["Running"], "its start")
    engine.docker("rm", "-f", "far")
    again.close()
