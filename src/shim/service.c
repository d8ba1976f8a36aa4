/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/service.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "oci/runtime_spec.h"
#include "rpc/task_stats.h"
#include "shim/attach.h"
#include "shim/task_runtime.h"
#include "sys/cgroup.h"

#define CODE_UNIMPLEMENTED 12
#define CONNECTIONS_MAX 64
#define SIGNAL_MAX 64

struct connection {
	struct watch watch;
	struct list_node node;
	struct service *service;
	struct ttrpc_connection *rpc;
};

struct service {
	struct task_host *host;
	struct watch watch;
	int listen_fd;
	struct list connections;
	size_t connection_count;
	bool stopping;
};

/* One request being answered. */
struct call {
	struct service *service;
	struct task_host *host;
	struct ttrpc_connection *connection;
	uint32_t stream_id;
};

union any_request {
	struct task_create_request create;
	struct task_exec_request exec;
	struct task_process_request process;
	struct task_kill_request kill;
	struct task_resize_request resize;
	struct task_close_io_request close_io;
	struct task_update_request update;
	struct task_checkpoint_request checkpoint;
	struct task_shutdown_request shutdown;
};

static int reply(const struct call *call, const void *message, const struct proto_field *fields)
{
	ttrpc_reply(call->connection, call->stream_id, message, fields);
	return 0;
}

static int reply_empty(const struct call *call)
{
	char nothing = 0;

	return reply(call, &nothing, empty_fields);
}

static int reply_pid(const struct call *call, pid_t pid)
{
	const struct task_pid_response response = { .pid = (uint32_t)pid };

	return reply(call, &response, task_pid_response_fields);
}

/* ---- methods: 0 when answered or to be answered later ---- */

static int do_create(const struct call *call, const union any_request *request, struct error *err)
{
	struct task *task = NULL;

	if (call->service->stopping)
		return error_set(err, ERR_UNAVAILABLE, "the shim was told to shut down");
	if (task_new(&task, call->host, &request->create, err) < 0)
		return -1;
	return reply_pid(call, task->init.pid);
}

static int do_start(const struct call *call, const union any_request *request, struct error *err)
{
	struct task_process *process = NULL;

	if (task_find_process(&process, call->host, request->process.id, request->process.exec_id, err) < 0 ||
	    task_start_process(process, err) < 0)
		return -1;
	return reply_pid(call, process->pid);
}

static int do_delete(const struct call *call, const union any_request *request, struct error *err)
{
	struct task_exit_response response = { 0 };
	struct task_process *process = NULL;

	if (task_find_process(&process, call->host, request->process.id, request->process.exec_id, err) < 0 ||
	    task_delete_process(process, &response, err) < 0)
		return -1;
	return reply(call, &response, task_delete_response_fields);
}

static int32_t status_of(const struct task_process *process)
{
	switch (process->state) {
	case PROCESS_CREATED:
		return TASK_CREATED;
	case PROCESS_TOLD:
		return TASK_STOPPED;
	default:
		return process->task->paused ? TASK_PAUSED : TASK_RUNNING;
	}
}

static int do_state(const struct call *call, const union any_request *request, struct error *err)
{
	struct task_process *process = NULL;
	struct task_state_response response;

	if (task_find_process(&process, call->host, request->process.id, request->process.exec_id, err) < 0)
		return -1;
	response = (struct task_state_response){
		.id = process->task->id,
		.bundle = process->task->bundle,
		.pid = (uint32_t)process->pid,
		.status = status_of(process),
		.stdin_uri = process->stdin_uri,
		.stdout_uri = process->stdout_uri,
		.stderr_uri = process->stderr_uri,
		.terminal = process->terminal,
		.exec_id = process->exec_id,
	};
	if (process->state == PROCESS_TOLD) {
		response.exit_status = process->exit_status;
		response.exited_at = process->exited_at;
	}
	return reply(call, &response, task_state_response_fields);
}

static int do_kill(const struct call *call, const union any_request *request, struct error *err)
{
	const struct task_kill_request *kill = &request->kill;
	struct task_process *process = NULL;

	if (kill->signal > SIGNAL_MAX)
		return error_set(err, ERR_INVALID, "signal %u does not exist", kill->signal);
	if (task_find_process(&process, call->host, kill->id, kill->exec_id, err) < 0 ||
	    task_kill_process(process, (int)kill->signal, kill->all, err) < 0)
		return -1;
	return reply_empty(call);
}

