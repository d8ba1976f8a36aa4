/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes: parse, print, parse again; the second text must equal the first. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "json/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(json_value_freep) struct json_value *first = NULL;
	AUTO(json_value_freep) struct json_value *second = NULL;
	AUTO(text_fini) struct text once = { 0 };
	AUTO(text_fini) struct text twice = { 0 };

	if (json_value_parse(&first, (const char *)data, size, &err) < 0)
		return 0;
	json_value_encode(&once, first, NULL);
	if (json_value_parse(&second, once.data, once.size, &err) < 0)
		abort();
	json_value_encode(&twice, second, NULL);
	if (strcmp(once.data, twice.data) != 0)
		abort();
	return 0;
}
