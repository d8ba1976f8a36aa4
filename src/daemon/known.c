/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/known.h"

#include "base/cleanup.h"

#define NO_CONTAINERD "each container has a kist-shim of its own, and containerd is not used"
#define NO_SWARM "kist has no swarm"
#define NFTABLES_ONLY "kist's own rules are in one nftables table, whose chain \"user\" is the administrator's"

/* clang-format off */
const struct known_option known_options[] = {
	{ "allow-direct-routing", "allow-direct-routing", true, "false", "a network with gateway mode \"routed\" is reached directly" },
	{ "allow-nondistributable-artifacts", "allow-nondistributable-artifacts", false, NULL, "foreign layers are never pushed" },
	{ "api-cors-header", "api-cors-header", false, NULL, "web pages must not talk to an engine; dockerd has dropped this too" },
	{ "bridge-accept-fwmark", "bridge-accept-fwmark", false, NULL, NFTABLES_ONLY },
	{ "containerd", "containerd", false, "*", NO_CONTAINERD },
	{ "containerd-namespace", "containerd-namespace", false, "*", NO_CONTAINERD },
	{ "containerd-plugins-namespace", "containerd-plugin-namespace", false, "*", NO_CONTAINERD },
	{ "cpu-rt-period", "cpu-rt-period", false, "0", "real-time CPU time is given to each container" },
	{ "cpu-rt-runtime", "cpu-rt-runtime", false, "0", "real-time CPU time is given to each container" },
	{ "cri-containerd", "cri-containerd", true, "false", NO_CONTAINERD },
	{ "default-gateway", "default-gateway", false, NULL, "the default bridge is its containers' gateway: make a network with --gateway" },
	{ "default-gateway-v6", "default-gateway-v6", false, NULL, "the default bridge is its containers' gateway: make a network with --gateway" },
	{ "default-network-opt", "default-network-opts", false, "{}", "options are given to each network" },
	{ NULL, "deprecated-key-path", false, "*", "kistd has an id of its own and signs nothing" },
	{ "exec-opt", "exec-opts", false, "native.cgroupdriver=cgroupfs|[\"native.cgroupdriver=cgroupfs\"]", "control groups are made directly: only native.cgroupdriver=cgroupfs can be had" },
	{ NULL, "features", false, "{}|{\"buildkit\":true}|{\"buildkit\":false}|{\"containerd-snapshotter\":false}|{\"cdi\":true}", "kistd has none of these features to switch" },
	{ "firewall-backend", "firewall-backend", false, "nftables", NFTABLES_ONLY },
	{ "ip-forward", "ip-forward", true, "true", "published ports need forwarding" },
	{ "ip-forward-no-drop", "ip-forward-no-drop", true, "true", "kistd never changes the policy of the FORWARD chain" },
	{ "ip6tables", "ip6tables", true, "true", NFTABLES_ONLY },
	{ "iptables", "iptables", true, "true", NFTABLES_ONLY },
	{ "network-control-plane-mtu", "network-control-plane-mtu", false, "*", NO_SWARM },
	{ "node-generic-resource", "node-generic-resources", false, "[]", NO_SWARM },
	{ "nri-opts", "nri-opts", false, NULL, "there are no NRI plugins" },
	{ "raw-logs", "raw-logs", true, "true|false", "" },
	{ NULL, "resolv-conf", false, NULL, "the host's own resolver file is read; --dns names other servers" },
	{ "rootless", "rootless", true, "false", "kistd runs as root" },
	{ "seccomp-profile", "seccomp-profile", false, "builtin", "the profile is built in; --security-opt seccomp=FILE gives one container another" },
	{ "selinux-enabled", "selinux-enabled", true, "false", "containers are not labelled for SELinux" },
	{ "swarm-default-advertise-addr", "swarm-default-advertise-addr", false, NULL, NO_SWARM },
	{ "userland-proxy-path", "userland-proxy-path", false, "*", "what the kernel cannot carry kist-proxy does" },
};
/* clang-format on */

_Static_assert(sizeof(known_options) / sizeof(known_options[0]) <= KNOWN_OPTIONS_MAX, "flags have room for all");

size_t known_option_count(void)
{
	return sizeof(known_options) / sizeof(known_options[0]);
}

const struct known_option *known_option_find(const char *key)
{
	for (size_t i = 0; i < known_option_count(); i++)
		if (known_options[i].key && text_equal(known_options[i].key, key))
			return &known_options[i];
	return NULL;
}

static bool is_accepted(const char *accepted, const char *value)
{
	AUTO(text_list_fini) struct text_list values = { 0 };

	if (!accepted)
		return false;
	text_list_split(&values, accepted, '|');
	return text_equal(accepted, value) || text_list_contains(&values, value);
}

int known_option_judge(const struct known_option *option, const char *name, const char *value,
		       struct text_list *warnings, struct error *err)
{
	if (text_equal(option->accepted, "*")) {
		text_list_addf(warnings, "%s %s: has no effect: %s", name, value, option->reason);
		return 0;
	}
	if (is_accepted(option->accepted, value))
		return 0;
	return error_set(err, ERR_INVALID, "%s %s is not supported: %s", name, value, option->reason);
}
