/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"

#define CONTROL(method) "/moby.buildkit.v1.Control/" method
#define GATEWAY(method) "/moby.buildkit.v1.frontend.LLBBridge/" method

static const struct grpc_method methods[] = {
	{ CONTROL("Solve"), control_solve },
	{ CONTROL("Status"), control_status },
	{ CONTROL("ListWorkers"), control_list_workers },
	{ CONTROL("Info"), control_info },
	{ CONTROL("DiskUsage"), control_disk_usage },
	{ CONTROL("Prune"), control_prune },
	{ CONTROL("ListenBuildHistory"), control_history },
	{ GATEWAY("Ping"), gateway_ping },
	{ GATEWAY("Solve"), gateway_solve },
	{ GATEWAY("Return"), gateway_return },
	{ "/grpc.health.v1.Health/Check", health_check },
	{ NULL, NULL },
};

struct buildkit *buildkit_new(struct engine *engine)
{
	struct buildkit *buildkit = xcalloc(1, sizeof(*buildkit));

	buildkit->engine = engine;
	mutex_init(&buildkit->mutex);
	condition_init(&buildkit->changed);
	list_init(&buildkit->jobs);
	list_init(&buildkit->sessions);
	return buildkit;
}

/* ---- connections ---- */

struct upgrade {
	struct buildkit *buildkit;
	char *session_id; /* NULL: /grpc */
	char *shared_key;
};

static void serve(struct buildkit *buildkit, const struct http_stream *stream)
{
	AUTO(error_clear) struct error ignored = { 0 };
	const struct grpc_options options = { .fd = stream->fd,
					      .early = stream->early,
					      .early_size = stream->early_size,
					      .methods = methods,
					      .context = buildkit };
	struct grpc_connection *connection;

	/* What is no HTTP/2 just ends the connection. */
	if (grpc_connection_new(&connection, &options, &ignored) < 0)
		return;
	grpc_connection_run(connection);
	grpc_connection_free(connection);
}

static void run(void *arg, const struct http_stream *stream)
{
	struct upgrade *upgrade = arg;

	if (upgrade->session_id)
		session_accept(upgrade->buildkit, upgrade->session_id, upgrade->shared_key, stream);
	else
		serve(upgrade->buildkit, stream);
}

static void drop(void *arg)
{
	struct upgrade *upgrade = arg;

	free(upgrade->session_id);
	free(upgrade->shared_key);
	free(upgrade);
}

static int take_over(struct buildkit *buildkit, const char *session_id, struct http_request *request,
		     struct http_response *response, struct error *err)
{
	const char *protocol = http_header(request, "Upgrade");
	struct upgrade *upgrade;

	if (!http_wants_upgrade(request))
		return error_set(err, ERR_INVALID, "no upgrade proto in request");
	if (!text_equal(protocol, "h2c"))
		return error_set(err, ERR_INVALID, "protocol %s not supported", protocol);
	upgrade = xcalloc(1, sizeof(*upgrade));
	upgrade->buildkit = buildkit;
	upgrade->session_id = xstrdup(session_id);
	upgrade->shared_key = xstrdup(http_header(request, "X-Docker-Expose-Session-Sharedkey"));
	http_hijack(response, NULL, run, drop, upgrade);
	return 0;
}

int buildkit_grpc(struct buildkit *buildkit, struct http_request *request, struct http_response *response,
		  struct error *err)
{
	return take_over(buildkit, NULL, request, response, err);
}

int buildkit_session(struct buildkit *buildkit, struct http_request *request, struct http_response *response,
		     struct error *err)
{
	const char *id = http_header(request, "X-Docker-Expose-Session-Uuid");

	if (text_empty(id))
		return error_set(err, ERR_INVALID, "the session has no id");
	return take_over(buildkit, id, request, response, err);
}
