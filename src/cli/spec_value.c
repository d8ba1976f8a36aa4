/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/quote.h"
#include "cli/members.h"
#include "cli/spec.h"
#include "json/value.h"

#define SPEC_FILE_MAX (16 << 20)

static bool is_ulimit(const char *name)
{
	static const char *const names[] = { "as",	"core",	    "cpu",	  "data",   "fsize", "locks",
					     "memlock", "msgqueue", "nice",	  "nofile", "nproc", "rss",
					     "rtprio",	"rttime",   "sigpending", "stack" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (text_equal(names[i], name))
			return true;
	return false;
}

static int parse_limit(int64_t *out_limit, const char *text, struct error *err)
{
	if (text_parse_i64(out_limit, text, INT64_MIN, INT64_MAX) < 0)
		return error_set(err, ERR_INVALID, "strconv.ParseInt: parsing \"%s\": invalid syntax", text);
	return 0;
}

/* "soft[:hard]" */
static int parse_limits(int64_t *out_soft, int64_t *out_hard, const char *limits, struct error *err)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };

	text_list_split(&parts, limits, ':');
	if (parts.count > 2)
		return error_set(err, ERR_INVALID,
				 "too many limit value arguments - %s, can only have up to two, `soft[:hard]`", limits);
	if (parts.count == 2 && parse_limit(out_hard, parts.items[1], err) < 0)
		return -1;
	if (parse_limit(out_soft, parts.count ? parts.items[0] : "", err) < 0)
		return -1;
	if (parts.count == 1)
		*out_hard = *out_soft;
	if (*out_hard != -1 && *out_soft == -1)
		return error_set(err, ERR_INVALID,
				 "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), "
				 "hard: %lld",
				 (long long)*out_hard);
	if (*out_hard != -1 && *out_soft > *out_hard)
		return error_set(err, ERR_INVALID,
				 "ulimit soft limit must be less than or equal to hard limit: %lld > %lld",
				 (long long)*out_soft, (long long)*out_hard);
	return 0;
}

int spec_ulimit(struct text *ulimits, const char *value, struct error *err)
{
	const char *limits;
	AUTO_FREE char *name = spec_cut(value, &limits);
	int64_t soft = 0;
	int64_t hard = 0;

	if (!limits)
		return error_set(err, ERR_INVALID, "invalid ulimit argument: %s", value);
	if (!is_ulimit(name))
		return error_set(err, ERR_INVALID, "invalid ulimit type: %s", name);
	if (parse_limits(&soft, &hard, limits, err) < 0)
		return -1;
	members_open_item(ulimits);
	members_text(ulimits, "Name", name);
	members_integer(ulimits, "Hard", hard);
	members_integer(ulimits, "Soft", soft);
	text_add_char(ulimits, '}');
	return 0;
}

/* ---- --gpus ---- */

struct gpu_request {
	char *driver;
	int64_t count;
	bool count_given;
	struct text_list devices;
	struct text_list capabilities;
	struct text_map options;
};

static void gpu_request_fini(struct gpu_request *request)
{
	free(request->driver);
	text_list_fini(&request->devices);
	text_list_fini(&request->capabilities);
	text_map_fini(&request->options);
}

static int parse_count(int64_t *out_count, const char *value, struct error *err)
{
	*out_count = -1;
	if (text_equal(value, "all") || text_parse_i64(out_count, value, INT32_MIN, INT32_MAX) == 0)
		return 0;
	return error_set(err, ERR_INVALID,
			 "invalid count (%s): value must be either \"all\" or an integer: invalid syntax", value);
}

