# SPDX-License-Identifier: Apache-2.0
"""kist-runtime in other people's stacks: podman with conmon, containerd with its runc shim."""
import os
import pathlib
import subprocess

import pytest
from lib import criu, leaks, needs
from lib.wait import wait_for

LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--network", "none"]


def call(words, check=True, **options):
    run = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=60, check=False, **options)
    assert not check or run.returncode == 0, f"{words}: exit {run.returncode}: {run.stderr}{run.stdout}"
    return run


@pytest.fixture(scope="module")
def podman(session_root, program, busybox_rootfs):
    needs.programs("podman", "conmon")
    root = session_root / "pod"
    base = ["podman", "--root", root / "r", "--runroot", root / "rr", "--tmpdir", root / "t", "--cgroup-manager",
            "cgroupfs", "--events-backend", "file", "--storage-driver", "vfs", "--runtime", program("kist-runtime")]
    tar = session_root / "bb.tar"
    call(["tar", "-C", busybox_rootfs, "-cf", tar, "."])
    call([*base, "import", tar, "bb"])
    yield lambda *words, **options: call([*base, *words], **options)
    call([*base, "rm", "-fa"], check=False)
    call([*base, "rmi", "-fa"], check=False)
    call([*base, "system", "reset", "-f"], check=False)


def test_podman_run(podman):
    assert podman("run", "--rm", *LIMITS, "bb", "echo", "hello").stdout == "hello\n"
    assert podman("run", "--rm", *LIMITS, "bb", "sh", "-c", "exit 9", check=False).returncode == 9


def test_podman_life(podman):
    podman("run", "-d", "--name", "t-rt-pod", *LIMITS, "bb", "sleep", "100")
    assert podman("exec", "t-rt-pod", "echo", "inside").stdout == "inside\n"
    assert "/dev/pts/" in podman("exec", "-t", "t-rt-pod", "tty").stdout
    podman("pause", "t-rt-pod")
    podman("unpause", "t-rt-pod")
    assert "sleep 100" in podman("top", "t-rt-pod").stdout
    podman("stop", "-t", "1", "t-rt-pod")
    podman("rm", "-f", "t-rt-pod")


def test_podman_understands_our_errors(podman):
    assert podman("run", "--rm", *LIMITS, "bb", "nonesuch", check=False).returncode == 127
    assert podman("run", "--rm", *LIMITS, "bb", "/etc/passwd", check=False).returncode == 126


def test_podman_limits_and_readonly(podman):
    out = podman("run", "--rm", *LIMITS, "-m", "64m", "--read-only", "--tmpfs", "/tmp:size=1m", "bb", "sh", "-c",
                 "touch /x 2>/dev/null || echo ro; touch /tmp/x && echo tmp").stdout
    assert out.split() == ["ro", "tmp"]


def test_podman_checkpoint(podman):
    """Written to files and made again; and sent elsewhere, as a container of another name."""
    if criu.why_not():
        pytest.skip(criu.why_not())
    env = {**os.environ, "PATH": criu.path()}
    name = f"t-rt-check-{os.getpid()}"
    script = "i=0; while :; do echo $i >> /count; i=$((i+1)); sleep 0.05; done"

    def count(of):
        return [int(word) for word in podman("exec", of, "cat", "/count", env=env).stdout.split()]

    podman("run", "-d", "--name", name, *LIMITS, "bb", "sh", "-c", script, env=env)
    wait_for(lambda: len(count(name)) > 3)
    podman("container", "checkpoint", name, env=env)
    podman("container", "restore", name, env=env)
    before = len(count(name))
    wait_for(lambda: len(count(name)) > before + 3)
    assert count(name).count(0) == 1
    archive = pathlib.Path(podman("info", "--format", "{{.Store.GraphRoot}}").stdout.strip()) / "checkpoint.tar.gz"
    podman("container", "checkpoint", "--export", archive, name, env=env)
    podman("rm", "-f", name, env=env)
    podman("container", "restore", "--import", archive, "--name", name + "b", env=env)
    before = len(count(name + "b"))
    wait_for(lambda: len(count(name + "b")) > before + 3)
    assert count(name + "b").count(0) == 1
    podman("rm", "-f", "-t", "0", name + "b", env=env)


@pytest.fixture(scope="module")
def ctr(session_root, program, busybox_layout):
    needs.programs("containerd", "ctr")
    root = session_root / "ctrd"
    root.mkdir()
    (root / "config.toml").write_text(f'''version = 2
root = "{root}/root"
state = "{root}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{root}/c.sock"
''')
    base = ["ctr", "-a", root / "c.sock"]
    with open(root / "log", "wb") as log:
        with subprocess.Popen(["containerd", "-c", root / "config.toml"], stdout=log, stderr=log) as daemon:
            wait_for(lambda: call([*base, "version"], check=False).returncode == 0, "containerd")
            archive = session_root / "bb-oci.tar"
            call(["tar", "-C", busybox_layout, "-cf", archive, "."])
            call([*base, "image", "import", "--index-name", "docker.io/library/bb:latest", archive])
            ref = call([*base, "image", "ls", "-q"]).stdout.split()[0]
            options = ["--snapshotter", "native", "--runc-binary", program("kist-runtime"), "--runc-root", root / "runc"]
            yield lambda *words, **more: call([*base, *words], **more), options, ref
            daemon.terminate()


