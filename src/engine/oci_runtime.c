/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/oci_runtime.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "engine/engine_private.h"

#define NOTE_FILE "oci-runtime.json" /* shim/oci_binary.h */

static const struct json_field note_fields[] = {
	JSON_TEXT("path", struct engine_runtime, path, 0),
	JSON_TEXT_LIST("arguments", struct engine_runtime, arguments, JSON_OMIT_EMPTY),
	JSON_END,
};

bool oci_runtime_is_own(const char *name)
{
	return text_equal(name, "runc") || text_equal(name, "kist") || text_equal(name, "io.containerd.runc.v2");
}

const struct engine_runtime *oci_runtime_find(const struct engine_settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->runtimes.count; i++)
		if (text_equal(settings->runtimes.items[i].name, name))
			return &settings->runtimes.items[i];
	return NULL;
}

/* What needs more than the OCI specification says. */
static int check_portable(const struct engine *engine, const struct host_config *host, struct error *err)
{
	bool own_users = text_has_prefix(text_or_empty(host->userns_mode), "auto") ||
			 (engine->remap.size && text_empty(host->userns_mode));

	if (own_users)
		return error_set(err, ERR_UNSUPPORTED,
				 "runtime %s: a user namespace needs layers with an id map, which only kist's own "
				 "runtime mounts",
				 host->runtime);
	for (size_t i = 0; i < host->mounts.count; i++)
		if (host->mounts.items[i].volume && !text_empty(host->mounts.items[i].volume->subpath))
			return error_set(err, ERR_UNSUPPORTED,
					 "runtime %s: a subpath of a volume can be mounted only by kist's own runtime",
					 host->runtime);
	return 0;
}

int oci_runtime_check(const struct engine *engine, struct host_config *host, struct error *err)
{
	const struct engine_settings *settings = engine_settings(engine);

	if (text_empty(host->runtime)) {
		free(host->runtime);
		host->runtime = xstrdup(settings->default_runtime ? settings->default_runtime : "runc");
	}
	if (oci_runtime_is_own(host->runtime))
		return 0;
	if (!oci_runtime_find(settings, host->runtime))
		return error_set(err, ERR_INVALID, "unknown or invalid runtime name: %s", host->runtime);
	return check_portable(engine, host, err);
}

int oci_runtime_note(const struct container *container, struct error *err)
{
	const char *name = container->document.host.runtime;
	const struct engine_runtime *runtime = oci_runtime_find(engine_settings(container->engine), name);
	AUTO_FREE char *path = path_join(container->bundle, NOTE_FILE);
	AUTO_FREE char *text = NULL;
	int r;

	if (text_empty(name) || oci_runtime_is_own(name))
		return 0;
	if (!runtime)
		return error_set(err, ERR_INVALID, "unknown or invalid runtime name: %s", name);
	text = json_encode(runtime, note_fields);
	r = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FILE_NO_SYNC);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}
