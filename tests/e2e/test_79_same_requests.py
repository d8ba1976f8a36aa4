# SPDX-License-Identifier: Apache-2.0
"""kist asks an engine exactly what the stock docker CLI asks it: both before an engine that only writes down."""
import http.server
import json
import os
import re
import shutil
import socketserver
import subprocess
import threading
import urllib.parse

import pytest

from lib.docker_cli import IS_28

ID = "ab" * 32
VERSION = re.compile(r"^/v[0-9.]+")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def read_body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
            return None
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return json.loads(text) if text.strip() else None

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        path = VERSION.sub("", url.path)
        body = self.read_body()
        if self.command in ("POST", "DELETE"):
            self.server.asked.append((self.command, path, urllib.parse.parse_qs(url.query, keep_blank_values=True), body))
        text = {
            "/containers/create": json.dumps({"Id": ID, "Warnings": []}),
            "/networks/create": json.dumps({"Id": ID, "Warning": ""}),
            "/build": json.dumps({"aux": {"ID": "sha256:" + ID}}) + "\n",
            "/images/prune": json.dumps({"ImagesDeleted": None, "SpaceReclaimed": 0}),
            "/build/prune": json.dumps({"CachesDeleted": None, "SpaceReclaimed": 0}),
            "/info": json.dumps({"OSType": "linux", "Architecture": "x86_64", "SecurityOptions": [], "IndexServerAddress": "https://index.docker.io/v1/"}),
            "/version": json.dumps({"ApiVersion": "1.50", "MinAPIVersion": "1.24", "Version": "28.2.2", "Os": "linux", "Arch": "amd64"}),
        }.get(path, "[]" if path.startswith("/images/") else "{}").encode()
        self.send_response(201 if path.endswith("/create") else 200)
        for name, value in {"Api-Version": "1.50", "Ostype": "linux", "Builder-Version": "1", "Docker-Experimental": "true", "Content-Type": "application/json", "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = answer

    def log_message(self, *args):
        pass


class Clerk(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture(scope="module")
def ask(program, tmp_path_factory):
    """ask(client, line) -> what it asked the engine to do."""
    folder = tmp_path_factory.mktemp("clerk")
    (folder / "labels").write_text("from=file\n# a comment\nplain\n")
    (folder / "context").mkdir()
    (folder / "context/Dockerfile").write_text("FROM scratch\n")
    path = f"/tmp/kt-clerk-{os.getpid()}-{os.urandom(4).hex()}.sock"
    server = Clerk(path, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DOCKER_CONFIG": str(folder / "config"), "DOCKER_BUILDKIT": "0"}

    def ask(client, line):
        server.asked = []
        argv = [program("kist") if client == "kist" else shutil.which("docker"), "-H", f"unix://{path}", *(word.replace("%20", " ") for word in line.replace("@", str(folder)).split())]
        run = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120, env=environment)
        assert run.returncode == 0, run
        return server.asked

    yield ask
    server.shutdown()
    server.server_close()
    os.unlink(path)


HOST = [
    ("--blkio-weight 300", {"BlkioWeight": 300}),
    ("--blkio-weight-device /dev/null:200", {"BlkioWeightDevice": [{"Path": "/dev/null", "Weight": 200}]}),
    ("--device-read-bps /dev/null:1mb", {"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1048576}]}),
    ("--device-write-bps /dev/null:2kb", {"BlkioDeviceWriteBps": [{"Path": "/dev/null", "Rate": 2048}]}),
    ("--device-read-iops /dev/null:7", {"BlkioDeviceReadIOps": [{"Path": "/dev/null", "Rate": 7}]}),
    ("--device-write-iops /dev/null:8", {"BlkioDeviceWriteIOps": [{"Path": "/dev/null", "Rate": 8}]}),
    ("--cgroup-parent /some/parent", {"CgroupParent": "/some/parent"}),
    ("--cgroupns host", {"CgroupnsMode": "host"}),
    ("--cpu-period 50000 --cpu-quota 25000", {"CpuPeriod": 50000, "CpuQuota": 25000}),
    ("--cpu-rt-period 1000000 --cpu-rt-runtime 950000", {"CpuRealtimePeriod": 1000000, "CpuRealtimeRuntime": 950000}),
    ("--cpuset-cpus 0-1 --cpuset-mems 0", {"CpusetCpus": "0-1", "CpusetMems": "0"}),
    ("--device-cgroup-rule c%201:3%20rwm", {"DeviceCgroupRules": ["c 1:3 rwm"]}),
    ("--dns-option ndots:3 --dns-option edns0", {"DnsOptions": ["ndots:3", "edns0"]}),
    ("--memory 64m --memory-reservation 32m --memory-swap -1", {"Memory": 67108864, "MemoryReservation": 33554432, "MemorySwap": -1}),
    ("--memory-swappiness 10", {"MemorySwappiness": 10}),
    ("--oom-kill-disable --oom-score-adj 500", {"OomKillDisable": True, "OomScoreAdj": 500}),
    ("--volume-driver local -v data:/data", {"VolumeDriver": "local", "Binds": ["data:/data"]}),
    ("--stop-timeout 3 --stop-signal USR1", {}),
    ("--label-file @/labels --label own=1", {}),
    ("--sig-proxy=false -d", {}),
    ("--gpus all --ipc shareable --pid host --uts host --userns host", {"PidMode": "host", "UTSMode": "host", "UsernsMode": "host", "IpcMode": "shareable"}),
    ("--annotation a=b --security-opt no-new-privileges --sysctl net.core.somaxconn=99", {"Annotations": {"a": "b"}, "Sysctls": {"net.core.somaxconn": "99"}}),
    ("--tmpfs /run:size=1m --shm-size 1g --ulimit nofile=10:20 --storage-opt size=1G", {"ShmSize": 1 << 30, "StorageOpt": {"size": "1G"}}),
    ("--health-cmd true --health-interval 2s --health-timeout 1m --health-retries 3 --health-start-period 1s --health-start-interval 500ms", {}),
    ("-p 127.0.0.1:8080:80 -p 53:53/udp -P --expose 9000-9002", {"PublishAllPorts": True}),
    ("--mount type=bind,src=/tmp,dst=/t,ro,bind-propagation=rslave --mount type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=700", {}),
    ("--mount type=volume,src=v,dst=/v,volume-nocopy,volume-opt=type=tmpfs,volume-label=a=b --mount type=image,src=img,dst=/i", {}),
    ("--restart on-failure:5 --init --read-only --privileged --cap-add sys_time --cap-drop all --group-add 5", {"Privileged": True, "ReadonlyRootfs": True, "Init": True}),
    ("--network net --ip 10.0.0.9 --network-alias other --mac-address 02:00:00:00:00:01 --link a:b", {"NetworkMode": "net"}),
    ("--hostname h --domainname d.example --add-host a:1.2.3.4 --dns 9.9.9.9 --dns-search e.example -w /w -u 1:2 -e A=1 -t -i", {"DnsSearch": ["e.example"]}),
]


def without_nothing(value):
    """null, "" and the like mean the same to an engine as a key that is not there."""
    if isinstance(value, dict):
        kept = {key: without_nothing(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one not in (None, "", [], {}, 0, False)}
    if isinstance(value, list):
        kept = [without_nothing(one) for one in value]
        # Objects come in the order of one of Go's maps: any.
        return sorted(kept, key=lambda one: json.dumps(one, sort_keys=True)) if all(isinstance(one, dict) for one in kept) else kept
    return value


def normal(asked):
    found = []
    for method, path, query, body in asked:
        query = {key: [json.loads(one) if one[:1] in "[{" and one else one for one in values] for key, values in query.items()}
        # What the engine does anyway.
        query = {key: values for key, values in query.items() if (key, values) not in (("rm", ["1"]), ("version", ["1"]), ("filters", [""]))}
        found.append([method, path, without_nothing(query), without_nothing(body) or None])
    return found


def compare(ask, line):
    asked = ask("kist", line)
    if IS_28:
        assert normal(asked) == normal(ask("docker", line)), line
    return asked


@pytest.mark.parametrize("flags,host", HOST, ids=[flags.split()[0] + str(index) for index, (flags, _) in enumerate(HOST)])
def test_create_and_run(ask, flags, host):
    command = "run" if "--sig-proxy" in flags else "create"
    body = compare(ask, f"{command} {flags} img cmd")[0][3]
    assert body["Image"] == "img" and host.items() <= body["HostConfig"].items(), body["HostConfig"]


@pytest.mark.parametrize(
    "line",
    [
        "update --blkio-weight 300 --cpu-period 50000 --cpu-quota 25000 --cpuset-cpus 0 --cpuset-mems 0 --memory-reservation 32m c",
        "update --cpu-rt-period 1000000 --cpu-rt-runtime 950000 c",
        "update --restart always --pids-limit 9 -c 5 --cpus 1.5 -m 64m --memory-swap 128m c",
        "network create --attachable --ipam-driver default --ipam-opt a=b --opt x=y --label l=1 --scope local net",
        "network create --config-only --subnet 10.9.0.0/24 --gateway 10.9.0.1 --ip-range 10.9.0.0/25 --aux-address h=10.9.0.9 net",
        "network create --config-from net --ingress --internal --ipv6 -d macvlan other",
        "network connect --driver-opt a=b --gw-priority 5 --alias x --ip 10.9.0.5 --link a:b net c",
        "rmi --no-prune -f img",
        "system prune -f --volumes",
        "system prune -f -a --filter until=24h",
        "builder prune -f -a --keep-storage 1g --filter until=24h",
        "volume prune -f -a",
        "network create --subnet 10.1.0.0/16,10.2.0.0/16 --gateway 10.1.0.1,10.2.0.1 --ip-range 10.1.1.0/24,10.2.1.0/24 n",
        "network connect --alias a,b --link-local-ip 169.254.1.1,169.254.1.2 --driver-opt a=b,c=d n c",
        "build -q --security-opt a,b --squash --compress --rm=false --platform linux/amd64 @/context",
        "checkpoint create c x --leave-running --checkpoint-dir /tmp/x",
        "start --checkpoint x --checkpoint-dir /tmp c",
        "create --network name=n,alias=a,driver-opt=x=y,gw-priority=3,ip=10.0.0.1 img",
        "plugin enable --timeout 5 p",
        "system prune -f --filter label=a",
        "volume create --driver local --opt type=tmpfs --label a=b v",
        "build -q --cache-from a --cgroup-parent /p --cpu-period 50000 --cpu-quota 25000 --cpuset-cpus 0 --cpuset-mems 0 -m 64m --memory-swap 128m @/context",
        "build -q --build-arg A=1 --label l=1 -t x:1 --target s --network none --no-cache --pull --force-rm --shm-size 1m --ulimit nofile=1:2 --add-host a:1.2.3.4 @/context",
        "tag img other:1",
        "rename c other",
        "kill -s HUP c",
        "stop -t 3 -s INT c",
        "restart -t 3 c",
        "rm -f -v c",
        "commit -a me -m words -c ENV=1 --pause=false c img:2",
    ],
    ids=lambda line: "-".join(line.split()[:2]),
)
def test_other_requests(ask, line):
    assert compare(ask, line)
