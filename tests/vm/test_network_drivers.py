# SPDX-License-Identifier: Apache-2.0
"""kistd's networks of drivers ipvlan and macvlan under Debian's kernel, which has their modules.

A host of its own in a namespace is beyond the parent link. What l2, l3, l3s, private and 802.1q mean is looked at from
there, from a second container, and in the kernel's own words about the container's link.
"""
import os
import pathlib

import pytest

import vm
from vm import needs

BUILD = pathlib.Path(os.environ.get("KIST_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build"))
HELPERS = {"kist-unpack": "archive", "kist-files": "archive", "kist-archive": "archive", "kist-shim": "shim", "kist-log": "logs",
           "kist-resolve": "resolver", "kist-init": "init", "kist-proxy": "network", "kist-transfer": "transfer"}  # fmt: skip
MODULES = ["ipvlan", "macvlan", "8021q", "dummy", "nf_tables", "nft_chain_nat"]

BEGIN = """#!/bin/busybox sh
ip=/usr/sbin/ip
fail() { echo "FAILED: $*"; tail -n 20 /tmp/kistd.log; exit 1; }
soon() { for i in $(seq 60); do "$@" >/tmp/soon 2>&1 && return 0; sleep 0.5; done; cat /tmp/soon; return 1; }
start() { kistd --data-root /tmp/data --exec-root /tmp/exec >>/tmp/kistd.log 2>&1 & soon kist version || fail "kistd does not answer"; }
page() { kist exec c-$1 busybox timeout 5 busybox wget -q -O - http://$2/; }
from_beyond() { $ip netns exec beyond busybox timeout 5 busybox wget -q -O - http://$1/ | grep -q "hello from"; }
# name, network, address
serve() {
    kist run -d --name c-$1 --network $2 --ip $3 box busybox sh -c "mkdir /w; echo hello from $1 >/w/index.html; exec busybox httpd -f -p 80 -h /w" >/dev/null || fail "start $1"
    soon kist exec c-$1 busybox wget -q -O - http://127.0.0.1/ || fail "$1 does not serve"
}
# what the kernel says of a container's link
link() { pid=$(kist inspect -f '{{.State.Pid}}' c-$1); $ip netns attach of-$1 $pid && $ip -n of-$1 -d link show ${2:-eth0}; $ip netns del of-$1; }
"""

SETUP = BEGIN + """
$ip netns add beyond
$ip link add pa type veth peer name eth0 netns beyond
$ip addr add 10.9.0.1/24 dev pa
$ip link set pa up
$ip -n beyond addr add 10.9.0.2/24 dev eth0
$ip -n beyond link set eth0 up
start
mkdir -p /tmp/context/bin
cp /bin/busybox /tmp/context/bin/
echo 'FROM scratch
COPY bin /bin' >/tmp/context/Dockerfile
kist build -q -t box /tmp/context || fail "no image"
"""

# Of one mode: the scripts have a bounded time each.
IPVLAN = BEGIN + """
for mode in {mode}; do
    kist network create -d ipvlan --subnet 10.1.0.0/24 --gateway 10.1.0.1 -o parent=pa -o ipvlan_mode=$mode net >/dev/null || fail "create $mode"
    serve a net 10.1.0.7
    serve b net 10.1.0.8
    link a | grep -q "ipvlan *mode $mode bridge" || fail "$mode: $(link a)"
    [ "$(link a | grep -o 'link/ether [0-9a-f:]*')" = "$($ip link show pa | grep -o 'link/ether [0-9a-f:]*')" ] || fail "$mode: not its parent's MAC"
    [ "$(page b 10.1.0.7)" = "hello from a" ] || fail "$mode: b reaches not a"
    soon page b c-a || fail "$mode: b reaches not a by its name: $(kist exec c-b busybox nslookup c-a 2>&1; kist exec c-b busybox wget -O - http://c-a/ 2>&1; kist network doctor c-b)"
    # in l2 the world beyond is on the same wire, in l3 and l3s the host's link routes
    case $mode in
    l2) $ip -n beyond addr add 10.1.0.1/24 dev eth0; kist exec c-a busybox ip route | grep -q "default via 10.1.0.1 dev eth0" || fail "l2: no way out" ;;
    *) $ip -n beyond route add 10.1.0.0/24 via 10.9.0.1; kist exec c-a busybox ip route | grep -q "default dev eth0" || fail "$mode: no way out" ;;
    esac
    soon from_beyond 10.1.0.7 || fail "$mode: not reached from beyond"
    kist exec c-a busybox ping -c 1 -W 5 10.9.0.2 >/dev/null || [ $mode = l2 ] || fail "$mode: does not get out"
    if [ $mode = l3 ]; then
        kill -9 $(pidof kistd)
        start
        from_beyond 10.1.0.7 || fail "$mode: not reached after a kill"
        serve c net 10.1.0.9
        [ "$(page c 10.1.0.7)" = "hello from a" ] || fail "$mode: c reaches not a"
    fi
    kist rm -f $(kist ps -aq) >/dev/null
    kist network rm net >/dev/null || fail "rm $mode"
    $ip -n beyond addr del 10.1.0.1/24 dev eth0 2>/dev/null || $ip -n beyond route del 10.1.0.0/24
done
$ip link show pa >/dev/null || fail "the parent is gone"
exit 0
"""

