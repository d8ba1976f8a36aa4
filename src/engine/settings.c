/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/settings.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "engine/engine_private.h"

const struct engine_settings *engine_settings(const struct engine *engine)
{
	return __atomic_load_n(&engine->settings, __ATOMIC_ACQUIRE);
}

void engine_reload(struct engine *engine, const struct engine_settings *settings, const struct text_map *attributes)
{
	__atomic_store_n(&engine->settings, settings, __ATOMIC_RELEASE);
	event_publish(engine->events, "daemon", "reload", engine->id, attributes);
}

static void default_text(char **value, const char *otherwise)
{
	if (!text_empty(*value) || !otherwise)
		return;
	free(*value);
	*value = xstrdup(otherwise);
}

static void default_list(struct text_list *list, const struct text_list *otherwise)
{
	if (list->count == 0)
		text_list_add_all(list, otherwise);
}

static bool has_ulimit(const struct host_config *host, const char *name)
{
	for (size_t i = 0; i < host->ulimits.count; i++)
		if (text_equal(host->ulimits.items[i].name, name))
			return true;
	return false;
}

static void add_ulimits(struct host_config *host, const struct container_defaults *defaults)
{
	for (size_t i = 0; i < defaults->ulimits.count; i++) {
		const struct ulimit *from = &defaults->ulimits.items[i];
		struct ulimit *to;

		if (has_ulimit(host, from->name))
			continue;
		to = json_array_add(&host->ulimits, sizeof(*to));
		*to = (struct ulimit){ .name = xstrdup(from->name), .hard = from->hard, .soft = from->soft };
	}
}

static bool says_new_privileges(const struct host_config *host)
{
	for (size_t i = 0; i < host->security_opt.count; i++)
		if (text_has_prefix(host->security_opt.items[i], "no-new-privileges"))
			return true;
	return false;
}

void container_defaults_apply(struct host_config *host, const struct container_defaults *defaults)
{
	bool own_network = !text_has_prefix(text_or_empty(host->network_mode), "container:");

	if (own_network) {
		default_list(&host->dns, &defaults->dns);
		default_list(&host->dns_options, &defaults->dns_options);
		default_list(&host->dns_search, &defaults->dns_search);
	}
	if (!host->privileged)
		default_text(&host->cgroupns_mode, defaults->cgroupns_mode);
	default_text(&host->ipc_mode, defaults->ipc_mode);
	add_ulimits(host, defaults);
	if (defaults->init && !host->init.set)
		host->init = (struct optional_bool){ .set = true, .value = true };
	if (defaults->no_new_privileges && !says_new_privileges(host))
		text_list_add(&host->security_opt, "no-new-privileges");
}