static int set_gpu_field(struct gpu_request *request, const char *field, struct error *err)
{
	const char *value;
	AUTO_FREE char *key = spec_cut(field, &value);
	AUTO(text_list_fini) struct text_list options = { 0 };

	if (!value || text_equal(key, "count")) {
		if (request->count_given)
			return error_set(err, ERR_INVALID, "gpu request key 'count' can be specified only once");
		request->count_given = true;
		return parse_count(&request->count, value ? value : key, err);
	}
	if (text_equal(key, "driver")) {
		free(request->driver);
		request->driver = xstrdup(value);
	} else if (text_equal(key, "device")) {
		text_list_split(&request->devices, value, ',');
	} else if (text_equal(key, "capabilities")) {
		text_list_split(&request->capabilities, value, ',');
	} else if (text_equal(key, "options")) {
		if (spec_csv(&options, value, err) < 0)
			return error_prefix(err, "failed to read gpu options");
		for (size_t i = 0; i < options.count; i++) {
			const char *option_value;
			AUTO_FREE char *option = spec_cut(options.items[i], &option_value);

			text_map_set(&request->options, option, text_or_empty(option_value));
		}
	} else {
		return error_set(err, ERR_INVALID, "unexpected key '%s' in '%s'", key, field);
	}
	return 0;
}

int spec_gpus(struct text *requests, const char *value, struct error *err)
{
	AUTO(gpu_request_fini) struct gpu_request request = { 0 };
	AUTO(text_list_fini) struct text_list fields = { 0 };

	if (spec_csv(&fields, value, err) < 0)
		return -1;
	for (size_t i = 0; i < fields.count; i++)
		if (set_gpu_field(&request, fields.items[i], err) < 0)
			return -1;
	if (!request.count_given && !request.devices.count)
		request.count = 1;
	text_list_add(&request.capabilities, "gpu");
	members_open_item(requests);
	members_text(requests, "Driver", text_or_empty(request.driver));
	members_integer(requests, "Count", request.count);
	if (request.devices.count)
		members_list(requests, "DeviceIDs", &request.devices);
	members_key(requests, "Capabilities");
	text_add(requests, "[[");
	for (size_t i = 0; i < request.capabilities.count; i++)
		members_text_item(requests, request.capabilities.items[i]);
	text_add(requests, "]]");
	members_map(requests, "Options", &request.options);
	text_add_char(requests, '}');
	return 0;
}

/* ---- devices ---- */

static bool is_device_mode(const char *mode)
{
	unsigned seen = 0;

	for (; *mode; mode++) {
		unsigned bit = *mode == 'r' ? 1 : *mode == 'w' ? 2 : *mode == 'm' ? 4 : 0;

		if (!bit || seen & bit)
			return false;
		seen |= bit;
	}
	return seen != 0;
}

/* vendor.com/class=name */
static bool is_cdi_name(const char *text)
{
	const char *slash = strchr(text, '/');
	const char *equals = slash ? strchr(slash, '=') : NULL;

	return isalpha((unsigned char)*text) && equals && equals > slash + 1 && equals[1] && !strchr(equals, '/');
}

int spec_device(struct text *devices, struct text_list *cdi, const char *value, struct error *err)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };
	const char *mode = "rwm";
	const char *inside;

	if (is_cdi_name(value)) {
		text_list_add(cdi, value);
		return 0;
	}
	text_list_split(&parts, value, ':');
	if (parts.count == 0 || parts.count > 3 || *parts.items[0] == '\0')
		return error_set(err, ERR_INVALID, "bad format for path: %s", value);
	inside = parts.items[0];
	if (parts.count == 2 && is_device_mode(parts.items[1]))
		mode = parts.items[1];
	else if (parts.count > 1)
		inside = parts.items[1];
	if (parts.count == 3) {
		mode = parts.items[2];
		if (!is_device_mode(mode))
			return error_set(err, ERR_INVALID, "bad mode specified: %s", mode);
	}
	if (*inside != '/')
		return error_set(err, ERR_INVALID, "%s is not an absolute path", inside);
	members_open_item(devices);
	members_text(devices, "PathOnHost", parts.items[0]);
	members_text(devices, "PathInContainer", inside);
	members_text(devices, "CgroupPermissions", mode);
	text_add_char(devices, '}');
	return 0;
}

static int split_device_rate(char **out_path, const char **out_rate, const char *value, struct error *err)
{
	const char *colon = strchr(value, ':');

	if (!colon || colon == value)
		return error_set(err, ERR_INVALID, "bad format: %s", value);
	if (!text_has_prefix(value, "/dev/"))
		return error_set(err, ERR_INVALID, "bad format for device path: %s", value);
	*out_path = xstrndup(value, (size_t)(colon - value));
	*out_rate = colon + 1;
	return 0;
}

