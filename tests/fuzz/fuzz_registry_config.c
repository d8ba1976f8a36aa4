/* SPDX-License-Identifier: Apache-2.0 */
/* Any configuration file of kist-registry: read, checked and freed, or refused with a reason. */
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "registryd/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(registry_config_fini) struct registry_config config = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	int r = registry_config_parse(&config, (const char *)data, size, &err);

	if (r == 0)
		r = registry_config_check(&config, &err);
	if ((r < 0) != error_is_set(&err))
		abort();
	if (r == 0 && registry_config_fixed(&config, &config))
		abort();
	return 0;
}
