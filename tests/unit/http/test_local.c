/* SPDX-License-Identifier: Apache-2.0 */
/* The client against scripted servers: each answer arrives in every possible pair of pieces, or over a real socket. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "http/local.h"
#include "http/local_parse.h"
#include "unit/unit.h"

/* ---- framing ---- */

/* Decodes head and body given in pieces of `step` bytes; the body's text, or NULL with err filled. */
static char *decode(const char *wire, size_t step, const char *method, struct error *err)
{
	AUTO(local_head_fini) struct local_head head = { 0 };
	struct text out = { 0 };
	struct local_body body = { 0 };
	size_t size = strlen(wire);
	size_t at = 0;
	size_t used = 0;
	int r = 0;

	for (size_t have = step < size ? step : size; r == 0; have = have + step < size ? have + step : size) {
		r = local_head_parse(&head, wire, have, &used, err);
		if (r == 0 && have == size)
			return NULL;
	}
	if (r < 0 || local_body_init(&body, &head, method, err) < 0)
		return NULL;
	text_add(&out, "");
	for (at = used, used = 1; at < size && !body.done;) {
		size_t piece = used == 0 ? size - at : (size - at < step ? size - at : step);
		const uint8_t *data;
		size_t data_size;
		bool last = piece == size - at;

		if (local_body_take(&body, (const uint8_t *)wire + at, piece, &used, &data, &data_size, err) < 0) {
			text_fini(&out);
			return NULL;
		}
		text_add_bytes(&out, data, data_size);
		at += used;
		if (used == 0 && last)
			break;
	}
	if (!body.done && body.framing != LOCAL_BODY_UNTIL_CLOSE) {
		text_fini(&out);
		return NULL;
	}
	return text_take(&out);
}

static void check_body(const char *wire, const char *expected)
{
	for (size_t step = 1; step <= strlen(wire); step++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO_FREE char *body = decode(wire, step, "GET", &err);

		if (!body)
			fail_msg("step %zu: %s", step, err.message ? err.message : "cut short");
		assert_string_equal(body, expected);
	}
}

