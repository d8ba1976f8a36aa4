/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define VARIANT_MAX 8

const struct json_field platform_fields[] = {
	JSON_TEXT("architecture", struct platform, architecture, 0),
	JSON_TEXT("os", struct platform, os, 0),
	JSON_TEXT("os.version", struct platform, os_version, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("os.features", struct platform, os_features, JSON_OMIT_EMPTY),
	JSON_TEXT("variant", struct platform, variant, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct {
	const char *name;
	const char *variant; /* NULL: any */
	const char *normal_name;
	const char *normal_variant; /* NULL: kept */
} aliases[] = {
	{ "x86_64", NULL, "amd64", NULL },  { "x86-64", NULL, "amd64", NULL },
	{ "i386", NULL, "386", "" },	    { "i686", NULL, "386", "" },
	{ "aarch64", NULL, "arm64", NULL }, { "armhf", NULL, "arm", "v7" },
	{ "armel", NULL, "arm", "v6" },	    { "armv7l", NULL, "arm", "v7" },
	{ "armv6l", NULL, "arm", "v6" },    { "loongarch64", NULL, "loong64", NULL },
};

static const char *const known_os[] = { "aix",	   "android", "darwin",	 "dragonfly", "freebsd", "illumos",
					"ios",	   "js",      "linux",	 "netbsd",    "openbsd", "plan9",
					"solaris", "wasip1",  "windows", "zos",	      NULL };
static const char *const known_architectures[] = { "386",     "amd64",	 "arm",	     "arm64",  "loong64",
						   "mips",    "mips64",	 "mips64le", "mipsle", "ppc64",
						   "ppc64le", "riscv64", "s390x",    "wasm",   NULL };

static bool is_one_of(const char *const *list, const char *text)
{
	for (; *list; list++)
		if (text_equal(*list, text))
			return true;
	return false;
}

static void replace(char **member, const char *text)
{
	char *copy = text_empty(text) ? NULL : xstrdup(text);

	free(*member);
	*member = copy;
}

static void lower(char *text)
{
	for (; text && *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text + 32);
}

void platform_normalize(struct platform *platform)
{
	lower(platform->os);
	lower(platform->architecture);
	lower(platform->variant);
	if (text_equal(platform->os, "macos"))
		replace(&platform->os, "darwin");
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		if (!text_equal(platform->architecture, aliases[i].name))
			continue;
		replace(&platform->architecture, aliases[i].normal_name);
		if (aliases[i].normal_variant)
			replace(&platform->variant, aliases[i].normal_variant);
	}
	if (text_equal(platform->architecture, "amd64") && text_equal(platform->variant, "v1"))
		replace(&platform->variant, NULL);
	if (text_equal(platform->architecture, "arm64") &&
	    (text_equal(platform->variant, "8") || text_equal(platform->variant, "v8")))
		replace(&platform->variant, NULL);
	if (text_equal(platform->architecture, "arm")) {
		if (text_empty(platform->variant))
			replace(&platform->variant, "v7");
		else if (platform->variant[0] >= '5' && platform->variant[0] <= '8')
			replace(&platform->variant, (char[]){ 'v', platform->variant[0], '\0' });
	}
}

#if defined(__x86_64__)
static const char *host_variant(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
		return "v4";
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma"))
		return "v3";
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))
		return "v2";
	return NULL;
}
#else
static const char *host_variant(void)
{
	return NULL;
}
#endif

void platform_host(struct platform *out_platform)
{
	struct utsname names;

	*out_platform = (struct platform){ .os = xstrdup("linux") };
	out_platform->architecture = xstrdup(uname(&names) == 0 ? names.machine : "unknown");
	platform_normalize(out_platform);
	if (text_empty(out_platform->variant))
		out_platform->variant = xstrdup(host_variant());
}

void platform_fini(struct platform *platform)
{
	json_free_fields(platform, platform_fields);
}

void platform_copy(struct platform *to, const struct platform *from)
{
	*to = (struct platform){ 0 };
	json_copy_fields(to, from, platform_fields);
}

char *platform_format(const struct platform *platform)
{
	bool has_variant = !text_empty(platform->variant);

	return xasprintf("%s/%s%s%s", text_or_empty(platform->os), text_or_empty(platform->architecture),
			 has_variant ? "/" : "", has_variant ? platform->variant : "");
}

