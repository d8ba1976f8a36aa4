# SPDX-License-Identifier: Apache-2.0
"""The same commands to dockerd and to kistd: exit codes, output, JSON keys and types, and events, but for ids and times.

What stays different is named here, with its reason, and in docs/conformance.md.
"""
import concurrent.futures
import json
import pathlib
import re
import shutil
import tempfile

import pytest

from lib import dockerd as peer
from lib import leaks
from lib.daemon import Daemon

# In their order; one name stands for one container.
COMMANDS = """
run --rm bb echo hello
run --rm bb sh -c 'echo out; echo err >&2; exit 3'
run --rm bb nosuch
run --rm bb /etc/passwd
run --rm --name Bad/Name bb true
create --name c1 -e A=1 -w /tmp -l k=v --restart on-failure:2 bb sleep 1000
create --name c1 bb
start c1
start c1
exec c1 sh -c 'echo $A; pwd; exit 4'
exec nosuch true
exec c1 nosuch
top c1
port c1
port c1 80
pause c1
pause c1
exec c1 true
unpause c1
unpause c1
update -m 64m --memory-swap 128m c1
update --restart always c1
rename c1 c2
rename c2 c2
rename nosuch c3
kill -s FOO c2
kill -s TERM c2
rm c2
stop -t 0 c2
stop c2
kill c2
wait c2
inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}' c2
ps -a --format '{{.Names}} {{.Image}} {{.Command}} {{.State}}'
ps --filter foo=bar
logs c2
logs nosuch
cp nosuch:/etc/passwd -
cp c2:/nosuch -
rm c2
rm c2
rm -f nosuch
run --name c3 bb sh -c 'seq 5'
logs c3
logs --tail 2 c3
logs --since 2100-01-01 c3
start -a c3
rm c3
run -d --name c4 --network none bb sleep 1000
run --rm --network container:c4 bb true
run --rm --network container:nosuch bb true
run --rm --network nosuch bb true
attach --no-stdin nosuch
rm -f c4
volume create v1
volume create v1
volume ls --format '{{.Name}} {{.Driver}}'
run --name c5 -v v1:/v bb sh -c 'echo kept >/v/f'
run --rm -v v1:/v:ro bb sh -c 'cat /v/f; echo x >/v/f'
volume rm v1
volume inspect nosuch
rm c5
volume rm v1
volume rm v1
run --rm -v relative:path:x:y bb true
run --rm --mount type=bind,src=/no/such/place,dst=/x bb true
run --rm -m 1m bb true
run --rm --cap-add NOSUCH bb true
run --rm --security-opt nosuch=x bb true
run --rm --log-driver nosuch bb true
run --rm --read-only bb touch /x
run --rm --user nosuch bb true
run --rm --user 1000:50 bb id
run --rm --hostname h1 bb hostname
run --rm --init bb sh -c 'cat /proc/1/comm'
run --rm --tmpfs /t:size=1m bb sh -c 'df /t | tail -1 | tr -s " " | cut -d" " -f2,6'
tag bb other:1
images --format '{{.Repository}}:{{.Tag}}' other
rmi other:1
rmi nosuch
tag nosuch x
inspect nosuch
history --format '{{.Size}}' bb
network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'
network inspect nosuch
network rm bridge
system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'
create --name d1 -l a=b bb sleep 1000
network create --subnet 10.98.7.0/24 -l x=y n1
network create n1
network connect --alias al n1 d1
network ls --filter name=n1 --format '{{.Name}} {{.Driver}}'
network inspect -f '{{(index .IPAM.Config 0).Subnet}} {{.Labels}}' n1
network disconnect n1 d1
network disconnect n1 d1
network rm n1
network rm n1
start d1
exec d1 touch /made
exec d1 rm -r /tmp
diff d1
diff nosuch
commit -m said -a me -c 'CMD ["x"]' d1 made:1
inspect -f '{{json .Config.Cmd}} {{.Comment}} {{.Author}}' made:1
run --rm made:1
rmi made:1
export nosuch
cp /no/such/file d1:/
cp /etc/hostname d1:/nosuch/dir/
exec -u nosuch d1 true
exec -w /bin d1 sh -c 'pwd'
exec -e B=2 d1 sh -c 'echo $B'
exec -d d1 true
logs -n 0 d1
port d1
ps -q --filter name=nosuchname
ps --filter label=a=b --format '{{.Names}} {{.Labels}}'
ps --filter status=nosuch
rename d1 d2
rename d1 d3
update --memory 1 d2
update --cpus 0.5 d2
inspect -f '{{.HostConfig.NanoCpus}}' d2
restart -t 0 d2
kill d2
start nosuch
start -a nosuch
stop nosuch
pause d2
wait nosuch
rm -f d2
run --rm --entrypoint echo bb hi
run --rm -w /a/b bb pwd
run --rm -e X=1 bb sh -c 'echo $X'
run --rm --ulimit nofile=10:5 bb true
run --rm --ulimit nofile=64:64 bb sh -c 'ulimit -n'
run --rm --pid container:nosuch bb true
run --rm --ipc nosuch bb true
run --rm --restart always bb true
run --rm -p 99999:80 bb true
run --rm -p 80:80:80:80 bb true
run --rm --device /nosuch bb true
run --rm --sysctl net.ipv4.ip_unprivileged_port_start=99 bb cat /proc/sys/net/ipv4/ip_unprivileged_port_start
run --rm --add-host a.test:1.2.3.4 bb sh -c 'grep a.test /etc/hosts'
run --rm --dns 192.0.2.9 bb sh -c 'grep nameserver /etc/resolv.conf'
run --rm --group-add 77 bb id -G
run --rm --cap-drop ALL bb sh -c 'grep CapEff /proc/self/status'
run --rm --shm-size 2m bb sh -c 'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2'
run --rm --stop-signal NOSUCH bb true
run --rm --env-file /nosuch/file bb true
run --rm --cidfile /nosuch/dir/file bb true
run --rm --link nosuch:x bb true
run --rm --volumes-from nosuch bb true
run --rm --mac-address nonsense bb true
run --rm --ip 1.2.3.4 bb true
run --rm --health-interval nonsense bb true
run --rm --memory nonsense bb true
run --rm --log-opt nosuch=1 bb true
run --rm --isolation hyperv bb true
run --rm --platform linux/nosuch bb true
run --rm -t bb sh -c 'test -t 1 && echo tty'
run --rm -i bb cat
container prune -f
volume prune -f
network prune -f
image prune -f
image ls --filter dangling=nonsense
image inspect nosuch
image history nosuch
save nosuch
load -i /nosuch
import /nosuch
login -u a -p b 127.0.0.1:1
logout 127.0.0.1:1
volume create --driver nosuch v9
volume create bad/name
plugin ls
plugin inspect nosuch
node ls
secret ls
config ls
stack ls
swarm join-token worker
swarm unlock-key
service inspect nosuch
swarm leave
service ls
events --since 1 --until 2
version --format '{{.Server.Os}}'
info --format '{{.Driver}} {{.LoggingDriver}} {{.CgroupVersion}} {{.OSType}}'
""".strip().splitlines()

