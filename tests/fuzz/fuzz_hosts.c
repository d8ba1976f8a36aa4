/* SPDX-License-Identifier: Apache-2.0 */
/* Any hosts.toml or registries.conf: no crash, and whoever may be asked has an address. */
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "transfer/hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct host_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (!list->items[i].address || !list->items[i].repository)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(error_clear) struct error other = { 0 };
	AUTO(host_list_fini) struct host_list toml = { 0 };
	AUTO(host_list_fini) struct host_list registries = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };

	if (reference_parse(&reference, "a.example/team/x:1", &err) < 0)
		abort();
	if (hosts_parse_toml(&toml, &reference, (const char *)data, size, "/nonexistent", &err) == 0)
		check(&toml);
	if (hosts_parse_registries(&registries, &reference, (const char *)data, size, &other) == 0)
		check(&registries);
	return 0;
}