/* One word alone is an os or an architecture; the host gives the other. */
static int fill_single(struct platform *platform, const char *word, struct error *err)
{
	AUTO(platform_fini) struct platform host = { 0 };

	platform_host(&host);
	replace(&platform->os, word);
	replace(&platform->architecture, NULL);
	platform_normalize(platform);
	if (is_one_of(known_os, platform->os)) {
		replace(&platform->architecture, host.architecture);
		if (!text_equal(host.architecture, "amd64"))
			replace(&platform->variant, host.variant);
		return 0;
	}
	replace(&platform->architecture, word);
	replace(&platform->os, host.os);
	platform_normalize(platform);
	if (is_one_of(known_architectures, platform->architecture))
		return 0;
	return error_set(err, ERR_INVALID, "\"%s\": unknown operating system or architecture: invalid argument", word);
}

static bool is_component(const char *text)
{
	for (const char *c = text; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
		      strchr("_.-", *c)))
			return false;
	return *text != '\0';
}

int platform_parse(struct platform *out_platform, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };
	AUTO(platform_fini) struct platform platform = { 0 };

	text_list_split(&parts, text, '/');
	if (parts.count == 0 || parts.count > 3)
		return error_set(err, ERR_INVALID, "\"%s\": cannot parse platform specifier: invalid argument", text);
	for (size_t i = 0; i < parts.count; i++)
		if (!is_component(parts.items[i]))
			return error_set(err, ERR_INVALID,
					 "\"%s\" is an invalid component of \"%s\": platform specifier component must "
					 "match \"^[A-Za-z0-9_.-]+$\": invalid argument",
					 parts.items[i], text);
	if (parts.count == 1) {
		if (fill_single(&platform, parts.items[0], err) < 0)
			return -1;
	} else {
		platform.os = xstrdup(parts.items[0]);
		platform.architecture = xstrdup(parts.items[1]);
		platform.variant = parts.count == 3 ? xstrdup(parts.items[2]) : NULL;
		platform_normalize(&platform);
	}
	*out_platform = platform;
	platform = (struct platform){ 0 };
	return 0;
}

/* "v8" gives 8, "v9.2" gives 9; 0 if there is no number. */
static int variant_number(const struct platform *platform)
{
	const char *digits = platform->variant ? text_after(platform->variant, "v") : NULL;

	return digits && *digits >= '1' && *digits <= '9' ? *digits - '0' : 0;
}

static int variant_or(const struct platform *platform, int otherwise)
{
	return text_empty(platform->variant) ? otherwise : variant_number(platform);
}

/* Both have one architecture. Falls from the wanted variant to the oldest. */
static int rank_variant(const struct platform *wanted, const struct platform *offered, enum platform_match match)
{
	bool is_arm64 = text_equal(wanted->architecture, "arm64");
	int otherwise = is_arm64 ? 8 : 1;
	int want = variant_or(wanted, otherwise);
	int have = variant_or(offered, otherwise);

	if (text_equal(text_or_empty(wanted->variant), text_or_empty(offered->variant)))
		return 0;
	if (match == PLATFORM_STRICT || want == 0 || have == 0 || have > want)
		return -1;
	return want - have;
}

static int rank_normal(const struct platform *wanted, const struct platform *offered, enum platform_match match)
{
	if (!text_equal(wanted->os, offered->os))
		return -1;
	if (text_equal(wanted->architecture, offered->architecture))
		return rank_variant(wanted, offered, match);
	if (match == PLATFORM_STRICT)
		return -1;
	if (text_equal(wanted->architecture, "amd64") && text_equal(offered->architecture, "386"))
		return VARIANT_MAX;
	if (text_equal(wanted->architecture, "arm64") && text_equal(offered->architecture, "arm"))
		return VARIANT_MAX + 8 - variant_or(offered, 7);
	return -1;
}

int platform_rank(const struct platform *wanted, const struct platform *offered, enum platform_match match)
{
	AUTO(platform_fini) struct platform want = { 0 };
	AUTO(platform_fini) struct platform have = { 0 };

	platform_copy(&want, wanted);
	platform_copy(&have, offered);
	platform_normalize(&want);
	platform_normalize(&have);
	for (size_t i = 0; i < have.os_features.count; i++)
		if (!text_list_contains(&want.os_features, have.os_features.items[i]))
			return -1;
	return rank_normal(&want, &have, match);
}
