/* SPDX-License-Identifier: Apache-2.0 */
#include "logs/options.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "logs/address.h"

#define QUEUE_BYTES (UINT64_C(1024) * 1024)
#define CACHE_SIZE (INT64_C(20) * 1000 * 1000)
#define CACHE_FILES 5
#define FILES_MAX 10000

const char *const log_driver_names[] = { "fluentd", "gelf", "journald", "json-file", "local", "syslog", NULL };

struct driver_options {
	const char *driver;
	const char *const *keys;
	int (*check)(const struct text_map *options, struct error *err);
};

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (text_equal(text, *words))
			return true;
	return false;
}

static int parse_bool(bool *out_value, const char *text)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True", NULL };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False", NULL };

	*out_value = is_one_of(text, yes);
	return *out_value || is_one_of(text, no) ? 0 : -1;
}

bool log_option_is_true(const struct text_map *options, const char *key)
{
	const char *text = text_map_get(options, key);
	bool value = false;

	return text && parse_bool(&value, text) == 0 && value;
}

static int check_bool(const struct text_map *options, const char *key, struct error *err)
{
	const char *text = text_map_get(options, key);
	bool value;

	if (text_empty(text) || parse_bool(&value, text) == 0)
		return 0;
	return error_set(err, ERR_INVALID, "%s: strconv.ParseBool: parsing \"%s\": invalid syntax", key, text);
}

/* ---- files ---- */

static int check_size(const struct text_map *options, const char *key, struct error *err)
{
	const char *text = text_map_get(options, key);
	int64_t size;

	if (text && (text_parse_size(&size, text) < 0 || (size <= 0 && size != -1)))
		return error_set(err, ERR_INVALID, "invalid value for %s: \"%s\"", key, text);
	return 0;
}

static int check_count(const struct text_map *options, const char *key, struct error *err)
{
	const char *text = text_map_get(options, key);
	uint64_t count;

	if (text && (text_parse_u64(&count, text, FILES_MAX) < 0 || count < 1))
		return error_set(err, ERR_INVALID, "%s cannot be less than 1: \"%s\"", key, text);
	return 0;
}

static int check_files(const struct text_map *options, const char *size, const char *count, const char *compress,
		       struct error *err)
{
	const char *text = text_map_get(options, compress);
	bool value;

	if (text && parse_bool(&value, text) < 0)
		return error_set(err, ERR_INVALID, "invalid boolean value for %s: \"%s\"", compress, text);
	if (check_size(options, size, err) < 0)
		return -1;
	return check_count(options, count, err);
}

static int check_json_file(const struct text_map *options, struct error *err)
{
	struct log_files files;

	if (check_files(options, "max-size", "max-file", "compress", err) < 0)
		return -1;
	log_files_of(&files, "json-file", options);
	if (log_option_is_true(options, "compress") && (files.max_file < 2 || files.max_size == 0))
		return error_set(err, ERR_INVALID,
				 "compress cannot be true when max-file is less than 2 or max-size is not set");
	return 0;
}

static int check_local(const struct text_map *options, struct error *err)
{
	struct log_files files;

	if (check_files(options, "max-size", "max-file", "compress", err) < 0)
		return -1;
	log_files_of(&files, "local", options);
	if (files.compress && files.max_file < 2)
		return error_set(err, ERR_INVALID, "compression cannot be enabled when max file count is 1");
	return 0;
}

struct file_keys {
	const char *size;
	const char *count;
	const char *compress;
};

static void read_files(struct log_files *files, const struct text_map *options, const struct file_keys *keys)
{
	const char *size = text_map_get(options, keys->size);
	const char *count = text_map_get(options, keys->count);
	const char *compress = text_map_get(options, keys->compress);
	uint64_t number;
	int64_t bytes;
	bool value;

	if (size && text_parse_size(&bytes, size) == 0)
		files->max_size = bytes > 0 ? bytes : 0;
	if (count && text_parse_u64(&number, count, FILES_MAX) == 0 && number > 0)
		files->max_file = (int64_t)number;
	if (compress && parse_bool(&value, compress) == 0)
		files->compress = value;
}

