/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/grpc.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "unit/unit.h"

struct note {
	char *text;
	struct proto_bytes data;
};

static const struct proto_field note_fields[] = {
	PROTO_TEXT(1, struct note, text),
	PROTO_BYTES(2, struct note, data),
	PROTO_END,
};

/* Both ends of a socket, each with its connection and thread. */
struct pair {
	int fds[2];
	struct grpc_connection *server;
	struct grpc_connection *client;
	pthread_t threads[2];
	int canceled_fd; /* a handler saw that its caller is gone */
};

static int echo(void *context, struct grpc_stream *stream, struct error *err)
{
	int r;

	(void)context;
	for (;;) {
		struct note note = { 0 };

		r = grpc_receive(stream, &note, note_fields, err);
		if (r > 0)
			r = grpc_send(stream, &note, note_fields, err) < 0 ? -1 : 1;
		proto_free(&note, note_fields);
		if (r <= 0)
			return r;
	}
}

static int refuse(void *context, struct grpc_stream *stream, struct error *err)
{
	const char *who = grpc_metadata_at(stream, "who", 1);

	(void)context;
	grpc_add_detail(stream, "type.test/Thing", "{}", 2);
	return error_set(err, ERR_NOT_FOUND, "no \xc3\xa4pple 100%% for %s", who ? who : "nobody");
}

static int wait_for_end(void *context, struct grpc_stream *stream, struct error *err)
{
	struct pair *pair = context;
	struct pollfd poll_fd = { .fd = grpc_cancel_fd(stream), .events = POLLIN };
	uint64_t one = 1;

	assert_no_error(grpc_send_bytes(stream, "", 0, err), err);
	assert_int_equal(poll(&poll_fd, 1, -1), 1);
	assert_int_equal(write(pair->canceled_fd, &one, sizeof(one)), sizeof(one));
	return error_set(err, ERR_CANCELED, "canceled");
}

static int flood(void *context, struct grpc_stream *stream, struct error *err)
{
	AUTO_FREE char *block = xcalloc(1, 30000);

	(void)context;
	for (int i = 0; i < 300; i++)
		if (grpc_send_bytes(stream, block, 30000, err) < 0)
			return -1;
	return 0;
}

static const struct grpc_method methods[] = {
	{ "/test.Test/Echo", echo },
	{ "/test.Test/Fail", refuse },
	{ "/test.Test/Wait", wait_for_end },
	{ "/test.Test/Flood", flood },
	{ NULL, NULL },
};

static void *run(void *arg)
{
	grpc_connection_run(arg);
	return NULL;
}

static void pair_start(struct pair *pair)
{
	AUTO(error_clear) struct error err = { 0 };
	struct grpc_options server = { .methods = methods, .context = pair };
	struct grpc_options client = { 0 };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair->fds), 0);
	pair->canceled_fd = eventfd(0, EFD_CLOEXEC);
	server.fd = pair->fds[0];
	client.fd = pair->fds[1];
	assert_no_error(grpc_connection_new(&pair->server, &server, &err), &err);
	assert_no_error(grpc_connection_new(&pair->client, &client, &err), &err);
	assert_no_error(thread_start(&pair->threads[0], "server", run, pair->server, &err), &err);
	assert_no_error(thread_start(&pair->threads[1], "client", run, pair->client, &err), &err);
}

static void pair_end(struct pair *pair)
{
	grpc_connection_stop(pair->client);
	pthread_join(pair->threads[1], NULL);
	grpc_connection_free(pair->client);
	close(pair->fds[1]);
	pthread_join(pair->threads[0], NULL);
	grpc_connection_free(pair->server);
	close(pair->fds[0]);
	close(pair->canceled_fd);
}

static struct grpc_stream *open_call(struct pair *pair, const char *path, int cancel_fd)
{
	AUTO(error_clear) struct error err = { 0 };
	const struct grpc_call call = { .path = path, .cancel_fd = cancel_fd };
	struct grpc_stream *stream = NULL;

	assert_no_error(grpc_open(&stream, pair->client, &call, &err), &err);
	return stream;
}

static void test_exchange(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	const struct grpc_call call = { .path = "/test.Test/Echo", .cancel_fd = -1 };
	struct note request = { 0 };
	struct note response = { 0 };
	const struct grpc_message message = { &request, note_fields, &response, note_fields };
	struct pair pair;

	(void)state;
	pair_start(&pair);
	request.text = xstrdup("hello");
	assert_no_error(grpc_exchange(pair.client, &call, &message, &err), &err);
	assert_string_equal(response.text, "hello");
	proto_free(&request, note_fields);
	proto_free(&response, note_fields);
	/* Nothing in it at all. */
	assert_no_error(grpc_exchange(pair.client, &call, &message, &err), &err);
	assert_null(response.text);
	pair_end(&pair);
}

/* Longer than every window and every buffer on the way. */
static void test_large_messages(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *data = xcalloc(1, 5000000);
	struct note request = { 0 };
	struct pair pair;
	struct grpc_stream *stream;

	(void)state;
	pair_start(&pair);
	memset(data, 'x', 5000000);
	proto_bytes_set(&request.data, data, 5000000);
	stream = open_call(&pair, "/test.Test/Echo", -1);
	for (int i = 0; i < 3; i++) {
		struct note response = { 0 };

		assert_no_error(grpc_send(stream, &request, note_fields, &err), &err);
		assert_int_equal(grpc_receive(stream, &response, note_fields, &err), 1);
		assert_int_equal(response.data.size, 5000000);
		assert_memory_equal(response.data.data, data, 5000000);
		proto_free(&response, note_fields);
	}
	grpc_send_end(stream);
	assert_no_error(grpc_finish(stream, &err), &err);
	grpc_stream_free(stream);
	proto_free(&request, note_fields);
	pair_end(&pair);
}

