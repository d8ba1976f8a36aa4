/* SPDX-License-Identifier: Apache-2.0 */
/* Whether our rules are still there: counted, and compared with what would be written now. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "network/firewall.h"
#include "sys/nftables.h"

#define OUTPUT_LIMIT 65536
#define LOOKS 20
#define LOOK_PAUSE_MS 20

static unsigned count_lines(const char *text, const char *prefix)
{
	unsigned count = 0;

	for (const char *at = text; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		count += text_has_prefix(at, prefix);
	}
	return count;
}

/* 1 all there, 0 not, -EINTR: they changed meanwhile. */
static int has_rules(const struct network *network, int fd, const char *text)
{
	int count = nft_count_rules(fd, NFPROTO_INET, network->table, "user");

	if (count < 0)
		return count == -EINTR ? count : 0;
	return (unsigned)count == count_lines(text, "add rule ");
}

static int has_elements(const struct network *network, int fd, const char *text)
{
	for (size_t i = 0; firewall_sets[i]; i++) {
		AUTO_FREE char *prefix = xasprintf("add element inet %s %s ", network->table, firewall_sets[i]);
		int count = nft_count_elements(fd, network->table, firewall_sets[i]);

		if (count < 0)
			return count == -EINTR ? count : 0;
		if ((unsigned)count != count_lines(text, prefix))
			return 0;
	}
	return 1;
}

static int look(const struct network *network, const char *text)
{
	AUTO_CLOSE int fd = nft_open();
	int whole;

	if (fd < 0)
		return 1; /* unknown: nothing is done */
	whole = has_rules(network, fd, text);
	return whole == 1 ? has_elements(network, fd, text) : whole;
}

/* What changes while it is looked at is looked at again. */
bool firewall_is_whole(struct network *network)
{
	int whole = -EINTR;

	for (int i = 0; whole != 1 && i < LOOKS; i++) {
		uint64_t before, after;
		AUTO_FREE char *text = firewall_text(network, &before);

		whole = look(network, text);
		mutex_lock(&network->mutex);
		after = network->generation;
		mutex_unlock(&network->mutex);
		if (whole == 0 && before == after)
			return false;
		if (whole != 1)
			clock_sleep_ms(LOOK_PAUSE_MS);
	}
	return whole != 0;
}

bool firewall_has_port(const struct network *network, const struct endpoint_record *record,
		       const struct binding_record *binding)
{
	char *const argv[] = { network->nft, (char[]){ "-f" }, (char[]){ "-" }, NULL };
	AUTO(text_fini) struct text batch = { 0 };
	AUTO(error_clear) struct error missing = { 0 };

	firewall_port_line(&batch, network, record, binding, "get");
	return batch.size && process_run(NULL, argv, batch.data, OUTPUT_LIMIT, &missing) == 0;
}
