/* SPDX-License-Identifier: Apache-2.0 */
/* byte_range.h - the Range header of a GET (RFC 9110, 14.2) and the Content-Range of a PATCH (distribution-spec). */
#pragma once

#include <stdint.h>

enum range_result {
	RANGE_WHOLE, /* no range, or one we may ignore (other units, several ranges) */
	RANGE_PART,
	RANGE_UNSATISFIABLE
};

/* header may be NULL. Fills the outs for RANGE_PART: first byte and number of bytes, clipped to size. */
enum range_result range_parse(uint64_t *out_offset, uint64_t *out_count, const char *header, uint64_t size);

/* "100-199" or "bytes 100-199/x": 0, or -EINVAL. */
int range_parse_content(uint64_t *out_first, uint64_t *out_last, const char *header);
