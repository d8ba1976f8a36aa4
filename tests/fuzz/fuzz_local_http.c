/* SPDX-License-Identifier: Apache-2.0 */
/* Any response: no crash, no more body than bytes, and the parser always moves on or asks for more. */
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "http/local_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(local_head_fini) struct local_head head = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	struct local_body body;
	size_t used = 0;
	size_t at;

	if (local_head_parse(&head, (const char *)data, size, &used, &err) != 1)
		return 0;
	if (used == 0 || used > size)
		abort();
	if (local_body_init(&body, &head, "GET", &err) < 0)
		return 0;
	for (at = used; at < size && !body.done; at += used) {
		const uint8_t *found;
		size_t found_size;

		if (local_body_take(&body, data + at, size - at, &used, &found, &found_size, &err) < 0)
			return 0;
		if (used > size - at || found_size > used)
			abort();
		if (used == 0)
			break;
	}
	return 0;
}