# Command (its beginning) -> why it may differ.
DIFFERENT = {
    "run --rm bb nosuch": "words around the reason differ between versions of runc",
    "run --rm bb /etc/passwd": "kistd also says why it cannot be executed",
    "top c1": "process ids",
    "run --rm --platform": "words of Go's resolver",
    "login": "words of Go's network library",
    "info --format": "versions before 28 name the storage driver's backing differently",
}
# Words of dockerd before 28, which kistd's are not.
OLD_WORDS = [
    "run --rm bb nosuch", "run --rm bb /etc/passwd", "exec c1", "pause c1", "unpause c1", "rename", "kill", "rm c2", "rm -f nosuch", "logs nosuch", "cp",
    "run --rm --network", "volume", "run --rm --security-opt", "run --rm --cap-add", "run --rm --log-driver", "run --rm -v relative", "run --rm --mount",
    "run --rm --user nosuch", "rmi", "tag nosuch", "network", "inspect nosuch", "history", "top c1", "run --rm --init", "create --name c1 bb", "run --rm --name Bad",
    "start c1", "ps --filter", "port", "attach", "wait",
    "run --rm made:1", "run --rm --ip", "run --rm --dns", "run --rm --stop-signal", "run --rm --isolation", "image ls --filter", "image inspect", "save nosuch", "run --rm --pid container:nosuch",
]  # fmt: skip


