/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: docker's rules. A name given removes that name first; the image
 * goes with its last one. An id given removes everything, if all names are in
 * one repository. Containers stand in the way: a running one always, a stopped
 * one unless forced.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/container.h"
#include "engine/engine.h"
#include "engine/event.h"
#include "engine/image_lookup.h"
#include "store/layer.h"

const struct json_field image_removed_fields[] = {
	JSON_TEXT("Untagged", struct image_removed, untagged, JSON_OMIT_EMPTY),
	JSON_TEXT("Deleted", struct image_removed, deleted, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field image_prune_report_fields[] = {
	JSON_ARRAY("ImagesDeleted", struct image_prune_report, deleted, image_removed_fields, JSON_EMPTY_NULL),
	JSON_I64("SpaceReclaimed", struct image_prune_report, space_reclaimed, 0),
	JSON_END,
};

struct removal {
	struct engine *engine;
	struct image_removals *list;
	struct digest id;
	bool force;
};

/* ---- records of what was done ---- */

static void add_untagged(struct removal *removal, const char *name)
{
	struct image_removed *item = json_array_add(removal->list, sizeof(*item));
	char text[DIGEST_TEXT_MAX];

	item->untagged = image_familiar(name);
	digest_text(&removal->id, text);
	image_event(removal->engine, "untag", text, &removal->id, text);
}

static void add_deleted(struct removal *removal, const struct digest *digest)
{
	struct image_removed *item = json_array_add(removal->list, sizeof(*item));
	char text[DIGEST_TEXT_MAX];

	item->deleted = xstrdup(digest_text(digest, text));
}

/* Inside a transaction; `removed` gets the name if it was there. */
static int untag(struct text_list *removed, const struct removal *removal, const char *name, struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };
	int r;

	if (reference_parse(&reference, name, err) < 0)
		return -1;
	r = image_name_remove(engine_store(removal->engine), &reference, err);
	if (r > 0)
		text_list_add(removed, name);
	return r < 0 ? -1 : 0;
}

/* ---- conflicts ---- */

static int load_names(struct image_name_list *out_names, const struct removal *removal, struct error *err)
{
	return image_name_list_load(out_names, engine_store(removal->engine), &removal->id, err);
}

/* At most one tag, and everything in one repository. */
static bool is_single_reference(const struct image_name_list *names)
{
	size_t tags = 0;

	for (size_t i = 0; i < names->count; i++) {
		if (!text_equal(names->items[i].repository, names->items[0].repository))
			return false;
		tags += !names->items[i].is_digest;
	}
	return tags <= 1;
}

/* First container made from it: 12 digits, or "". Running ones first. */
static bool find_user(const struct removal *removal, char out_id[IMAGE_SHORT_ID_MAX], bool *out_running)
{
	AUTO(text_list_fini) struct text_list ids = { 0 };
	char text[DIGEST_TEXT_MAX];

	*out_running = false;
	out_id[0] = '\0';
	containers_using_image(&ids, out_running, removal->engine, digest_text(&removal->id, text));
	if (ids.count > 0) {
		strncpy(out_id, ids.items[0], IMAGE_SHORT_ID_MAX - 1);
		out_id[IMAGE_SHORT_ID_MAX - 1] = '\0';
	}
	return ids.count > 0;
}

static int cannot_delete(const struct removal *removal, bool hard, const char *reason, const char *container,
			 struct error *err)
{
	char id[IMAGE_SHORT_ID_MAX];

	return error_set(err, ERR_CONFLICT, "conflict: unable to delete %s (%s) - %s%s",
			 image_short_id(id, &removal->id), hard ? "cannot be forced" : "must be forced", reason,
			 container);
}

static int check_containers(const struct removal *removal, struct error *err)
{
	char container[IMAGE_SHORT_ID_MAX];
	bool running;

	if (!find_user(removal, container, &running))
		return 0;
	if (running)
		return cannot_delete(removal, true, "image is being used by running container ", container, err);
	if (!removal->force)
		return cannot_delete(removal, false, "image is being used by stopped container ", container, err);
	return 0;
}

/* ---- the image itself ---- */

/* Which layers went with it, highest first: what is no longer found after the collection. */
static int report_layers(struct removal *removal, const struct layer_stack *stack, struct error *err)
{
	for (size_t i = 0; i < stack->count; i++) {
		struct layer layer;
		int r = layer_find(&layer, engine_store(removal->engine), &stack->items[i].chain_id, err);

		if (r < 0)
			return -1;
		if (r == 0)
			add_deleted(removal, &stack->items[i].chain_id);
	}
	return 0;
}

/* The row, unless somebody named the image meanwhile and that is to count: 1 if it went. */
static int remove_record(const struct removal *removal, bool with_tags, struct error *err)
{
	struct store *store = engine_store(removal->engine);

	if (!with_tags)
		return image_record_remove_untagged(store, &removal->id, err);
	return image_record_remove(store, &removal->id, err) < 0 ? -1 : 1;
}

/* 1 if it went. */
static int delete_image(struct removal *removal, bool with_tags, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	struct store *store = engine_store(removal->engine);
	struct store_garbage garbage;
	struct image_record record;
	char text[DIGEST_TEXT_MAX];
	int r = image_record_find(&record, store, &removal->id, err);

	if (r <= 0)
		return r;
	/* A damaged stack must not make an image undeletable. */
	layer_stack_load(&stack, store, &record.chain_id, &ignored);
	r = remove_record(removal, with_tags, err);
	if (r <= 0)
		return r;
	digest_text(&removal->id, text);
	image_event(removal->engine, "delete", text, &removal->id, text);
	if (store_collect(&garbage, store, err) < 0)
		return -1;
	add_deleted(removal, &removal->id);
	return report_layers(removal, &stack, err) < 0 ? -1 : 1;
}

/* ---- by name, by id ---- */

static int check_name_in_use(const struct removal *removal, const struct image_name_list *names, const char *given,
			     struct error *err)
{
	char container[IMAGE_SHORT_ID_MAX];
	char id[IMAGE_SHORT_ID_MAX];
	bool running;

	if (removal->force || !is_single_reference(names) || !find_user(removal, container, &running))
		return 0;
	return error_set(err, ERR_CONFLICT,
			 "conflict: unable to remove repository reference \"%s\" (must force) - container %s is using "
			 "its referenced image %s",
			 given, container, image_short_id(id, &removal->id));
}

/* When the last tag of a repository goes, its digests go too. */
static int untag_digests(struct text_list *removed, const struct removal *removal, const struct reference *reference,
			 struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };
	AUTO_FREE char *repository = reference_name(reference);

	if (!reference->tag)
		return 0;
	if (load_names(&names, removal, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++)
		if (!names.items[i].is_digest && text_equal(names.items[i].repository, repository))
			return 0;
	for (size_t i = 0; i < names.count; i++)
		if (text_equal(names.items[i].repository, repository) &&
		    untag(removed, removal, names.items[i].name, err) < 0)
			return -1;
	return 0;
}

static int untag_all(struct text_list *removed, const struct removal *removal, struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };

	if (load_names(&names, removal, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++)
		if (untag(removed, removal, names.items[i].name, err) < 0)
			return -1;
	return 0;
}

/* In one step, which the loss of power does not tear: one name and what goes with it, or (NULL) all of them. */
static int untag_together(struct text_list *removed, const struct removal *removal, const struct reference *reference,
			  struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	AUTO_FREE char *name = reference ? reference_format(reference) : NULL;
	int r;

	if (transaction_begin(&transaction, store_database(engine_store(removal->engine)), FILE_SYNC_ALL, err) < 0)
		return -1;
	r = reference ? untag(removed, removal, name, err) : untag_all(removed, removal, err);
	if (r == 0 && reference)
		r = untag_digests(removed, removal, reference, err);
	return r < 0 ? -1 : transaction_commit(transaction, err);
}

static int untag_and_tell(struct removal *removal, const struct reference *reference, struct error *err)
{
	AUTO(text_list_fini) struct text_list removed = { 0 };

	if (untag_together(&removed, removal, reference, err) < 0)
		return -1;
	for (size_t i = 0; i < removed.count; i++)
		add_untagged(removal, removed.items[i]);
	return 0;
}

static int remove_by_name(struct removal *removal, const struct reference *reference, const char *given,
			  struct error *err)
{
	AUTO(error_clear) struct error kept = { 0 };
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };
	AUTO(image_name_list_fini) struct image_name_list left = { 0 };

	if (load_names(&names, removal, err) < 0 || check_name_in_use(removal, &names, given, err) < 0 ||
	    untag_and_tell(removal, reference, err) < 0 || load_names(&left, removal, err) < 0)
		return -1;
	if (left.count > 0)
		return 0;
	/* Forced, and still used: the name went, the image stays, nameless. */
	if (check_containers(removal, &kept) < 0)
		return 0;
	return delete_image(removal, false, err) < 0 ? -1 : 0;
}