void log_files_of(struct log_files *out_files, const char *driver, const struct text_map *options)
{
	static const struct file_keys own = { "max-size", "max-file", "compress" };
	static const struct file_keys cache = { "cache-max-size", "cache-max-file", "cache-compress" };
	bool remote = log_driver_is_remote(driver);
	bool json = text_equal(driver, "json-file");

	*out_files = (struct log_files){ .max_size = json ? 0 : CACHE_SIZE,
					 .max_file = json ? 1 : CACHE_FILES,
					 .compress = !json };
	out_files->kept = !text_equal(driver, "none") && !(remote && log_option_is_true(options, "cache-disabled"));
	read_files(out_files, options, remote ? &cache : &own);
	/* Nothing is rotated, or nothing rotated is kept. */
	if (!text_equal(driver, "local") && (out_files->max_file < 2 || out_files->max_size == 0))
		out_files->compress = false;
}

/* ---- remote ones ---- */

static bool has_scheme(const char *address, const char *const *schemes)
{
	for (; *schemes; schemes++)
		if (text_has_prefix(address, *schemes))
			return true;
	return false;
}

static int check_address(const char *address, const char *scheme, struct error *err)
{
	struct log_address parsed;

	if (log_address_parse(&parsed, address, scheme, err) < 0)
		return -1;
	log_address_fini(&parsed);
	return 0;
}

int log_syslog_facility(const char *name)
{
	static const char *const names[] = { "kern",   "user",	 "mail",   "daemon", "auth",	 "syslog",
					     "lpr",    "news",	 "uucp",   "cron",   "authpriv", "ftp",
					     NULL,     NULL,	 NULL,	   NULL,     "local0",	 "local1",
					     "local2", "local3", "local4", "local5", "local6",	 "local7" };
	uint64_t number;

	if (text_empty(name))
		name = "daemon";
	for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
		if (names[i] && text_equal(name, names[i]))
			return i;
	return text_parse_u64(&number, name, 23) == 0 ? (int)number : -1;
}

static int check_syslog_address(const char *address, struct error *err)
{
	static const char *const schemes[] = { "udp://", "tcp://", "tcp+tls://", "unix://", "unixgram://", NULL };
	struct stat status;
	const char *path = text_after(address, "unix://");

	if (!has_scheme(address, schemes))
		return error_set(err, ERR_INVALID, "syslog-address should be in form proto://address, got %s", address);
	path = path ? path : text_after(address, "unixgram://");
	if (path && stat(path, &status) < 0)
		return error_set(err, ERR_INVALID, "stat %s: no such file or directory", path);
	return check_address(address, "", err);
}

static int check_syslog(const struct text_map *options, struct error *err)
{
	static const char *const formats[] = { "", "rfc3164", "rfc5424", "rfc5424micro", NULL };
	const char *address = text_map_get(options, "syslog-address");

	if (!text_empty(address) && check_syslog_address(address, err) < 0)
		return -1;
	if (log_syslog_facility(text_map_get(options, "syslog-facility")) < 0)
		return error_set(err, ERR_INVALID, "invalid syslog facility");
	if (!is_one_of(text_or_empty(text_map_get(options, "syslog-format")), formats))
		return error_set(err, ERR_INVALID, "Invalid syslog format");
	return 0;
}

static int refuse_value(const struct text_map *options, const char *key, const char *driver, struct error *err)
{
	return error_set(err, ERR_INVALID, "unknown value \"%s\" for log opt \"%s\" for %s log driver",
			 text_map_get(options, key), key, driver);
}

/* Whether an option is there and outside of [min, max]. */
static bool is_off(const struct text_map *options, const char *key, int64_t min, int64_t max)
{
	const char *text = text_map_get(options, key);
	int64_t value;

	return text && text_parse_i64(&value, text, min, max) < 0;
}

static int check_gelf_options(const struct text_map *options, bool tcp, struct error *err)
{
	static const char *const types[] = { "gzip", "zlib", "none", NULL };
	static const char *const udp_only[] = { "gelf-compression-type", "gelf-compression-level" };
	static const char *const tcp_only[] = { "gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay" };

	for (size_t i = 0; i < 2; i++) {
		if (tcp && text_map_get(options, udp_only[i]))
			return error_set(err, ERR_INVALID, "compression is only supported on UDP");
		if (!tcp && text_map_get(options, tcp_only[i]))
			return error_set(err, ERR_INVALID, "\"%s\" option is only valid for TCP", tcp_only[i]);
		if (is_off(options, tcp_only[i], 0, INT_MAX))
			return error_set(err, ERR_INVALID, "\"%s\" must be a positive integer", tcp_only[i]);
	}
	if (text_map_get(options, udp_only[0]) && !is_one_of(text_map_get(options, udp_only[0]), types))
		return refuse_value(options, udp_only[0], "gelf", err);
	if (is_off(options, udp_only[1], -1, 9))
		return refuse_value(options, udp_only[1], "gelf", err);
	return 0;
}