static void check_bad(const char *wire)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *body = decode(wire, strlen(wire), "GET", &err);

	if (body)
		fail_msg("accepted: %s", wire);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void test_framing(void **state)
{
	(void)state;
	check_body(OK "Content-Length: 5\r\n\r\nhello", "hello");
	check_body(OK "content-length: 0\r\n\r\n", "");
	check_body(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789");
	check_body(OK "Transfer-Encoding: chunked\r\n\r\n3;ext=\"x\"\r\nabc\r\n0\r\nTrailer: x\r\n\r\n", "abc");
	check_body(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "");
	check_body("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nab\n0\n\n", "ab");
	check_body("HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end");
	check_body("HTTP/1.1 204\r\n\r\n", "");
}

static void test_bad_framing(void **state)
{
	(void)state;
	check_bad("SSH-2.0-OpenSSH\r\n\r\n");
	check_bad("HTTP/2 200 OK\r\n\r\n");
	check_bad("HTTP/1.1 99 OK\r\n\r\n");
	check_bad(OK "no colon\r\n\r\n");
	check_bad(OK ": empty\r\n\r\n");
	check_bad(OK "Bad Name: x\r\n\r\n");
	check_bad(OK "Content-Length: -1\r\n\r\n");
	check_bad(OK "Content-Length: 99999999999999999999\r\n\r\n");
	check_bad(OK "Content-Length: 9\r\n\r\nshort");
	check_bad(OK "Transfer-Encoding: gzip\r\n\r\n");
	check_bad(OK "Transfer-Encoding: chunked\r\n\r\nx\r\n");
	check_bad(OK "Transfer-Encoding: chunked\r\n\r\n-1\r\n");
	check_bad(OK "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n");
	check_bad(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n");
	check_bad(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
}

static void test_endless_head(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text wire = { 0 };
	struct local_head head;
	size_t used;

	(void)state;
	text_add(&wire, OK "X: ");
	while (wire.size <= LOCAL_HEAD_MAX)
		text_add(&wire, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	assert_int_equal(local_head_parse(&head, wire.data, wire.size, &used, &err), -1);
}

/* ---- over a socket ---- */

static char folder[] = "/tmp/kist-unit-local-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return remove_tree(AT_FDCWD, folder);
}

/* Reads one request: up to the empty line, and to `body_end` if given. */
static void read_request(int fd, struct text *seen, const char *body_end)
{
	char data[4096];

	while (!seen->data || !strstr(seen->data, "\r\n\r\n") || (body_end && !strstr(seen->data, body_end))) {
		ssize_t size = read(fd, data, sizeof(data));

		if (size <= 0)
			_exit(9);
		text_add_bytes(seen, data, (size_t)size);
	}
}

/* A child that accepts connections and runs fn; the address of its socket. */
static char *serve(pid_t *out_child, void (*fn)(int listener))
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
	unlink(address.sun_path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 8), 0);
	*out_child = fork();
	if (*out_child == 0) {
		alarm(20);
		fn(listener);
		_exit(0);
	}
	close(listener);
	return xasprintf("unix://%s", address.sun_path);
}

static void expect_exit(pid_t child)
{
	int status = 0;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void reply(int fd, const char *text)
{
	if (write_full(fd, text, strlen(text)) < 0)
		_exit(8);
}

/* Two requests on the first connection, then it is closed unseen; the third comes on a second one. */
static void keep_alive_server(int listener)
{
	int fd = accept(listener, NULL, NULL);

	for (int i = 0; i < 2; i++) {
		struct text seen = { 0 };

		read_request(fd, &seen, NULL);
		reply(fd, OK "Content-Length: 2\r\n\r\nok");
		text_fini(&seen);
	}
	close(fd);
	fd = accept(listener, NULL, NULL);
	{
		struct text seen = { 0 };

		read_request(fd, &seen, "0\r\n\r\n");
		if (!strstr(seen.data, "Transfer-Encoding: chunked") || !strstr(seen.data, "5\r\nhello\r\n0\r\n\r\n"))
			_exit(7);
		reply(fd, "HTTP/1.1 100 Continue\r\n\r\n" OK "Transfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n");
		text_fini(&seen);
	}
	close(fd);
}

static void get_text(struct local_client *client, const struct local_request *request, const char *expected)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(buffer_fini) struct buffer body = { 0 };
	AUTO(error_clear) struct error err = { 0 };

	buffer_init(&body, 1000);
	assert_no_error(local_send(&response, client, request, &err), &err);
	assert_int_equal(local_response_status(response), 200);
	assert_no_error(local_response_read_all(response, &body, &err), &err);
	assert_string_equal(buffer_text(&body), expected);
}

static void test_keep_alive_and_chunks(void **state)
{
	AUTO(local_client_freep) struct local_client *client = NULL;
	AUTO(error_clear) struct error err = { 0 };
	struct local_request request = { .method = "GET", .path = "/x" };
	AUTO_FREE char *host = NULL;
	int pipe_fds[2];
	pid_t child;

	(void)state;
	host = serve(&child, keep_alive_server);
	assert_no_error(local_client_new(&client, host, &err), &err);
	get_text(client, &request, "ok");
	get_text(client, &request, "ok");
	/* The server has closed the idle connection: a plain request would be tried again, a stream starts anew. */
	usleep(50000);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(write(pipe_fds[1], "hello", 5), 5);
	close(pipe_fds[1]);
	local_client_free(take_ptr(client));
	assert_no_error(local_client_new(&client, host, &err), &err);
	request = (struct local_request){
		.method = "POST", .path = "/x", .has_body_fd = true, .body_fd = pipe_fds[0], .content_type = "x/y"
	};
	get_text(client, &request, "yes");
	close(pipe_fds[0]);
	expect_exit(child);
}

static void stale_server(int listener)
{
	for (int i = 0; i < 2; i++) {
		int fd = accept(listener, NULL, NULL);
		struct text seen = { 0 };

		read_request(fd, &seen, NULL);
		reply(fd, OK "Content-Length: 2\r\n\r\nok");
		text_fini(&seen);
		close(fd);
	}
}

static void test_stale_connection_is_replaced(void **state)
{
	AUTO(local_client_freep) struct local_client *client = NULL;
	AUTO(error_clear) struct error err = { 0 };
	const struct local_request request = { .method = "GET", .path = "/x" };
	AUTO_FREE char *host = NULL;
	pid_t child;

	(void)state;
	host = serve(&child, stale_server);
	assert_no_error(local_client_new(&client, host, &err), &err);
	get_text(client, &request, "ok");
	usleep(50000);
	get_text(client, &request, "ok");
	expect_exit(child);
}

/* Takes a second request and closes without a word: it may have done what was asked. */
static void silent_server(int listener)
{
	int fd = accept(listener, NULL, NULL);
	struct text seen = { 0 };

	read_request(fd, &seen, NULL);
	reply(fd, OK "Content-Length: 2\r\n\r\nok");
	text_reset(&seen);
	read_request(fd, &seen, NULL);
	close(fd);
	fd = accept(listener, NULL, NULL);
	text_reset(&seen);
	read_request(fd, &seen, NULL);
	if (!text_has_prefix(seen.data, "GET /after"))
		_exit(9);
	reply(fd, OK "Content-Length: 2\r\n\r\nok");
	text_fini(&seen);
	close(fd);
}

static void test_what_may_have_been_done_is_not_repeated(void **state)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(local_client_freep) struct local_client *client = NULL;
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *host = NULL;
	pid_t child;

	(void)state;
	host = serve(&child, silent_server);
	assert_no_error(local_client_new(&client, host, &err), &err);
	get_text(client, &(struct local_request){ .method = "GET", .path = "/x" }, "ok");
	assert_int_equal(local_send(&response, client,
				    &(struct local_request){ .method = "POST", .path = "/x", .body = "{}" }, &err),
			 -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	get_text(client, &(struct local_request){ .method = "GET", .path = "/after" }, "ok");
	expect_exit(child);
}

/* Output right behind the head, then an echo until our end closes. */
static void hijack_server(int listener)
{
	int fd = accept(listener, NULL, NULL);
	struct text seen = { 0 };
	char data[100];
	ssize_t size;

	read_request(fd, &seen, NULL);
	if (!strstr(seen.data, "Upgrade: tcp\r\n") || !strstr(seen.data, "Connection: Upgrade\r\n"))
		_exit(7);
	reply(fd, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly");
	while ((size = read(fd, data, sizeof(data))) > 0)
		if (write_full(fd, data, (size_t)size) < 0)
			_exit(8);
	reply(fd, "bye");
	close(fd);
	text_fini(&seen);
}

static void test_hijack(void **state)
{
	AUTO(local_client_freep) struct local_client *client = NULL;
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(error_clear) struct error err = { 0 };
	AUTO(buffer_fini) struct buffer body = { 0 };
	const struct local_request request = { .method = "POST", .path = "/x", .upgrade = true };
	AUTO_FREE char *host = NULL;
	char early[6] = "";
	pid_t child;

	(void)state;
	buffer_init(&body, 1000);
	host = serve(&child, hijack_server);
	assert_no_error(local_client_new(&client, host, &err), &err);
	assert_no_error(local_send(&response, client, &request, &err), &err);
	assert_int_equal(local_response_status(response), 101);
	for (size_t got = 0; got < 5;) {
		ssize_t size = local_response_read(response, early + got, 5 - got, &err);

		assert_true(size > 0);
		got += (size_t)size;
	}
	assert_string_equal(early, "early");
	assert_int_equal(write_full(local_response_fd(response), "echo ", 5), 0);
	assert_int_equal(shutdown(local_response_fd(response), SHUT_WR), 0);
	assert_no_error(local_response_read_all(response, &body, &err), &err);
	assert_string_equal(buffer_text(&body), "echo bye");
	expect_exit(child);
}

static void cut_server(int listener)
{
	int fd = accept(listener, NULL, NULL);
	struct text seen = { 0 };

	read_request(fd, &seen, NULL);
	reply(fd, OK "Content-Length: 10\r\n\r\nshort");
	close(fd);
	text_fini(&seen);
}

static void test_cut_body_is_an_error(void **state)
{
	AUTO(local_client_freep) struct local_client *client = NULL;
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(error_clear) struct error err = { 0 };
	AUTO(buffer_fini) struct buffer body = { 0 };
	const struct local_request request = { .method = "GET", .path = "/x" };
	AUTO_FREE char *host = NULL;
	pid_t child;

	(void)state;
	buffer_init(&body, 1000);
	host = serve(&child, cut_server);
	assert_no_error(local_client_new(&client, host, &err), &err);
	assert_no_error(local_send(&response, client, &request, &err), &err);
	assert_int_equal(local_response_read_all(response, &body, &err), -1);
	assert_non_null(strstr(err.message, "in the middle of its answer"));
	expect_exit(child);
}

static void test_addresses(void **state)
{
	static const char *const bad[] = { "", "x", "http://x", "unix://", "tcp://", "tcp://[::1", "npipe://x" };
	struct local_client *client;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };

		assert_int_equal(local_client_new(&client, bad[i], &err), -1);
	}
	{
		AUTO(error_clear) struct error err = { 0 };

		assert_no_error(local_client_new(&client, "unix:///nonexistent/s", &err), &err);
		assert_int_equal(local_client_connect(client, &err), -1);
		assert_int_equal(abs(err.errnum), ENOENT);
		local_client_free(client);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_bad_framing),
		cmocka_unit_test(test_endless_head),
		cmocka_unit_test(test_keep_alive_and_chunks),
		cmocka_unit_test(test_stale_connection_is_replaced),
		cmocka_unit_test(test_what_may_have_been_done_is_not_repeated),
		cmocka_unit_test(test_hijack),
		cmocka_unit_test(test_cut_body_is_an_error),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
