/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/network_rate.h"

#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define RATE_MIN 8000ULL		 /* bits a second */
#define RATE_MAX 400000000000ULL	 /* 400 Gbit/s */
#define BURST_MIN 16384ULL		 /* bytes: a few packets, and segments that are not cut yet */
#define BURST_MAX (512ULL * 1024 * 1024) /* bytes */
#define BURST_MS 25			 /* of the rate, where none is named */

/* As tc(8) reads rates: decimal, bits a second. */
static const struct {
	const char *suffix;
	uint64_t bits;
} units[] = { { "kbit", 1000 },	    { "mbit", 1000000 },     { "gbit", 1000000000 },	{ "bit", 1 },
	      { "kbps", 8 * 1000 }, { "mbps", 8 * 1000000 }, { "gbps", 8000000000ULL }, { "bps", 8 } };

static int parse_rate(uint64_t *out_bits, const char *text)
{
	size_t digits = strspn(text, "0123456789");
	AUTO_FREE char *number = xstrndup(text, digits);
	uint64_t value;

	if (text_parse_u64(&value, number, RATE_MAX) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!text_equal_ignoring_case(text + digits, units[i].suffix))
			continue;
		if (value > RATE_MAX / units[i].bits)
			return -1;
		*out_bits = value * units[i].bits;
		return 0;
	}
	if (text[digits])
		return -1;
	*out_bits = value;
	return 0;
}

int network_rate_parse(uint64_t *out_bits, uint64_t *out_burst_bits, const char *text, struct error *err)
{
	const char *slash = strchr(text, '/');
	AUTO_FREE char *rate = slash ? xstrndup(text, (size_t)(slash - text)) : xstrdup(text);
	int64_t burst = 0;
	uint64_t bits;

	if (parse_rate(&bits, rate) < 0 || bits < RATE_MIN || bits > RATE_MAX)
		return error_set(err, ERR_INVALID, "invalid rate \"%s\": 8kbit to 400gbit, as in 10mbit or 2mbit/256k",
				 text);
	if (slash &&
	    (text_parse_size(&burst, slash + 1) < 0 || burst < (int64_t)BURST_MIN || burst > (int64_t)BURST_MAX))
		return error_set(err, ERR_INVALID, "invalid burst \"%s\": 16k to 512m", slash + 1);
	if (!slash) {
		uint64_t bytes = bits / 8 * BURST_MS / 1000;

		burst = (int64_t)(bytes < 4 * BURST_MIN ? 4 * BURST_MIN : bytes > BURST_MAX ? BURST_MAX : bytes);
	}
	*out_bits = bits;
	*out_burst_bits = (uint64_t)burst * 8;
	return 0;
}

int network_rates_read(struct network_rates *out_rates, const struct endpoint_settings *endpoint, struct error *err)
{
	const char *ingress = text_map_get(&endpoint->driver_opts, RATE_INGRESS);
	const char *egress = text_map_get(&endpoint->driver_opts, RATE_EGRESS);
	struct network_rates rates = { 0 };

	if (ingress && network_rate_parse(&rates.ingress_bits, &rates.ingress_burst_bits, ingress, err) < 0)
		return error_prefix(err, RATE_INGRESS);
	if (egress && network_rate_parse(&rates.egress_bits, &rates.egress_burst_bits, egress, err) < 0)
		return error_prefix(err, RATE_EGRESS);
	*out_rates = rates;
	return 0;
}
