/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/collection.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define PAUSE_NS (600 * CLOCK_SECOND)
#define PAUSE_MIN_NS CLOCK_SECOND

static const struct json_field rule_fields[] = {
	JSON_TEXT("keepStorage", struct daemon_gc_rule, keep_storage, 0),
	JSON_TEXT("reservedSpace", struct daemon_gc_rule, reserved_space, 0),
	JSON_TEXT_LIST("filter", struct daemon_gc_rule, filter, 0),
	JSON_BOOL("all", struct daemon_gc_rule, all, 0),
	JSON_END,
};

static const struct json_field gc_fields[] = {
	JSON_BOOL("enabled", struct daemon_gc, enabled, 0),
	JSON_TEXT("defaultKeepStorage", struct daemon_gc, keep_storage, 0),
	JSON_TEXT("defaultReservedSpace", struct daemon_gc, reserved_space, 0),
	JSON_ARRAY("policy", struct daemon_gc, rules, rule_fields, 0),
	JSON_END,
};

const struct json_field daemon_builder_fields[] = {
	JSON_OBJECT("gc", struct daemon_builder, gc, gc_fields, 0),
	JSON_END,
};

const struct json_field daemon_image_gc_fields[] = {
	JSON_BOOL("enabled", struct daemon_image_gc, enabled, 0),
	JSON_TEXT("unused-for", struct daemon_image_gc, unused_for, 0),
	JSON_TEXT("keep-storage", struct daemon_image_gc, keep_storage, 0),
	JSON_TEXT("interval", struct daemon_image_gc, interval, 0),
	JSON_END,
};

static const struct json_field *find_field(const struct json_field *fields, const char *name)
{
	for (; fields->kind != JSON_KIND_END; fields++)
		if (text_equal(fields->name, name))
			return fields;
	return NULL;
}

static int check_keys(const struct json_value *value, const struct json_field *fields, const char *path,
		      struct error *err)
{
	AUTO(text_list_fini) struct text_list keys = { 0 };

	if (!value || json_value_type(value) != JSON_TYPE_OBJECT)
		return 0;
	json_value_keys(&keys, value, true);
	for (size_t i = 0; i < keys.count; i++)
		if (!find_field(fields, keys.items[i]))
			return error_set(err, ERR_INVALID,
					 "the following directives don't match any configuration option: %s.%s", path,
					 keys.items[i]);
	return 0;
}

int daemon_collection_check_keys(const struct json_value *root, struct error *err)
{
	const struct json_value *builder = json_value_get(root, "builder");
	const struct json_value *gc = builder ? json_value_get(builder, "gc") : NULL;
	const struct json_value *rules = gc ? json_value_get(gc, "policy") : NULL;

	if (check_keys(builder, daemon_builder_fields, "builder", err) < 0 ||
	    check_keys(gc, gc_fields, "builder.gc", err) < 0 ||
	    check_keys(json_value_get(root, "image-gc"), daemon_image_gc_fields, "image-gc", err) < 0)
		return -1;
	for (size_t i = 0; rules && json_value_type(rules) == JSON_TYPE_ARRAY && i < json_value_count(rules); i++)
		if (check_keys(json_value_at(rules, i), rule_fields, "builder.gc.policy", err) < 0)
			return -1;
	return 0;
}

/* ---- values ---- */

static int parse_size(int64_t *out_bytes, const char *text, const char *name, struct error *err)
{
	if (text_empty(text))
		return 0;
	if (text_parse_size(out_bytes, text) < 0 || *out_bytes <= 0)
		return error_set(err, ERR_INVALID, "invalid %s %s: a size is wanted, as 20GB", name, text);
	return 0;
}

static int parse_age(int64_t *out_ns, const char *text, const char *name, struct error *err)
{
	if (text_empty(text))
		return 0;
	if (clock_parse_duration(out_ns, text) < 0 || *out_ns < CLOCK_SECOND)
		return error_set(err, ERR_INVALID, "invalid %s %s: a duration of a second at least is wanted, as 48h",
				 name, text);
	return 0;
}

static int parse_rule(struct collector_rule *out_rule, const struct daemon_gc_rule *rule, struct error *err)
{
	out_rule->all = rule->all;
	for (size_t i = 0; i < rule->filter.count; i++) {
		const char *age = text_after(rule->filter.items[i], "unused-for=");

		if (!age)
			return error_set(err, ERR_INVALID,
					 "builder.gc.policy: filter %s: only unused-for=DURATION is known",
					 rule->filter.items[i]);
		if (parse_age(&out_rule->unused_ns, age, "builder.gc.policy: filter unused-for", err) < 0)
			return -1;
	}
	if (parse_size(&out_rule->keep_bytes, rule->keep_storage, "keepStorage", err) < 0)
		return -1;
	return parse_size(&out_rule->keep_bytes, rule->reserved_space, "reservedSpace", err);
}

static int parse_rules(struct collector_settings *settings, const struct daemon_gc *gc, struct error *err)
{
	size_t count = gc->rules.count ? gc->rules.count : 1;
	AUTO_FREE struct collector_rule *rules = xcalloc(count, sizeof(*rules));

	/* As dockerd has it: without rules a tenth of the disk, unless said otherwise. */
	rules[0].keep_bytes = gc->rules.count ? 0 : -1;
	if (parse_size(&rules[0].keep_bytes, gc->rules.count ? NULL : gc->keep_storage, "defaultKeepStorage", err) <
		    0 ||
	    parse_size(&rules[0].keep_bytes, gc->rules.count ? NULL : gc->reserved_space, "defaultReservedSpace", err) <
		    0)
		return -1;
	for (size_t i = 0; i < gc->rules.count; i++)
		if (parse_rule(&rules[i], &gc->rules.items[i], err) < 0)
			return -1;
	/* Judged in any case, done only if wanted. */
	if (gc->enabled) {
		settings->rule_count = count;
		settings->rules = take_ptr(rules);
	}
	return 0;
}

int daemon_collection_parse(struct collector_settings *out_settings, const struct daemon_config *config,
			    struct error *err)
{
	const struct daemon_image_gc *images = &config->image_gc;

	*out_settings = (struct collector_settings){ .pause_ns = PAUSE_NS, .images = images->enabled };
	if (parse_age(&out_settings->pause_ns, images->interval, "image-gc.interval", err) < 0 ||
	    parse_age(&out_settings->image_unused_ns, images->unused_for, "image-gc.unused-for", err) < 0 ||
	    parse_size(&out_settings->image_keep_bytes, images->keep_storage, "image-gc.keep-storage", err) < 0)
		return -1;
	if (images->enabled && !out_settings->image_unused_ns)
		return error_set(err, ERR_INVALID,
				 "image-gc needs unused-for: how long an image was of no use before it may go");
	return parse_rules(out_settings, &config->builder.gc, err);
}
