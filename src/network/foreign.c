/* SPDX-License-Identifier: Apache-2.0 */
#include "network/foreign.h"

#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "sys/netlink_request.h"
#include "sys/nftables.h"

#define OUTPUT_LIMIT (1 << 20)

/* Each looks at tables of its own; on many hosts the first two are those of nftables, beside which old ones may stand. */
static const char *const programs[] = { "iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy" };
#define PROGRAM_COUNT (sizeof(programs) / sizeof(programs[0]))
#define LEGACY 2 /* from here on: only asked where the kernel has old tables, as asking makes them */

/* The chain as "-A" lines, its policy first; NULL: there is no such program or chain. Yours. */
static char *read_chain(const char *program)
{
	char *const argv[] = { (char *)(uintptr_t)program, (char[]){ "-w" }, (char[]){ "-S" }, (char[]){ "FORWARD" },
			       NULL };
	AUTO(error_clear) struct error ignored = { 0 };
	char *text = NULL;

	return process_run(&text, argv, NULL, OUTPUT_LIMIT, &ignored) < 0 ? NULL : text;
}

static void change(const char *program, const char *verb, const char *direction, const char *bridge)
{
	char *const argv[] = { (char *)(uintptr_t)program,
			       (char[]){ "-w" },
			       (char *)(uintptr_t)verb,
			       (char[]){ "FORWARD" },
			       (char *)(uintptr_t)direction,
			       (char *)(uintptr_t)bridge,
			       (char[]){ "-j" },
			       (char[]){ "ACCEPT" },
			       NULL };
	AUTO(error_clear) struct error ignored = { 0 };

	process_run(NULL, argv, NULL, OUTPUT_LIMIT, &ignored);
}

static bool has_rule(const char *chain, const char *direction, const char *bridge)
{
	AUTO_FREE char *line = xasprintf("-A FORWARD %s %s -j ACCEPT\n", direction, bridge);

	return strstr(chain, line) != NULL;
}

static void change_both(const char *program, const char *chain, const char *bridge, bool admit)
{
	static const char *const directions[] = { "-i", "-o" };

	for (size_t i = 0; i < 2; i++)
		if (has_rule(chain, directions[i], bridge) != admit)
			change(program, admit ? "-I" : "-D", directions[i], bridge);
}

/* ---- firewalld ---- */

#define FIREWALLD_TABLE "firewalld"
#define FIREWALLD_CHAIN "filter_FORWARD"
#define FIREWALLD_OLD_CHAIN "FORWARD_direct" /* where it was told to use iptables */

/* "--add-interface", "kist0": of the zone whose links may speak to anybody. An administrator's choice is kept. */
static int ask_firewalld(const char *option, const char *bridge)
{
	AUTO_FREE char *word = xasprintf("%s=%s", option, bridge);
	char *const argv[] = { (char[]){ "firewall-cmd" }, (char[]){ "--zone=trusted" }, word, NULL };
	AUTO(error_clear) struct error ignored = { 0 };

	return process_run(NULL, argv, NULL, OUTPUT_LIMIT, &ignored);
}

/* Any zone will do: then it is the administrator's. Yours; NULL: it has none. */
static char *zone_of(const char *bridge)
{
	AUTO_FREE char *word = xasprintf("--get-zone-of-interface=%s", bridge);
	char *const argv[] = { (char[]){ "firewall-cmd" }, word, NULL };
	AUTO(error_clear) struct error none = { 0 };
	char *zone = NULL;

	if (process_run(&zone, argv, NULL, OUTPUT_LIMIT, &none) < 0)
		return NULL;
	zone[strcspn(zone, "\n")] = '\0';
	return zone;
}

static bool has_zone(const char *bridge)
{
	AUTO_FREE char *zone = zone_of(bridge);

	return zone != NULL;
}

/* Whether a policy in force leads there: a line "  egress-zones: trusted other" in what tells of them. */
static bool has_policy_to(const char *zone)
{
	char *const argv[] = { (char[]){ "firewall-cmd" }, (char[]){ "--get-active-policies" }, NULL };
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO(error_clear) struct error none = { 0 };
	AUTO_FREE char *text = NULL;
	bool found = false;

	if (process_run(&text, argv, NULL, OUTPUT_LIMIT, &none) < 0)
		return false;
	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		const char *zones = text_after(lines.items[i], "  egress-zones: ");
		AUTO(text_list_fini) struct text_list words = { 0 };

		text_list_split(&words, zones, ' ');
		found |= text_list_contains(&words, zone) || text_list_contains(&words, "ANY");
	}
	return found;
}