static int remove_by_id(struct removal *removal, struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };

	if (load_names(&names, removal, err) < 0 || check_containers(removal, err) < 0)
		return -1;
	if (!removal->force && !is_single_reference(&names))
		return cannot_delete(removal, false, "image is referenced in multiple repositories", "", err);
	if (untag_and_tell(removal, NULL, err) < 0)
		return -1;
	return delete_image(removal, true, err) < 0 ? -1 : 0;
}

static int remove_hit(struct image_removals *list, struct engine *engine, const struct image_hit *hit,
		      const char *given, bool force, struct error *err)
{
	struct removal removal = { .engine = engine, .list = list, .id = hit->record.id, .force = force };

	return hit->by_id ? remove_by_id(&removal, err) : remove_by_name(&removal, &hit->reference, given, err);
}

int image_remove(struct image_removals *out_removals, struct engine *engine, const char *name, bool force,
		 bool no_prune, struct error *err)
{
	AUTO(image_hit_fini) struct image_hit hit = { 0 };
	struct image_removals list = { 0 };

	(void)no_prune; /* parents are layers here, and only go with the last image that uses them */
	if (image_lookup(&hit, engine, name, err) < 0)
		return -1;
	if (remove_hit(&list, engine, &hit, name, force, err) < 0) {
		json_free_array(&list, image_removed_fields, sizeof(struct image_removed));
		return -1;
	}
	*out_removals = list;
	return 0;
}

