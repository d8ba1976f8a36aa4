/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"
#include "base/random.h"
#include "engine/engine_private.h"

struct container *container_new(struct engine *engine, const char *id)
{
	struct container *container = xcalloc(1, sizeof(*container));

	atomic_init(&container->references, 1);
	container->engine = engine;
	container->netns_fd = -1;
	container->give_up_fd = -1;
	memcpy(container->id, id, sizeof(container->id) - 1);
	container->bundle = xasprintf("%s/shim/%.16s", engine->exec_root, id);
	mutex_init(&container->row);
	mutex_init(&container->mutex);
	watch_init(&container->changes);
	list_init(&container->attaches);
	list_init(&container->execs);
	return container;
}

struct container *container_ref(struct container *container)
{
	atomic_fetch_add(&container->references, 1);
	return container;
}

void container_unref(struct container *container)
{
	if (!container || atomic_fetch_sub(&container->references, 1) != 1)
		return;
	task_client_close(container->task);
	if (container->netns_fd >= 0)
		close(container->netns_fd);
	json_free_fields(&container->document, container_document_fields);
	mutex_fini(&container->mutex);
	mutex_fini(&container->row);
	text_list_fini(&container->held_volumes);
	text_list_fini(&container->secrets);
	free(container->bundle);
	free(container);
}

static const char *without_slash(const char *name)
{
	return name[0] == '/' ? name + 1 : name;
}

static bool is_visible_locked(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	return container->published && !container->removed;
}

static struct container *find_prefix_locked(struct engine *engine, const char *prefix, bool *out_several)
{
	struct container *found = NULL;
	struct container *container;
	const char *id;
	size_t at = 0;

	mutex_assert_held(&engine->index);
	while ((container = map_next(&engine->by_id, &at, &id))) {
		if (!text_has_prefix(id, prefix) || !is_visible_locked(container))
			continue;
		if (found) {
			*out_several = true;
			return NULL;
		}
		found = container;
	}
	return found;
}

int container_find(struct container **out_container, struct engine *engine, const char *name, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->index);
	struct container *container = map_get(&engine->by_id, name);
	bool several = false;

	if (!container)
		container = map_get(&engine->by_name, without_slash(name));
	if (container && !is_visible_locked(container))
		container = NULL;
	if (!container && *name)
		container = find_prefix_locked(engine, name, &several);
	if (several)
		return error_set(err, ERR_INVALID, "Multiple IDs found with provided prefix: %s", name);
	if (!container)
		return error_set(err, ERR_NOT_FOUND, "No such container: %s", name);
	*out_container = container_ref(container);
	return 0;
}

static int compare_created(const void *a, const void *b)
{
	const struct container *left = *(struct container *const *)a;
	const struct container *right = *(struct container *const *)b;
	int64_t left_ns = left->document.state.created_ns;
	int64_t right_ns = right->document.state.created_ns;

	if (left_ns != right_ns)
		return left_ns < right_ns ? 1 : -1;
	return strcmp(left->id, right->id);
}

size_t container_all(struct container ***out_items, struct engine *engine)
{
	struct container **items;
	struct container *container;
	const char *id;
	size_t count = 0;
	size_t at = 0;

	mutex_lock(&engine->index);
	items = xcalloc(engine->by_id.count + 1, sizeof(struct container *));
	while ((container = map_next(&engine->by_id, &at, &id)))
		if (is_visible_locked(container))
			items[count++] = container_ref(container);
	mutex_unlock(&engine->index);
	/* created_ns never changes after the container was published */
	qsort(items, count, sizeof(struct container *), compare_created);
	*out_items = items;
	return count;
}

void container_all_free(struct container **items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		container_unref(items[i]);
	free(items);
}

static int name_taken(const char *name, const struct container *by, struct error *err)
{
	return error_set(err, ERR_CONFLICT,
			 "Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to "
			 "remove (or rename) that container to be able to reuse that name.",
			 name, by->id);
}

