/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: docker's profile form (rules with conditions "includes" and
 * "excludes" on capabilities, architectures and the kernel) is one table; the
 * built-in profile is written in it and a user's profile is decoded into it.
 * apply() keeps the rules whose conditions hold and writes them in OCI's form.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/seccomp_default.h"
#include "engine/spec.h"

struct profile_arg {
	uint32_t index;
	uint64_t value;
	uint64_t value_two;
	char *op;
};

struct profile_condition {
	struct text_list caps;
	struct text_list arches;
	char *min_kernel;
};

struct profile_rule {
	char *name; /* old form: one name per rule */
	struct text_list names;
	char *action;
	struct optional_u64 errno_ret;
	JSON_ARRAY_OF(struct profile_arg) args;
	struct profile_condition includes;
	struct profile_condition excludes;
};

struct profile_architecture {
	char *architecture;
	struct text_list sub_architectures;
};

struct profile {
	char *default_action;
	struct optional_u64 default_errno_ret;
	struct text_list architectures;
	struct text_list flags;
	JSON_ARRAY_OF(struct profile_architecture) arch_map;
	JSON_ARRAY_OF(struct profile_rule) syscalls;
};

static const struct json_field profile_arg_fields[] = {
	JSON_U32("index", struct profile_arg, index, 0),
	JSON_U64("value", struct profile_arg, value, 0),
	JSON_U64("valueTwo", struct profile_arg, value_two, 0),
	JSON_TEXT("op", struct profile_arg, op, 0),
	JSON_END,
};

static const struct json_field profile_condition_fields[] = {
	JSON_TEXT_LIST("caps", struct profile_condition, caps, 0),
	JSON_TEXT_LIST("arches", struct profile_condition, arches, 0),
	JSON_TEXT("minKernel", struct profile_condition, min_kernel, 0),
	JSON_END,
};

static const struct json_field profile_rule_fields[] = {
	JSON_TEXT("name", struct profile_rule, name, 0),
	JSON_TEXT_LIST("names", struct profile_rule, names, 0),
	JSON_TEXT("action", struct profile_rule, action, JSON_REQUIRED),
	JSON_OPT_U64("errnoRet", struct profile_rule, errno_ret, 0),
	JSON_ARRAY("args", struct profile_rule, args, profile_arg_fields, 0),
	JSON_OBJECT("includes", struct profile_rule, includes, profile_condition_fields, 0),
	JSON_OBJECT("excludes", struct profile_rule, excludes, profile_condition_fields, 0),
	JSON_END,
};

static const struct json_field profile_architecture_fields[] = {
	JSON_TEXT("architecture", struct profile_architecture, architecture, 0),
	JSON_TEXT_LIST("subArchitectures", struct profile_architecture, sub_architectures, 0),
	JSON_END,
};

static const struct json_field profile_fields[] = {
	JSON_TEXT("defaultAction", struct profile, default_action, JSON_REQUIRED),
	JSON_OPT_U64("defaultErrnoRet", struct profile, default_errno_ret, 0),
	JSON_TEXT_LIST("architectures", struct profile, architectures, 0),
	JSON_TEXT_LIST("flags", struct profile, flags, 0),
	JSON_ARRAY("archMap", struct profile, arch_map, profile_architecture_fields, 0),
	JSON_ARRAY("syscalls", struct profile, syscalls, profile_rule_fields, 0),
	JSON_END,
};

#if defined(__x86_64__)
#define NATIVE "SCMP_ARCH_X86_64"
static const char *const architecture_names[] = { "amd64", "x32", "x86", NULL };
#elif defined(__aarch64__)
#define NATIVE "SCMP_ARCH_AARCH64"
static const char *const architecture_names[] = { "arm64", "arm", NULL };
#else
#define NATIVE ""
static const char *const architecture_names[] = { NULL };
#endif

static bool names_our_architecture(const struct text_list *arches)
{
	for (const char *const *name = architecture_names; *name; name++)
		if (text_list_contains(arches, *name))
			return true;
	return false;
}