/* ---- tag ---- */

int image_tag(struct engine *engine, const char *name, const char *repo, const char *tag, struct error *err)
{
	AUTO(image_hit_fini) struct image_hit hit = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *familiar = NULL;
	char text[DIGEST_TEXT_MAX];

	if (image_parse_reference(&reference, repo, tag, err) < 0)
		return -1;
	if (digest_is_set(&reference.digest))
		return error_set(err, ERR_INVALID, "refusing to create a tag with a digest reference");
	if (image_lookup(&hit, engine, name, err) < 0 ||
	    image_name_set(engine_store(engine), &reference, &hit.record.id, NULL, err) < 0)
		return -1;
	familiar = reference_familiar(&reference);
	image_event(engine, "tag", digest_text(&hit.record.id, text), &hit.record.id, familiar);
	return 0;
}

/* ---- prune ---- */

struct prune {
	struct engine *engine;
	const struct filter_set *filters; /* may be NULL */
	bool dangling_only;
	int64_t until_ns;
	struct image_removals list;
};

static int prune_wants(const struct prune *prune, const struct image_record *record,
		       const struct image_name_list *names, struct error *err)
{
	AUTO(image_config_fini) struct image_config config = { 0 };

	if (prune->until_ns > 0 && record->created_ns > prune->until_ns)
		return 0;
	for (size_t i = 0; prune->dangling_only && i < names->count; i++)
		if (!names->items[i].is_digest)
			return 0;
	if (!prune->filters)
		return 1;
	if (image_load_config(&config, prune->engine, &record->id, err) < 0)
		return -1;
	return filter_match_labels(prune->filters, "label", &config.config.labels) &&
	       !(filter_has(prune->filters, "label!") &&
		 filter_match_labels(prune->filters, "label!", &config.config.labels));
}

