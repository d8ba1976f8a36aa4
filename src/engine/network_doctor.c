/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/alloc.h"
#include "engine/container_network.h"
#include "engine/name_server.h"
#include "engine/network_cni.h"
#include "network/examine.h"
#include "rpc/attach_frame.h"

const struct json_field doctor_report_fields[] = {
	JSON_TEXT_LIST("Lines", struct doctor_report, lines, 0),
	JSON_I64("Broken", struct doctor_report, broken, 0),
	JSON_END,
};

static void heading(struct examination *out, const char *kind, const char *name)
{
	text_list_addf(&out->lines, "%s %s", kind, name);
}

/* What its plugins made they judge themselves (CHECK). */
static void examine_plugins(struct container *container, const struct endpoint_settings *endpoint, int netlink_fd,
			    struct examination *out)
{
	AUTO_FREE char *problem = network_cni_problem(container, endpoint, netlink_fd);

	examination_add(out, !problem, "its CNI plugins find all they made%s%s", problem ? ": " : "",
			text_or_empty(problem));
}

/* One place of a container that runs. */
static void examine_place(struct container *container, const struct endpoint_settings *endpoint,
			  struct examination *out)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *key = endpoint_key(container, endpoint);
	AUTO_CLOSE int netlink_fd = attach_receive_netlink(container->bundle, &err);
	AUTO(engine_network_fini) struct engine_network network = { 0 };
	AUTO_FREE char *title = xasprintf("%s on %s", container->document.name, endpoint->network);

	heading(out, "container", title);
	examination_add(out, netlink_fd >= 0, "its shim hands out the socket of its network namespace");
	if (netlink_fd >= 0 && engine_network_find(&network, container->engine, endpoint->network_id, &err) == 0 &&
	    network_is_cni(&network))
		examine_plugins(container, endpoint, netlink_fd, out);
	else if (netlink_fd >= 0)
		network_examine_endpoint(container->engine->network, key, netlink_fd, out);
	if (!endpoint->dns_names.count)
		return;
	examination_add(out, name_server_is_alive(container->engine),
			"the name server kist-resolve answers (127.0.0.11)");
	examination_add(out, name_server_is_reached(container),
			"port 53 of 127.0.0.11 is turned to it (table ip kist_resolver in the container): restart the "
			"container if it is not");
}

static void examine_container(struct container *container, const struct engine_network *only, struct examination *out)
{
	struct networking_config copy = { 0 };
	bool running;

	mutex_lock(&container->mutex);
	running = container->document.state.running && !container->document.state.restarting;
	json_copy_fields(&copy, &container->document.networking, networking_config_fields);
	mutex_unlock(&container->mutex);
	for (size_t i = 0; running && i < copy.endpoints.count; i++)
		if (!text_empty(copy.endpoints.items[i].endpoint_id) &&
		    (!only || text_equal(only->id, copy.endpoints.items[i].network_id)))
			examine_place(container, &copy.endpoints.items[i], out);
	json_free_fields(&copy, networking_config_fields);
}

static void examine_network(struct engine *engine, const struct engine_network *network, struct examination *out)
{
	char bridge[16];

	heading(out, "network", network->name);
	if (!engine_network_has_links(network) || network->config_only) {
		examination_add(out, true, "driver %s has nothing to be broken", network->driver);
		return;
	}
	engine_network_bridge(bridge, engine, network);
	network_examine(engine->network, bridge, out);
}

static void examine_all_on(struct engine *engine, const struct engine_network *network, struct examination *out)
{
	struct container **items;
	size_t count = container_all(&items, engine);

	for (size_t i = 0; i < count; i++)
		examine_container(items[i], network, out);
	container_all_free(items, count);
}

static int examine_one(struct engine *engine, const char *name, struct examination *out, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	struct networking_config copy = { 0 };

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	if (!container_is_running(container))
		return error_set(err, ERR_CONFLICT, "container %s is not running", name);
	mutex_lock(&container->mutex);
	json_copy_fields(&copy, &container->document.networking, networking_config_fields);
	mutex_unlock(&container->mutex);
	for (size_t i = 0; i < copy.endpoints.count; i++) {
		AUTO(engine_network_fini) struct engine_network network = { 0 };
		AUTO(error_clear) struct error gone = { 0 };

		if (engine_network_find(&network, engine, copy.endpoints.items[i].network, &gone) == 0)
			examine_network(engine, &network, out);
	}
	json_free_fields(&copy, networking_config_fields);
	examine_container(container, NULL, out);
	return 0;
}

int engine_network_doctor(struct doctor_report *out_report, struct engine *engine, const char *name, struct error *err)
{
	AUTO(engine_network_fini) struct engine_network network = { 0 };
	AUTO(error_clear) struct error missing = { 0 };
	struct examination found = { 0 };

	if (!engine->network)
		return error_set(err, ERR_UNSUPPORTED, "this engine runs without a bridge");
	if (engine_network_find(&network, engine, name, &missing) == 0) {
		examine_network(engine, &network, &found);
		examine_all_on(engine, &network, &found);
	} else if (missing.kind != ERR_NOT_FOUND) {
		return error_move(err, &missing);
	} else if (examine_one(engine, name, &found, err) < 0) {
		examination_fini(&found);
		return -1;
	}
	out_report->lines = found.lines;
	out_report->broken = found.broken;
	return 0;
}
