# SPDX-License-Identifier: Apache-2.0
"""Every key of a create body acts, is kept for others to read, or is refused with a reason: one row for each.

A row is (key, value, check). A check is a text: the reason of a refusal ("400 words"); a pair: what a shell in the
container says, and a part of the answer; or None: docker only keeps it, and inspect gives it back. KEYS below is
compared with what inspect shows, so that no key can be forgotten. tools/compatibility reads these rows, too.
"""
import json
import os

import pytest

from lib.raw_http import last_answer

CGROUP = "/sys/fs/cgroup"
V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def limit(v1, v2):
    """Shell that prints a limit of the container's own cgroup."""
    return f"cat {CGROUP}/{v2}" if V2 else f"cat {CGROUP}/{v1}"


HOST_CONFIG = [
    ("Binds", ["/tmp:/seen:ro"], ("grep ' /seen ' /proc/self/mountinfo", "ro")),
    ("ContainerIDFile", "/tmp/kept-by-the-client", None),
    ("LogConfig", {"Type": "nosuch", "Config": {}}, "400 logging"),
    ("NetworkMode", "none", ("ls /sys/class/net", "lo")),
    ("PortBindings", {"80/tcp": [{"HostIp": "", "HostPort": "x"}]}, "400 x"),
    ("RestartPolicy", {"Name": "often"}, "400 unknown policy 'often'"),
    ("AutoRemove", True, ("true", "")),
    ("VolumeDriver", "nosuch", "404 nosuch", {"Binds": ["vd:/v"]}),
    ("VolumesFrom", ["nosuch"], "400 nosuch"),
    ("ConsoleSize", [1, 2, 3], "400 ConsoleSize"),
    ("Annotations", {"a.b": "c"}, None),
    ("CapAdd", ["NET_ADMIN"], ("grep CapEff /proc/self/status", "a80435fb")),
    ("CapDrop", ["ALL"], ("grep CapEff /proc/self/status", "0000000000000000")),
    ("CgroupnsMode", "private", ("cut -d: -f3 /proc/self/cgroup", "/")),
    ("Dns", ["192.0.2.1"], ("cat /etc/resolv.conf", "nameserver 192.0.2.1"), {"NetworkMode": "bridge"}),
    ("DnsOptions", ["ndots:3"], ("cat /etc/resolv.conf", "ndots:3"), {"NetworkMode": "bridge"}),
    ("DnsSearch", ["a.test"], ("cat /etc/resolv.conf", "search a.test"), {"NetworkMode": "bridge"}),
    ("ExtraHosts", ["h.test:192.0.2.2"], ("cat /etc/hosts", "192.0.2.2\th.test"), {"NetworkMode": "bridge"}),
    ("GroupAdd", ["12345"], ("id -G", "12345")),
    ("IpcMode", "nosuch", "400 invalid IPC mode: nosuch"),
    ("Cgroup", "x", "501 HostConfig.Cgroup"),
    ("Links", ["nosuch:x"], "400 nosuch"),
    ("OomScoreAdj", 123, ("cat /proc/self/oom_score_adj", "123")),
    ("PidMode", "host", ("ls -d /proc/[0-9]* | wc -l", "")),
    ("Privileged", True, ("grep CapEff /proc/self/status", "ffffff")),
    ("PublishAllPorts", True, ("true", ""), {"NetworkMode": "bridge"}),
    ("ReadonlyRootfs", True, ("touch /x 2>&1", "Read-only")),
    ("SecurityOpt", ["no-new-privileges"], ("grep NoNewPrivs /proc/self/status", "1")),
    ("StorageOpt", {"nosuch": "1"}, ""),
    ("Tmpfs", {"/t": "size=1m"}, ("df -k /t | tail -1", "1024")),
    ("UTSMode", "nosuch", "400 invalid UTS mode: nosuch"),
    ("UsernsMode", "nosuch", "400 invalid user"),
    ("ShmSize", 2097152, ("df -k /dev/shm | tail -1", "2048")),
    ("Sysctls", {"net.ipv4.ip_unprivileged_port_start": "77"}, ("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "77")),
    ("Runtime", "nosuch", "400 nosuch"),
    ("Isolation", "hyperv", "400 invalid isolation"),
    ("CpuShares", 512, (limit("cpu/cpu.shares", "cpu.weight"), "20" if V2 else "512")),
    ("Memory", 67108864, (limit("memory/memory.limit_in_bytes", "memory.max"), "67108864")),
    ("NanoCpus", 500000000, (limit("cpu/cpu.cfs_quota_us", "cpu.max"), "50000")),
    ("CgroupParent", "../x", "400 invalid cgroup parent"),
    ("BlkioWeight", 5, "400 Range of blkio weight"),
    ("BlkioWeightDevice", [{"Path": "/nosuch", "Weight": 100}], "nosuch"),
    ("BlkioDeviceReadBps", [{"Path": "/nosuch", "Rate": 100}], "nosuch"),
    ("BlkioDeviceWriteBps", [{"Path": "/nosuch", "Rate": 100}], "nosuch"),
    ("BlkioDeviceReadIOps", [{"Path": "/nosuch", "Rate": 100}], "nosuch"),
    ("BlkioDeviceWriteIOps", [{"Path": "/nosuch", "Rate": 100}], "nosuch"),
    ("CpuPeriod", 50000, (limit("cpu/cpu.cfs_period_us", "cpu.max"), "50000")),
    ("CpuQuota", 30000, (limit("cpu/cpu.cfs_quota_us", "cpu.max"), "30000")),
    ("CpuRealtimePeriod", 1000, None),
    ("CpuRealtimeRuntime", 0, None),
    ("CpusetCpus", "0", ("grep Cpus_allowed_list /proc/self/status", "0")),
    ("CpusetMems", "999", "400 999"),
    ("Devices", [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/seen", "CgroupPermissions": "rwm"}], ("ls -l /dev/seen", "1,   3")),
    ("DeviceCgroupRules", ["nonsense"], "400 nonsense"),
    ("DeviceRequests", [{"Driver": "nosuch", "Count": -1, "Capabilities": [["gpu"]]}], "could not select device driver"),
    ("MemoryReservation", 33554432, (limit("memory/memory.soft_limit_in_bytes", "memory.low"), "33554432")),
    ("MemorySwap", 1, "400 memory"),
    ("MemorySwappiness", 200, "400 memory swappiness"),
    ("OomKillDisable", False, None),
    ("PidsLimit", 77, (limit("pids/pids.max", "pids.max"), "77")),
    ("Ulimits", [{"Name": "nofile", "Soft": 99, "Hard": 100}], ("ulimit -n; ulimit -Hn", "99\n100")),
    ("CpuCount", 1, "501 Windows"),
    ("CpuPercent", 1, "501 Windows"),
    ("IOMaximumIOps", 1, "501 Windows"),
    ("IOMaximumBandwidth", 1, "501 Windows"),
    ("Mounts", [{"Type": "tmpfs", "Target": "/m"}], ("grep ' /m ' /proc/self/mountinfo", "tmpfs")),
    ("MaskedPaths", [], ("grep -c ' /proc/kcore ' /proc/self/mountinfo", "0")),
    ("ReadonlyPaths", [], ("grep -c ' /proc/sys ' /proc/self/mountinfo", "0")),
    ("KernelMemory", 1, "warns Limitation discarded"),
    ("KernelMemoryTCP", 0, None),
    ("Init", True, ("cat /proc/1/comm", "init")),
]

CONFIG = [
    ("Hostname", "shown", ("hostname", "shown")),
    ("Domainname", "d.test", ("cat /proc/sys/kernel/domainname", "d.test")),
    ("User", "1000:50", ("id -u; id -g", "1000\n50")),
    ("AttachStdin", True, None),
    ("AttachStdout", True, None),
    ("AttachStderr", True, None),
    ("ExposedPorts", {"81/udp": {}}, None),
    ("Tty", True, ("tty", "/dev/")),
    ("OpenStdin", True, None),
    ("StdinOnce", True, None),
    ("Env", ["SEEN=1"], ("echo $SEEN", "1")),
    ("Cmd", ["sh", "-c", "echo cmd-acts"], (None, "cmd-acts")),
    ("Healthcheck", {"Test": ["CMD", "true"], "Interval": 5}, "400 Interval"),
    ("ArgsEscaped", False, None),
    ("Image", "nosuch-image", "404 No such image: nosuch-image:latest"),
    ("Volumes", {"/anonymous": {}}, ("grep -c ' /anonymous ' /proc/self/mountinfo", "1")),
    ("WorkingDir", "/made/here", ("pwd", "/made/here")),
    ("Entrypoint", ["echo", "entry"], (None, "entry")),
    ("NetworkDisabled", True, ("ls /sys/class/net", "lo"), {"NetworkMode": ""}),
    ("MacAddress", "02:42:ac:11:66:66", ("cat /sys/class/net/eth0/address", "02:42:ac:11:66:66"), {"NetworkMode": "bridge"}),
    ("OnBuild", ["RUN x"], None),
    ("Labels", {"l": "v"}, None),
    ("StopSignal", "NOSUCH", "400 invalid signal: NOSUCH"),
    ("StopTimeout", 3, None),
    ("Shell", ["/bin/sh", "-c"], None),
]

# Shown by inspect only when it was asked for.
SOMETIMES = {"Annotations", "StorageOpt", "Tmpfs", "Sysctls", "KernelMemory", "KernelMemoryTCP", "Mounts", "Init", "ExposedPorts", "Healthcheck"}
SOMETIMES |= {"ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal", "StopTimeout", "Shell"}


@pytest.fixture(scope="module")
def engine(shared_daemon, registry):
    shared_daemon.docker("pull", "-q", f"{registry.address}/busybox:latest")
    shared_daemon.docker("tag", f"{registry.address}/busybox:latest", "keys-bb")
    return shared_daemon


def post(engine, path, body=None):
    data = json.dumps(body).encode() if body is not None else b""
    head = f"POST /v1.51{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    status, _, answer = last_answer(str(engine.socket), head.encode() + data)
    return status, answer.decode()


def check_row(engine, place, key, value, check, host=None):
    body = {"Image": "keys-bb", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"} | (host or {})}
    if isinstance(check, tuple) and check[0]:
        body["Cmd"] = ["sh", "-c", check[0]]
    (body["HostConfig"] if place == "HostConfig" else body)[key] = value
    status, answer = post(engine, "/containers/create", body)
    if isinstance(check, str) and check.startswith("warns "):
        document = json.loads(answer)
        assert status == 201 and check.removeprefix("warns ") in "".join(document["Warnings"]), (status, answer)
        assert key not in engine.inspect(document["Id"])[place]
        engine.docker("rm", document["Id"])
        return
    if isinstance(check, str):
        wanted, _, words = check.partition(" ") if check[:3].isdigit() else ("", "", check)
        if status == 201:
            status, answer = post(engine, f"/containers/{json.loads(answer)['Id']}/start")
        assert status >= 400 and wanted in ("", str(status)), (status, answer)
        assert words.lower() in answer.lower(), answer
        return
    assert status == 201, answer
    name = json.loads(answer)["Id"]
    shown = engine.inspect(name)[place].get(key)
    if not isinstance(value, (dict, list)) or check is None:
        assert shown == value or (not value and not shown), shown
    if check is None:
        engine.docker("rm", name)
        return
    run = engine.docker("start", "-a", name, check=False)
    assert check[1] in run.stdout.replace("\r", "") + run.stderr, (run.stdout, run.stderr)
    engine.docker("rm", "-f", "-v", name, check=False)


def check_table(engine, place, rows):
    wrong = []
    for row in rows:
        try:
            check_row(engine, place, *row)
        except AssertionError as error:
            wrong.append(f"{row[0]}: {str(error)[:300]}")
    assert not wrong, "\n".join(wrong)


def test_no_key_is_forgotten(engine):
    name = engine.docker("create", "keys-bb").stdout.strip()
    document = engine.inspect(name)
    engine.docker("rm", name)
    for place, rows in (("HostConfig", HOST_CONFIG), ("Config", CONFIG)):
        named = {row[0] for row in rows}
        assert set(document[place]) <= named, set(document[place]) - named
        assert named - set(document[place]) <= SOMETIMES, named - set(document[place])


def test_host_config(engine):
    check_table(engine, "HostConfig", HOST_CONFIG)


def test_config(engine):
    check_table(engine, "Config", CONFIG)
