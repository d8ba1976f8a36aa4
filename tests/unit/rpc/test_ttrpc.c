/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ttrpc.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "rpc/attach_frame.h"
#include "rpc/task_client.h"
#include "rpc/ttrpc_client.h"
#include "unit/unit.h"

/* A server of the test's own: one connection, scripted by its thread. */
struct fake_shim {
	char directory[64];
	char *address;
	int listen_fd;
	int fd;
	pthread_t thread;
	void (*script)(struct fake_shim *shim);
};

static struct ttrpc_request receive(struct fake_shim *shim, uint32_t *out_stream_id)
{
	AUTO(error_clear) struct error err = { 0 };
	struct ttrpc_request request = { 0 };
	struct ttrpc_header header;
	uint8_t bytes[TTRPC_HEADER_SIZE];
	char data[4096];

	assert_int_equal(read_full(shim->fd, bytes, sizeof(bytes)), sizeof(bytes));
	ttrpc_header_parse(bytes, &header);
	assert_int_equal(header.type, TTRPC_REQUEST);
	assert_true(header.size <= sizeof(data));
	assert_int_equal(read_full(shim->fd, data, header.size), header.size);
	assert_no_error(proto_decode(&request, ttrpc_request_fields, data, header.size, &err), &err);
	*out_stream_id = header.stream_id;
	return request;
}

static void reply(struct fake_shim *shim, uint32_t stream_id, int32_t code, const char *message, uint32_t pid)
{
	struct task_pid_response inner = { .pid = pid };
	AUTO(text_fini) struct text payload = { 0 };
	AUTO(text_fini) struct text frame = { 0 };
	struct ttrpc_response response = { .code = code, .message = (char *)(uintptr_t)message };

	proto_encode(&payload, &inner, task_pid_response_fields);
	response.payload = (struct proto_bytes){ .data = (uint8_t *)payload.data, .size = payload.size };
	ttrpc_frame_add(&frame, TTRPC_RESPONSE, stream_id, &response, ttrpc_response_fields);
	assert_int_equal(write_full(shim->fd, frame.data, frame.size), 0);
}

static void *fake_shim_main(void *arg)
{
	struct fake_shim *shim = arg;

	shim->fd = accept(shim->listen_fd, NULL, NULL);
	shim->script(shim);
	close(shim->fd);
	return NULL;
}

static void fake_shim_start(struct fake_shim *shim, void (*script)(struct fake_shim *shim))
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(shim->directory, "/tmp/t-shim-XXXXXX", sizeof("/tmp/t-shim-XXXXXX"));
	assert_non_null(mkdtemp(shim->directory));
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", shim->directory);
	shim->address = xasprintf("unix://%s", address.sun_path);
	shim->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(shim->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(shim->listen_fd, 1), 0);
	shim->script = script;
	assert_int_equal(pthread_create(&shim->thread, NULL, fake_shim_main, shim), 0);
}

static void fake_shim_end(struct fake_shim *shim)
{
	pthread_join(shim->thread, NULL);
	close(shim->listen_fd);
	free(shim->address);
	remove_tree(AT_FDCWD, shim->directory);
}

static void script_answers_one(struct fake_shim *shim)
{
	uint32_t stream_id;
	struct ttrpc_request request = receive(shim, &stream_id);

	assert_int_equal(stream_id, 1);
	assert_string_equal(request.service, "containerd.task.v2.Task");
	assert_string_equal(request.method, "Start");
	proto_free(&request, ttrpc_request_fields);
	reply(shim, 99, 0, NULL, 1); /* a stream nobody knows */
	reply(shim, stream_id, 0, NULL, 4711);
	request = receive(shim, &stream_id);
	assert_int_equal(stream_id, 3);
	proto_free(&request, ttrpc_request_fields);
	reply(shim, stream_id, 5, "process x does not exist", 0);
}

