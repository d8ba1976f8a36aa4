/* SPDX-License-Identifier: Apache-2.0 */
/* Any header: no crash, and what was chosen can be answered. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "transfer/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *header = xstrndup((const char *)data, size);
	AUTO(challenge_list_fini) struct challenge_list list = { 0 };
	const struct challenge *one;

	challenge_parse(&list, header);
	one = challenge_choose(&list);
	if (one && (one->scheme == CHALLENGE_OTHER ||
		    (one->scheme == CHALLENGE_BEARER && text_empty(text_map_get(&one->parameters, "realm")))))
		abort();
	return 0;
}