static int check_gelf(const struct text_map *options, struct error *err)
{
	static const char *const schemes[] = { "udp://", "tcp://", NULL };
	const char *address = text_map_get(options, "gelf-address");
	struct log_address parsed;
	bool has_port;

	if (text_empty(address))
		return error_set(err, ERR_INVALID, "gelf-address is a required parameter");
	if (!has_scheme(address, schemes))
		return error_set(err, ERR_INVALID, "gelf-address should be in form proto://address, got %s", address);
	if (log_address_parse(&parsed, address, "", err) < 0)
		return -1;
	has_port = parsed.port != NULL;
	log_address_fini(&parsed);
	if (!has_port)
		return error_set(err, ERR_INVALID, "gelf: please provide gelf-address as proto://host:port");
	return check_gelf_options(options, text_has_prefix(address, "tcp://"), err);
}

bool log_fluentd_is_async(const struct text_map *options)
{
	return log_option_is_true(options, "fluentd-async") || log_option_is_true(options, "fluentd-async-connect");
}

static int check_fluentd_times(const struct text_map *options, struct error *err)
{
	static const char *const keys[] = { "fluentd-retry-wait", "fluentd-write-timeout", "fluentd-read-timeout",
					    "fluentd-async-reconnect-interval" };
	int64_t ns;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *text = text_map_get(options, keys[i]);

		if (text_empty(text))
			continue;
		if (clock_parse_duration(&ns, text) < 0)
			return error_set(err, ERR_INVALID, "invalid value for %s: time: invalid duration \"%s\"",
					 keys[i], text);
		if (ns < 0)
			return error_set(err, ERR_INVALID, "invalid value for %s: value must be positive", keys[i]);
		if (i == 3 && ns != 0 && (ns < 100 * CLOCK_MS || ns > 10 * CLOCK_SECOND))
			return error_set(err, ERR_INVALID,
					 "invalid value for %s: value (%s) must be between 100ms and 10s", keys[i],
					 text);
	}
	return 0;
}

static int check_fluentd(const struct text_map *options, struct error *err)
{
	static const char *const bools[] = { "fluentd-async", "fluentd-async-connect", "fluentd-request-ack",
					     "fluentd-sub-second-precision" };
	static const char *const schemes[] = { "tcp://", "tls://", "unix://", NULL };
	const char *address = text_map_get(options, "fluentd-address");
	const char *limit = text_map_get(options, "fluentd-buffer-limit");
	int64_t bytes;

	if (!text_empty(address) && strstr(address, "://") && !has_scheme(address, schemes))
		return error_set(err, ERR_INVALID, "invalid fluentd-address %s: unsupported scheme", address);
	if (!text_empty(address) && check_address(address, "tcp", err) < 0)
		return error_prefix(err, "invalid fluentd-address %s", address);
	if (!text_empty(limit) && (text_parse_size(&bytes, limit) < 0 || bytes < 0))
		return error_set(err, ERR_INVALID, "invalid size: '%s'", limit);
	if (is_off(options, "fluentd-max-retries", 0, INT_MAX))
		return error_set(err, ERR_INVALID, "invalid value for fluentd-max-retries: \"%s\"",
				 text_map_get(options, "fluentd-max-retries"));
	for (size_t i = 0; i < sizeof(bools) / sizeof(bools[0]); i++)
		if (check_bool(options, bools[i], err) < 0)
			return -1;
	if (text_map_get(options, bools[0]) && text_map_get(options, bools[1]))
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify both 'fluentd-async' and "
				 "'fluentd-async-connect'");
	return check_fluentd_times(options, err);
}

/* ---- all ---- */

#define FILE_KEYS "compress", "max-file", "max-size"
#define METADATA_KEYS "env", "env-regex", "labels", "labels-regex", "tag"

