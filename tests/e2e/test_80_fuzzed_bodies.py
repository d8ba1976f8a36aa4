# SPDX-License-Identifier: Apache-2.0
"""Every JSON body of the API with one value of it wrong: refused with a reason or taken, and the engine stays whole.

A body's keys, at every depth, are given each of STRANGE in turn. The answer is a 2xx or a 4xx with words, never a 5xx
that an engine gives for a fault of its own; a container made so can be looked at and removed.
"""
import base64
import copy
import json
import uuid

import pytest

from lib.engine_api import Api

DEEP = json.loads("[" * 60 + "]" * 60)
STRANGE = [None, True, 0, -1, 2**63, 1.5, "", "\u0000", "x" * 5000, "../../etc/passwd", "é\x7f\n", [], [None], [{}], {}, {"": ""}, DEEP]
HOST_CONFIG = {
    "Binds": ["/tmp:/seen:ro"],
    "BlkioWeight": 0,
    "BlkioWeightDevice": [{"Path": "/dev/null", "Weight": 100}],
    "BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1024}],
    "CapAdd": ["NET_ADMIN"],
    "CapDrop": ["ALL"],
    "CgroupParent": "",
    "CgroupnsMode": "private",
    "ConsoleSize": [24, 80],
    "ContainerIDFile": "",
    "CpuCount": 0,
    "CpuPercent": 0,
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "CpuShares": 0,
    "CpusetCpus": "0",
    "CpusetMems": "",
    "DeviceCgroupRules": ["c 1:3 rwm"],
    "DeviceRequests": [{"Driver": "", "Count": 0, "DeviceIDs": [], "Capabilities": [], "Options": {}}],
    "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}],
    "Dns": ["192.0.2.1"],
    "DnsOptions": ["ndots:1"],
    "DnsSearch": ["a.test"],
    "ExtraHosts": ["h:192.0.2.2"],
    "GroupAdd": ["1"],
    "IpcMode": "private",
    "Links": [],
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
    "MaskedPaths": ["/proc/kcore"],
    "Memory": 0,
    "MemoryReservation": 0,
    "MemorySwap": 0,
    "MemorySwappiness": 60,
    "Mounts": [{"Type": "tmpfs", "Target": "/t", "ReadOnly": False, "TmpfsOptions": {"SizeBytes": 4096, "Mode": 511}}],
    "NanoCpus": 0,
    "NetworkMode": "none",
    "OomKillDisable": False,
    "OomScoreAdj": 0,
    "PidMode": "",
    "PidsLimit": 0,
    "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
    "Privileged": False,
    "PublishAllPorts": False,
    "ReadonlyPaths": ["/proc/sys"],
    "ReadonlyRootfs": False,
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "Runtime": "",
    "SecurityOpt": ["no-new-privileges"],
    "ShmSize": 65536,
    "StorageOpt": {},
    "Sysctls": {"net.ipv4.ip_forward": "1"},
    "Tmpfs": {"/u": "size=1m"},
    "UTSMode": "",
    "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 10}],
    "UsernsMode": "",
    "VolumeDriver": "",
    "VolumesFrom": [],
}
CONFIG = {
    "ArgsEscaped": False,
    "AttachStdin": False,
    "Cmd": ["true"],
    "Domainname": "d",
    "Entrypoint": [],
    "Env": ["A=b"],
    "ExposedPorts": {"80/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9, "Timeout": 10**9, "Retries": 1, "StartPeriod": 0},
    "Hostname": "h",
    "Labels": {"a": "b"},
    "MacAddress": "",
    "NetworkDisabled": False,
    "OnBuild": [],
    "OpenStdin": False,
    "Shell": ["/bin/sh"],
    "StdinOnce": False,
    "StopSignal": "TERM",
    "StopTimeout": 1,
    "Tty": False,
    "User": "0",
    "Volumes": {},
    "WorkingDir": "/",
}
ENDPOINT = {
    "IPAMConfig": {"IPv4Address": "", "IPv6Address": "", "LinkLocalIPs": []},
    "Links": [],
    "Aliases": ["a"],
    "MacAddress": "",
    "DriverOpts": {"a": "b"},
    "GwPriority": 0,
}
NETWORK = {
    "Driver": "bridge",
    "Scope": "local",
    "Internal": True,
    "Attachable": False,
    "Ingress": False,
    "ConfigOnly": True,
    "ConfigFrom": {"Network": ""},
    "EnableIPv4": True,
    "EnableIPv6": False,
    "IPAM": {
        "Driver": "default",
        "Options": {},
        "Config": [{"Subnet": "192.0.2.0/24", "Gateway": "192.0.2.1", "IPRange": "", "AuxiliaryAddresses": {"a": "192.0.2.2"}}],
    },
    "Options": {"com.docker.network.driver.mtu": "1400"},
    "Labels": {"a": "b"},
}


def places(value, path=()):
    """Each place of a body, as the keys that lead there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def mutants(body):
    for path in places(body):
        for strange in STRANGE:
            mutant = copy.deepcopy(body)
            holder = mutant
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = strange
            yield mutant
    yield from STRANGE


@pytest.fixture(scope="module")
def engine(shared_daemon, busybox_tar):
    """A container of its own to be changed, and its daemon."""
    image = f"fuzzed-{uuid.uuid4().hex[:8]}"
    shared_daemon.docker("import", busybox_tar, image)
    name = f"{image}-c"
    shared_daemon.docker("create", "--name", name, "--network", "none", image, "sleep", "1000")
    yield shared_daemon, name, image
    shared_daemon.docker("rm", "-f", name)


def tried(api, path, body, undo=None):
    """Counts of answers, after every mutant of the body was sent."""
    counts = {2: 0, 4: 0}
    for mutant in mutants(body):
        status, answer = api.call("POST", path, mutant)
        shown = f"{path} {json.dumps(mutant)[:3000]}: {status} {answer}"
        # Not there and said by its name: 501, and 503 for what only a swarm has. No other 5xx is the client's fault.
        assert status // 100 in (2, 4) or status == 501 or (status == 503 and "swarm" in answer["message"]), shown
        if status // 100 == 2:
            counts[2] += 1
            if undo:
                undo(answer, mutant)
            continue
        counts[4] += 1
        assert len(answer["message"]) > 8, shown
    return counts


def test_create(engine):
    daemon, _, image = engine
    api = Api(daemon)

    def undo(answer, _):
        assert api.call("GET", f"/containers/{answer['Id']}/json")[0] == 200
        assert api.call("DELETE", f"/containers/{answer['Id']}?v=1")[0] == 204

    counts = tried(api, "/containers/create", {"Image": image, "HostConfig": HOST_CONFIG, **CONFIG}, undo)
    assert counts[2] > 200 and counts[4] > 800, counts


def test_networking_of_create(engine):
    daemon, _, image = engine
    api = Api(daemon)

    def undo(answer, _):
        assert api.call("DELETE", f"/containers/{answer['Id']}")[0] == 204

    body = {"Image": image, "HostConfig": {"NetworkMode": "bridge"}, "NetworkingConfig": {"EndpointsConfig": {"bridge": ENDPOINT}}}
    assert tried(api, "/containers/create", body, undo)[4] > 50


def test_exec_and_update(engine):
    daemon, name, _ = engine
    api = Api(daemon)
    assert api.call("POST", f"/containers/{name}/start")[0] == 204
    execution = {"Cmd": ["true"], "Env": ["A=b"], "Privileged": False, "Tty": False, "User": "0", "WorkingDir": "/", "DetachKeys": "", "ConsoleSize": [1, 2]}
    counts = tried(api, f"/containers/{name}/exec", execution)
    assert counts[2] > 10 and counts[4] > 50, counts
    update = {key: HOST_CONFIG[key] for key in ("BlkioWeight", "CpuShares", "CpusetCpus", "Memory", "MemorySwap", "PidsLimit", "RestartPolicy")}
    assert tried(api, f"/containers/{name}/update", update)[4] > 30
    assert daemon.inspect(name)["State"]["Running"]
    made = api.call("POST", f"/containers/{name}/exec", execution)[1]["Id"]
    assert tried(api, f"/exec/{made}/resize?h=1&w=1", {"Detach": True})
    assert api.call("POST", f"/containers/{name}/kill")[0] == 204


def test_networks(engine):
    daemon, name, _ = engine
    api = Api(daemon)
    network = f"fuzzed-{uuid.uuid4().hex[:8]}"

    def undo(answer, _):
        assert api.call("DELETE", f"/networks/{answer['Id']}")[0] == 204

    counts = tried(api, "/networks/create", {"Name": network, **NETWORK}, undo)
    assert counts[2] > 10 and counts[4] > 100, counts
    status, answer = api.call("POST", "/networks/create", {"Name": network, "Internal": True})
    assert status == 201, answer
    leave = f"/networks/{network}/disconnect"

    def disconnect(*_):
        assert api.call("POST", leave, {"Container": name, "Force": True})[0] == 200

    daemon.docker("network", "disconnect", "none", name)
    try:
        assert tried(api, f"/networks/{network}/connect", {"Container": name, "EndpointConfig": ENDPOINT}, disconnect)[4] > 50
        assert tried(api, leave, {"Container": name, "Force": False})[4] > 20
    finally:
        assert api.call("DELETE", f"/networks/{network}")[0] == 204


def test_volumes_commit_auth_and_build_headers(engine):
    daemon, name, _ = engine
    api = Api(daemon)
    volume = f"fuzzed-{uuid.uuid4().hex[:8]}"

    def remove(answer, _):
        assert api.call("DELETE", f"/volumes/{answer['Name']}")[0] == 204

    body = {"Name": volume, "Driver": "local", "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, "Labels": {"a": "b"}}
    assert tried(api, "/volumes/create", body, remove)[4] > 20

    def forget(answer, _):
        assert api.call("DELETE", f"/images/{answer['Id']}?force=1")[0] == 200

    config = {key: CONFIG[key] for key in ("Cmd", "Env", "ExposedPorts", "Healthcheck", "Labels", "StopTimeout", "Volumes")}
    assert tried(api, f"/commit?container={name}", config, forget)[4] > 50
    login = {"username": "u", "password": "p", "serveraddress": "127.0.0.1:1", "identitytoken": ""}
    for mutant in [*mutants(login), "rubbish"]:
        header = base64.urlsafe_b64encode(json.dumps(mutant).encode()).decode()
        api.request("POST", "/images/127.0.0.1:1%2Fx/push", headers={"X-Registry-Auth": header})
        reply = api.getresponse()
        data = reply.read()
        assert reply.status in (200, 400, 404), (mutant, reply.status, data)
