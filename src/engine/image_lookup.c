/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_lookup.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/event.h"

#define ID_HEX_SIZE 64

const char *image_short_id(char out[IMAGE_SHORT_ID_MAX], const struct digest *id)
{
	char hex[DIGEST_TEXT_MAX];

	snprintf(out, IMAGE_SHORT_ID_MAX, "%.12s", digest_hex(id, hex));
	return out;
}

int image_parse_reference(struct reference *out_reference, const char *image, const char *tag, struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };

	if (reference_parse(&reference, text_or_empty(image), err) < 0)
		return -1;
	if (!text_empty(tag) && strchr(tag, ':')) {
		if (digest_parse(&reference.digest, tag, err) < 0)
			return -1;
		free(take_ptr(reference.tag));
	} else if (!text_empty(tag)) {
		if (!reference_is_tag(tag))
			return error_set(err, ERR_INVALID, "invalid tag format");
		free(reference.tag);
		reference.tag = xstrdup(tag);
		reference.digest = (struct digest){ 0 };
	}
	reference_default_tag(&reference);
	*out_reference = reference;
	reference = (struct reference){ 0 };
	return 0;
}

char *image_familiar(const char *name)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };

	if (reference_parse(&reference, name, &ignored) < 0)
		return xstrdup(name);
	return reference_familiar(&reference);
}

/* ---- lookup ---- */

/* 1 if name is a whole id and *out_id is it. */
static bool is_whole_id(struct digest *out_id, const char *name)
{
	AUTO(error_clear) struct error ignored = { 0 };
	const char *hex = text_after(name, "sha256:");
	AUTO_FREE char *text = NULL;

	hex = hex ? hex : name;
	if (strlen(hex) != ID_HEX_SIZE)
		return false;
	text = xasprintf("sha256:%s", hex);
	return digest_parse(out_id, text, &ignored) == 0;
}

static int no_such_image(const struct reference *reference, const char *name, struct error *err)
{
	AUTO_FREE char *familiar = reference ? reference_familiar(reference) : xstrdup(name);

	return error_set(err, ERR_NOT_FOUND, "No such image: %s", familiar);
}

static int lookup_id(struct image_hit *hit, struct store *store, const struct digest *id, const char *name,
		     struct error *err)
{
	int r = image_record_find(&hit->record, store, id, err);

	hit->by_id = true;
	if (r == 0)
		return no_such_image(NULL, name, err);
	return r < 0 ? -1 : 0;
}

/* "name:tag@digest" means the digest. */
static void prefer_digest(struct reference *reference)
{
	if (digest_is_set(&reference->digest))
		free(take_ptr(reference->tag));
	else
		reference_default_tag(reference);
}

static int lookup_reference(struct image_hit *hit, struct store *store, const char *name, struct error *err)
{
	struct digest id;
	int r;

	if (reference_parse(&hit->reference, name, err) < 0)
		return -1;
	prefer_digest(&hit->reference);
	r = image_name_find(&id, store, &hit->reference, err);
	if (r > 0)
		r = image_record_find(&hit->record, store, &id, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	r = image_record_find_prefix(&hit->record, store, name, err);
	if (r == 0)
		return no_such_image(&hit->reference, name, err);
	hit->by_id = true;
	return r < 0 ? -1 : 0;
}

int image_lookup(struct image_hit *out_hit, struct engine *engine, const char *name, struct error *err)
{
	AUTO(image_hit_fini) struct image_hit hit = { 0 };
	struct store *store = engine_store(engine);
	struct digest id;
	int r;

	name = text_or_empty(name);
	r = is_whole_id(&id, name) ? lookup_id(&hit, store, &id, name, err) : lookup_reference(&hit, store, name, err);
	if (r < 0)
		return -1;
	*out_hit = hit;
	hit = (struct image_hit){ 0 };
	return 0;
}

void image_hit_fini(struct image_hit *hit)
{
	reference_fini(&hit->reference);
}

/* ---- what belongs to an image ---- */

int image_load_config(struct image_config *out_config, struct engine *engine, const struct digest *id,
		      struct error *err)
{
	AUTO_FREE char *text = NULL;
	char name[DIGEST_TEXT_MAX];
	size_t size;

	if (blob_read(&text, &size, store_blobs(engine_store(engine)), id, IMAGE_CONFIG_SIZE_MAX, err) < 0 ||
	    image_config_decode(out_config, text, size, err) < 0) {
		/* The image is there, its config is not: that is not a 404. */
		if (err->kind == ERR_NOT_FOUND)
			err->kind = ERR_INTERNAL;
		return error_prefix(err, "image %s", digest_text(id, name));
	}
	return 0;
}

int image_load_names(struct text_list *out_tags, struct text_list *out_digests, struct engine *engine,
		     const struct digest *id, struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };

	if (image_name_list_load(&names, engine_store(engine), id, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++)
		text_list_add_take(names.items[i].is_digest ? out_digests : out_tags,
				   image_familiar(names.items[i].name));
	return 0;
}

void image_event(struct engine *engine, const char *action, const char *actor_id, const struct digest *id,
		 const char *name)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(image_config_fini) struct image_config config = { 0 };

	if (id)
		image_load_config(&config, engine, id, &ignored);
	text_map_set(&config.config.labels, "name", name);
	event_publish(engine_events(engine), "image", action, actor_id, &config.config.labels);
}