def mask(text):
    text = re.sub(r"\b[0-9a-f]{64}\b", "<id>", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "<short>", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+(Z| \+0000 UTC)?", "<time>", text)
    text = re.sub(r"time=\"[^\"]*\"", "time", text)
    # What docker CLI 20.10 says or not, as its own two halves race.
    text = text.replace('time level=error msg="error waiting for container: context canceled"\n', "")
    text = re.sub(r"/tmp/[^ :\"]*/(d|data)/", "<root>/", text)
    return text


def split(line):
    import shlex

    return shlex.split(line)


@pytest.fixture(scope="module")
def engines(busybox_tar, program):
    """(dockerd, kistd), each with the image bb."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="kt-", dir="/tmp"))
    theirs = peer.Dockerd(root / "p", peer.program())
    (root / "o").mkdir()
    ours = Daemon(root / "o", program)
    ours.start()
    try:
        theirs.start()
        for engine in (theirs, ours):
            engine.docker("import", "-c", 'CMD ["sh"]', busybox_tar, "bb")
        yield theirs, ours
    finally:
        theirs.finish()
        ours.finish()
        leaks.clean(str(root))
        shutil.rmtree(root, ignore_errors=True)


def result(engine, line):
    run = engine.docker(*split(line), check=False)
    return run.returncode, mask(run.stdout), mask(run.stderr)


def may_differ(line, old):
    return any(line.startswith(start) for start in DIFFERENT) or (old and any(line.startswith(start) for start in OLD_WORDS))


def test_commands(engines):
    """Exit codes are always the same; words too, with dockerd 28."""
    theirs, ours = engines
    old = peer.major(theirs.path) < 28
    differences = []
    pool = concurrent.futures.ThreadPoolExecutor(2)
    for line in COMMANDS:
        expected, got = pool.map(result, (theirs, ours), (line, line))
        if old and line == "exec c1 nosuch":
            continue  # 20.10 says 126
        if may_differ(line, old):
            expected, got = expected[0], got[0]
        if expected != got:
            differences.append(f"{line}\n  dockerd {expected}\n  kistd   {got}")
    assert not differences, "\n".join(differences)


# ---- JSON ----


def shape(value, path=""):
    """path -> type, of everything in a document; keys that are names of things are masked."""
    kinds = {path: type(value).__name__}
    if isinstance(value, dict):
        for key, inner in value.items():
            kinds.update(shape(inner, f"{path}.{key}"))
    elif isinstance(value, list) and value:
        kinds.update(shape(value[0], path + "[]"))
    return kinds


# Keys of one side only, or of another type.
SHAPES = {
    ".Storage", ".GraphDriver.Data.MergedDir", ".GraphDriver.Data.ID", ".GraphDriver.Data.LowerDir", ".ImageManifestDescriptor",
    ".HostConfig.MaskedPaths[]", ".HostConfig.ReadonlyPaths[]", ".Metadata.LastTagTime", ".Descriptor",
}  # fmt: skip


def compare_shapes(theirs, ours):
    theirs, ours = shape(theirs), shape(ours)
    found = []
    for path in sorted(set(theirs) | set(ours)):
        if theirs.get(path) != ours.get(path) and not any(path.startswith(known) for known in SHAPES):
            found.append(f"{path}: dockerd {theirs.get(path)}, kistd {ours.get(path)}")
    return found


@pytest.mark.parametrize("noun", ["container", "image", "volume", "network"])
def test_inspect_has_the_same_keys(engines, noun):
    if peer.major(engines[0].path) < 28:
        pytest.skip("older documents have other keys")
    documents = []
    for engine in engines:
        if noun == "container":
            engine.docker("run", "-d", "--name", "shape", "--network", "none", "-v", "shapevol:/v", "--health-cmd", "true", "bb", "sleep", "1000")
        name = {"container": "shape", "image": "bb", "volume": "shapevol", "network": "bridge"}[noun]
        if noun == "volume":
            engine.docker("volume", "create", "shapevol")
        text = re.sub(r"\b[0-9a-f]{64}\b", "<id>", engine.docker(noun, "inspect", name).stdout)
        documents.append(json.loads(text)[0])
        engine.docker("rm", "-f", "shape", check=False)
        if noun == "volume":
            engine.docker("volume", "rm", "shapevol")
    found = compare_shapes(*documents)
    assert not found, "\n".join(found)


# ---- events ----


def test_events_come_in_the_same_order(engines):
    sequences = []
    for engine in engines:
        begin = engine.docker("run", "--rm", "bb", "date", "+%s").stdout.strip()
        engine.docker("run", "--rm", "--name", "ev", "--network", "none", "bb", "true")
        engine.docker("create", "--name", "ev2", "--network", "none", "-v", "evvol:/v", "bb", "sleep", "1000")
        engine.docker("start", "ev2")
        engine.docker("exec", "ev2", "true")
        engine.docker("pause", "ev2")
        engine.docker("unpause", "ev2")
        engine.docker("rename", "ev2", "ev3")
        engine.docker("kill", "ev3")
        engine.docker("rm", "ev3")
        engine.docker("volume", "rm", "evvol")
        end = engine.docker("run", "--rm", "bb", "sh", "-c", "sleep 1; date +%s").stdout.strip()
        lines = engine.docker("events", "--since", begin, "--until", end, "--format", "{{json .}}").stdout.splitlines()
        events = [json.loads(line) for line in lines]
        sequences.append([(e["Type"], e["Action"]) for e in events if e["Actor"]["Attributes"].get("name", "").startswith("ev") or e["Type"] == "volume"])
    if peer.major(engines[0].path) < 28:
        sequences = [sorted(sequence) for sequence in sequences]
    assert sequences[0] == sequences[1]
