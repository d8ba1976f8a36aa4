/* SPDX-License-Identifier: Apache-2.0 */
/* The `filters` parameter, in both spellings. */
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = xstrndup((const char *)data, size);
	AUTO(error_clear) struct error err = { 0 };
	struct filter_set set = { 0 };
	bool value;

	if (filter_set_parse(&set, text, NULL, &err) < 0)
		return 0;
	filter_match_exact(&set, "status", "running");
	filter_match_pattern(&set, "name", "web");
	filter_bool(&value, &set, "dangling", false, &err);
	filter_set_fini(&set);
	return 0;
}
