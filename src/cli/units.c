/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/units.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/quote.h"

static void add_scaled(struct text *out, double size, double base, const char *const *names, int digits)
{
	size_t i = 0;

	for (; size >= base && i < 8; i++)
		size /= base;
	text_addf(out, "%.*g%s", digits, size, names[i]);
}

void units_add_size(struct text *out, double bytes, int digits)
{
	static const char *const names[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB" };

	add_scaled(out, bytes, 1000.0, names, digits);
}

void units_add_binary(struct text *out, double bytes)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB" };

	add_scaled(out, bytes, 1024.0, names, 4);
}

char *units_size(double bytes, int digits)
{
	struct text text = { 0 };

	units_add_size(&text, bytes, digits);
	return text_take(&text);
}

char *units_duration(int64_t ns)
{
	long long seconds = ns / CLOCK_SECOND;
	long long minutes = seconds / 60;
	long long hours = (seconds + 1800) / 3600;

	if (seconds < 1)
		return xstrdup("Less than a second");
	if (seconds == 1)
		return xstrdup("1 second");
	if (seconds < 60)
		return xasprintf("%lld seconds", seconds);
	if (minutes == 1)
		return xstrdup("About a minute");
	if (minutes < 60)
		return xasprintf("%lld minutes", minutes);
	if (hours == 1)
		return xstrdup("About an hour");
	if (hours < 48)
		return xasprintf("%lld hours", hours);
	if (hours < 24 * 7 * 2)
		return xasprintf("%lld days", hours / 24);
	if (hours < 24 * 30 * 2)
		return xasprintf("%lld weeks", hours / 24 / 7);
	if (hours < 24 * 365 * 2)
		return xasprintf("%lld months", hours / 24 / 30);
	return xasprintf("%lld years", seconds / 3600 / 24 / 365);
}

char *units_time(int64_t seconds)
{
	time_t when = (time_t)seconds;
	char text[64];
	struct tm tm;

	if (!localtime_r(&when, &tm) || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", &tm) == 0)
		return xstrdup("");
	return xstrdup(text);
}

/* East Asian wide characters and emoji, coarsely. */
static bool is_wide(uint32_t rune)
{
	static const uint32_t ranges[][2] = { { 0x1100, 0x115f },   { 0x2e80, 0x303e },	 { 0x3040, 0xa4cf },
					      { 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },	 { 0xfe30, 0xfe6f },
					      { 0xff00, 0xff60 },   { 0xffe0, 0xffe6 },	 { 0x1f300, 0x1f64f },
					      { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd } };

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (rune >= ranges[i][0] && rune <= ranges[i][1])
			return true;
	return false;
}

/* Cells of the character at text; *out_size is its length in bytes. */
static size_t cell_width(const char *text, size_t *out_size)
{
	static const uint8_t masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	size_t size = utf8_sequence(text, strlen(text));
	uint32_t rune = (uint8_t)text[0];

	*out_size = size ? size : 1;
	if (size < 2)
		return 1;
	rune &= masks[size];
	for (size_t i = 1; i < size; i++)
		rune = rune << 6 | ((uint8_t)text[i] & 63);
	return is_wide(rune) ? 2 : 1;
}

size_t units_width(const char *text)
{
	size_t width = 0;
	size_t size;

	for (; *text; text += size)
		width += cell_width(text, &size);
	return width;
}

char *units_ellipsis(const char *text, size_t width)
{
	size_t kept = 0;
	size_t used = 0;
	size_t size;

	if (units_width(text) <= width)
		return xstrdup(text);
	while (text[kept]) {
		size_t cells = cell_width(text + kept, &size);

		if (used + cells > width - 1)
			break;
		used += cells;
		kept += size;
	}
	return xasprintf("%.*s\u2026", (int)kept, text);
}

char *units_short_id(const char *id)
{
	const char *colon = strchr(id, ':');

	return xstrndup(colon ? colon + 1 : id, 12);
}

char *units_quote(const char *text)
{
	static const char letters[] = "abfnrtv";
	static const char values[] = "\a\b\f\n\r\t\v";
	struct text out = { 0 };

	text_add_char(&out, '"');
	while (*text) {
		size_t size = utf8_sequence(text, strlen(text));
		const char *known = strchr(values, *text);

		if (*text == '"' || *text == '\\')
			text_addf(&out, "\\%c", *text);
		else if (known)
			text_addf(&out, "\\%c", letters[known - values]);
		else if (size == 0 || (uint8_t)*text < 0x20 || *text == 0x7f)
			text_addf(&out, "\\x%02x", (uint8_t)*text);
		else
			text_add_bytes(&out, text, size);
		text += size ? size : 1;
	}
	text_add_char(&out, '"');
	return text_take(&out);
}
