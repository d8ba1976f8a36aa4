/* SPDX-License-Identifier: Apache-2.0 */
/* Any Range and Content-Range: what is accepted lies inside of the blob. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "http/byte_range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t sizes[] = { 0, 1, 100, INT64_MAX };
	AUTO_FREE char *header = xstrndup((const char *)data, size);
	uint64_t first = 0;
	uint64_t last = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t offset = 0;
		uint64_t count = sizes[i];

		if (range_parse(&offset, &count, header, sizes[i]) == RANGE_PART &&
		    (count == 0 || offset >= sizes[i] || count > sizes[i] - offset))
			abort();
	}
	if (range_parse_content(&first, &last, header) == 0 && last < first)
		abort();
	return 0;
}
