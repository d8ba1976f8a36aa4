/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_mount.h"

#include "base/alloc.h"
#include "engine/engine_private.h"
#include "engine/image.h"
#include "engine/image_use.h"
#include "store/layer.h"
#include "store/snapshot.h"

static char *key_of(const struct container *container, size_t number)
{
	return xasprintf("%s.%zu", container->id, number);
}

/* Lower layers only; the snapshot's own, empty folder on top, for overlay wants two where nothing is upper. */
static void add_layers(struct container_mount *mount, const struct snapshot_mount *from)
{
	const char *lower = NULL;
	const char *upper = NULL;

	for (size_t i = 0; i < from->options.count; i++) {
		const char *option = from->options.items[i];

		lower = text_after(option, "lowerdir=") ? text_after(option, "lowerdir=") : lower;
		upper = text_after(option, "upperdir=") ? text_after(option, "upperdir=") : upper;
	}
	text_list_addf(&mount->options, "lowerdir=%s%s%s", text_or_empty(upper), upper && lower ? ":" : "",
		       text_or_empty(lower));
}

/* A tree that is whole needs no overlay. */
static int add_tree(struct container_mount *mount, struct store *store, const struct digest *chain_id,
		    struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	AUTO_FREE char *path = NULL;

	if (layer_stack_load(&stack, store, chain_id, err) < 0)
		return -1;
	path = layer_path(store, &stack.items[0]);
	text_list_addf(&mount->options, IMAGE_MOUNT_TREE "=%s", path);
	return 0;
}

int image_mount_make(struct container *container, struct container_mount *mount, const char *source, struct error *err)
{
	struct store *store = container->engine->store;
	AUTO(image_ready_fini) struct image_ready image = { 0 };
	AUTO_FREE char *key = key_of(container, (size_t)(mount - container->document.mounts.items));
	struct snapshot_mount layers = { 0 };
	bool overlay;

	if (image_resolve(&image, container->engine, source, err) < 0 ||
	    snapshot_hold(store, key, &image.chain_id, err) < 0)
		return -1;
	mount->source = xstrdup(source);
	mount->name = xstrdup(key);
	mount->rw = false;
	if (store_driver(store) == STORE_COPY && digest_is_set(&image.chain_id))
		return add_tree(mount, store, &image.chain_id, err);
	if (snapshot_mount(&layers, store, key, err) < 0)
		return -1;
	overlay = text_equal(layers.type, "overlay");
	if (overlay)
		add_layers(mount, &layers);
	snapshot_mount_fini(&layers);
	return overlay ? 0 : error_set(err, ERR_INVALID, "image %s has no files to mount", source);
}

void image_mounts_remove(struct container *container)
{
	for (size_t i = 0; i < container->document.mounts.count; i++) {
		AUTO(error_clear) struct error err = { 0 };
		const struct container_mount *mount = &container->document.mounts.items[i];

		if (text_equal(mount->type, "image") && mount->name &&
		    snapshot_remove(container->engine->store, mount->name, &err) < 0)
			engine_log_error(container->engine, "removing a mounted image", container->id, &err);
	}
}

static void collect_sources(struct text_list *out_names, struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	for (size_t i = 0; i < container->document.mounts.count; i++)
		if (text_equal(container->document.mounts.items[i].type, "image"))
			text_list_add(out_names, container->document.mounts.items[i].source);
}

void image_mounts_note(struct engine *engine)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	struct container **items;
	size_t count = container_all(&items, engine);

	for (size_t i = 0; i < count; i++)
		collect_sources(&names, items[i]);
	container_all_free(items, count);
	for (size_t i = 0; i < names.count; i++) {
		AUTO(error_clear) struct error gone = { 0 };
		struct image_ready image = { 0 };

		if (image_resolve(&image, engine, names.items[i], &gone) == 0)
			image_use_note(engine, image.id);
		image_ready_fini(&image);
	}
}
