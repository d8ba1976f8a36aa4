/* SPDX-License-Identifier: Apache-2.0 */
#include "systemd/property.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

static int append_u32s(sd_bus_message *message, const struct text_list *words)
{
	int r = sd_bus_message_open_container(message, 'a', "u");

	for (size_t i = 0; r >= 0 && i < words->count; i++) {
		uint64_t number;

		if (text_parse_u64(&number, words->items[i], UINT32_MAX) < 0)
			return -EINVAL;
		r = sd_bus_message_append(message, "u", (uint32_t)number);
	}
	return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_strings(sd_bus_message *message, const struct text_list *words)
{
	int r = sd_bus_message_open_container(message, 'a', "s");

	for (size_t i = 0; r >= 0 && i < words->count; i++)
		r = sd_bus_message_append(message, "s", words->items[i]);
	return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_pairs(sd_bus_message *message, const struct text_list *words)
{
	int r = sd_bus_message_open_container(message, 'a', "(ss)");

	if (words->count % 2)
		return -EINVAL;
	for (size_t i = 0; r >= 0 && i < words->count; i += 2)
		r = sd_bus_message_append(message, "(ss)", words->items[i], words->items[i + 1]);
	return r < 0 ? r : sd_bus_message_close_container(message);
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int append_bytes(sd_bus_message *message, const char *text)
{
	size_t size = strlen(text) / 2;
	AUTO_FREE unsigned char *bytes = xcalloc(size + 1, 1);

	if (strlen(text) % 2)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		bytes[i] = (unsigned char)(high << 4 | low);
	}
	return sd_bus_message_append_array(message, 'y', bytes, size);
}

static int append_number(sd_bus_message *message, const char *type, const char *text)
{
	bool negative = *text == '-' && *type == 'i';
	uint64_t limit = *type == 't' ? UINT64_MAX : *type == 'u' ? UINT32_MAX : INT32_MAX;
	uint64_t number;

	if (text_parse_u64(&number, text + negative, limit) < 0)
		return -EINVAL;
	if (*type == 't')
		return sd_bus_message_append(message, "t", number);
	if (*type == 'u')
		return sd_bus_message_append(message, "u", (uint32_t)number);
	return sd_bus_message_append(message, "i", negative ? -(int32_t)number : (int32_t)number);
}

static int append_value(sd_bus_message *message, const char *type, const char *value)
{
	AUTO(text_list_fini) struct text_list words = { 0 };

	if (text_equal(type, "s"))
		return sd_bus_message_append(message, "s", value);
	if (text_equal(type, "b")) {
		if (!text_equal(value, "true") && !text_equal(value, "false"))
			return -EINVAL;
		return sd_bus_message_append(message, "b", text_equal(value, "true"));
	}
	if (text_equal(type, "t") || text_equal(type, "u") || text_equal(type, "i"))
		return append_number(message, type, value);
	if (text_equal(type, "ay"))
		return append_bytes(message, value);
	if (*value)
		text_list_split(&words, value, ' ');
	if (text_equal(type, "as"))
		return append_strings(message, &words);
	if (text_equal(type, "au"))
		return append_u32s(message, &words);
	return text_equal(type, "a(ss)") ? append_pairs(message, &words) : -EINVAL;
}

static int append_one(sd_bus_message *message, const char *name, const char *type, const char *value)
{
	int r = sd_bus_message_open_container(message, 'r', "sv");

	if (r >= 0)
		r = sd_bus_message_append(message, "s", name);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'v', type);
	if (r >= 0)
		r = append_value(message, type, value);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_line(sd_bus_message *message, const char *line, struct error *err)
{
	AUTO_FREE char *name = xstrdup(line);
	char *type = strchr(name, ' ');
	char *value = type ? strchr(type + 1, ' ') : NULL;
	int r;

	if (!value)
		return error_set(err, ERR_INVALID, "property \"%s\" is not NAME TYPE VALUE", line);
	*type++ = '\0';
	*value++ = '\0';
	r = append_one(message, name, type, value);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "property \"%s\"", line);
	return 0;
}

int property_append_all(sd_bus_message *message, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };

	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++)
		if (*lines.items[i] && append_line(message, lines.items[i], err) < 0)
			return -1;
	return 0;
}