static int do_exec(const struct call *call, const union any_request *request, struct error *err)
{
	struct task *task = NULL;

	if (task_find(&task, call->host, request->exec.id, err) < 0 || task_add_exec(task, &request->exec, err) < 0)
		return -1;
	return reply_empty(call);
}

static int do_resize(const struct call *call, const union any_request *request, struct error *err)
{
	const struct task_resize_request *resize = &request->resize;
	struct task_process *process = NULL;

	if (task_find_process(&process, call->host, resize->id, resize->exec_id, err) < 0 ||
	    task_resize_process(process, resize->width, resize->height, err) < 0)
		return -1;
	return reply_empty(call);
}

static int do_close_io(const struct call *call, const union any_request *request, struct error *err)
{
	struct task_process *process = NULL;

	if (task_find_process(&process, call->host, request->close_io.id, request->close_io.exec_id, err) < 0)
		return -1;
	if (request->close_io.stdin_too)
		streams_close_input(process->streams);
	return reply_empty(call);
}

static int do_wait(const struct call *call, const union any_request *request, struct error *err)
{
	struct task_process *process = NULL;

	if (task_find_process(&process, call->host, request->process.id, request->process.exec_id, err) < 0)
		return -1;
	task_wait_process(process, call->connection, call->stream_id);
	return 0;
}

/* Which exec a pid is, as runc's shim tells it. */
static void add_details(struct task_process_info *info, const struct task *task)
{
	LIST_FOR_EACH (node, &task->execs) {
		const struct task_process *process = list_entry(node, struct task_process, node);
		const struct task_process_details details = { .exec_id = process->exec_id };
		struct text bytes = { 0 };

		if ((uint32_t)process->pid != info->pid)
			continue;
		proto_encode(&bytes, &details, task_process_details_fields);
		info->info = (struct proto_any){
			.type_url = xstrdup(TYPE_PROCESS_DETAILS),
			.value = { .data = (uint8_t *)bytes.data, .size = bytes.size },
		};
	}
}

static int do_pids(const struct call *call, const union any_request *request, struct error *err)
{
	struct task_pids_response response = { 0 };
	struct runtime_pids pids = { 0 };
	struct task *task = NULL;

	if (task_find(&task, call->host, request->process.id, err) < 0 || task_runtime_pids(&pids, task, err) < 0)
		return -1;
	response.processes.items = xcalloc(pids.count + 1, sizeof(*response.processes.items));
	response.processes.count = pids.count;
	for (size_t i = 0; i < pids.count; i++) {
		response.processes.items[i].pid = (uint32_t)pids.pids[i];
		add_details(&response.processes.items[i], task);
	}
	free(pids.pids);
	reply(call, &response, task_pids_response_fields);
	proto_free(&response, task_pids_response_fields);
	return 0;
}

static int do_pause(const struct call *call, const union any_request *request, struct error *err)
{
	struct task *task = NULL;

	if (task_find(&task, call->host, request->process.id, err) < 0 || task_pause_or_resume(task, true, err) < 0)
		return -1;
	return reply_empty(call);
}

static int do_resume(const struct call *call, const union any_request *request, struct error *err)
{
	struct task *task = NULL;

	if (task_find(&task, call->host, request->process.id, err) < 0 || task_pause_or_resume(task, false, err) < 0)
		return -1;
	return reply_empty(call);
}

static int do_checkpoint(const struct call *call, const union any_request *request, struct error *err)
{
	struct task *task = NULL;

	if (task_find(&task, call->host, request->checkpoint.id, err) < 0 ||
	    task_checkpoint_to(task, &request->checkpoint, err) < 0)
		return -1;
	return reply_empty(call);
}

static int do_update(const struct call *call, const union any_request *request, struct error *err)
{
	struct spec_resources resources = { 0 };
	struct task *task = NULL;
	int r;

	if (task_find(&task, call->host, request->update.id, err) < 0 ||
	    spec_resources_parse(&resources, (const char *)request->update.resources.value.data,
				 request->update.resources.value.size, err) < 0)
		return -1;
	r = task_runtime_update(task, &resources, err);
	spec_resources_fini(&resources);
	return r < 0 ? -1 : reply_empty(call);
}

