/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/container_view.h"
#include "engine/image.h"

const char *const container_filter_keys[] = { "ancestor",  "before",  "expose", "exited", "health",  "id",
					      "isolation", "is-task", "label",	"name",	  "network", "publish",
					      "since",	   "status",  "volume", NULL };

static const struct json_field summary_port_fields[] = {
	JSON_TEXT("IP", struct summary_port, ip, JSON_OMIT_EMPTY),
	JSON_I64("PrivatePort", struct summary_port, private_port, 0),
	JSON_I64("PublicPort", struct summary_port, public_port, JSON_OMIT_EMPTY),
	JSON_TEXT("Type", struct summary_port, type, 0),
	JSON_END,
};

static const struct json_field summary_host_fields[] = {
	JSON_TEXT("NetworkMode", struct summary_host_config, network_mode, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("Annotations", struct summary_host_config, annotations, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field summary_network_fields[] = {
	JSON_MAP("Networks", struct summary_network_settings, networks, endpoint_settings_fields, 0),
	JSON_END,
};

#define C struct container_summary
const struct json_field container_summary_fields[] = {
	JSON_TEXT("Id", C, id, 0),
	JSON_TEXT_LIST("Names", C, names, 0),
	JSON_TEXT("Image", C, image, 0),
	JSON_TEXT("ImageID", C, image_id, 0),
	JSON_TEXT("Command", C, command, 0),
	JSON_I64("Created", C, created, 0),
	JSON_ARRAY("Ports", C, ports, summary_port_fields, 0),
	JSON_OPT_I64("SizeRw", C, size_rw, JSON_OMIT_EMPTY),
	JSON_OPT_I64("SizeRootFs", C, size_root_fs, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("Labels", C, labels, 0),
	JSON_TEXT("State", C, state, 0),
	JSON_TEXT("Status", C, status, 0),
	JSON_OBJECT("HostConfig", C, host, summary_host_fields, 0),
	JSON_OBJECT("NetworkSettings", C, network, summary_network_fields, 0),
	JSON_ARRAY("Mounts", C, mounts, mount_point_fields, 0),
	JSON_END,
};
#undef C

/* ---- words ---- */

char *human_duration(int64_t duration_ns)
{
	int64_t seconds = duration_ns / CLOCK_SECOND;
	int64_t minutes = seconds / 60;
	int64_t hours = (minutes + 30) / 60;

	if (seconds < 1)
		return xstrdup("Less than a second");
	if (seconds == 1)
		return xstrdup("1 second");
	if (seconds < 60)
		return xasprintf("%lld seconds", (long long)seconds);
	if (minutes == 1)
		return xstrdup("About a minute");
	if (minutes < 60)
		return xasprintf("%lld minutes", (long long)minutes);
	if (hours == 1)
		return xstrdup("About an hour");
	if (hours < 48)
		return xasprintf("%lld hours", (long long)hours);
	if (hours < 24 * 7 * 2)
		return xasprintf("%lld days", (long long)hours / 24);
	if (hours < 24 * 30 * 2)
		return xasprintf("%lld weeks", (long long)hours / 24 / 7);
	if (hours < 24 * 365 * 2)
		return xasprintf("%lld months", (long long)hours / 24 / 30);
	return xasprintf("%lld years", (long long)(seconds / 3600 / 24 / 365));
}

static const char *health_suffix(const struct state_health *health)
{
	const char *status = health_status(health);

	if (text_equal(status, "healthy"))
		return " (healthy)";
	if (text_equal(status, "unhealthy"))
		return " (unhealthy)";
	return text_equal(status, "starting") ? " (health: starting)" : "";
}

char *container_status_text(const struct container_state *state, int64_t now_ns)
{
	AUTO_FREE char *since_start = human_duration(now_ns - state->started_ns);
	AUTO_FREE char *since_end = human_duration(now_ns - state->finished_ns);

	if (state->running && state->restarting)
		return xasprintf("Restarting (%lld) %s ago", (long long)state->exit_code, since_end);
	if (state->running)
		return xasprintf("Up %s%s", since_start, state->paused ? " (Paused)" : health_suffix(state->health));
	if (state->removing)
		return xstrdup("Removal In Progress");
	if (state->dead)
		return xstrdup("Dead");
	if (state->started_ns == 0 && state->finished_ns == 0)
		return xstrdup("Created");
	return xasprintf("Exited (%lld) %s ago", (long long)state->exit_code, since_end);
}

/* Arguments with blanks are quoted, as docker shows them. */
static char *command_text(const struct container_document *document)
{
	struct text text = { 0 };

	text_add(&text, document->path);
	for (size_t i = 0; i < document->args.count; i++) {
		bool quoted = strpbrk(document->args.items[i], " \t") != NULL;

		text_addf(&text, quoted ? " '%s'" : " %s", document->args.items[i]);
	}
	return text_take(&text);
}

/* ---- one line ---- */

static void add_port(struct container_summary *to, const char *port, const struct port_binding *binding)
{
	struct summary_port *item = json_array_add(&to->ports, sizeof(*item));
	const char *slash = strchr(port, '/');

	item->private_port = strtol(port, NULL, 10);
	item->type = xstrdup(slash ? slash + 1 : "tcp");
	if (!binding)
		return;
	item->ip = xstrdup(text_empty(binding->host_ip) ? "0.0.0.0" : binding->host_ip);
	item->public_port = strtol(text_or_empty(binding->host_port), NULL, 10);
}

static void view_ports(struct container_summary *to, const struct container_document *document)
{
	for (size_t i = 0; i < document->bound_ports.count; i++) {
		const struct port_bindings *port = &document->bound_ports.items[i];

		for (size_t j = 0; j < port->bindings.count; j++)
			add_port(to, port->port, &port->bindings.items[j]);
		if (port->bindings.count == 0)
			add_port(to, port->port, NULL);
	}
}

/* What nobody asked for costs nothing: ps of ten thousand containers wants a few keys of each. */
struct wanted {
	bool command;
	bool ports;
	bool labels;
	bool status;
	bool host;
	bool networks;
	bool mounts;
};

static bool is_wanted(const struct text_list *fields, const char *key)
{
	return !fields || text_list_contains(fields, key);
}

static struct wanted read_wanted(const struct text_list *fields)
{
	return (struct wanted){
		.command = is_wanted(fields, "Command"),
		.ports = is_wanted(fields, "Ports"),
		.labels = is_wanted(fields, "Labels"),
		.status = is_wanted(fields, "Status"),
		.host = is_wanted(fields, "HostConfig"),
		.networks = is_wanted(fields, "NetworkSettings"),
		.mounts = is_wanted(fields, "Mounts"),
	};
}

struct json_field *container_list_fields(const struct text_list *fields)
{
	size_t total = sizeof(container_summary_fields) / sizeof(container_summary_fields[0]);
	struct json_field *chosen = xcalloc(total, sizeof(*chosen));
	size_t count = 0;

	for (size_t i = 0; i < total; i++) {
		const struct json_field *field = &container_summary_fields[i];

		if (field->kind == JSON_KIND_END || text_equal(field->name, "Id") || is_wanted(fields, field->name))
			chosen[count++] = *field;
	}
	return chosen;
}

static void view_locked(struct container_summary *to, struct container *container, const struct wanted *wanted)
{
	const struct container_document *document = &container->document;

	mutex_assert_held(&container->mutex);
	to->id = xstrdup(container->id);
	text_list_addf(&to->names, "/%s", document->name);
	to->image = xstrdup(text_or_empty(document->config.image));
	to->image_id = xstrdup(text_or_empty(document->image_id));
	to->created = document->state.created_ns / CLOCK_SECOND;
	to->state = xstrdup(container_status(&document->state));
	if (wanted->command)
		to->command = command_text(document);
	if (wanted->ports)
		view_ports(to, document);
	if (wanted->labels)
		text_map_copy(&to->labels, &document->config.labels);
	if (wanted->status)
		to->status = container_status_text(&document->state, clock_wall_ns());
	if (wanted->host) {
		to->host.network_mode = xstrdup(text_or_empty(document->host.network_mode));
		text_map_copy(&to->host.annotations, &document->host.annotations);
	}
	if (wanted->networks)
		json_copy_fields(&to->network.networks, &document->networking, networking_config_fields);
	for (size_t i = 0; wanted->mounts && i < document->mounts.count; i++)
		if (!document->mounts.items[i].hidden)
			container_view_mount(json_array_add(&to->mounts, sizeof(struct mount_point)),
					     &document->mounts.items[i]);
}

/* ---- filters ---- */

struct list_filter {
	const struct filter_set *filters;
	struct text_list ancestors; /* image ids */
	int64_t before_ns;	    /* 0: none */
	int64_t since_ns;
	bool by_state; /* status or exited: stopped ones too */
};

static bool match_ports(const struct filter_set *filters, const char *key, const struct key_set *ports)
{
	const struct text_list *values = filter_values(filters, key);

	for (size_t i = 0; values && i < values->count; i++) {
		AUTO_FREE char *full = strchr(values->items[i], '/') ? xstrdup(values->items[i])
								     : xasprintf("%s/tcp", values->items[i]);

		if (key_set_contains(ports, full))
			return true;
	}
	return !values;
}

static bool match_published(const struct filter_set *filters, const struct port_map *ports)
{
	struct key_set published = { 0 };
	bool r;

	for (size_t i = 0; i < ports->count; i++)
		if (ports->items[i].bindings.count)
			key_set_add(&published, ports->items[i].port);
	r = match_ports(filters, "publish", &published);
	json_free_array(&published, key_item_fields, sizeof(struct key_item));
	return r;
}

static bool match_exited(const struct filter_set *filters, const struct container_state *state)
{
	const struct text_list *values = filter_values(filters, "exited");
	AUTO_FREE char *code = NULL;

	if (!values)
		return true;
	code = xasprintf("%lld", (long long)state->exit_code);
	return !state->running && state->started_ns && text_list_contains(values, code);
}

static bool match_networks(const struct filter_set *filters, const struct container_document *document)
{
	const struct text_list *values = filter_values(filters, "network");

	for (size_t i = 0; values && i < document->networking.endpoints.count; i++) {
		const struct endpoint_settings *endpoint = &document->networking.endpoints.items[i];

		if (text_list_contains(values, endpoint->network) ||
		    (!text_empty(endpoint->network_id) &&
		     filter_match_prefix(filters, "network", endpoint->network_id)))
			return true;
	}
	return !values;
}

static bool match_volumes(const struct filter_set *filters, const struct container_document *document)
{
	const struct text_list *values = filter_values(filters, "volume");

	for (size_t i = 0; values && i < document->mounts.count; i++) {
		const struct container_mount *mount = &document->mounts.items[i];

		if (text_list_contains(values, mount->destination) ||
		    text_list_contains(values, text_or_empty(mount->name)) ||
		    text_list_contains(values, text_or_empty(mount->source)))
			return true;
	}
	return !values;
}

static bool match_name(const struct filter_set *filters, const char *name)
{
	AUTO_FREE char *slashed = NULL;

	if (!filter_has(filters, "name"))
		return true;
	slashed = xasprintf("/%s", name);
	return filter_match_pattern(filters, "name", name) || filter_match_pattern(filters, "name", slashed);
}

static bool match_words(const struct filter_set *filters, const struct container *container)
{
	const struct container_document *document = &container->document;

	return match_name(filters, document->name) && filter_match_prefix(filters, "id", container->id) &&
	       filter_match_labels(filters, "label", &document->config.labels) &&
	       filter_match_exact(filters, "status", container_status(&document->state)) &&
	       filter_match_exact(filters, "health", health_status(document->state.health)) &&
	       filter_match_exact(filters, "isolation", "default") && filter_match_exact(filters, "is-task", "false");
}

static bool match_locked(struct container *container, const struct list_filter *filter)
{
	const struct container_document *document = &container->document;
	const struct filter_set *filters = filter->filters;

	mutex_assert_held(&container->mutex);
	if (filter->before_ns && document->state.created_ns >= filter->before_ns)
		return false;
	if (filter->since_ns && document->state.created_ns <= filter->since_ns)
		return false;
	if (filter_has(filters, "ancestor") && !text_list_contains(&filter->ancestors, document->image_id))
		return false;
	return match_words(filters, container) && match_exited(filters, &document->state) &&
	       match_ports(filters, "expose", &document->config.exposed_ports) &&
	       match_published(filters, &document->bound_ports) && match_networks(filters, document) &&
	       match_volumes(filters, document);
}

static int resolve_created(int64_t *out_ns, struct engine *engine, const struct filter_set *filters, const char *key,
			   struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	const struct text_list *values = filter_values(filters, key);

	if (!values)
		return 0;
	if (container_find(&container, engine, values->items[0], err) < 0)
		return -1;
	*out_ns = container->document.state.created_ns;
	return 0;
}

static int check_status(const struct filter_set *filters, struct error *err)
{
	static const char *const known[] = { "created",	 "running", "paused", "restarting",
					     "removing", "exited",  "dead",   NULL };
	const struct text_list *values = filter_values(filters, "status");

	for (size_t i = 0; values && i < values->count; i++) {
		bool found = false;

		for (const char *const *status = known; *status && !found; status++)
			found = text_equal(*status, values->items[i]);
		if (!found)
			return error_set(err, ERR_INVALID, "invalid filter 'status=%s'", values->items[i]);
	}
	return 0;
}

static int prepare(struct list_filter *filter, struct engine *engine, struct error *err)
{
	const struct text_list *ancestors = filter_values(filter->filters, "ancestor");

	for (size_t i = 0; ancestors && i < ancestors->count; i++) {
		AUTO(error_clear) struct error problem = { 0 };
		struct image_ready image = { 0 };

		/* An image that is not there has no descendants. */
		if (image_resolve(&image, engine, ancestors->items[i], &problem) < 0)
			continue;
		text_list_add(&filter->ancestors, image.id);
		image_ready_fini(&image);
	}
	filter->by_state = filter_has(filter->filters, "status") || filter_has(filter->filters, "exited");
	if (check_status(filter->filters, err) < 0 ||
	    resolve_created(&filter->before_ns, engine, filter->filters, "before", err) < 0 ||
	    resolve_created(&filter->since_ns, engine, filter->filters, "since", err) < 0)
		return -1;
	return 0;
}

static bool view_listed(struct container_summary *to, struct container *container, const struct list_filter *filter,
			const struct list_options *options, const struct wanted *wanted)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	bool everything = options->all || options->limit > 0 || filter->by_state;

	if ((!everything && !container->document.state.running) || !match_locked(container, filter))
		return false;
	view_locked(to, container, wanted);
	return true;
}

int container_list(struct engine *engine, const struct list_options *options,
		   void (*give)(void *context, struct container_summary *summary), void *context, struct error *err)
{
	struct list_filter filter = { .filters = options->filters };
	const struct wanted wanted = read_wanted(options->fields);
	struct container **items;
	int64_t given = 0;
	size_t count;

	if (prepare(&filter, engine, err) < 0) {
		text_list_fini(&filter.ancestors);
		return -1;
	}
	count = container_all(&items, engine);
	for (size_t i = 0; i < count && (options->limit <= 0 || given < options->limit); i++) {
		struct container_summary summary = { 0 };

		if (!view_listed(&summary, items[i], &filter, options, &wanted))
			continue;
		if (options->size)
			container_view_size(&summary.size_rw, &summary.size_root_fs, items[i]);
		give(context, &summary);
		json_free_fields(&summary, container_summary_fields);
		given++;
	}
	container_all_free(items, count);
	text_list_fini(&filter.ancestors);
	return 0;
}

int containers_using_image(struct text_list *out_ids, bool *out_running, struct engine *engine, const char *image_id)
{
	struct container **items;
	size_t count = container_all(&items, engine);

	*out_running = false;
	for (size_t i = 0; i < count; i++) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&items[i]->mutex);

		if (!text_equal(items[i]->document.image_id, image_id))
			continue;
		text_list_add(out_ids, items[i]->id);
		*out_running |= items[i]->document.state.running;
	}
	container_all_free(items, count);
	return 0;
}
