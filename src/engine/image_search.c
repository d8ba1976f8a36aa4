/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: Docker Hub, and registries that kept the first version's search, are asked for it. Others can only list
 * what they have (GET /v2/_catalog): of that the names with the term in them count, without stars and descriptions.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/filter.h"
#include "engine/image_auth.h"
#include "engine/image_lookup.h"
#include "transfer/agent.h"

#define LIMIT_DEFAULT 25
#define LIMIT_MAX 100
#define HUB "docker.io"

const char *const image_search_filter_keys[] = { "is-automated", "is-official", "stars", NULL };

/* A registry that leaves a key out, or says null, means its zero. */
const struct json_field image_found_fields[] = {
	JSON_I64("star_count", struct image_found, stars, 0),
	JSON_BOOL("is_official", struct image_found, is_official, 0),
	JSON_TEXT("name", struct image_found, name, 0),
	JSON_BOOL("is_automated", struct image_found, is_automated, 0),
	JSON_TEXT("description", struct image_found, description, 0),
	JSON_END,
};

struct answer {
	struct image_founds results;
};

static const struct json_field answer_fields[] = {
	JSON_ARRAY("results", struct answer, results, image_found_fields, JSON_REQUIRED),
	JSON_END,
};

struct search {
	const struct image_search_options *options;
	char *registry;
	const char *term; /* without the registry; borrowed */
	int64_t limit;
	bool has_official;
	bool is_official;
	bool has_automated;
	bool is_automated;
	int64_t stars;
};

/* ---- the question ---- */

static int read_stars(struct search *search, const struct filter_set *filters, struct error *err)
{
	const struct text_list *values = filter_values(filters, "stars");

	for (size_t i = 0; values && i < values->count; i++) {
		int64_t stars;

		if (text_parse_i64(&stars, values->items[i], INT64_MIN, INT64_MAX) < 0)
			return error_set(err, ERR_INVALID, "invalid filter 'stars=[%s]'", values->items[i]);
		if (stars > search->stars)
			search->stars = stars;
	}
	return 0;
}

static int read_search(struct search *search, const struct image_search_options *options, struct error *err)
{
	const char *slash = strchr(options->term, '/');
	AUTO_FREE char *first = xstrndup(options->term, strcspn(options->term, "/"));
	bool named = slash && (strpbrk(first, ".:") || text_equal(first, "localhost"));

	if (strstr(options->term, "://"))
		return error_set(err, ERR_INVALID,
				 "invalid repository name: repository name (%s) should not have a scheme",
				 options->term);
	if (options->limit.set && (options->limit.value < 0 || options->limit.value > LIMIT_MAX))
		return error_set(err, ERR_INVALID, "limit %lld is outside the range of [1, %d]",
				 (long long)options->limit.value, LIMIT_MAX);
	search->options = options;
	search->limit = optional_i64_or(options->limit, 0) ? options->limit.value : LIMIT_DEFAULT;
	search->registry = named ? take_ptr(first) : xstrdup(HUB);
	search->term = named ? slash + 1 : options->term;
	search->has_official = filter_has(options->filters, "is-official");
	search->has_automated = filter_has(options->filters, "is-automated");
	if (filter_bool(&search->is_official, options->filters, "is-official", false, err) < 0 ||
	    filter_bool(&search->is_automated, options->filters, "is-automated", false, err) < 0)
		return -1;
	return read_stars(search, options->filters, err);
}

/* ---- the answers ---- */

static bool is_wanted(const struct search *search, const struct image_found *found)
{
	return found->stars >= search->stars && (!search->has_official || found->is_official == search->is_official) &&
	       (!search->has_automated || found->is_automated == search->is_automated);
}

/* Under a name that can be pulled. */
static void add(struct image_founds *out, const struct search *search, const struct image_found *from)
{
	struct image_found *found;

	if (text_empty(from->name) || !is_wanted(search, from) || (int64_t)out->count >= search->limit)
		return;
	found = json_array_add(out, sizeof(*found));
	*found = *from;
	found->name = text_equal(search->registry, HUB) ? xstrdup(from->name)
							: xasprintf("%s/%s", search->registry, from->name);
	found->description = xstrdup(text_or_empty(from->description));
}

/* 1; 0: this is no answer to a search (a page for people, of registries that have one for any path). */
static int take_answer(struct image_founds *out, const struct search *search, const char *text)
{
	AUTO(error_clear) struct error strange = { 0 };
	struct answer answer = { 0 };

	if (json_decode(&answer, answer_fields, text, strlen(text), &strange) < 0)
		return 0;
	for (size_t i = 0; i < answer.results.count; i++)
		add(out, search, &answer.results.items[i]);
	json_free_fields(&answer, answer_fields);
	return 1;
}

static int list_catalog(struct image_founds *out, const struct search *search, struct agent *agent, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	if (agent_catalog(&names, agent, err) < 0)
		return error_prefix(err, "%s has no search, and its list of repositories", search->registry);
	text_list_sort(&names);
	for (size_t i = 0; i < names.count; i++)
		if (strstr(names.items[i], search->term))
			add(out, search, &(struct image_found){ .name = names.items[i] });
	return 0;
}

static int ask(struct image_founds *out, const struct search *search, struct agent *agent, struct error *err)
{
	AUTO_FREE char *text = NULL;
	int r = agent_search(&text, agent, search->term, (uint64_t)search->limit, err);

	if (r > 0)
		r = take_answer(out, search, text);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (text_equal(search->registry, HUB))
		return error_set(err, ERR_UNAVAILABLE, "Docker Hub did not answer the search");
	return list_catalog(out, search, agent, err);
}

static int run(struct image_founds *out, const struct search *search, struct error *err)
{
	const struct image_search_options *options = search->options;
	AUTO(image_auth_fini) struct image_auth auth = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(agent_closep) struct agent *agent = NULL;
	AUTO_FREE char *reference = xasprintf("%s/search", search->registry);
	struct session_auth session_auth;

	/* As dockerd: who cannot be read is nobody. */
	image_auth_decode(&auth, options->auth, &ignored);
	session_auth = image_auth_session(&auth);
	if (agent_open(&agent,
		       &(struct agent_options){ .reference = reference,
						.auth = &session_auth,
						.settings = options->registry,
						.cancel_fd = options->cancel_fd },
		       err) < 0)
		return -1;
	return ask(out, search, agent, err);
}

int image_search(struct image_founds *out_founds, const struct image_search_options *options, struct error *err)
{
	struct search search = { 0 };
	struct image_founds founds = { 0 };
	int r = read_search(&search, options, err);

	if (r == 0)
		r = run(&founds, &search, err);
	free(search.registry);
	if (r < 0)
		json_free_array(&founds, image_found_fields, sizeof(*founds.items));
	else
		*out_founds = founds;
	return r;
}