int container_enter(struct container *container, struct error *err)
{
	struct engine *engine = container->engine;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->index);
	const struct container *other = map_get(&engine->by_name, container->document.name);

	if (other)
		return name_taken(container->document.name, other, err);
	map_set(&engine->by_id, container->id, container_ref(container));
	map_set(&engine->by_name, container->document.name, container);
	return 0;
}

void container_leave(struct container *container)
{
	struct engine *engine = container->engine;

	mutex_lock(&engine->index);
	if (map_get(&engine->by_name, container->document.name) == container)
		map_remove(&engine->by_name, container->document.name);
	container = map_take(&engine->by_id, container->id);
	mutex_unlock(&engine->index);
	container_unref(container);
}

int container_index_rename(struct container *container, const char *new_name, struct error *err)
{
	struct engine *engine = container->engine;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->index);
	const struct container *other = map_get(&engine->by_name, new_name);
	AUTO_FREE char *old = NULL;

	if (other)
		return name_taken(new_name, other, err);
	mutex_lock(&container->mutex);
	old = container->document.name;
	container->document.name = xstrdup(new_name);
	mutex_unlock(&container->mutex);
	map_remove(&engine->by_name, old);
	map_set(&engine->by_name, new_name, container);
	return 0;
}

int container_check_name(const char *name, struct error *err)
{
	const char *c = name;
	bool legal = isalnum((unsigned char)*c) && name[1] != '\0';

	for (; legal && *c; c++)
		legal = isalnum((unsigned char)*c) || strchr("_.-", *c);
	if (!legal)
		return error_set(err, ERR_INVALID,
				 "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
	return 0;
}

static const char *const qualities[] = {
	"able",	  "agile",  "amber", "bold",   "brave", "brisk",  "calm",   "clear",   "clever", "cosy",
	"crisp",  "eager",  "early", "exact",  "fair",	"fond",	  "frank",  "fresh",   "gentle", "glad",
	"golden", "handy",  "happy", "honest", "jolly", "keen",	  "kind",   "light",   "lively", "loyal",
	"lucid",  "mellow", "merry", "modest", "neat",	"nimble", "noble",  "patient", "plain",	 "prompt",
	"proud",  "quick",  "quiet", "ready",  "sharp", "simple", "smooth", "sober",   "solid",	 "steady",
	"sturdy", "sunny",  "swift", "tidy",   "vivid", "warm",	  "wise",   "witty",   "young",	 "zesty",
};

static const char *const people[] = {
	"babbage", "backus",   "bartik",  "boole",    "clarke",	 "curie",    "darwin", "dijkstra", "einstein",
	"euclid",  "euler",    "faraday", "fermat",   "floyd",	 "galileo",  "gauss",  "hamilton", "hoare",
	"hopper",  "huygens",  "jackson", "johnson",  "kepler",	 "knuth",    "lamarr", "lamport",  "leibniz",
	"liskov",  "lovelace", "maxwell", "mccarthy", "meitner", "mendel",   "naur",   "newton",   "noether",
	"pascal",  "perlman",  "planck",  "ritchie",  "shannon", "sinoussi", "tesla",  "thompson", "torvalds",
	"turing",  "volta",    "wilkes",  "wozniak",  "yalow",
};

char *container_make_name(struct engine *engine)
{
	for (unsigned attempt = 0;; attempt++) {
		uint32_t numbers[3];
		AUTO_FREE char *name = NULL;
		bool taken;

		random_bytes(numbers, sizeof(numbers));
		name = xasprintf("%s_%s", qualities[numbers[0] % (sizeof(qualities) / sizeof(qualities[0]))],
				 people[numbers[1] % (sizeof(people) / sizeof(people[0]))]);
		if (attempt > 4) {
			char *longer = xasprintf("%s%u", name, numbers[2] % 100000);

			free(name);
			name = longer;
		}
		mutex_lock(&engine->index);
		taken = map_get(&engine->by_name, name) != NULL;
		mutex_unlock(&engine->index);
		if (!taken)
			return take_ptr(name);
	}
}
