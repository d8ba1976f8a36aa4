/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a CNI plugin printed: its result, and its error. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cni/result.h"
#include "sys/netlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken for a result holds only what can be used, and is still one after it was written. */
static void use(const struct cni_result *result)
{
	AUTO_FREE char *text = json_encode(result, cni_result_fields);
	AUTO(cni_result_fini) struct cni_result again = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	struct net_address address;

	for (size_t i = 0; i < result->ips.count; i++) {
		const struct cni_ip *ip = &result->ips.items[i];

		if (net_address_parse(&address, ip->address) < 0 ||
		    (ip->interface.set && (size_t)ip->interface.value >= result->interfaces.count))
			abort();
	}
	if (cni_result_parse(&again, text, strlen(text), &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(cni_result_fini) struct cni_result result = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *sentence = cni_failure_text((const char *)data, size);

	if (sentence && !*sentence)
		abort();
	if (cni_result_parse(&result, (const char *)data, size, &err) == 0)
		use(&result);
	return 0;
}