bool foreign_is_chain(const char *name)
{
	return text_equal(name, "FORWARD") || text_equal(name, FIREWALLD_CHAIN);
}

/* ---- is there such a chain? Asked without a program, as most often there is none. ---- */

struct forward_chains {
	bool any;
	bool drops;
	bool legacy;
	bool firewalld;
};

static int take_chain(const struct nlmsghdr *message, void *arg)
{
	struct forward_chains *found = arg;
	const char *name = nft_message_text(message, NFTA_CHAIN_NAME);
	uint32_t policy = NF_ACCEPT;

	found->firewalld |= text_equal(name, FIREWALLD_OLD_CHAIN) ||
			    (text_equal(name, FIREWALLD_CHAIN) &&
			     text_equal(nft_message_text(message, NFTA_CHAIN_TABLE), FIREWALLD_TABLE));
	if (!text_equal(name, "FORWARD"))
		return 0;
	found->any = true;
	found->drops |= nft_message_u32(message, NFTA_CHAIN_POLICY, &policy) && policy == NF_DROP;
	return 0;
}

static struct forward_chains find_chains(void)
{
	const struct nfgenmsg family = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 };
	struct forward_chains found = { 0 };
	AUTO_CLOSE int fd = nft_open();
	struct request request;

	request_start(&request, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP, &family, sizeof(family));
	if (fd >= 0)
		request_exchange(fd, &request, take_chain, &found);
	/* The old tables tell only that they are there. */
	for (size_t i = 0; i < 2; i++) {
		static const char *const files[] = { "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names" };
		AUTO_FREE char *names = NULL;

		found.legacy |= file_read(&names, NULL, AT_FDCWD, files[i], 4096) == 0 && strstr(names, "filter");
	}
	found.any |= found.legacy;
	found.drops |= found.legacy;
	return found;
}

static size_t program_count(const struct forward_chains *chains)
{
	return chains->legacy ? PROGRAM_COUNT : LEGACY;
}

void foreign_admit(const char *bridge)
{
	struct forward_chains chains = find_chains();

	if (chains.firewalld)
		ask_firewalld("--add-interface", bridge);
	for (size_t i = 0; chains.drops && i < program_count(&chains); i++) {
		AUTO_FREE char *chain = read_chain(programs[i]);

		if (chain && text_has_prefix(chain, "-P FORWARD DROP"))
			change_both(programs[i], chain, bridge, true);
	}
}

bool foreign_drops(const char *bridge)
{
	struct forward_chains chains = find_chains();

	for (size_t i = 0; chains.drops && i < program_count(&chains); i++) {
		AUTO_FREE char *chain = read_chain(programs[i]);

		if (chain && text_has_prefix(chain, "-P FORWARD DROP") &&
		    (!has_rule(chain, "-i", bridge) || !has_rule(chain, "-o", bridge)))
			return true;
	}
	return chains.firewalld && !has_zone(bridge);
}

bool foreign_shuts_out(const char *bridge)
{
	AUTO_FREE char *zone = NULL;

	if (!find_chains().firewalld)
		return false;
	zone = zone_of(bridge);
	return !zone || !has_policy_to(zone);
}

bool foreign_is_unknown(void)
{
	AUTO_FREE char *chain = NULL;

	if (!find_chains().legacy)
		return false;
	chain = read_chain(programs[LEGACY]);
	return !chain;
}

void foreign_withdraw(const char *bridge)
{
	struct forward_chains chains = find_chains();

	if (chains.firewalld)
		ask_firewalld("--remove-interface", bridge);
	for (size_t i = 0; chains.any && i < program_count(&chains); i++) {
		AUTO_FREE char *chain = read_chain(programs[i]);

		if (chain)
			change_both(programs[i], chain, bridge, false);
	}
}

void foreign_admit_all(struct network *network)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	const struct bridge *bridge;
	size_t at = 0;

	mutex_lock(&network->mutex);
	while ((bridge = map_next(&network->bridges, &at, NULL)))
		if (bridge->driver == NETWORK_BRIDGE)
			text_list_add(&names, bridge->name);
	mutex_unlock(&network->mutex);
	for (size_t i = 0; i < names.count; i++)
		foreign_admit(names.items[i]);
}