IPVLAN_MORE = BEGIN + """
kist network create -d ipvlan --subnet 10.1.0.0/24 -o parent=pa -o ipvlan_mode=l4 net 2>&1 | grep -q "requested ipvlan mode 'l4' is not valid, 'l2' is the default" || fail "mode l4"
# neither sees the other
kist network create -d ipvlan --subnet 10.1.0.0/24 -o parent=pa -o ipvlan_flag=private net >/dev/null || fail "private"
serve a net 10.1.0.7
serve b net 10.1.0.8
link a | grep -q "ipvlan *mode l2 private" || fail "private: $(link a)"
kist exec c-b busybox ping -c 1 -W 2 10.1.0.7 >/dev/null && fail "private: b reaches a"
# both kinds on one parent: the kernel cannot
kist network create -d macvlan --subnet 10.2.0.0/24 -o parent=pa mac >/dev/null || fail "mac"
kist run -d --name c-m --network mac box busybox sleep 1000 2>&1 | grep -q "pa has macvlan and ipvlan links at once" || fail "macvlan beside ipvlan: no clear error"
kist rm -f c-a c-b c-m >/dev/null
kist network rm net mac >/dev/null || fail "rm"
# without a parent: those on the network see each other
kist network create -d ipvlan --subnet 10.3.0.0/24 alone >/dev/null || fail "alone"
serve a alone 10.3.0.7
serve b alone 10.3.0.8
[ "$(page b 10.3.0.7)" = "hello from a" ] || fail "alone: b reaches not a"
kist rm -f c-a c-b >/dev/null
kist network rm alone >/dev/null || fail "rm alone"
$ip link | grep -q "di-" && fail "a link is left"
exit 0
"""

MACVLAN = BEGIN + """
for mode in {mode}; do
    kist network create -d macvlan --subnet 10.1.0.0/24 --gateway 10.1.0.1 -o parent=pa.17 -o macvlan_mode=$mode net >/dev/null || fail "create $mode"
    $ip -n beyond link add link eth0 name eth0.17 type vlan id 17
    $ip -n beyond addr add 10.1.0.1/24 dev eth0.17
    $ip -n beyond link set eth0.17 up
    $ip -d link show pa.17 | grep -q "vlan protocol 802.1Q id 17" || fail "$mode: $($ip -d link show pa.17)"
    serve a net 10.1.0.7
    link a | grep -q "macvlan *mode $mode" || fail "$mode: $(link a)"
    soon from_beyond 10.1.0.7 || fail "$mode: not reached from beyond"
    if [ $mode = passthru ]; then
        kist run -d --name c-b --network net box busybox sleep 1000 2>&1 | grep -q "mode passthru has pa.17 for itself" || fail "passthru: a second one"
    else
        serve b net 10.1.0.8
        # vepa: a switch would have to send it back
        if [ $mode = bridge ]; then soon page b 10.1.0.7 || fail "bridge: b reaches not a"; else kist exec c-b busybox ping -c 1 -W 2 10.1.0.7 >/dev/null && fail "$mode: b reaches a"; fi
    fi
    kist rm -f c-a c-b >/dev/null
    kist network rm net >/dev/null || fail "rm $mode"
    $ip link show pa.17 2>/dev/null && fail "$mode: the tagged link is left"
    $ip -n beyond link del eth0.17
done
exit 0
"""

MACVLAN_MORE = BEGIN + """
kist network create -d macvlan --subnet 10.3.0.0/24 alone >/dev/null || fail "alone"
serve a alone 10.3.0.7
serve b alone 10.3.0.8
soon page b 10.3.0.7 || fail "alone: b reaches not a"
kist rm -f c-a c-b >/dev/null
kist network rm alone >/dev/null || fail "rm alone"
$ip link | grep -q "dm-" && fail "a link is left"
kill $(pidof kistd)
exit 0
"""


TESTS = {"setup": SETUP}
TESTS.update({f"ipvlan_{mode}": IPVLAN.replace("{mode}", mode) for mode in ("l2", "l3", "l3s")})
TESTS.update({f"macvlan_{mode}": MACVLAN.replace("{mode}", mode) for mode in ("bridge", "private", "vepa", "passthru")})
TESTS.update({"ipvlan": IPVLAN_MORE, "macvlan": MACVLAN_MORE})


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    programs = {"/usr/bin/kist": BUILD / "src/cli/kist", "/usr/bin/kistd": BUILD / "src/daemon/kistd",
                **dict(zip(("/usr/sbin/nft", "/usr/sbin/ip"), needs.programs("nft", "ip")))}  # fmt: skip
    programs.update({f"/usr/libexec/kist/{name}": BUILD / "src" / room / name for name, room in HELPERS.items()})
    return vm.boot(tmp_path_factory.mktemp("drivers"), {target: str(source) for target, source in programs.items()}, TESTS,
                   timeout=500, memory_mb=1536, modules=MODULES)  # fmt: skip


@pytest.mark.parametrize("name", TESTS)
def test_driver(results, name):
    found, _, output = results
    assert name in found, output[-4000:]
    code, text = found[name]
    assert code == 0, text[-4000:]
