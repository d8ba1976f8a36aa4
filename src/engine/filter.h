/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - the `filters` parameter of the Docker API: keys with several
 * values each. Both spellings are read: {"key":{"value":true}} and
 * {"key":["value"]}. Values of one key are alternatives, keys are conjunctive;
 * labels are all required.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/map.h"
#include "base/text.h"

struct filter_set {
	struct map keys; /* name -> struct text_list * */
};

/* text NULL or "" is no filter. `allowed` (NULL-terminated, or NULL for any) gives ERR_INVALID "invalid filter 'foo'". */
int filter_set_parse(struct filter_set *out_set, const char *text, const char *const *allowed, struct error *err);
void filter_set_init(struct filter_set *set);
void filter_set_fini(struct filter_set *set);
void filter_set_add(struct filter_set *set, const char *key, const char *value);

/* The values of a key, or NULL. Borrowed. */
const struct text_list *filter_values(const struct filter_set *set, const char *key);
bool filter_has(const struct filter_set *set, const char *key);
/* true if the key is absent or one of its values equals `value`. */
bool filter_match_exact(const struct filter_set *set, const char *key, const char *value);
/* true if the key is absent or one of its values is found in `value` (substring, or POSIX extended expression). */
bool filter_match_pattern(const struct filter_set *set, const char *key, const char *value);
/* true if the key is absent or `value` starts with one of its values. */
bool filter_match_prefix(const struct filter_set *set, const char *key, const char *value);
/* true if each "k" or "k=v" of the key is in labels. */
bool filter_match_labels(const struct filter_set *set, const char *key, const struct text_map *labels);
/* ERR_INVALID "invalid filter 'key=[value]'" unless every value reads as a boolean; absent gives otherwise. */
int filter_bool(bool *out_value, const struct filter_set *set, const char *key, bool otherwise, struct error *err);
/* The one moment of key "until", 0 if it is absent. */
int filter_until(int64_t *out_ns, const struct filter_set *set, struct error *err);
