/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

static int64_t read_clock(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * CLOCK_SECOND + now.tv_nsec;
}

int64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

void clock_sleep_ms(int64_t ms)
{
	struct timespec rest = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * CLOCK_MS };

	while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
		continue;
}

/*
 * gmtime_r() without its look at /etc/localtime. Days are counted from 1 March
 * of the year 0, so that the leap day is the last of its year.
 */
static void utc_of(time_t seconds, struct tm *out_tm)
{
	int64_t days = seconds / 86400 - (seconds % 86400 < 0);
	int64_t rest = seconds - days * 86400;
	int64_t shifted = days + 719468;
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t day = shifted - era * 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t of_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153;

	*out_tm = (struct tm){ .tm_sec = (int)(rest % 60),
			       .tm_min = (int)(rest / 60 % 60),
			       .tm_hour = (int)(rest / 3600),
			       .tm_mday = (int)(of_year - (153 * month + 2) / 5 + 1),
			       .tm_mon = (int)(month < 10 ? month + 2 : month - 10),
			       .tm_year = (int)(year + era * 400 + (month >= 10) - 1900) };
}

static const char *format(char out[CLOCK_TEXT_MAX], int64_t wall_ns, bool trim)
{
	time_t seconds = (time_t)(wall_ns / CLOCK_SECOND);
	int64_t nanos = wall_ns % CLOCK_SECOND;
	int digits = 9;
	struct tm tm;
	size_t size;

	if (wall_ns == 0) {
		snprintf(out, CLOCK_TEXT_MAX, "0001-01-01T00:00:00Z");
		return out;
	}
	if (nanos < 0) {
		nanos += CLOCK_SECOND;
		seconds--;
	}
	for (; trim && digits && nanos % 10 == 0; digits--)
		nanos /= 10;
	utc_of(seconds, &tm);
	size = strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	if (digits)
		snprintf(out + size, CLOCK_TEXT_MAX - size, ".%0*" PRId64 "Z", digits, nanos);
	else
		snprintf(out + size, CLOCK_TEXT_MAX - size, "Z");
	return out;
}

const char *clock_format(char out[CLOCK_TEXT_MAX], int64_t wall_ns)
{
	return format(out, wall_ns, true);
}

const char *clock_format_fixed(char out[CLOCK_TEXT_MAX], int64_t wall_ns)
{
	return format(out, wall_ns, false);
}

/* Reads ".123" as nanoseconds; moves *at behind it. */
static int64_t parse_fraction(const char **at)
{
	int64_t scale = CLOCK_SECOND;
	int64_t nanos = 0;

	if (**at != '.')
		return 0;
	for ((*at)++; **at >= '0' && **at <= '9'; (*at)++) {
		scale /= 10;
		nanos += scale * (**at - '0');
	}
	return nanos;
}

/* Reads `count` digits and, if it is not NUL, the character behind them; -1 if they are not there. */
static int parse_digits(const char **at, int count, char behind)
{
	int value = 0;

	for (; count > 0; count--, (*at)++) {
		if (**at < '0' || **at > '9')
			return -1;
		value = value * 10 + (**at - '0');
	}
	if (behind && *(*at)++ != behind)
		return -1;
	return value;
}

/* Reads "Z", "+hh:mm" or "-hh:mm" as seconds east of UTC. */
static int parse_zone(int64_t *out_seconds, const char *text)
{
	const char *at = text + 1;
	int hours;
	int minutes;

	if (text_equal(text, "Z") || text_equal(text, "z")) {
		*out_seconds = 0;
		return 0;
	}
	if (text[0] != '+' && text[0] != '-')
		return -EINVAL;
	hours = parse_digits(&at, 2, ':');
	minutes = hours < 0 ? -1 : parse_digits(&at, 2, '\0');
	if (minutes < 0 || *at || hours > 23 || minutes > 59)
		return -EINVAL;
	*out_seconds = (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	return 0;
}

/* "2024-01-31T23:59:60"; moves *at behind it. There may be a million lines with one each: sscanf() is slow. */
static int parse_date_and_time(struct tm *tm, const char **at)
{
	tm->tm_year = parse_digits(at, 4, '-');
	tm->tm_mon = tm->tm_year < 0 ? -1 : parse_digits(at, 2, '-');
	tm->tm_mday = tm->tm_mon < 0 ? -1 : parse_digits(at, 2, 'T');
	tm->tm_hour = tm->tm_mday < 0 ? -1 : parse_digits(at, 2, ':');
	tm->tm_min = tm->tm_hour < 0 ? -1 : parse_digits(at, 2, ':');
	tm->tm_sec = tm->tm_min < 0 ? -1 : parse_digits(at, 2, '\0');
	return tm->tm_sec < 0 ? -EINVAL : 0;
}

int clock_parse(int64_t *out_wall_ns, const char *text)
{
	struct tm tm = { 0 };
	const char *at = text;
	int64_t zone;
	int64_t nanos;

	if (text_equal(text, "0001-01-01T00:00:00Z")) {
		*out_wall_ns = 0;
		return 0;
	}
	if (parse_date_and_time(&tm, &at) < 0)
		return -EINVAL;
	if (tm.tm_year < 1678 || tm.tm_year > 2261 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return -EINVAL;
	nanos = parse_fraction(&at);
	if (parse_zone(&zone, at) < 0)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*out_wall_ns = ((int64_t)timegm(&tm) - zone) * CLOCK_SECOND + nanos;
	return 0;
}

static int64_t unit_ns(const char **at)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = { { "ns", 1 },
		      { "us", 1000 },
		      { "\u00b5s", 1000 },
		      { "ms", CLOCK_MS },
		      { "s", CLOCK_SECOND },
		      { "m", 60 * CLOCK_SECOND },
		      { "h", 3600 * CLOCK_SECOND } };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		const char *rest = text_after(*at, units[i].name);

		if (rest && !(*rest >= 'a' && *rest <= 'z')) {
			*at = rest;
			return units[i].ns;
		}
	}
	return 0;
}