int spec_throttle(struct text *throttles, const char *value, bool bytes, struct error *err)
{
	AUTO_FREE char *path = NULL;
	const char *rate_text;
	int64_t rate;
	int r;

	if (split_device_rate(&path, &rate_text, value, err) < 0)
		return -1;
	r = bytes ? text_parse_size(&rate, rate_text) : text_parse_i64(&rate, rate_text, 0, INT64_MAX);
	if (r < 0 || rate < 0)
		return error_set(err, ERR_INVALID,
				 "invalid rate for device: %s. The correct format is <device-path>:<number>%s. Number "
				 "must be a positive integer%s",
				 value, bytes ? "[<unit>]" : "",
				 bytes ? ". Unit is optional and can be kb, mb, or gb" : "");
	members_open_item(throttles);
	members_text(throttles, "Path", path);
	members_integer(throttles, "Rate", rate);
	text_add_char(throttles, '}');
	return 0;
}

int spec_weight(struct text *weights, const char *value, struct error *err)
{
	AUTO_FREE char *path = NULL;
	const char *weight_text;
	int64_t weight;

	if (split_device_rate(&path, &weight_text, value, err) < 0)
		return -1;
	if (text_parse_i64(&weight, weight_text, 0, UINT16_MAX) < 0)
		return error_set(err, ERR_INVALID, "invalid weight for device: %s", value);
	if (weight > 0 && (weight < 10 || weight > 1000))
		return error_set(err, ERR_INVALID, "invalid weight for device: %s", value);
	members_open_item(weights);
	members_text(weights, "Path", path);
	members_integer(weights, "Weight", weight);
	text_add_char(weights, '}');
	return 0;
}

/* ---- small ones ---- */

int spec_restart(struct text *policy, const char *value, struct error *err)
{
	const char *colon = strchr(value, ':');
	AUTO_FREE char *name = colon ? xstrndup(value, (size_t)(colon - value)) : xstrdup(value);
	int64_t count = 0;

	if (colon && *name == '\0')
		return error_set(err, ERR_INVALID, "invalid restart policy format: no policy provided before colon");
	if (colon && colon[1] && text_parse_i64(&count, colon + 1, INT32_MIN, INT32_MAX) < 0)
		return error_set(err, ERR_INVALID,
				 "invalid restart policy format: maximum retry count must be an integer");
	text_add_char(policy, '{');
	members_text(policy, "Name", name);
	members_integer(policy, "MaximumRetryCount", count);
	text_add_char(policy, '}');
	return 0;
}

int spec_cpus(int64_t *out_nano_cpus, const char *value, struct error *err)
{
	const char *point = strchr(value, '.');
	AUTO_FREE char *whole_text = point ? xstrndup(value, (size_t)(point - value)) : xstrdup(value);
	int64_t whole = 0;
	int64_t nano = 0;
	int64_t scale = 100000000;

	if ((*whole_text || !point || !point[1]) && text_parse_i64(&whole, whole_text, 0, 1000000) < 0)
		return error_set(err, ERR_INVALID, "failed to parse %s as a rational number", value);
	for (const char *digit = point ? point + 1 : ""; *digit; digit++, scale /= 10) {
		if (!isdigit((unsigned char)*digit))
			return error_set(err, ERR_INVALID, "failed to parse %s as a rational number", value);
		if (scale == 0 && *digit != '0')
			return error_set(err, ERR_INVALID, "value is too precise");
		nano += scale * (*digit - '0');
	}
	*out_nano_cpus = whole * 1000000000 + nano;
	return 0;
}

int spec_duration(int64_t *out_ns, const char *value, struct error *err)
{
	if (clock_parse_duration(out_ns, value) < 0)
		return error_set(err, ERR_INVALID, "time: invalid duration \"%s\"", value);
	return 0;
}

int spec_add_host(struct text_list *hosts, const char *value, struct error *err)
{
	size_t at = strcspn(value, ":=");
	AUTO_FREE char *address = NULL;
	size_t size;

	if (at == 0 || value[at] == '\0')
		return error_set(err, ERR_INVALID, "bad format for add-host: \"%s\"", value);
	address = xstrdup(value + at + 1);
	size = strlen(address);
	if (address[0] == '[' && size > 1 && address[size - 1] == ']') {
		memmove(address, address + 1, size - 2);
		address[size - 2] = '\0';
	}
	if (!text_equal(address, "host-gateway") && !spec_is_ip(address))
		return error_set(err, ERR_INVALID, "invalid IP address in add-host: \"%s\"", address);
	text_list_addf(hosts, "%.*s:%s", (int)at, value, address);
	return 0;
}