static void test_too_large(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *data = xcalloc(1, GRPC_MESSAGE_MAX + 1);
	struct pair pair;
	struct grpc_stream *stream;

	(void)state;
	pair_start(&pair);
	stream = open_call(&pair, "/test.Test/Echo", -1);
	assert_int_equal(grpc_send_bytes(stream, data, GRPC_MESSAGE_MAX + 1, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	grpc_stream_free(stream);
	pair_end(&pair);
}

static void test_many_messages(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct proto_bytes bytes;
	struct pair pair;
	struct grpc_stream *stream;
	int count = 0;
	int r;

	(void)state;
	pair_start(&pair);
	stream = open_call(&pair, "/test.Test/Flood", -1);
	grpc_send_end(stream);
	while ((r = grpc_receive_bytes(stream, &bytes, &err)) > 0) {
		assert_int_equal(bytes.size, 30000);
		count++;
	}
	assert_no_error(r, &err);
	assert_int_equal(count, 300);
	grpc_stream_free(stream);
	pair_end(&pair);
}

static void test_errors(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct grpc_metadata metadata = { 0 };
	struct grpc_call call = { .path = "/test.Test/Fail", .metadata = &metadata, .cancel_fd = -1 };
	struct note request = { 0 };
	struct note response = { 0 };
	const struct grpc_message message = { &request, note_fields, &response, note_fields };
	struct pair pair;

	(void)state;
	pair_start(&pair);
	grpc_metadata_add(&metadata, "who", "me");
	grpc_metadata_add(&metadata, "who", "you");
	assert_int_equal(grpc_exchange(pair.client, &call, &message, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_string_equal(err.message, "no \xc3\xa4pple 100% for you");
	error_clear(&err);
	call.path = "/test.Test/Nothing";
	assert_int_equal(grpc_exchange(pair.client, &call, &message, &err), -1);
	assert_int_equal(err.kind, ERR_UNSUPPORTED);
	assert_string_equal(err.message, "unknown method /test.Test/Nothing");
	grpc_metadata_fini(&metadata);
	pair_end(&pair);
}

static void test_cancel(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	int cancel_fd = eventfd(0, EFD_CLOEXEC);
	struct proto_bytes bytes;
	struct pair pair;
	struct grpc_stream *stream;
	uint64_t count = 1;

	(void)state;
	pair_start(&pair);
	stream = open_call(&pair, "/test.Test/Wait", cancel_fd);
	assert_int_equal(grpc_receive_bytes(stream, &bytes, &err), 1);
	assert_int_equal(write(cancel_fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(grpc_receive_bytes(stream, &bytes, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELED);
	grpc_stream_free(stream);
	assert_int_equal(read(pair.canceled_fd, &count, sizeof(count)), sizeof(count));
	/* Given up at once: it may never have gone out. */
	stream = open_call(&pair, "/test.Test/Echo", cancel_fd);
	grpc_stream_free(stream);
	close(cancel_fd);
	pair_end(&pair);
}

/* The server goes away in the middle of a call. */
static void test_connection_lost(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct proto_bytes bytes;
	struct pair pair;
	struct grpc_stream *stream;
	struct grpc_stream *late = NULL;
	const struct grpc_call call = { .path = "/test.Test/Echo", .cancel_fd = -1 };

	(void)state;
	pair_start(&pair);
	stream = open_call(&pair, "/test.Test/Echo", -1);
	grpc_connection_stop(pair.server);
	shutdown(pair.fds[0], SHUT_RDWR);
	assert_int_equal(grpc_receive_bytes(stream, &bytes, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	error_clear(&err);
	while (grpc_open(&late, pair.client, &call, &err) == 0) {
		grpc_stream_free(late);
		late = NULL;
	}
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	grpc_stream_free(stream);
	pair_end(&pair);
}

/* Both sides get bytes that are no HTTP/2: the connection ends, nothing else does. */
static void test_garbage(void **state)
{
	static const char garbage[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

	(void)state;
	for (int server = 0; server < 2; server++) {
		AUTO(error_clear) struct error err = { 0 };
		struct grpc_connection *connection = NULL;
		struct grpc_options options = { .methods = server ? methods : NULL };
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		options.fd = fds[0];
		assert_no_error(grpc_connection_new(&connection, &options, &err), &err);
		assert_int_equal(write_full(fds[1], garbage, sizeof(garbage)), 0);
		grpc_connection_run(connection);
		grpc_connection_free(connection);
		close(fds[0]);
		close(fds[1]);
	}
}

static void test_early_bytes(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct grpc_connection *connection = NULL;
	struct grpc_options options = { .methods = methods, .fd = -1, .early = "HELLO", .early_size = 5 };

	(void)state;
	assert_int_equal(grpc_connection_new(&connection, &options, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_null(connection);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),	cmocka_unit_test(test_large_messages),
		cmocka_unit_test(test_too_large),	cmocka_unit_test(test_many_messages),
		cmocka_unit_test(test_errors),		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_connection_lost), cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_early_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