/* Takes what `from` owns where the form is the same. */
static void convert_stats(struct task_stats *out_stats, struct cgroup_stats *from)
{
	*out_stats = (struct task_stats){
		.is_v2 = cgroup_detect() == CGROUP_V2,
		.cpu_total_ns = from->cpu_total_ns,
		.cpu_user_ns = from->cpu_user_ns,
		.cpu_system_ns = from->cpu_system_ns,
		.cpu_periods = from->cpu_periods,
		.cpu_throttled_periods = from->cpu_throttled_periods,
		.cpu_throttled_ns = from->cpu_throttled_ns,
		.memory_usage = from->memory_usage,
		.memory_limit = from->memory_limit,
		.memory_peak = from->memory_peak,
		.memory_failures = from->memory_failures,
		.memory_swap_usage = from->memory_swap_usage,
		.memory_swap_limit = from->memory_swap_limit,
		.memory_cache = from->memory_cache,
		.memory_rss = from->memory_rss,
		.memory_inactive_file = from->memory_inactive_file,
		.memory_stat = from->memory_stat,
		.oom_kills = from->oom_kills,
		.pids_current = from->pids_current,
		.pids_limit = from->pids_limit == UINT64_MAX ? 0 : from->pids_limit,
	};
	from->memory_stat = (struct text_map){ 0 };
	out_stats->per_cpu.items = xcalloc(from->per_cpu_count + 1, sizeof(*out_stats->per_cpu.items));
	out_stats->per_cpu.count = from->per_cpu_count;
	for (size_t i = 0; i < from->per_cpu_count; i++)
		out_stats->per_cpu.items[i].usage_ns = from->per_cpu_ns[i];
	out_stats->io.items = xcalloc(from->io_count + 1, sizeof(*out_stats->io.items));
	out_stats->io.count = from->io_count;
	for (size_t i = 0; i < from->io_count; i++)
		out_stats->io.items[i] = (struct task_io_stat){
			.major = from->io[i].major,
			.minor = from->io[i].minor,
			.read_bytes = from->io[i].read_bytes,
			.write_bytes = from->io[i].write_bytes,
			.read_ops = from->io[i].read_ops,
			.write_ops = from->io[i].write_ops,
		};
}

static int do_stats(const struct call *call, const union any_request *request, struct error *err)
{
	struct task_stats_response response = { 0 };
	struct cgroup_stats usage = { 0 };
	struct task_stats stats;
	struct task *task = NULL;

	if (task_find(&task, call->host, request->process.id, err) < 0 || task_runtime_stats(&usage, task, err) < 0)
		return -1;
	convert_stats(&stats, &usage);
	cgroup_stats_fini(&usage);
	task_stats_encode(&response.stats, &stats);
	task_stats_free(&stats);
	reply(call, &response, task_stats_response_fields);
	proto_free(&response, task_stats_response_fields);
	return 0;
}

static int do_connect(const struct call *call, const union any_request *request, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct task_connect_response response = { .shim_pid = (uint32_t)getpid(),
						  .version = (char *)(uintptr_t)KIST_VERSION };
	struct task *task = NULL;

	(void)err;
	if (task_find(&task, call->host, request->process.id, &ignored) == 0)
		response.task_pid = (uint32_t)task->init.pid;
	return reply(call, &response, task_connect_response_fields);
}

static int do_shutdown(const struct call *call, const union any_request *request, struct error *err)
{
	(void)request;
	(void)err;
	/* containerd: ignored while there are tasks */
	if (!list_empty(&call->host->tasks) || call->service->stopping)
		return reply_empty(call);
	call->service->stopping = true;
	/* Before the answer: who starts the container again after it must find the name free, and keep it. */
	if (text_has_prefix(call->host->address, "unix:///"))
		unlink(call->host->address + strlen("unix://"));
	return reply_empty(call);
}

/* ---- dispatch ---- */

struct method {
	const char *name;
	const struct proto_field *fields;
	int (*run)(const struct call *call, const union any_request *request, struct error *err);
};

static const struct method methods[] = {
	{ "State", task_process_request_fields, do_state },
	{ "Create", task_create_request_fields, do_create },
	{ "Start", task_process_request_fields, do_start },
	{ "Delete", task_process_request_fields, do_delete },
	{ "Pids", task_process_request_fields, do_pids },
	{ "Pause", task_process_request_fields, do_pause },
	{ "Resume", task_process_request_fields, do_resume },
	{ "Checkpoint", task_checkpoint_request_fields, do_checkpoint },
	{ "Kill", task_kill_request_fields, do_kill },
	{ "Exec", task_exec_request_fields, do_exec },
	{ "ResizePty", task_resize_request_fields, do_resize },
	{ "CloseIO", task_close_io_request_fields, do_close_io },
	{ "Update", task_update_request_fields, do_update },
	{ "Wait", task_process_request_fields, do_wait },
	{ "Stats", task_process_request_fields, do_stats },
	{ "Connect", task_process_request_fields, do_connect },
	{ "Shutdown", task_shutdown_request_fields, do_shutdown },
};

