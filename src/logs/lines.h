/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines.h - a stream of bytes cut into messages, at ends of lines and at
 * LOG_MESSAGE_MAX. What has no end of line is a message when the stream ends.
 */
#pragma once

#include "logs/driver.h"

struct lines {
	char data[LOG_MESSAGE_MAX];
	size_t size;
	bool is_error;
	struct log_message part; /* partial: parts of this line were given out */
	void (*give)(void *context, const struct log_message *message);
	void *context;
};

void lines_add(struct lines *lines, const char *data, size_t size);
void lines_end(struct lines *lines);