int clock_parse_duration(int64_t *out_ns, const char *text)
{
	double total = 0;
	const char *at = text;
	bool negative = *at == '-';

	if (*at == '-' || *at == '+')
		at++;
	if (text_equal(at, "0")) {
		*out_ns = 0;
		return 0;
	}
	if (!*at)
		return -EINVAL;
	while (*at) {
		char *end;
		double value;
		int64_t unit;

		if (strspn(at, "0123456789.") == 0)
			return -EINVAL;
		value = strtod(at, &end);
		at = end;
		unit = unit_ns(&at);
		if (!unit)
			return -EINVAL;
		total += value * (double)unit;
	}
	if (total >= 9.2e18)
		return -ERANGE;
	*out_ns = (int64_t)(negative ? -total : total);
	return 0;
}

int clock_parse_moment(int64_t *out_wall_ns, const char *text)
{
	AUTO_FREE char *local = NULL;
	const char *at;
	int64_t value;
	char *end;

	if (clock_parse(out_wall_ns, text) == 0)
		return 0;
	if (strspn(text, "0123456789.") == strlen(text) && *text) {
		errno = 0;
		value = strtoll(text, &end, 10);
		if (errno || value > INT64_MAX / CLOCK_SECOND - 1)
			return -ERANGE;
		at = end;
		*out_wall_ns = value * CLOCK_SECOND + parse_fraction(&at);
		return *at ? -EINVAL : 0;
	}
	if (clock_parse_duration(&value, text) == 0) {
		*out_wall_ns = clock_wall_ns() - value;
		return 0;
	}
	/* A date, or a date and time without a zone, is UTC. */
	local = strchr(text, 'T') ? xasprintf("%sZ", text) : xasprintf("%sT00:00:00Z", text);
	return clock_parse(out_wall_ns, local);
}

/* Digits of a fraction without the zeros behind them. */
static void add_fraction(char out[CLOCK_TEXT_MAX], uint64_t value, uint64_t unit, const char *name)
{
	char digits[24];
	uint64_t rest = value % unit;
	size_t size;

	digits[0] = '\0';
	if (rest) {
		int width = unit == 1000000000 ? 9 : unit == 1000000 ? 6 : 3;

		snprintf(digits, sizeof(digits), ".%0*llu", width, (unsigned long long)rest);
		for (size = strlen(digits); digits[size - 1] == '0'; size--)
			digits[size - 1] = '\0';
	}
	size = strlen(out);
	snprintf(out + size, CLOCK_TEXT_MAX - size, "%llu%s%s", (unsigned long long)(value / unit), digits, name);
}

const char *clock_format_duration(char out[CLOCK_TEXT_MAX], int64_t ns)
{
	uint64_t value = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	uint64_t minutes = value / (60 * (uint64_t)CLOCK_SECOND);
	size_t size;

	snprintf(out, CLOCK_TEXT_MAX, "%s", ns < 0 ? "-" : "");
	if (value == 0) {
		snprintf(out, CLOCK_TEXT_MAX, "0s");
	} else if (value < 1000) {
		add_fraction(out, value, 1, "ns");
	} else if (value < (uint64_t)CLOCK_MS) {
		add_fraction(out, value, 1000, "\u00b5s");
	} else if (value < (uint64_t)CLOCK_SECOND) {
		add_fraction(out, value, (uint64_t)CLOCK_MS, "ms");
	} else {
		size = strlen(out);
		if (minutes >= 60)
			snprintf(out + size, CLOCK_TEXT_MAX - size, "%lluh%llum", (unsigned long long)(minutes / 60),
				 (unsigned long long)(minutes % 60));
		else if (minutes > 0)
			snprintf(out + size, CLOCK_TEXT_MAX - size, "%llum", (unsigned long long)minutes);
		add_fraction(out, value % (60 * (uint64_t)CLOCK_SECOND), (uint64_t)CLOCK_SECOND, "s");
	}
	return out;
}
