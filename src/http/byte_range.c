/* SPDX-License-Identifier: Apache-2.0 */
#include "http/byte_range.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

static int parse_number(uint64_t *out_number, const char *text, size_t size)
{
	AUTO_FREE char *copy = xstrndup(text, size);

	return text_parse_u64(out_number, copy, INT64_MAX);
}

/* "-n": the last n bytes. */
static enum range_result parse_suffix(uint64_t *out_offset, uint64_t *out_count, const char *text, uint64_t size)
{
	uint64_t count;

	if (text_parse_u64(&count, text, INT64_MAX) < 0)
		return RANGE_WHOLE;
	if (count == 0 || size == 0)
		return RANGE_UNSATISFIABLE;
	*out_count = count < size ? count : size;
	*out_offset = size - *out_count;
	return RANGE_PART;
}

enum range_result range_parse(uint64_t *out_offset, uint64_t *out_count, const char *header, uint64_t size)
{
	const char *text = header ? text_after(header, "bytes=") : NULL;
	const char *dash = text ? strchr(text, '-') : NULL;
	uint64_t first;
	uint64_t last = UINT64_MAX;

	if (!dash || strchr(text, ','))
		return RANGE_WHOLE;
	if (dash == text)
		return parse_suffix(out_offset, out_count, dash + 1, size);
	if (parse_number(&first, text, (size_t)(dash - text)) < 0)
		return RANGE_WHOLE;
	if (dash[1] && text_parse_u64(&last, dash + 1, INT64_MAX) < 0)
		return RANGE_WHOLE;
	if (last < first || first >= size)
		return RANGE_UNSATISFIABLE;
	*out_offset = first;
	*out_count = (last < size - 1 ? last : size - 1) - first + 1;
	return RANGE_PART;
}

int range_parse_content(uint64_t *out_first, uint64_t *out_last, const char *header)
{
	const char *text = text_after(header, "bytes ");
	const char *dash;

	if (!text)
		text = header;
	dash = strchr(text, '-');
	if (!dash || parse_number(out_first, text, (size_t)(dash - text)) < 0 ||
	    parse_number(out_last, dash + 1, strcspn(dash + 1, "/")) < 0)
		return -EINVAL;
	return *out_last < *out_first ? -EINVAL : 0;
}