void spec_env(struct text_list *env, const char *value)
{
	const char *ours;

	if (strchr(value, '=')) {
		text_list_add(env, value);
		return;
	}
	ours = getenv(value);
	if (ours)
		text_list_addf(env, "%s=%s", value, ours);
	else
		text_list_add(env, value);
}

static int add_env_line(struct text_list *env, const char *path, const char *line, bool from_environment,
			struct error *err)
{
	const char *equals = strchr(line, '=');
	AUTO_FREE char *name = equals ? xstrndup(line, (size_t)(equals - line)) : xstrdup(line);

	if (*name == '\0')
		return error_set(err, ERR_INVALID, "invalid env file (%s): no variable name on line '%s'", path, line);
	if (strpbrk(name, " \t"))
		return error_set(err, ERR_INVALID, "invalid env file (%s): variable '%s' contains whitespaces", path,
				 name);
	if (equals || !from_environment)
		text_list_addf(env, "%s=%s", name, equals ? equals + 1 : "");
	else if (getenv(name))
		text_list_addf(env, "%s=%s", name, getenv(name));
	return 0;
}

int spec_env_file(struct text_list *env, const char *path, bool from_environment, struct error *err)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *content = NULL;
	size_t size;
	int r = file_read(&content, &size, AT_FDCWD, path, SPEC_FILE_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "open %s", path);
	if (strlen(content) != size)
		return error_set(err, ERR_INVALID, "invalid env file (%s): it holds a zero byte", path);
	text_list_split(&lines, text_has_prefix(content, "\xef\xbb\xbf") ? content + 3 : content, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		char *line = lines.items[i];
		size_t length = strlen(line);

		if (length && line[length - 1] == '\r')
			line[--length] = '\0';
		while (isspace((unsigned char)*line))
			line++;
		if (*line == '\0' || *line == '#')
			continue;
		for (size_t at = 0; line[at];) {
			size_t step = utf8_sequence(line + at, strlen(line + at));

			if (!step)
				return error_set(err, ERR_INVALID,
						 "env file %s contains invalid utf8 bytes at line %zu", path, i + 1);
			at += step;
		}
		if (add_env_line(env, path, line, from_environment, err) < 0)
			return -1;
	}
	return 0;
}

static int add_seccomp(struct text_list *options, const char *path, struct error *err)
{
	AUTO(json_value_freep) struct json_value *profile = NULL;
	AUTO(text_fini) struct text compact = { 0 };
	AUTO_FREE char *content = NULL;
	size_t size;
	int r = file_read(&content, &size, AT_FDCWD, path, SPEC_FILE_MAX);

	if (r < 0)
		return error_set(err, ERR_INVALID, "opening seccomp profile (%s) failed: open %s: %s", path, path,
				 strerror(-r));
	if (json_value_parse(&profile, content, size, err) < 0)
		return error_prefix(err, "compacting json for seccomp profile (%s) failed", path);
	json_value_encode(&compact, profile, NULL);
	text_list_addf(options, "seccomp=%s", compact.data);
	return 0;
}

int spec_security(struct text_list *options, const char *value, struct error *err)
{
	size_t at = strcspn(value, "=");
	const char *rest;

	if (value[at] == '\0' && !text_equal(value, "no-new-privileges"))
		at = strcspn(value, ":");
	rest = value[at] ? value + at + 1 : "";
	if (*rest == '\0' && strncmp(value, "no-new-privileges", at) != 0)
		return error_set(err, ERR_INVALID, "Invalid --security-opt: \"%s\"", value);
	if (at == 7 && strncmp(value, "seccomp", 7) == 0 && !text_equal(rest, "builtin") &&
	    !text_equal(rest, "unconfined"))
		return add_seccomp(options, rest, err);
	text_list_add(options, value);
	return 0;
}
