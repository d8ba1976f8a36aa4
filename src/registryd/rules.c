/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/rules.h"

#include <fnmatch.h>

static const struct json_field quota_rule_fields[] = {
	JSON_TEXT("repository", struct quota_rule, repository, JSON_REQUIRED),
	JSON_I64("size", struct quota_rule, size, JSON_REQUIRED),
	JSON_END,
};

const struct json_field quota_fields[] = {
	JSON_I64("total", struct quota, total, 0),
	JSON_I64("each", struct quota, each, 0),
	JSON_ARRAY("repositories", struct quota, repositories, quota_rule_fields, 0),
	JSON_END,
};

static const struct json_field retention_rule_fields[] = {
	JSON_TEXT("repository", struct retention_rule, repository, 0),
	JSON_TEXT("tags", struct retention_rule, tags, 0),
	JSON_OPT_I64("keep-newest", struct retention_rule, keep_newest, 0),
	JSON_OPT_I64("older-than", struct retention_rule, older_than_s, 0),
	JSON_BOOL("untagged", struct retention_rule, untagged, 0),
	JSON_END,
};

const struct json_field retention_fields[] = {
	JSON_BOOL("dry-run", struct retention, dry_run, 0),
	JSON_ARRAY("rules", struct retention, rules, retention_rule_fields, 0),
	JSON_END,
};

static bool fits(const char *pattern, const char *text)
{
	return !pattern || fnmatch(pattern, text, 0) == 0;
}

int64_t quota_of(const struct quota *quota, const char *repository)
{
	for (size_t i = 0; i < quota->repositories.count; i++)
		if (fits(quota->repositories.items[i].repository, repository))
			return quota->repositories.items[i].size;
	return quota->each ? quota->each : INT64_MAX;
}

bool retention_drops_untagged(const struct retention *retention, const char *repository)
{
	for (size_t i = 0; i < retention->rules.count; i++)
		if (retention->rules.items[i].untagged && fits(retention->rules.items[i].repository, repository))
			return true;
	return false;
}

size_t retention_rule_of(const struct retention *retention, const char *repository, const char *tag)
{
	size_t i = 0;

	while (i < retention->rules.count &&
	       (!fits(retention->rules.items[i].repository, repository) || !fits(retention->rules.items[i].tags, tag)))
		i++;
	return i;
}

bool retention_expires(const struct retention_rule *rule, size_t rank, int64_t age_s)
{
	if (!rule->keep_newest.set && !rule->older_than_s.set)
		return false;
	if (rule->keep_newest.set && (int64_t)rank < rule->keep_newest.value)
		return false;
	return !rule->older_than_s.set || age_s > rule->older_than_s.value;
}
