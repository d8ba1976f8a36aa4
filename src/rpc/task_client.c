/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/task_client.h"

#include <string.h>

#include "base/alloc.h"
#include "rpc/ttrpc_client.h"

struct task_client {
	struct ttrpc_client *rpc;
};

/* Requests borrow the caller's constant strings; nothing writes through them. */
static char *borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}

int task_client_open(struct task_client **out_client, const char *address, struct error *err)
{
	struct ttrpc_client *rpc = NULL;

	if (ttrpc_client_open(&rpc, address, NULL, err) < 0)
		return -1;
	*out_client = xcalloc(1, sizeof(**out_client));
	(*out_client)->rpc = rpc;
	return 0;
}

void task_client_close(struct task_client *client)
{
	if (!client)
		return;
	ttrpc_client_close(client->rpc);
	free(client);
}

static int call(struct task_client *client, const char *method, const void *request,
		const struct proto_field *request_fields, void *response, const struct proto_field *response_fields,
		int cancel_fd, struct error *err)
{
	const struct ttrpc_call call = {
		.service = TASK_SERVICE_V2,
		.method = method,
		.request = request,
		.request_fields = request_fields,
		.response = response,
		.response_fields = response_fields,
		.cancel_fd = cancel_fd,
	};

	return ttrpc_client_call(client->rpc, &call, err);
}

/* The many calls that send no more than ids and get nothing back. */
static int call_simple(struct task_client *client, const char *method, const void *request,
		       const struct proto_field *request_fields, int cancel_fd, struct error *err)
{
	char nothing = 0;

	return call(client, method, request, request_fields, &nothing, empty_fields, cancel_fd, err);
}

int task_create(struct task_client *client, const struct task_create_request *request, uint32_t *out_pid, int cancel_fd,
		struct error *err)
{
	struct task_pid_response response = { 0 };

	if (call(client, "Create", request, task_create_request_fields, &response, task_pid_response_fields, cancel_fd,
		 err) < 0)
		return -1;
	*out_pid = response.pid;
	return 0;
}

int task_start(struct task_client *client, const char *id, const char *exec_id, uint32_t *out_pid, int cancel_fd,
	       struct error *err)
{
	const struct task_process_request request = { .id = borrow(id), .exec_id = borrow(exec_id) };
	struct task_pid_response response = { 0 };

	if (call(client, "Start", &request, task_process_request_fields, &response, task_pid_response_fields, cancel_fd,
		 err) < 0)
		return -1;
	*out_pid = response.pid;
	return 0;
}

int task_exec(struct task_client *client, const struct task_exec_request *request, int cancel_fd, struct error *err)
{
	return call_simple(client, "Exec", request, task_exec_request_fields, cancel_fd, err);
}

int task_kill(struct task_client *client, const char *id, const char *exec_id, int signal, bool all, int cancel_fd,
	      struct error *err)
{
	const struct task_kill_request request = {
		.id = borrow(id), .exec_id = borrow(exec_id), .signal = (uint32_t)signal, .all = all
	};

	return call_simple(client, "Kill", &request, task_kill_request_fields, cancel_fd, err);
}

static int call_exit(struct task_client *client, const char *method, const struct task_process_request *request,
		     const struct proto_field *response_fields, struct task_exit *out_exit, int cancel_fd,
		     struct error *err)
{
	struct task_exit_response response = { 0 };

	if (call(client, method, request, task_process_request_fields, &response, response_fields, cancel_fd, err) < 0)
		return -1;
	*out_exit = (struct task_exit){ .pid = response.pid,
					.exit_status = response.exit_status,
					.exited_at = response.exited_at };
	return 0;
}

int task_wait(struct task_client *client, const char *id, const char *exec_id, struct task_exit *out_exit,
	      int cancel_fd, struct error *err)
{
	const struct task_process_request request = { .id = borrow(id), .exec_id = borrow(exec_id) };

	return call_exit(client, "Wait", &request, task_wait_response_fields, out_exit, cancel_fd, err);
}

int task_delete(struct task_client *client, const char *id, const char *exec_id, struct task_exit *out_exit,
		int cancel_fd, struct error *err)
{
	const struct task_process_request request = { .id = borrow(id), .exec_id = borrow(exec_id) };

	return call_exit(client, "Delete", &request, task_delete_response_fields, out_exit, cancel_fd, err);
}

int task_resize(struct task_client *client, const char *id, const char *exec_id, uint32_t width, uint32_t height,
		int cancel_fd, struct error *err)
{
	const struct task_resize_request request = {
		.id = borrow(id), .exec_id = borrow(exec_id), .width = width, .height = height
	};

	return call_simple(client, "ResizePty", &request, task_resize_request_fields, cancel_fd, err);
}

int task_pids(struct task_client *client, const char *id, struct task_pids_response *out_pids, int cancel_fd,
	      struct error *err)
{
	const struct task_process_request request = { .id = borrow(id) };

	memset(out_pids, 0, sizeof(*out_pids));
	return call(client, "Pids", &request, task_process_request_fields, out_pids, task_pids_response_fields,
		    cancel_fd, err);
}

int task_pause(struct task_client *client, const char *id, int cancel_fd, struct error *err)
{
	const struct task_process_request request = { .id = borrow(id) };

	return call_simple(client, "Pause", &request, task_process_request_fields, cancel_fd, err);
}

int task_resume(struct task_client *client, const char *id, int cancel_fd, struct error *err)
{
	const struct task_process_request request = { .id = borrow(id) };

	return call_simple(client, "Resume", &request, task_process_request_fields, cancel_fd, err);
}

int task_update(struct task_client *client, const char *id, const char *resources_json, int cancel_fd,
		struct error *err)
{
	const struct task_update_request request = {
		.id = borrow(id),
		.resources = { .type_url = borrow(TYPE_RESOURCES_JSON),
			       .value = { .data = (uint8_t *)(uintptr_t)resources_json,
					  .size = strlen(resources_json) } },
	};

	return call_simple(client, "Update", &request, task_update_request_fields, cancel_fd, err);
}

int task_checkpoint(struct task_client *client, const char *id, const char *path,
		    const struct task_checkpoint_options *options, int cancel_fd, struct error *err)
{
	AUTO(text_fini) struct text bytes = { 0 };
	struct task_checkpoint_request request = { .id = borrow(id), .path = borrow(path) };

	if (options) {
		proto_encode(&bytes, options, task_checkpoint_options_fields);
		request.options.type_url = borrow(TYPE_CHECKPOINT_OPTIONS);
		request.options.value = (struct proto_bytes){ .data = (uint8_t *)bytes.data, .size = bytes.size };
	}
	return call_simple(client, "Checkpoint", &request, task_checkpoint_request_fields, cancel_fd, err);
}

int task_connect(struct task_client *client, const char *id, pid_t *out_shim_pid, pid_t *out_task_pid, int cancel_fd,
		 struct error *err)
{
	const struct task_process_request request = { .id = borrow(id) };
	struct task_connect_response response = { 0 };

	if (call(client, "Connect", &request, task_process_request_fields, &response, task_connect_response_fields,
		 cancel_fd, err) < 0)
		return -1;
	*out_shim_pid = (pid_t)response.shim_pid;
	*out_task_pid = (pid_t)response.task_pid;
	proto_free(&response, task_connect_response_fields);
	return 0;
}

int task_shutdown(struct task_client *client, const char *id, int cancel_fd, struct error *err)
{
	const struct task_shutdown_request request = { .id = borrow(id) };

	return call_simple(client, "Shutdown", &request, task_shutdown_request_fields, cancel_fd, err);
}