static const struct method *find_method(const struct ttrpc_request *request)
{
	if (!text_equal(request->service, TASK_SERVICE_V2) && !text_equal(request->service, TASK_SERVICE_V3))
		return NULL;
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (text_equal(methods[i].name, request->method))
			return &methods[i];
	return NULL;
}

static void handle(void *context, struct ttrpc_connection *rpc, uint32_t stream_id, const struct ttrpc_request *request)
{
	AUTO(error_clear) struct error err = { 0 };
	struct connection *connection = context;
	const struct call call = { .service = connection->service,
				   .host = connection->service->host,
				   .connection = rpc,
				   .stream_id = stream_id };
	const struct method *method = find_method(request);
	union any_request decoded;
	int32_t code = 0;
	int r = -1;

	memset(&decoded, 0, sizeof(decoded));
	if (!method) {
		code = CODE_UNIMPLEMENTED;
		error_set(&err, ERR_UNSUPPORTED, "%s/%s is not implemented", text_or_empty(request->service),
			  text_or_empty(request->method));
	} else if (proto_decode(&decoded, method->fields, request->payload.data, request->payload.size, &err) == 0) {
		r = method->run(&call, &decoded, &err);
		proto_free(&decoded, method->fields);
	}
	if (r < 0)
		ttrpc_reply_error(rpc, stream_id, code, &err);
}

static void connection_free(struct connection *connection)
{
	struct service *service = connection->service;

	task_forget_connection(service->host, connection->rpc);
	loop_remove(service->host->loop, &connection->watch);
	list_remove(&connection->node);
	service->connection_count--;
	ttrpc_connection_free(connection->rpc);
	free(connection);
}

static void on_connection(struct watch *watch, short revents)
{
	AUTO(error_clear) struct error err = { 0 };
	struct connection *connection = list_entry(watch, struct connection, watch);
	int r = 1;

	if (revents & POLLOUT)
		r = ttrpc_connection_write(connection->rpc, &err) < 0 ? -1 : 1;
	if (r > 0 && (revents & (POLLIN | POLLHUP | POLLERR)))
		r = ttrpc_connection_read(connection->rpc, handle, connection, &err);
	if (r > 0)
		return;
	if (r < 0)
		log_warn(connection->service->host->log, "connection dropped", F("error", err.message));
	connection_free(connection);
}

/* A reply may come up in any connection at any time (Wait), so all are looked at. */
void service_flush(struct service *service)
{
	bool all_sent = true;

	LIST_FOR_EACH (node, &service->connections) {
		AUTO(error_clear) struct error err = { 0 };
		struct connection *connection = list_entry(node, struct connection, node);
		bool waiting;

		if (ttrpc_connection_write(connection->rpc, &err) < 0) {
			connection_free(connection);
			continue;
		}
		waiting = ttrpc_connection_wants_write(connection->rpc);
		all_sent = all_sent && !waiting;
		loop_add(service->host->loop, &connection->watch, ttrpc_connection_fd(connection->rpc),
			 waiting ? POLLIN | POLLOUT : POLLIN, on_connection);
	}
	if (service->stopping && all_sent && events_is_idle(service->host->events) && !attach_lingering())
		service->host->loop->stop = true;
}

static void on_listen(struct watch *watch, short revents)
{
	struct service *service = list_entry(watch, struct service, watch);
	int fd = accept4(service->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct connection *connection;

	(void)revents;
	if (fd < 0)
		return;
	if (service->connection_count >= CONNECTIONS_MAX) {
		close(fd);
		return;
	}
	connection = xcalloc(1, sizeof(*connection));
	connection->service = service;
	connection->rpc = ttrpc_connection_new_take_fd(fd);
	list_add_last(&service->connections, &connection->node);
	service->connection_count++;
	loop_add(service->host->loop, &connection->watch, fd, POLLIN, on_connection);
}

bool service_is_stopping(const struct service *service)
{
	return service->stopping;
}

struct service *service_new_take_fd(struct task_host *host, int listen_fd)
{
	struct service *service = xcalloc(1, sizeof(*service));

	service->host = host;
	service->listen_fd = listen_fd;
	list_init(&service->connections);
	loop_add(host->loop, &service->watch, listen_fd, POLLIN, on_listen);
	return service;
}

void service_free(struct service *service)
{
	if (!service)
		return;
	LIST_FOR_EACH (node, &service->connections)
		connection_free(list_entry(node, struct connection, node));
	loop_remove(service->host->loop, &service->watch);
	close(service->listen_fd);
	free(service);
}