static const char *const json_file_keys[] = { FILE_KEYS, METADATA_KEYS, NULL };
static const char *const local_keys[] = { FILE_KEYS, NULL };
static const char *const journald_keys[] = { METADATA_KEYS, NULL };
static const char *const syslog_keys[] = { METADATA_KEYS,    "syslog-address",	       "syslog-facility",
					   "syslog-format",  "syslog-tls-ca-cert",     "syslog-tls-cert",
					   "syslog-tls-key", "syslog-tls-skip-verify", NULL };
static const char *const gelf_keys[] = { METADATA_KEYS,
					 "gelf-address",
					 "gelf-compression-level",
					 "gelf-compression-type",
					 "gelf-tcp-max-reconnect",
					 "gelf-tcp-reconnect-delay",
					 NULL };
static const char *const fluentd_keys[] = { METADATA_KEYS,
					    "fluentd-address",
					    "fluentd-async",
					    "fluentd-async-connect",
					    "fluentd-async-reconnect-interval",
					    "fluentd-buffer-limit",
					    "fluentd-max-retries",
					    "fluentd-read-timeout",
					    "fluentd-request-ack",
					    "fluentd-retry-wait",
					    "fluentd-sub-second-precision",
					    "fluentd-write-timeout",
					    NULL };

static const struct driver_options drivers[] = {
	{ "json-file", json_file_keys, check_json_file },
	{ "local", local_keys, check_local },
	{ "journald", journald_keys, NULL },
	{ "syslog", syslog_keys, check_syslog },
	{ "gelf", gelf_keys, check_gelf },
	{ "fluentd", fluentd_keys, check_fluentd },
};

static const struct driver_options *find(const char *driver)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (text_equal(drivers[i].driver, driver))
			return &drivers[i];
	return NULL;
}

bool log_driver_is_known(const char *driver)
{
	return text_equal(driver, "none") || find(driver);
}

bool log_driver_is_remote(const char *driver)
{
	return log_driver_is_known(driver) && !text_equal(driver, "none") && !text_equal(driver, "local") &&
	       !text_equal(driver, "json-file");
}

static int check_mode(const struct text_map *options, struct error *err)
{
	static const char *const modes[] = { "", "blocking", "non-blocking", NULL };
	const char *mode = text_or_empty(text_map_get(options, "mode"));
	const char *size = text_map_get(options, "max-buffer-size");
	int64_t bytes;

	if (!is_one_of(mode, modes))
		return error_set(err, ERR_INVALID, "logger: logging mode not supported: %s", mode);
	if (!size)
		return 0;
	if (!text_equal(mode, "non-blocking"))
		return error_set(err, ERR_INVALID,
				 "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
	if (text_parse_size(&bytes, size) < 0 || bytes < 0)
		return error_set(err, ERR_INVALID, "error parsing option max-buffer-size: invalid size: '%s'", size);
	return 0;
}

static int check_cache(const struct text_map *options, struct error *err)
{
	if (check_bool(options, "cache-disabled", err) < 0)
		return -1;
	return check_files(options, "cache-max-size", "cache-max-file", "cache-compress", err);
}

int log_options_check(const char *driver, const struct text_map *options, struct error *err)
{
	static const char *const common[] = {
		"mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress", NULL
	};
	const struct driver_options *found = find(driver);

	if (text_equal(driver, "none"))
		return 0;
	if (!found)
		return error_set(err, ERR_INVALID, "logger: no log driver named '%s' is registered", driver);
	if (check_mode(options, err) < 0 || check_cache(options, err) < 0)
		return -1;
	for (size_t i = 0; i < options->count; i++)
		if (!is_one_of(options->items[i].key, common) && !is_one_of(options->items[i].key, found->keys))
			return error_set(err, ERR_INVALID, "unknown log opt '%s' for %s log driver",
					 options->items[i].key, driver);
	return found->check ? found->check(options, err) : 0;
}

uint64_t log_queue_bytes(const char *driver, const struct text_map *options)
{
	bool async = text_equal(driver, "fluentd") && log_fluentd_is_async(options);
	const char *size = text_map_get(options, async ? "fluentd-buffer-limit" : "max-buffer-size");
	int64_t bytes;

	if (!async && !text_equal(text_map_get(options, "mode"), "non-blocking"))
		return 0;
	return size && text_parse_size(&bytes, size) == 0 && bytes > 0 ? (uint64_t)bytes : QUEUE_BYTES;
}
