# SPDX-License-Identifier: Apache-2.0
"""kistd with dockerd's options: defaults of containers, reload, metrics, the debug endpoint, the name dockerd."""
import json
import os
import signal
import subprocess
import time
import urllib.request

from lib.daemon import Daemon
from lib.raw_http import last_answer
from lib.ports import free_port
from lib.wait import wait_for


def get(daemon, path):
    status, _, body = last_answer(str(daemon.socket), f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return status, body


def test_defaults_of_containers_act(tmp_root, program, registry):
    options = ["--default-ulimit", "nofile=123:456", "--dns", "192.0.2.53", "--dns-search", "example.test"]
    options += ["--dns-opt", "ndots:7", "--no-new-privileges", "--init", "--default-ipc-mode", "shareable"]
    options += ["--default-stop-timeout", "1", "--mtu", "1400", "--icc=false", "--host-gateway-ip", "192.0.2.7"]
    options += ["--ip", "127.0.0.1", "--label", "tier=test", "--experimental", "--oom-score-adjust", "7"]
    server = Daemon(tmp_root, program, options)
    server.start()
    server.docker("pull", "-q", f"{registry.address}/busybox:latest")
    server.docker("tag", f"{registry.address}/busybox:latest", "bb")
    script = "ulimit -n; ulimit -Hn; cat /etc/resolv.conf /etc/hosts; grep NoNewPrivs /proc/self/status; cat /proc/1/comm /sys/class/net/eth0/mtu"
    said = server.docker("run", "--rm", "--add-host", "gw:host-gateway", "bb", "sh", "-c", script).stdout
    for part in ("123\n456", "nameserver 192.0.2.53", "search example.test", "ndots:7", "192.0.2.7\tgw", "NoNewPrivs:\t1", "init", "1400"):
        assert part in said, (part, said)
    own = server.docker("run", "--rm", "--dns", "192.0.2.99", "--ulimit", "nofile=99", "bb", "sh", "-c", script).stdout
    assert "192.0.2.99" in own and "192.0.2.53" not in own and "99\n99" in own
    server.docker("run", "-d", "--name", "tt", "-p", "80", "--init=false", "bb", "sleep", "1000")
    assert server.inspect("tt")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostIp"] == "127.0.0.1"
    assert server.inspect("tt")["HostConfig"]["IpcMode"] == "shareable"
    begun = time.monotonic()
    server.docker("stop", "tt")
    assert time.monotonic() - begun < 9
    info = json.loads(server.docker("info", "--format", "{{json .}}").stdout)
    assert (info["Labels"], info["ExperimentalBuild"]) == (["tier=test"], True)
    assert b"Docker-Experimental" in b"".join(last_answer(str(server.socket), b"GET /_ping HTTP/1.0\r\n\r\n")[1].title().encode().split(b"\r\n"))
    bridge = json.loads(server.docker("network", "inspect", "bridge").stdout)[0]["Options"]
    assert bridge["com.docker.network.bridge.enable_icc"] == "false"
    with open(f"/proc/{server.process.pid}/oom_score_adj") as file:
        assert file.read() == "7\n"
    server.finish()


def test_sighup_reloads_what_dockerd_reloads(tmp_root, program):
    file = tmp_root / "daemon.json"
    file.write_text(json.dumps({"labels": ["a=1"]}))
    server = Daemon(tmp_root, program, ["--config-file", str(file)])
    server.start()
    assert get(server, "/debug/vars")[0] == 404
    since = str(int(time.time()) - 1)
    changed = {"labels": ["a=2"], "debug": True, "insecure-registries": ["reg.test:5000"], "registry-mirrors": ["http://m.test"], "mtu": 1300}
    changed |= {"max-concurrent-downloads": 7, "default-ulimits": {"core": {"Name": "core", "Hard": 0, "Soft": 0}}, "exec-root": "/run/no"}
    file.write_text(json.dumps({key: value for key, value in changed.items() if key != "exec-root"}))
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration reloaded" in server.log.read_text())
    info = json.loads(server.docker("info", "--format", "{{json .}}").stdout)
    assert info["Labels"] == ["a=2"] and info["Debug"]
    assert info["RegistryConfig"]["IndexConfigs"]["reg.test:5000"]["Secure"] is False
    assert info["RegistryConfig"]["Mirrors"] == ["http://m.test"]
    assert get(server, "/debug/vars")[0] == 200
    run = server.docker("events", "--since", since, "--until", str(int(time.time()) + 1), "--filter", "type=daemon", "--format", "{{json .}}")
    event = json.loads(run.stdout.splitlines()[0])
    assert (event["Type"], event["Action"], event["Actor"]["ID"]) == ("daemon", "reload", info["ID"])
    attributes = event["Actor"]["Attributes"]
    assert attributes["labels"] == '["a=2"]' and attributes["debug"] == "true" and attributes["max-concurrent-downloads"] == "7"
    # What cannot be used changes nothing.
    file.write_text('{"labels": ["bad"], "debug": false}')
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration not reloaded" in server.log.read_text())
    assert json.loads(server.docker("info", "--format", "{{json .}}").stdout)["Labels"] == ["a=2"]
    server.finish()


def test_debug_endpoint_and_threads(tmp_root, program):
    server = Daemon(tmp_root, program, ["--debug", "--log-format", "json"])
    server.start()
    status, body = get(server, "/v1.41/debug/vars")
    document = json.loads(body)
    assert status == 200 and "--debug" in document["cmdline"] and "Sys" in document["memstats"]
    assert b"kistd" in get(server, "/debug/threads")[1]
    server.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: '"thread"' in server.log.read_text())
    assert all(json.loads(line)["level"] for line in server.log.read_text().splitlines())
    server.finish()


def test_metrics_for_prometheus(tmp_root, program, registry):
    port = free_port()
    server = Daemon(tmp_root, program, ["--metrics-addr", f"127.0.0.1:{port}"])
    server.start()
    server.docker("pull", "-q", f"{registry.address}/busybox:latest")
    server.docker("run", "-d", "--name", "mm", f"{registry.address}/busybox:latest", "sleep", "1000")
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60).read().decode()
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert figures['engine_daemon_container_states_containers{state="running"}'] == "1"
    assert figures['engine_daemon_container_actions_seconds_count{action="create"}'] == "1"
    assert figures['engine_daemon_container_actions_seconds_bucket{action="start",le="+Inf"}'] == "1"
    assert int(figures["engine_daemon_events_total"]) >= 3
    assert int(figures["engine_daemon_engine_cpus_cpus"]) == os.cpu_count()
    assert int(figures['kist_http_requests_total{method="POST",code="2xx"}']) >= 2
    for line in text.splitlines():
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2
    server.finish()


def test_started_as_dockerd(tmp_root, program):
    link = tmp_root / "dockerd"
    link.symlink_to(program("kistd"))
    run = subprocess.run([link, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.startswith("Docker version 28.5.2, build kist-")
    file = tmp_root / "daemon.json"
    file.write_text('{"storage-driver": "overlay2", "log-opts": {"max-size": "1m"}}')
    server = Daemon(tmp_root, lambda name: str(link) if name == "kistd" else program(name))
    server.options += ["--config-file", str(file), "--containerd=/run/containerd/containerd.sock", "--userland-proxy=false"]
    server.start()
    assert server.docker("version", "--format", "{{.Server.APIVersion}}").stdout == "1.51\n"
    assert "--containerd /run/containerd/containerd.sock: has no effect" in server.log.read_text()
    server.finish()
    refused = subprocess.run([link, "--selinux-enabled"], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1 and "dockerd: --selinux-enabled true is not supported" in refused.stderr