def test_ctr_run(ctr):
    call_ctr, options, ref = ctr
    assert call_ctr("run", "--rm", *options, ref, "t-rt-ctr1", "echo", "hello").stdout == "hello\n"
    missing = call_ctr("run", "--rm", *options, ref, "t-rt-ctr2", "nonesuch", check=False)
    assert missing.returncode == 1 and 'exec: "nonesuch": executable file not found in $PATH' in missing.stderr


def test_ctr_life(ctr):
    call_ctr, options, ref = ctr
    call_ctr("run", "-d", *options, ref, "t-rt-ctr3", "sleep", "100")
    ran = call_ctr("task", "exec", "--exec-id", "e", "t-rt-ctr3", "sh", "-c", "echo inside; exit 3", check=False)
    assert (ran.stdout, ran.returncode) == ("inside\n", 3)
    call_ctr("task", "pause", "t-rt-ctr3")
    assert "PAUSED" in call_ctr("task", "ls").stdout
    call_ctr("task", "resume", "t-rt-ctr3")
    assert call_ctr("task", "ps", "t-rt-ctr3").stdout
    call_ctr("task", "kill", "-s", "KILL", "t-rt-ctr3")
    wait_for(lambda: "STOPPED" in call_ctr("task", "ls").stdout, what="the task to stop")
    # A task that has stopped may still be on its way out.
    wait_for(lambda: call_ctr("task", "rm", "t-rt-ctr3", check=False).returncode == 0 or "t-rt-ctr3" not in call_ctr("task", "ls").stdout,
             what="the task to go")
    call_ctr("container", "rm", "t-rt-ctr3")


# ---- dockerd ----


@pytest.fixture(scope="module")
def docker(session_root, program, busybox_rootfs):
    """Debian's dockerd with roots and sockets of its own; kist-runtime is its runtime "kist"."""
    needs.programs("dockerd", "docker")
    root = session_root / "dk"
    root.mkdir()
    words = ["dockerd", "--data-root", root / "d", "--exec-root", root / "x", "--pidfile", root / "pid", "--host",
             f"unix://{root}/s", "--bridge", "none", "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs",
             "--add-runtime", f"kist={program('kist-runtime')}", "--exec-opt", "native.cgroupdriver=cgroupfs",
             "--cgroup-parent", f"/{root.parent.name}-dk", "--config-file", root / "none.json"]
    (root / "none.json").write_text("{}")
    base = ["docker", "-H", f"unix://{root}/s"]
    with open(root / "log", "wb") as log, subprocess.Popen([str(w) for w in words], stdout=log, stderr=log) as daemon:
        try:
            wait_for(lambda: daemon.poll() is not None or call([*base, "version"], check=False).returncode == 0, "dockerd")
            assert daemon.poll() is None, (root / "log").read_text()[-3000:]
            tar = session_root / "bb-docker.tar"
            call(["tar", "-C", busybox_rootfs, "-cf", tar, "."])
            call([*base, "import", tar, "bb"])
            yield lambda *words, **options: call([*base, *words], **options)
        finally:
            if daemon.poll() is None:
                daemon.terminate()
                daemon.wait(30)
            for group in leaks.cgroups(f"{root.parent.name}-dk"):
                pathlib.Path(group).rmdir()


DOCKER_RUN = ["run", "--runtime", "kist", "--network", "none"]


def test_docker_run(docker):
    assert docker(*DOCKER_RUN, "--rm", "bb", "echo", "hello").stdout == "hello\n"
    assert docker(*DOCKER_RUN, "--rm", "bb", "sh", "-c", "exit 9", check=False).returncode == 9
    assert docker(*DOCKER_RUN, "--rm", "bb", "grep", "Seccomp:", "/proc/1/status").stdout.split() == ["Seccomp:", "2"]


def test_docker_understands_our_errors(docker):
    missing = docker(*DOCKER_RUN, "--rm", "bb", "nonesuch", check=False)
    assert missing.returncode == 127 and "executable file not found in $PATH" in missing.stderr
    assert docker(*DOCKER_RUN, "--rm", "bb", "/etc/passwd", check=False).returncode == 126


def test_docker_life(docker):
    name = "t-rt-docker"
    docker(*DOCKER_RUN, "-d", "--name", name, "-m", "64m", "--pids-limit", "20", "bb", "sleep", "100")
    try:
        assert docker("inspect", "-f", "{{.HostConfig.Runtime}} {{.State.Status}}", name).stdout == "kist running\n"
        assert docker("exec", name, "echo", "inside").stdout == "inside\n"
        assert docker("exec", name, "sh", "-c", "exit 4", check=False).returncode == 4
        assert "/dev/pts/" in docker("exec", "-t", name, "tty").stdout
        docker("pause", name)
        assert docker("inspect", "-f", "{{.State.Status}}", name).stdout == "paused\n"
        docker("unpause", name)
        docker("update", "--memory", "96m", "--memory-swap", "-1", name)
        docker("update", "--cpus", "0.5", name)
        assert "sleep 100" in docker("top", name).stdout
        docker("stop", "-t", "1", name)
        assert docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout == "137\n"
        docker("start", name)
        docker("kill", name)
    finally:
        docker("rm", "-f", name, check=False)


def test_docker_out_of_memory(docker):
    name = "t-rt-docker-oom"
    run = docker(*DOCKER_RUN, "--name", name, "-m", "16m", "--memory-swap", "16m", "bb", "dd", "if=/dev/zero", "of=/dev/null",
                 "bs=64M", "count=1", check=False)
    try:
        # containerd tells of the kill and of the end by two events that race: State.OOMKilled is sometimes false.
        assert run.returncode == 137
    finally:
        docker("rm", "-f", name, check=False)
