/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the kernel's messages about packet rules: other programs on the host write names and comments in them. */
#include <linux/netlink.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "sys/netlink_request.h"
#include "sys/nftables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE uint8_t *copy = xmalloc(size + 1);
	const struct nlmsghdr *message = (const void *)copy;
	size_t left = size;

	memcpy(copy, data, size);
	for (; message_is_whole(message, left); message = message_next(message, &left))
		for (unsigned attribute = 0; attribute < 4; attribute++) {
			const char *text = nft_message_text(message, attribute);
			uint32_t number;

			if (text && (const uint8_t *)text + strlen(text) >= copy + size)
				__builtin_trap();
			nft_message_u32(message, attribute, &number);
		}
	return 0;
}
