/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/s3.h"

#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "oci/hasher.h"

#define HEX_MAX (HMAC_BYTES * 2 + 1)

const struct json_field s3_fields[] = {
	JSON_TEXT("endpoint", struct s3_config, endpoint, JSON_REQUIRED),
	JSON_TEXT("bucket", struct s3_config, bucket, JSON_REQUIRED),
	JSON_TEXT("region", struct s3_config, region, 0),
	JSON_TEXT("prefix", struct s3_config, prefix, 0),
	JSON_TEXT("access-key", struct s3_config, access_key, JSON_REQUIRED),
	JSON_TEXT("secret-file", struct s3_config, secret_file, JSON_REQUIRED),
	JSON_BOOL("virtual-host", struct s3_config, virtual_host, 0),
	JSON_BOOL("redirect", struct s3_config, redirect, 0),
	JSON_BOOL("insecure", struct s3_config, insecure, 0),
	JSON_OPT_I64("cache", struct s3_config, cache, 0),
	JSON_END,
};

/* Names we make need no encoding, and so must not those that we are given. */
static bool is_plain(const char *text, const char *more)
{
	static const char *const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	for (const char *at = text; *at; at++)
		if (!strchr(letters, *at) && !strchr(more, *at))
			return false;
	return true;
}

char *s3_problem(const struct s3_config *config)
{
	const char *plain = text_after(config->endpoint, "http://");
	const char *rest = plain ? plain : text_after(config->endpoint, "https://");

	if (!rest || !*rest || !is_plain(rest, ":"))
		return xasprintf("endpoint: \"%s\" is not http://host[:port] or https://host[:port]", config->endpoint);
	if (!*config->bucket || !is_plain(config->bucket, ""))
		return xasprintf("bucket: \"%s\" is no name of a bucket", config->bucket);
	if (config->prefix && (!is_plain(config->prefix, "/") || *config->prefix == '/'))
		return xasprintf("prefix: \"%s\" holds more than letters, digits and -_./", config->prefix);
	if (optional_i64_or(config->cache, 0) < 0)
		return xstrdup("cache is bytes, at least 0");
	return NULL;
}

char *s3_encode(const char *text)
{
	struct text out = { 0 };

	for (const char *at = text; *at; at++) {
		char one[2] = { *at, '\0' };

		if (is_plain(one, "~"))
			text_add(&out, one);
		else
			text_addf(&out, "%%%02X", (unsigned char)*at);
	}
	return text_take(&out);
}

static void to_hex(char out[HEX_MAX], const uint8_t *bytes)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < HMAC_BYTES; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[HEX_MAX - 1] = '\0';
}

/* The secret, then day, region, service and purpose, each signing the next. */
static void sign(char out[HEX_MAX], const struct s3_config *config, const char *secret, const char *day,
		 const char *what)
{
	AUTO_FREE char *first = xasprintf("AWS4%s", secret);
	const char *const steps[] = { day, config->region ? config->region : "us-east-1", "s3", "aws4_request", what };
	uint8_t key[HMAC_BYTES];
	const void *last = first;
	size_t last_size = strlen(first);

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint8_t next[HMAC_BYTES];

		hmac_sha256(next, last, last_size, steps[i], strlen(steps[i]));
		memcpy(key, next, sizeof(key));
		last = key;
		last_size = sizeof(key);
	}
	to_hex(out, key);
}

char *s3_url(const struct s3_config *config, const char *secret, const struct s3_request *request)
{
	const char *host = strstr(config->endpoint, "://") + 3;
	int scheme = (int)(host - config->endpoint);
	AUTO_FREE char *whole_host = config->virtual_host ? xasprintf("%s.%s", config->bucket, host) : xstrdup(host);
	AUTO_FREE char *path = xasprintf("/%s%s%s%s", config->virtual_host ? "" : config->bucket,
					 config->virtual_host || !*request->name ? "" : "/",
					 *request->name ? text_or_empty(config->prefix) : "", request->name);
	time_t now = (time_t)(request->wall_ns / CLOCK_SECOND);
	AUTO_FREE char *query = NULL;
	AUTO_FREE char *canonical = NULL;
	AUTO_FREE char *what = NULL;
	AUTO_FREE char *key = s3_encode(config->access_key);
	const char *region = config->region ? config->region : "us-east-1";
	char signature[HEX_MAX];
	char hash[DIGEST_TEXT_MAX];
	struct digest digest;
	struct tm parts;
	char moment[32];
	char day[16];

	gmtime_r(&now, &parts);
	strftime(moment, sizeof(moment), "%Y%m%dT%H%M%SZ", &parts);
	strftime(day, sizeof(day), "%Y%m%d", &parts);
	query = xasprintf("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s%%2F%s%%2F%s%%2Fs3%%2Faws4_request&"
			  "X-Amz-Date=%s&X-Amz-Expires=%lld&X-Amz-SignedHeaders=host%s%s",
			  key, day, region, moment, (long long)request->life_s, request->query ? "&" : "",
			  text_or_empty(request->query));
	canonical = xasprintf("%s\n%s\n%s\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD", request->method, path, query,
			      whole_host);
	digest_of(&digest, DIGEST_SHA256, canonical, strlen(canonical));
	digest_hex(&digest, hash);
	what = xasprintf("AWS4-HMAC-SHA256\n%s\n%s/%s/s3/aws4_request\n%s", moment, day, region, hash);
	sign(signature, config, secret, day, what);
	return xasprintf("%.*s%s%s?%s&X-Amz-Signature=%s", scheme, config->endpoint, whole_host, path, query,
			 signature);
}
