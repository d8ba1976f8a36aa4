/* SPDX-License-Identifier: Apache-2.0 */
/* A peer's bytes on a ttrpc connection: frames, requests, and every message of the task API inside them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "rpc/task_messages.h"
#include "rpc/task_stats.h"
#include "rpc/ttrpc_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

union any_message {
	struct task_create_request create;
	struct task_exec_request exec;
	struct task_process_request process;
	struct task_kill_request kill;
	struct task_update_request update;
	struct task_state_response state;
	struct task_pids_response pids;
	struct bootstrap_params bootstrap;
};

static const struct proto_field *const tables[] = {
	task_create_request_fields, task_exec_request_fields,	task_process_request_fields, task_kill_request_fields,
	task_update_request_fields, task_state_response_fields, task_pids_response_fields,   bootstrap_params_fields,
};

/* What was decoded must encode to something that decodes again. */
static void try_message(const struct proto_field *fields, const struct proto_bytes *payload)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text again = { 0 };
	union any_message message;

	memset(&message, 0, sizeof(message));
	if (proto_decode(&message, fields, payload->data, payload->size, &err) < 0)
		return;
	proto_encode(&again, &message, fields);
	proto_free(&message, fields);
	if (proto_decode(&message, fields, again.data, again.size, &err) < 0)
		abort();
	proto_free(&message, fields);
}

static void try_stats(const struct proto_bytes *payload)
{
	AUTO(error_clear) struct error err = { 0 };
	struct proto_any any = { .type_url = (char *)(uintptr_t)TYPE_METRICS_V1, .value = *payload };
	struct task_stats stats;

	if (task_stats_decode(&stats, &any, &err) == 0)
		task_stats_free(&stats);
}

static void handle(void *context, struct ttrpc_connection *connection, uint32_t stream_id,
		   const struct ttrpc_request *request)
{
	AUTO(error_clear) struct error error = { 0 };

	(void)context;
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		try_message(tables[i], &request->payload);
	try_stats(&request->payload);
	error_set(&error, ERR_UNSUPPORTED, "%s", request->method ? request->method : "");
	ttrpc_reply_error(connection, stream_id, 0, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	struct ttrpc_connection *connection;
	int fds[2];
	int r = 1;

	/* More would wait for a reader: we are both sides. */
	if (size > 65536 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return 0;
	if (write_full(fds[0], data, size) < 0)
		abort();
	shutdown(fds[0], SHUT_WR);
	connection = ttrpc_connection_new_take_fd(fds[1]);
	while (r > 0) {
		r = ttrpc_connection_read(connection, handle, NULL, &err);
		if (r > 0 && ttrpc_connection_write(connection, &err) < 0)
			r = -1;
	}
	ttrpc_connection_free(connection);
	close(fds[0]);
	return 0;
}
