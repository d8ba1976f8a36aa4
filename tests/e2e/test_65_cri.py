# SPDX-License-Identifier: Apache-2.0
"""kist-cni below containerd's CRI plugin, as kubelet has it: sandboxes by RunPodSandbox and StopPodSandbox.

kubelet itself only speaks to the runtime; what calls CNI plugins for it is this plugin.
"""
import json
import pathlib
import secrets
import socket
import subprocess

import pytest

from lib import images, needs
from lib.buildkit import Call, field, message, parse
from lib.topology import run
from lib.wait import wait_for
from test_65_cni_plugins import elements, host, plugins  # noqa: F401


class CriCall(Call):
    """containerd takes HTTP/2 from the first byte."""

    def connect(self, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(120)
        sock.connect(str(path))
        return sock, b""


class Containerd:
    """Debian's containerd with its CRI plugin, in a host of the test's, with a mount namespace that hides /opt/cni and /etc/cni."""

    def __init__(self, host, root, plugins):  # noqa: F811
        self.host, self.root = host, root
        self.socket = root / "c.sock"
        self.tag = f"t{secrets.token_hex(4)}"
        for name in ("net.d", "cache"):
            (root / name).mkdir()
        (root / "config.toml").write_text(
            f'version = 2\nroot = "{root}/root"\nstate = "{root}/state"\n'
            'disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]\n'
            f'[grpc]\naddress = "{self.socket}"\n'
            '[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "localhost/pause:1"\ndisable_apparmor = true\n'
            "restrict_oom_score_adj = true\nnetns_mounts_under_state_dir = true\n"
            f'[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "{plugins}"\nconf_dir = "{root}/net.d"\n'
            '[plugins."io.containerd.grpc.v1.cri".containerd]\nsnapshotter = "native"\n'
        )
        self.log = open(root / "log", "ab")
        # libcni keeps what plugins answered in /var/lib/cni
        setup = 'mkdir -p /var/lib/cni; mount --bind "$0" /var/lib/cni; exec containerd -c "$1"'
        self.server = subprocess.Popen(["nsenter", f"--net={host.path}", "unshare", "-m", "--propagation", "private", "sh", "-c", setup,
                                        str(root / "cache"), str(root / "config.toml")], stdout=self.log, stderr=self.log)  # fmt: skip
        wait_for(lambda: self.ctr("version", check=False).returncode == 0, what=self.said)

    def said(self):
        return (self.root / "log").read_text()

    def ctr(self, *argv, check=True):
        return run("ctr", "-a", self.socket, "-n", "k8s.io", *argv, check=check)

    def import_pause(self, rootfs):
        """What holds a sandbox's namespaces is an image, too."""
        config = {"Entrypoint": ["/bin/sleep", "1000000"]}
        images.Layout(self.root / "pause").add_image("1", [images.tar_of(rootfs)], config)
        run("tar", "-C", self.root / "pause", "-cf", self.root / "pause.tar", ".")
        self.ctr("images", "import", "--digests", "--base-name", "localhost/pause", self.root / "pause.tar")
        assert "localhost/pause:1" in self.ctr("images", "ls", "-q").stdout.split()

    def call(self, method, request=b""):
        answer = CriCall(self.socket, f"/runtime.v1.RuntimeService/{method}", request).finish()
        assert answer.status == 0, f"{method}: {answer.error}\n{self.said()[-4000:]}"
        return parse(answer.messages[0])

    def cgroups(self):
        """The parents that kubelet would have made."""
        top = pathlib.Path("/sys/fs/cgroup")
        return [*top.glob(f"{self.tag}-*"), *top.glob(f"*/{self.tag}-*")]

    def close(self):
        self.server.terminate()
        self.server.wait(60)
        self.log.close()


def gone(group):
    try:
        group.rmdir()
    except OSError:
        return False
    return True


@pytest.fixture
def containerd(host, tmp_root, plugins, busybox_rootfs):  # noqa: F811
    needs.programs("containerd", "ctr", "runc")
    server = Containerd(host, tmp_root, plugins)
    try:
        server.import_pause(busybox_rootfs)
        yield server
    finally:
        server.close()


def sandbox_config(name, *, ports=(), annotations=None):
    """A PodSandboxConfig: metadata, hostname, log_directory, port_mappings, annotations, linux (cgroup_parent)."""
    return message(
        f1=message(f1=name, f2=f"uid-{name}", f3="default"), f2=name, f7=annotations or {}, f8=message(f1=f"/{name}")
    ) + b"".join(field(5, message(f2=container, f3=host)) for host, container in ports)


def test_sandboxes(host, containerd, tmp_root, tmp_path):  # noqa: F811
    chain = [{"type": "bridge", "bridge": "tb0", "isGateway": True, "isDefaultGateway": True, "ipMasq": True, "hairpinMode": True,
              "ipam": {"type": "host-local", "dataDir": str(tmp_root / "leases"), "ranges": [[{"subnet": "10.219.0.0/24"}]]}},
             {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}]  # fmt: skip
    conflist = {"cniVersion": "1.0.0", "name": "pods", "plugins": chain}
    (tmp_root / "net.d/10-pods.conflist").write_text(json.dumps(conflist))
    tag = containerd.tag

    def ready():
        """Status: NetworkReady."""
        conditions = [parse(c) for c in parse(containerd.call("Status")[1][0])[1]]
        return {c[1][0].decode(): c.get(2, [0])[0] for c in conditions}["NetworkReady"]

    def address(sandbox):
        return parse(parse(containerd.call("PodSandboxStatus", message(f1=sandbox))[1][0])[5][0])[1][0].decode()

    def taken():
        return sorted(f.name for f in (tmp_root / "leases/pods").iterdir() if f.name[0].isdigit())

    def run_sandbox(number, ports=()):
        name = f"{tag}-{number}"
        sandbox = containerd.call("RunPodSandbox", message(f1=sandbox_config(name, ports=ports)))[1][0].decode()
        made.append(sandbox)
        return sandbox

    def serve(sandbox, text):
        """A server in the sandbox's network."""
        pid = json.loads(parse(containerd.call("PodSandboxStatus", message(f1=sandbox, f2=1))[2][0])[2][0])["pid"]
        folder = tmp_path / text
        folder.mkdir()
        (folder / "index.html").write_text(text)
        servers.append(subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", "busybox", "httpd", "-f", "-p", "80", "-h", str(folder)]))

    wait_for(ready, what="the network of containerd")
    made, servers = [], []
    try:
        one, two = run_sandbox(1, [(8080, 80)]), run_sandbox(2)
        assert [address(one), address(two)] == taken() == ["10.219.0.2", "10.219.0.3"]
        serve(one, "one")
        assert host.get("http://10.219.0.2/") == "one"
        assert host.beyond.get("http://10.216.0.1:8080/") == "one" and host.get("http://127.0.0.1:8080/") == "one"
        assert elements(host) > 0
        # stopped twice, as kubelet does; what it had is the next one's
        for _ in range(2):
            containerd.call("StopPodSandbox", message(f1=one))
        assert taken() == ["10.219.0.3"] and host.beyond.get("http://10.216.0.1:8080/", patience=0) is None
        three = run_sandbox(3, [(8080, 80)])
        serve(three, "three")
        assert host.beyond.get("http://10.216.0.1:8080/") == "three"
    finally:
        for server in servers:
            server.kill()
            server.wait()
        for sandbox in made:
            containerd.call("StopPodSandbox", message(f1=sandbox))
            containerd.call("RemovePodSandbox", message(f1=sandbox))
        for group in containerd.cgroups():
            wait_for(lambda group=group: gone(group), what=f"the end of {group}")
    assert taken() == [] and elements(host) == 0
    assert not list(pathlib.Path("/run/kist-cni").glob(f"*/{made[0]}*"))
    assert not host.ip("-o", "link", "show", "type", "veth").stdout.count("tb0")