static void test_calls_and_errors(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(task_client_closep) struct task_client *client = NULL;
	struct fake_shim shim = { 0 };
	struct task_exit end;
	uint32_t pid = 0;

	(void)state;
	fake_shim_start(&shim, script_answers_one);
	assert_no_error(task_client_open(&client, shim.address, &err), &err);
	assert_no_error(task_start(client, "c", NULL, &pid, -1, &err), &err);
	assert_int_equal(pid, 4711);
	assert_int_equal(task_wait(client, "c", "x", &end, -1, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_string_equal(err.message, "process x does not exist");
	error_clear(&err);
	/* The server closes: this call and all later ones tell so. */
	assert_int_equal(task_start(client, "c", NULL, &pid, -1, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	error_clear(&err);
	assert_int_equal(task_start(client, "c", NULL, &pid, -1, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	fake_shim_end(&shim);
}

#define PARALLEL 8

/* Collects all calls, then answers in reverse: the pid is the stream id. */
static void script_answers_in_reverse(struct fake_shim *shim)
{
	uint32_t ids[PARALLEL];

	for (int i = 0; i < PARALLEL; i++) {
		struct ttrpc_request request = receive(shim, &ids[i]);

		proto_free(&request, ttrpc_request_fields);
	}
	for (int i = PARALLEL - 1; i >= 0; i--)
		reply(shim, ids[i], 0, NULL, ids[i]);
}

struct parallel_call {
	struct task_client *client;
	uint32_t pid;
};

static void *call_in_thread(void *arg)
{
	AUTO(error_clear) struct error err = { 0 };
	struct parallel_call *call = arg;

	assert_no_error(task_start(call->client, "c", NULL, &call->pid, -1, &err), &err);
	return NULL;
}

static void test_many_threads_out_of_order(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(task_client_closep) struct task_client *client = NULL;
	struct parallel_call calls[PARALLEL] = { 0 };
	pthread_t threads[PARALLEL];
	struct fake_shim shim = { 0 };
	uint32_t sum = 0;

	(void)state;
	fake_shim_start(&shim, script_answers_in_reverse);
	assert_no_error(task_client_open(&client, shim.address, &err), &err);
	for (int i = 0; i < PARALLEL; i++) {
		calls[i].client = client;
		assert_int_equal(pthread_create(&threads[i], NULL, call_in_thread, &calls[i]), 0);
	}
	for (int i = 0; i < PARALLEL; i++) {
		pthread_join(threads[i], NULL);
		sum += calls[i].pid;
	}
	assert_int_equal(sum, PARALLEL * PARALLEL); /* 1 + 3 + 5 + ... */
	fake_shim_end(&shim);
}

#define ROUNDS 200

/* A peer hangs up on stream ids that do not increase (ttrpc's protocol). */
static int out_of_order;

static void script_watches_the_order(struct fake_shim *shim)
{
	uint32_t last = 0;

	for (int i = 0; i < PARALLEL * ROUNDS; i++) {
		uint32_t id;
		struct ttrpc_request request = receive(shim, &id);

		out_of_order += id <= last;
		last = id;
		proto_free(&request, ttrpc_request_fields);
		reply(shim, id, 0, NULL, 1);
	}
}

static void *call_often(void *arg)
{
	AUTO(error_clear) struct error err = { 0 };
	struct parallel_call *call = arg;

	for (int i = 0; i < ROUNDS; i++)
		assert_no_error(task_start(call->client, "c", NULL, &call->pid, -1, &err), &err);
	return NULL;
}

static void test_stream_ids_increase(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(task_client_closep) struct task_client *client = NULL;
	struct parallel_call calls[PARALLEL] = { 0 };
	pthread_t threads[PARALLEL];
	struct fake_shim shim = { 0 };

	(void)state;
	fake_shim_start(&shim, script_watches_the_order);
	assert_no_error(task_client_open(&client, shim.address, &err), &err);
	for (int i = 0; i < PARALLEL; i++) {
		calls[i].client = client;
		assert_int_equal(pthread_create(&threads[i], NULL, call_often, &calls[i]), 0);
	}
	for (int i = 0; i < PARALLEL; i++)
		pthread_join(threads[i], NULL);
	fake_shim_end(&shim);
	assert_int_equal(out_of_order, 0);
}

static void script_reads_to_the_end(struct fake_shim *shim)
{
	char data[256];

	while (read(shim->fd, data, sizeof(data)) > 0)
		;
}

static void test_cancel(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(task_client_closep) struct task_client *client = NULL;
	AUTO_CLOSE int cancel_fd = eventfd(1, EFD_CLOEXEC);
	struct fake_shim shim = { 0 };
	struct task_exit end;

	(void)state;
	fake_shim_start(&shim, script_reads_to_the_end);
	assert_no_error(task_client_open(&client, shim.address, &err), &err);
	assert_int_equal(task_wait(client, "c", NULL, &end, cancel_fd, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELED);
	task_client_closep(&client);
	client = NULL;
	fake_shim_end(&shim);
}

#define CANCELED 6
#define CANCEL_ROUNDS 40
#define PATIENCE_S 20

static int all_came_fd;
static int answer_fd;

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void await_fd(int fd)
{
	uint64_t ignored;

	assert_int_equal(read(fd, &ignored, sizeof(ignored)), sizeof(ignored));
}

/* Answers the last of the calls only, when it is told to. */
static void script_answers_the_last(struct fake_shim *shim)
{
	uint32_t id = 0;

	for (int i = 0; i < CANCELED + 1; i++) {
		struct ttrpc_request request = receive(shim, &id);

		proto_free(&request, ttrpc_request_fields);
		signal_fd(all_came_fd);
	}
	await_fd(answer_fd);
	reply(shim, id, 0, NULL, 4711);
}

struct cancelable_call {
	struct task_client *client;
	int cancel_fd;
	enum error_kind kind;
};

static void *call_cancelable(void *arg)
{
	AUTO(error_clear) struct error err = { 0 };
	struct cancelable_call *call = arg;
	uint32_t pid;

	if (task_start(call->client, "c", NULL, &pid, call->cancel_fd, &err) < 0)
		call->kind = err.kind;
	return NULL;
}

/* Whoever reads for all leaves, and so does the one it wakes to read next: somebody must still read. */
static void cancel_all_but_one(void)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(task_client_closep) struct task_client *client = NULL;
	AUTO_CLOSE int cancel_fd = eventfd(0, EFD_CLOEXEC);
	AUTO_CLOSE int patience_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	const struct itimerspec patience = { .it_value.tv_sec = PATIENCE_S };
	struct cancelable_call calls[CANCELED + 1] = { 0 };
	pthread_t threads[CANCELED + 1];
	struct fake_shim shim = { 0 };

	all_came_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	answer_fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(timerfd_settime(patience_fd, 0, &patience, NULL), 0);
	fake_shim_start(&shim, script_answers_the_last);
	assert_no_error(task_client_open(&client, shim.address, &err), &err);
	for (int i = 0; i < CANCELED + 1; i++) {
		calls[i] = (struct cancelable_call){ client, i < CANCELED ? cancel_fd : patience_fd, ERR_NONE };
		assert_int_equal(pthread_create(&threads[i], NULL, call_cancelable, &calls[i]), 0);
		await_fd(all_came_fd);
	}
	signal_fd(cancel_fd);
	for (int i = 0; i < CANCELED; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(calls[i].kind, ERR_CANCELED);
	}
	signal_fd(answer_fd);
	pthread_join(threads[CANCELED], NULL);
	assert_int_equal(calls[CANCELED].kind, ERR_NONE);
	fake_shim_end(&shim);
	close(all_came_fd);
	close(answer_fd);
}

static void test_cancel_of_the_reader(void **state)
{
	(void)state;
	for (int i = 0; i < CANCEL_ROUNDS; i++)
		cancel_all_but_one();
}

static void script_sends_too_large(struct fake_shim *shim)
{
	const struct ttrpc_header header = { .size = TTRPC_DATA_MAX + 1, .stream_id = 1, .type = TTRPC_RESPONSE };
	uint8_t bytes[TTRPC_HEADER_SIZE];
	uint32_t stream_id;
	struct ttrpc_request request = receive(shim, &stream_id);

	proto_free(&request, ttrpc_request_fields);
	ttrpc_header_format(bytes, &header);
	assert_int_equal(write_full(shim->fd, bytes, sizeof(bytes)), 0);
}

static void script_sends_garbage(struct fake_shim *shim)
{
	static const uint8_t frame[] = { 0, 0, 0, 2, 0, 0, 0, 1, TTRPC_RESPONSE, 0, 0x0a, 0x7f };
	uint32_t stream_id;
	struct ttrpc_request request = receive(shim, &stream_id);

	proto_free(&request, ttrpc_request_fields);
	assert_int_equal(write_full(shim->fd, frame, sizeof(frame)), 0);
}

static void assert_call_fails(void (*script)(struct fake_shim *shim), enum error_kind kind)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(task_client_closep) struct task_client *client = NULL;
	struct fake_shim shim = { 0 };
	uint32_t pid;

	fake_shim_start(&shim, script);
	assert_no_error(task_client_open(&client, shim.address, &err), &err);
	assert_int_equal(task_start(client, "c", NULL, &pid, -1, &err), -1);
	assert_int_equal(err.kind, kind);
	fake_shim_end(&shim);
}

static void test_malformed_replies(void **state)
{
	(void)state;
	assert_call_fails(script_sends_too_large, ERR_UNAVAILABLE);
	assert_call_fails(script_sends_garbage, ERR_INVALID);
}

static void test_codes(void **state)
{
	(void)state;
	for (int kind = ERR_INTERNAL; kind < ERR_KIND_COUNT; kind++)
		assert_int_equal(ttrpc_kind_of_code(ttrpc_code_of_kind((enum error_kind)kind)), kind);
	assert_int_equal(ttrpc_kind_of_code(6), ERR_CONFLICT);
	assert_int_equal(ttrpc_kind_of_code(13), ERR_INTERNAL);
	assert_int_equal(ttrpc_kind_of_code(-5), ERR_INTERNAL);
	assert_int_equal(ttrpc_code_of_kind(ERR_UNAVAILABLE), 14);
}

static void test_nobody_listens(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct task_client *client = NULL;

	(void)state;
	assert_int_equal(task_client_open(&client, "unix:///tmp/t-shim-nobody/sock", &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_string_equal(err.message, "connect to /tmp/t-shim-nobody/sock: No such file or directory");
	error_clear(&err);
	assert_int_equal(task_client_open(&client, "tcp://1.2.3.4", &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

static void test_attach_header(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	uint8_t header[ATTACH_HEADER_SIZE];
	enum attach_type type;
	uint32_t size;

	(void)state;
	attach_header_format(header, ATTACH_STDERR, 0x01020);
	assert_memory_equal(header, "\2\0\0\0\0\0\x10\x20", sizeof(header));
	assert_no_error(attach_header_parse(header, &type, &size, &err), &err);
	assert_int_equal(type, ATTACH_STDERR);
	assert_int_equal(size, 0x1020);
	assert_int_equal(attach_header_parse((const uint8_t *)"\4\0\0\0\0\0\0\1", &type, &size, &err), -1);
	error_clear(&err);
	assert_int_equal(attach_header_parse((const uint8_t *)"\0\0\1\0\0\0\0\1", &type, &size, &err), -1);
	error_clear(&err);
	assert_int_equal(attach_header_parse((const uint8_t *)"\0\0\0\0\0\x10\0\1", &type, &size, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_and_errors),     cmocka_unit_test(test_many_threads_out_of_order),
		cmocka_unit_test(test_stream_ids_increase),  cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_malformed_replies),    cmocka_unit_test(test_codes),
		cmocka_unit_test(test_nobody_listens),	     cmocka_unit_test(test_attach_header),
		cmocka_unit_test(test_cancel_of_the_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
