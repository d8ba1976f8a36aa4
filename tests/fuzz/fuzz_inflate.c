/* SPDX-License-Identifier: Apache-2.0 */
/* First byte: how many bytes at a time. Output is bounded, whatever the input claims. */
#include <stdint.h>
#include <stdlib.h>

#include "archive/inflate.h"

#define LIMIT (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *arg, const void *data, size_t size, struct error *err)
{
	uint64_t *total = arg;

	(void)data;
	(void)err;
	*total += size;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(inflate_freep) struct inflate *inflate = inflate_new(LIMIT);
	size_t step = size > 0 ? (size_t)data[0] + 1 : 1;
	uint64_t total = 0;
	int r = 0;

	for (size_t at = 1; r == 0 && at < size; at += step)
		r = inflate_write(inflate, data + at, size - at < step ? size - at : step, count, &total, &err);
	if (r == 0)
		r = inflate_finish(inflate, &err);
	if (total > LIMIT || (r < 0) != error_is_set(&err))
		abort();
	return 0;
}
