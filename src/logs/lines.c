/* SPDX-License-Identifier: Apache-2.0 */
#include "logs/lines.h"

#include <string.h>

#include "base/clock.h"
#include "base/random.h"

/* whole: the line ends here. */
static void give(struct lines *lines, bool whole)
{
	struct log_message message = lines->part;

	if (!whole && !message.partial) {
		message.partial = true;
		message.time_ns = clock_wall_ns();
		random_hex(message.partial_id, 32);
	}
	if (message.partial)
		message.ordinal++;
	else
		message.time_ns = clock_wall_ns();
	message.data = lines->data;
	message.size = lines->size;
	message.is_error = lines->is_error;
	message.last = message.partial && whole;
	lines->give(lines->context, &message);
	lines->part = whole ? (struct log_message){ 0 } : message;
	lines->size = 0;
}

void lines_add(struct lines *lines, const char *data, size_t size)
{
	while (size > 0) {
		const char *end = memchr(data, '\n', size);
		size_t length = end ? (size_t)(end - data) : size;
		size_t part = sizeof(lines->data) - lines->size;

		if (part > length)
			part = length;
		memcpy(lines->data + lines->size, data, part);
		lines->size += part;
		if (part == length && end)
			give(lines, true);
		else if (lines->size == sizeof(lines->data))
			give(lines, false);
		part += part == length && end;
		data += part;
		size -= part;
	}
}

void lines_end(struct lines *lines)
{
	if (lines->size > 0 || lines->part.partial)
		give(lines, true);
}