static bool has_all(const struct text_list *capabilities, const struct text_list *wanted)
{
	for (size_t i = 0; i < wanted->count; i++)
		if (!text_list_contains(capabilities, wanted->items[i]))
			return false;
	return true;
}

static bool has_any(const struct text_list *capabilities, const struct text_list *wanted)
{
	for (size_t i = 0; i < wanted->count; i++)
		if (text_list_contains(capabilities, wanted->items[i]))
			return true;
	return false;
}

static bool kernel_is_at_least(const char *wanted)
{
	struct utsname host;
	char *end;
	long major;
	long minor;
	long wanted_major = strtol(wanted, &end, 10);
	long wanted_minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;

	if (uname(&host) < 0)
		return false;
	major = strtol(host.release, &end, 10);
	minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
	return major > wanted_major || (major == wanted_major && minor >= wanted_minor);
}

static bool rule_applies(const struct profile_rule *rule, const struct text_list *capabilities)
{
	const struct profile_condition *in = &rule->includes;
	const struct profile_condition *out = &rule->excludes;

	if (in->arches.count && !names_our_architecture(&in->arches))
		return false;
	if (!has_all(capabilities, &in->caps) || (in->min_kernel && !kernel_is_at_least(in->min_kernel)))
		return false;
	if (names_our_architecture(&out->arches) || has_any(capabilities, &out->caps))
		return false;
	return !out->min_kernel || !kernel_is_at_least(out->min_kernel);
}

static void add_rule(struct spec_seccomp *seccomp, const struct profile_rule *rule)
{
	struct spec_seccomp_rule *to = json_array_add(&seccomp->syscalls, sizeof(*to));

	if (rule->name)
		text_list_add(&to->names, rule->name);
	text_list_add_all(&to->names, &rule->names);
	to->action = xstrdup(rule->action);
	to->errno_ret = rule->errno_ret;
	for (size_t i = 0; i < rule->args.count; i++) {
		struct spec_seccomp_arg *arg = json_array_add(&to->args, sizeof(*arg));

		arg->index = rule->args.items[i].index;
		arg->value = rule->args.items[i].value;
		arg->value_two = rule->args.items[i].value_two;
		arg->op = xstrdup(text_or_empty(rule->args.items[i].op));
	}
}

static void add_architectures(struct spec_seccomp *seccomp, const struct profile *profile)
{
	text_list_add_all(&seccomp->architectures, &profile->architectures);
	for (size_t i = 0; i < profile->arch_map.count; i++) {
		const struct profile_architecture *entry = &profile->arch_map.items[i];

		if (!text_equal(entry->architecture, NATIVE))
			continue;
		text_list_add(&seccomp->architectures, entry->architecture);
		text_list_add_all(&seccomp->architectures, &entry->sub_architectures);
	}
}

int spec_seccomp_profile(struct spec_seccomp **out_seccomp, const char *profile_text,
			 const struct text_list *capabilities, struct error *err)
{
	struct profile profile = { 0 };
	struct spec_seccomp *seccomp;
	const char *text = profile_text ? profile_text : seccomp_default_profile;

	if (json_decode(&profile, profile_fields, text, strlen(text), err) < 0)
		return error_prefix(err, "decoding seccomp profile failed");
	seccomp = xcalloc(1, sizeof(*seccomp));
	seccomp->default_action = xstrdup(profile.default_action);
	seccomp->default_errno_ret = profile.default_errno_ret;
	text_list_add_all(&seccomp->flags, &profile.flags);
	add_architectures(seccomp, &profile);
	for (size_t i = 0; i < profile.syscalls.count; i++)
		if (rule_applies(&profile.syscalls.items[i], capabilities))
			add_rule(seccomp, &profile.syscalls.items[i]);
	json_free_fields(&profile, profile_fields);
	*out_seccomp = seccomp;
	return 0;
}
