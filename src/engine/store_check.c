/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: one pass finds what is wrong and, to repair, puts it aside.
 * Images that then miss something are pulled again by the digests they came
 * under; a second pass tells what is left.
 */
#include "engine/store_check.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/quote.h"
#include "engine/engine.h"
#include "engine/image_lookup.h"
#include "store/check.h"

#define REPORT_NS (200 * CLOCK_MS)

struct checking {
	struct engine *engine;
	const struct store_check_options *options;
	struct text_list broken; /* ids of images that miss something */
	int64_t reported_ns;
};

static void send(const struct checking *checking, const struct text *json)
{
	checking->options->progress(checking->options->progress_arg, json->data);
}

static void add_member(struct text *json, const char *key, const char *value)
{
	text_addf(json, "\"%s\":", key);
	quote_json(json, value, strlen(value));
}

static const char *kind_name(enum check_kind kind)
{
	return kind == CHECK_BLOB ? "blob" : kind == CHECK_LAYER ? "layer" : "image";
}

static void on_problem(void *arg, enum check_kind kind, const struct digest *digest, const char *text, bool repaired)
{
	struct checking *checking = arg;
	AUTO(text_fini) struct text json = { 0 };
	char id[DIGEST_TEXT_MAX];

	digest_text(digest, id);
	if (kind == CHECK_IMAGE)
		text_list_add(&checking->broken, id);
	text_add(&json, "{\"problem\":{");
	add_member(&json, "kind", kind_name(kind));
	text_add(&json, ",");
	add_member(&json, "id", id);
	text_add(&json, ",");
	add_member(&json, "text", text);
	text_addf(&json, ",\"repaired\":%s}}", repaired ? "true" : "false");
	send(checking, &json);
}

static void on_progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
	struct checking *checking = arg;
	AUTO(text_fini) struct text json = { 0 };
	int64_t now = clock_monotonic_ns();

	if (now - checking->reported_ns < REPORT_NS)
		return;
	checking->reported_ns = now;
	text_addf(&json, "{\"status\":\"checking %s: %llu of %llu\"}", what, (unsigned long long)done,
		  (unsigned long long)total);
	send(checking, &json);
}

static int pass(struct check_counts *out_counts, struct checking *checking, struct error *err)
{
	const struct check_options options = { .quarantine = checking->options->repair,
					       .cancel_fd = checking->options->cancel_fd,
					       .arg = checking,
					       .problem = on_problem,
					       .progress = on_progress };

	return store_check(out_counts, engine_store(checking->engine), &options, err);
}

/* ---- fetching again ---- */

static void ignore_progress(void *arg, const char *json)
{
	(void)arg;
	(void)json;
}

static int fetch_from(const struct checking *checking, const char *name, struct error *err)
{
	const struct image_pull_options options = { .image = name,
						    .whole = true,
						    .registry = checking->options->registry,
						    .progress = ignore_progress,
						    .cancel_fd = checking->options->cancel_fd };

	return image_pull(checking->engine, &options, err);
}

/* From any of the places that gave it. */
static int fetch_image(const struct checking *checking, const char *id, struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };
	struct digest digest;

	if (digest_parse(&digest, id, err) < 0 ||
	    image_name_list_load(&names, engine_store(checking->engine), &digest, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		AUTO(error_clear) struct error failure = { 0 };
		AUTO(text_fini) struct text json = { 0 };
		int r;

		if (!names.items[i].is_digest)
			continue;
		r = fetch_from(checking, names.items[i].name, &failure);
		if (r < 0 && failure.kind == ERR_CANCELED)
			return error_move(err, &failure);
		text_add(&json, "{\"fetched\":{");
		add_member(&json, "id", id);
		text_add(&json, ",");
		add_member(&json, "from", names.items[i].name);
		if (r < 0) {
			text_add(&json, ",");
			add_member(&json, "error", failure.message);
		}
		text_add(&json, "}}");
		send(checking, &json);
		if (r == 0)
			return 0;
	}
	return 0;
}

static int repair(struct check_counts *counts, struct checking *checking, struct error *err)
{
	AUTO(text_list_fini) struct text_list broken = checking->broken;

	checking->broken = (struct text_list){ 0 };
	for (size_t i = 0; i < broken.count; i++)
		if (fetch_image(checking, broken.items[i], err) < 0)
			return -1;
	return pass(counts, checking, err);
}

int store_check_run(struct engine *engine, const struct store_check_options *options, struct error *err)
{
	struct checking checking = { .engine = engine, .options = options };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(text_fini) struct text json = { 0 };
	struct store_garbage garbage;
	struct check_counts counts;
	int r = pass(&counts, &checking, err);

	if (r == 0 && options->repair && counts.problems > 0)
		r = repair(&counts, &checking, err);
	text_list_fini(&checking.broken);
	/* What was removed while the check held it. */
	store_collect(&garbage, engine_store(engine), &ignored);
	if (r < 0)
		return -1;
	text_addf(&json,
		  "{\"summary\":{\"blobs\":%llu,\"layers\":%llu,\"images\":%llu,\"unchecked\":%llu,\"problems\":%llu}}",
		  (unsigned long long)counts.blobs, (unsigned long long)counts.layers,
		  (unsigned long long)counts.images, (unsigned long long)counts.unchecked_layers,
		  (unsigned long long)(counts.problems - counts.repaired));
	send(&checking, &json);
	return 0;
}
