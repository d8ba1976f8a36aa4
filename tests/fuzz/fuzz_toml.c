/* SPDX-License-Identifier: Apache-2.0 */
/* Any text: no crash, and what comes out is JSON, or has bytes in it that are no UTF-8. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "json/toml.h"
#include "json/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(error_clear) struct error refused = { 0 };
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO_FREE char *json = NULL;

	if (toml_to_json(&json, (const char *)data, size, &err) < 0)
		return 0;
	if (json_value_parse(&value, json, strlen(json), &refused) == 0)
		return 0;
	for (size_t i = 0; i < size; i++)
		if (data[i] >= 0x80)
			return 0;
	/* Numbers beyond a double are JSON too, but jansson has no place for them. */
	if (strpbrk(json, "eE"))
		return 0;
	abort();
}