/* Images in use stay, without a word. */
static int prune_one(struct prune *prune, const struct image_record *record, struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };
	struct removal removal = { .engine = prune->engine, .list = &prune->list, .id = record->id };
	char container[IMAGE_SHORT_ID_MAX];
	bool running;
	int r;

	if (load_names(&names, &removal, err) < 0)
		return -1;
	r = prune_wants(prune, record, &names, err);
	if (r <= 0 || find_user(&removal, container, &running))
		return r < 0 ? -1 : 0;
	/* A pull may give it a name right now: then it stays. */
	r = delete_image(&removal, !prune->dangling_only, err);
	for (size_t i = 0; r > 0 && i < names.count; i++)
		add_untagged(&removal, names.items[i].name);
	return r < 0 ? -1 : 0;
}

int image_collect(struct engine *engine, const char *id, struct error *err)
{
	struct prune prune = { .engine = engine };
	struct image_record record = { 0 };
	struct digest digest;
	int r;

	if (digest_parse(&digest, id, err) < 0)
		return -1;
	r = image_record_find(&record, engine_store(engine), &digest, err);
	if (r > 0)
		r = prune_one(&prune, &record, err) < 0 ? -1 : prune.list.count > 0;
	json_free_array(&prune.list, image_removed_fields, sizeof(struct image_removed));
	return r;
}

static int read_prune_filters(struct prune *prune, struct error *err)
{
	const struct text_list *until;

	prune->dangling_only = true;
	if (!prune->filters)
		return 0;
	if (filter_bool(&prune->dangling_only, prune->filters, "dangling", true, err) < 0)
		return -1;
	until = filter_values(prune->filters, "until");
	if (until && until->count > 0 && clock_parse_moment(&prune->until_ns, until->items[0]) < 0)
		return error_set(err, ERR_INVALID, "invalid filter 'until=[%s]'", until->items[0]);
	return 0;
}

static int prune_all(struct prune *prune, struct error *err)
{
	AUTO(image_record_list_fini) struct image_record_list records = { 0 };

	if (read_prune_filters(prune, err) < 0 ||
	    image_record_list_load(&records, engine_store(prune->engine), err) < 0)
		return -1;
	for (size_t i = 0; i < records.count; i++)
		if (prune_one(prune, &records.items[i], err) < 0)
			return -1;
	return 0;
}

int image_prune(struct image_prune_report *out_report, struct engine *engine, const struct filter_set *filters,
		struct error *err)
{
	AUTO(text_map_fini) struct text_map attributes = { 0 };
	struct prune prune = { .engine = engine, .filters = filters };
	AUTO_FREE char *reclaimed = NULL;
	uint64_t before;
	uint64_t after;

	if (layer_total_size(&before, engine_store(engine), err) < 0)
		return -1;
	if (prune_all(&prune, err) < 0 || layer_total_size(&after, engine_store(engine), err) < 0) {
		json_free_array(&prune.list, image_removed_fields, sizeof(struct image_removed));
		return -1;
	}
	out_report->deleted.items = prune.list.items;
	out_report->deleted.count = prune.list.count;
	out_report->space_reclaimed = before > after ? (int64_t)(before - after) : 0;
	reclaimed = xasprintf("%lld", (long long)out_report->space_reclaimed);
	text_map_set(&attributes, "reclaimed", reclaimed);
	event_publish(engine_events(engine), "image", "prune", "", &attributes);
	return 0;
}
