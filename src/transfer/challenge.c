/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/challenge.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define CHALLENGES_MAX 16

static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_blank(const char *at)
{
	return at + strspn(at, " \t");
}

/* Yours, or NULL if there is no token; moves *at behind it. */
static char *take_token(const char **at)
{
	size_t size = 0;
	char *token;

	while (is_token((*at)[size]))
		size++;
	if (size == 0)
		return NULL;
	token = xstrndup(*at, size);
	*at += size;
	return token;
}

static char *take_quoted(const char **at)
{
	AUTO(text_fini) struct text value = { 0 };
	const char *c = *at + 1;

	for (; *c && *c != '"'; c++) {
		if (*c == '\\' && c[1])
			c++;
		text_add_char(&value, *c);
	}
	if (*c != '"')
		return NULL;
	*at = c + 1;
	return text_take(&value);
}

static void lower(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text + 32);
}

/* name=value after `at`; false (and *at unmoved) if what comes is something else. */
static bool take_parameter(struct challenge *challenge, const char **at)
{
	const char *c = *at;
	AUTO_FREE char *name = take_token(&c);
	AUTO_FREE char *value = NULL;

	c = skip_blank(c);
	if (!name || *c != '=')
		return false;
	c = skip_blank(c + 1);
	value = *c == '"' ? take_quoted(&c) : take_token(&c);
	if (!value)
		return false;
	lower(name);
	text_map_set(&challenge->parameters, name, value);
	*at = c;
	return true;
}

static struct challenge *add(struct challenge_list *list, const char *scheme)
{
	struct challenge *challenge;

	list->items = xgrow(list->items, &list->capacity, list->count + 1, sizeof(*list->items));
	challenge = &list->items[list->count++];
	*challenge = (struct challenge){ 0 };
	if (text_equal_ignoring_case(scheme, "bearer"))
		challenge->scheme = CHALLENGE_BEARER;
	else if (text_equal_ignoring_case(scheme, "basic"))
		challenge->scheme = CHALLENGE_BASIC;
	return challenge;
}

static const char *skip_commas(const char *at)
{
	return at + strspn(at, " \t,");
}

void challenge_parse(struct challenge_list *out_list, const char *header)
{
	const char *at = skip_commas(header);

	*out_list = (struct challenge_list){ 0 };
	while (*at && out_list->count < CHALLENGES_MAX) {
		AUTO_FREE char *scheme = take_token(&at);
		struct challenge *challenge;

		if (!scheme)
			return;
		challenge = add(out_list, scheme);
		at = skip_commas(at);
		while (take_parameter(challenge, &at))
			at = skip_commas(at);
	}
}

void challenge_list_fini(struct challenge_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		text_map_fini(&list->items[i].parameters);
	free(list->items);
	*list = (struct challenge_list){ 0 };
}

const struct challenge *challenge_choose(const struct challenge_list *list)
{
	const struct challenge *best = NULL;

	for (size_t i = 0; i < list->count; i++) {
		const struct challenge *one = &list->items[i];

		if (one->scheme == CHALLENGE_BEARER && text_empty(text_map_get(&one->parameters, "realm")))
			continue;
		if (one->scheme != CHALLENGE_OTHER && (!best || one->scheme > best->scheme))
			best = one;
	}
	return best;
}
