/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "rpc/ttrpc.h"
#include "shim/task_process.h"
#include "unit/unit.h"

struct fixture {
	struct loop loop;
	struct log log;
	struct task_host host;
	struct task task;
};

static void start(struct fixture *fixture)
{
	*fixture = (struct fixture){ .log = { .fd = STDERR_FILENO } };
	loop_init(&fixture->loop);
	fixture->host = (struct task_host){ .loop = &fixture->loop, .log = &fixture->log };
	fixture->host.events = events_new(&fixture->loop, &fixture->log, NULL, "t");
	list_init(&fixture->host.tasks);
	fixture->task = (struct task){ .host = &fixture->host, .id = (char *)(uintptr_t) "c", .bundle_fd = -1 };
	list_init(&fixture->task.execs);
	list_add_last(&fixture->host.tasks, &fixture->task.node);
}

static void end(struct fixture *fixture)
{
	LIST_FOR_EACH (node, &fixture->task.execs)
		task_process_fini(list_entry(node, struct task_process, node));
	events_free(fixture->host.events);
	loop_fini(&fixture->loop);
}

static void add_exec(struct fixture *fixture, struct task_process *process, const char *id, pid_t pid)
{
	AUTO(error_clear) struct error err = { 0 };
	const struct process_stdio stdio = { 0 };

	assert_no_error(task_process_init(process, &fixture->task, id, &stdio, &err), &err);
	process->pid = pid;
	process->state = PROCESS_RUNNING;
	list_add_last(&fixture->task.execs, &process->node);
}

static void test_a_number_that_is_used_again(void **state)
{
	struct fixture fixture;
	struct task_process first = { 0 };
	struct task_process second = { 0 };

	(void)state;
	start(&fixture);
	add_exec(&fixture, &first, "e1", 4711);
	task_reaped(&fixture.host, 4711, 3 << 8);
	assert_int_equal(first.state, PROCESS_TOLD);
	assert_int_equal(first.exit_status, 3);
	/* Nobody has deleted the first one yet. */
	add_exec(&fixture, &second, "e2", 4711);
	task_reaped(&fixture.host, 4711, SIGTERM);
	assert_int_equal(second.state, PROCESS_TOLD);
	assert_int_equal(second.exit_status, 128 + SIGTERM);
	assert_int_equal(first.exit_status, 3);
	end(&fixture);
}

static void read_response(int fd, struct task_exit_response *out_exit)
{
	AUTO(error_clear) struct error err = { 0 };
	struct ttrpc_response response = { 0 };
	struct ttrpc_header header;
	uint8_t bytes[TTRPC_HEADER_SIZE];
	char data[256];

	assert_int_equal(read_full(fd, bytes, sizeof(bytes)), sizeof(bytes));
	ttrpc_header_parse(bytes, &header);
	assert_true(header.size <= sizeof(data));
	assert_int_equal(read_full(fd, data, header.size), header.size);
	assert_no_error(proto_decode(&response, ttrpc_response_fields, data, header.size, &err), &err);
	assert_no_error(
		proto_decode(out_exit, task_wait_response_fields, response.payload.data, response.payload.size, &err),
		&err);
	proto_free(&response, ttrpc_response_fields);
}

static void test_who_waits_for_one_that_is_taken_away(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct task_exit_response response = { 0 };
	struct ttrpc_connection *connection;
	struct task_process process = { 0 };
	struct fixture fixture;
	int fds[2];

	(void)state;
	start(&fixture);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	connection = ttrpc_connection_new_take_fd(fds[0]);
	add_exec(&fixture, &process, "e1", 4711);
	task_wait_process(&process, connection, 1);
	list_remove(&process.node);
	task_process_fini(&process);
	assert_no_error(ttrpc_connection_write(connection, &err), &err);
	read_response(fds[1], &response);
	assert_int_equal(response.exit_status, 128 + SIGKILL);
	assert_true(response.exited_at > 0);
	ttrpc_connection_free(connection);
	close(fds[1]);
	end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_number_that_is_used_again),
		cmocka_unit_test(test_who_waits_for_one_that_is_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
