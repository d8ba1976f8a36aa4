/* SPDX-License-Identifier: Apache-2.0 */
/* The server against raw sockets: what a client may send, and what it must get back byte for byte. */
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/text.h"
#include "unit/unit.h"

static char directory[] = "/tmp/kist-http-XXXXXX";
static char socket_path[64];
static struct http_server *server;

static int echo(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	size_t size;
	const char *body = http_body(request, &size);

	(void)context;
	(void)err;
	http_set_header(response, "X-Name", http_param(request, "name"));
	http_reply(response, 200, "text/plain", body, size);
	return 0;
}

static int conflict(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)response;
	return error_set(err, ERR_CONFLICT, "it is \"taken\"");
}

static int stream(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	if (http_start(response, 200, "text/plain", err) < 0 || http_write(response, "one", 3, err) < 0 ||
	    http_write(response, "", 0, err) < 0)
		return -1;
	return http_write(response, "twelve bytes", 12, err);
}

/* Answers its headers, then waits for the client to leave; the pipe tells the test that it noticed. */
static int gone_pipe[2];

static int wait_for_hangup(void *context, struct http_request *request, struct http_response *response,
			   struct error *err)
{
	struct pollfd item = { .fd = http_cancel_fd(request), .events = POLLIN };

	(void)context;
	if (http_start(response, 200, "application/json", err) < 0)
		return -1;
	if (poll(&item, 1, 60000) == 1)
		write_full(gone_pipe[1], "g", 1);
	return 0;
}

static int counting;

static int count_body(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	char piece[1000];
	size_t sum = 0;
	ssize_t got;

	(void)context;
	__atomic_add_fetch(&counting, 1, __ATOMIC_SEQ_CST);
	while ((got = http_body_read(request, piece, sizeof(piece), err)) > 0)
		sum += (size_t)got;
	if (got < 0) {
		write_full(gone_pipe[1], "c", 1);
		return -1;
	}
	http_reply_take(response, 200, "text/plain", xasprintf("%zu", sum));
	return 0;
}

static int refuse_body(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)response;
	return error_set(err, ERR_FORBIDDEN, "no");
}

static void run_upper(void *arg, const struct http_stream *raw)
{
	char data[256];
	ssize_t size;

	(void)arg;
	write_full(raw->fd, raw->early, raw->early_size);
	while ((size = read(raw->fd, data, sizeof(data))) > 0)
		write_full(raw->fd, data, (size_t)size);
	write_full(raw->fd, "|end", 4);
}

static int dropped;

static void drop_upper(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&dropped, 1, __ATOMIC_SEQ_CST);
}

static int hijack(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)err;
	http_hijack(response, "application/raw", run_upper, drop_upper, NULL);
	return 0;
}

static int send_file(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)context;
	(void)request;
	(void)err;
	http_reply_file_take_fd(response, 206, "application/octet-stream", fd, 1, 3);
	return 0;
}

static int not_found(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)response;
	return error_set(err, ERR_NOT_FOUND, "page not found");
}

static const struct http_route routes[] = {
	{ "POST", "/echo/{name...}", echo, 0 },
	{ "GET", "/fail", conflict, 0 },
	{ "GET", "/stream", stream, 0 },
	{ "POST", "/wait", wait_for_hangup, 0 },
	{ "POST", "/count", count_body, HTTP_BODY_STREAM },
	{ "POST", "/refuse", refuse_body, HTTP_BODY_STREAM },
	{ "POST", "/hijack", hijack, 0 },
	{ "GET", "/file", send_file, 0 },
	{ NULL, NULL, NULL, 0 },
};

static int start_server(void **state)
{
	const struct http_server_options options = { .routes = routes, .not_found = not_found, .body_limit = 1000 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *address = NULL;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(directory) || pipe(gone_pipe) < 0)
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/s", directory);
	address = xasprintf("unix://%s", socket_path);
	if (http_server_new(&server, &options, &err) < 0 || http_server_listen(server, address, (gid_t)-1, &err) < 0 ||
	    http_server_listen(server, "tcp://127.0.0.1:0", (gid_t)-1, &err) < 0 || http_server_start(server, &err) < 0)
		return -1;
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	http_server_free(server);
	if (file_exists(AT_FDCWD, socket_path))
		return -1;
	return rmdir(directory);
}

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = 20 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Everything until the server closes. */
static char *drain(int fd)
{
	struct buffer all;
	char *text;
	int r;

	buffer_init(&all, 1 << 20);
	r = buffer_read_all(&all, fd);
	/* A server that closes before it has read all resets: what it said is there. */
	assert_true(r == 0 || r == -ECONNRESET);
	text = xstrdup(text_or_empty(buffer_text(&all)));
	buffer_fini(&all);
	close(fd);
	return text;
}

static char *talk(const char *request)
{
	int fd = dial();

	assert_int_equal(write_full(fd, request, strlen(request)), 0);
	return drain(fd);
}

/* Reads until `needle` was seen. */
static void expect_until(int fd, const char *needle)
{
	char data[4096];
	size_t size = 0;

	for (;;) {
		ssize_t got = read(fd, data + size, sizeof(data) - 1 - size);

		if (got <= 0)
			fail_msg("no %s", needle);
		size += (size_t)got;
		data[size] = '\0';
		if (strstr(data, needle))
			return;
	}
}

static void expect_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}

static void expect_talk(const char *request, const char *part)
{
	AUTO_FREE char *answer = talk(request);

	expect_contains(answer, part);
}

#define CLOSE "Host: x\r\nConnection: close\r\n"

static void test_echo_and_names_with_slashes(void **state)
{
	AUTO_FREE char *answer = NULL;

	(void)state;
	answer = talk("POST /echo/reg:5000/a%2Fb HTTP/1.1\r\n" CLOSE "Content-Length: 5\r\n\r\nhello");
	expect_contains(answer, "HTTP/1.1 200");
	expect_contains(answer, "X-Name: reg:5000/a/b\r\n");
	expect_contains(answer, "Content-Length: 5\r\n");
	expect_contains(answer, "\r\n\r\nhello");
}

static void test_chunked_body(void **state)
{
	(void)state;
	expect_talk("POST /echo/x HTTP/1.1\r\n" CLOSE
		    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\n\r\n",
		    "\r\n\r\nabcdefg");
}

static void test_keep_alive(void **state)
{
	int fd = dial();
	AUTO_FREE char *rest = NULL;
	const char *first = "GET /fail HTTP/1.1\r\nHost: x\r\n\r\n";
	const char *second = "GET /fail HTTP/1.1\r\n" CLOSE "\r\n";

	(void)state;
	write_full(fd, first, strlen(first));
	expect_until(fd, "{\"message\":\"it is \\\"taken\\\"\"}\n");
	write_full(fd, second, strlen(second));
	rest = drain(fd);
	expect_contains(rest, "HTTP/1.1 409 Conflict");
}

static void test_malformed(void **state)
{
	(void)state;
	expect_talk("GET /%zz HTTP/1.1\r\n" CLOSE "\r\n", "malformed request target");
	expect_talk("GET /nowhere HTTP/1.1\r\n" CLOSE "\r\n", "HTTP/1.1 404");
	expect_talk("DELETE /fail HTTP/1.1\r\n" CLOSE "\r\n", "HTTP/1.1 404");
	expect_talk("POST /echo/x HTTP/1.1\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", " 400 ");
	expect_talk("POST /echo/x HTTP/1.1\r\n" CLOSE "Content-Length: -5\r\n\r\n", " 400 ");
	expect_talk("GET /fail HTTP/1.1\r\n\r\n", " 400 ");
	free(talk("\r\n\r\n\r\nnonsense\r\n\r\n"));
	free(talk("GET /fail SPDY/9\r\n\r\n"));
}

static void test_huge_headers(void **state)
{
	struct text request = { 0 };

	(void)state;
	text_add(&request, "GET /fail HTTP/1.1\r\nHost: x\r\nX-Big: ");
	for (int i = 0; i < 40000; i++)
		text_add_char(&request, 'x');
	text_add(&request, "\r\n\r\n");
	expect_talk(request.data, " 431 ");
	text_fini(&request);
}

static void test_body_over_limit(void **state)
{
	struct text request = { 0 };

	(void)state;
	expect_talk("POST /echo/x HTTP/1.1\r\n" CLOSE "Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n", " 413 ");
	text_add(&request, "POST /echo/x HTTP/1.1\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\n3e9\r\n");
	for (int i = 0; i < 1001; i++)
		text_add_char(&request, 'x');
	text_add(&request, "\r\n0\r\n\r\n");
	expect_talk(request.data, " 413 ");
	text_fini(&request);
}

static void test_stream_is_chunked(void **state)
{
	AUTO_FREE char *answer = talk("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");

	(void)state;
	expect_contains(answer, "Transfer-Encoding: chunked\r\n");
	expect_contains(answer, "\r\n\r\n3\r\none\r\nc\r\ntwelve bytes\r\n0\r\n\r\n");
}

static void test_http_1_0_stream_is_plain(void **state)
{
	AUTO_FREE char *answer = talk("GET /stream HTTP/1.0\r\n\r\n");

	(void)state;
	expect_contains(answer, "\r\n\r\nonetwelve bytes");
	assert_null(strstr(answer, "chunked"));
}

static void expect_gone(char c)
{
	struct pollfd item = { .fd = gone_pipe[0], .events = POLLIN };
	char got = 0;

	assert_int_equal(poll(&item, 1, 60000), 1);
	assert_int_equal(read(gone_pipe[0], &got, 1), 1);
	assert_int_equal(got, c);
}

static void expect_more(int *count, int before)
{
	for (int i = 0; i < 6000 && __atomic_load_n(count, __ATOMIC_SEQ_CST) == before; i++)
		usleep(10000);
	assert_true(__atomic_load_n(count, __ATOMIC_SEQ_CST) > before);
}

static void test_headers_at_once_and_hangup_noticed(void **state)
{
	int fd = dial();
	const char *request = "POST /wait HTTP/1.1\r\nHost: x\r\n\r\n";

	(void)state;
	write_full(fd, request, strlen(request));
	expect_until(fd, "\r\n\r\n");
	close(fd);
	expect_gone('g');
}

static void test_streamed_body(void **state)
{
	int fd = dial();
	char piece[10000] = { 0 };
	const char *request = "POST /count HTTP/1.1\r\n" CLOSE "Content-Length: 1000000\r\n\r\n";
	AUTO_FREE char *answer = NULL;

	(void)state;
	write_full(fd, request, strlen(request));
	for (int i = 0; i < 100; i++)
		assert_int_equal(write_full(fd, piece, sizeof(piece)), 0);
	answer = drain(fd);
	expect_contains(answer, "\r\n\r\n1000000");
	expect_talk("POST /count HTTP/1.1\r\n" CLOSE "Content-Length: 0\r\n\r\n", "\r\n\r\n0");
}

static void test_streamed_body_cut(void **state)
{
	int fd = dial();
	const char *request = "POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf";
	int before = __atomic_load_n(&counting, __ATOMIC_SEQ_CST);

	(void)state;
	write_full(fd, request, strlen(request));
	/* A client that is gone before its headers were looked at is not handled at all. */
	expect_more(&counting, before);
	close(fd);
	expect_gone('c');
}

static void test_streamed_body_refused(void **state)
{
	int fd = dial();
	char piece[10000] = { 0 };
	const char *request = "POST /refuse HTTP/1.1\r\n" CLOSE "Content-Length: 5000000\r\n\r\n";
	AUTO_FREE char *answer = NULL;

	(void)state;
	write_full(fd, request, strlen(request));
	for (int i = 0; i < 500; i++)
		assert_int_equal(write_full(fd, piece, sizeof(piece)), 0);
	answer = drain(fd);
	expect_contains(answer, " 403 ");
}

static void check_both_ways(const char *headers)
{
	int fd = dial();
	AUTO_FREE char *request = xasprintf("POST /hijack HTTP/1.1\r\nHost: x\r\n%s\r\nearly", headers);
	AUTO_FREE char *answer = NULL;
	int before = __atomic_load_n(&dropped, __ATOMIC_SEQ_CST);

	/* Bytes in the same segment as the request must not be lost, nor those before a half-close. */
	write_full(fd, request, strlen(request));
	expect_until(fd, "early");
	write_full(fd, " more", 5);
	shutdown(fd, SHUT_WR);
	answer = drain(fd);
	assert_string_equal(answer, " more|end");
	expect_more(&dropped, before);
}

static void test_hijack_upgrade(void **state)
{
	int fd = dial();
	const char *request = "POST /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
			      "Content-Length: 3\r\n\r\n{ }early";
	AUTO_FREE char *answer = NULL;

	(void)state;
	write_full(fd, request, strlen(request));
	shutdown(fd, SHUT_WR);
	answer = drain(fd);
	expect_contains(answer, "HTTP/1.1 101 ");
	expect_contains(answer, "Upgrade: tcp\r\n");
	expect_contains(answer, "Connection: Upgrade\r\n");
	expect_contains(answer, "Content-Type: application/raw\r\n");
	expect_contains(answer, "\r\n\r\nearly|end");
}

static void test_hijack_plain(void **state)
{
	int fd = dial();
	const char *request = "POST /hijack HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nearly";
	AUTO_FREE char *answer = NULL;

	(void)state;
	write_full(fd, request, strlen(request));
	shutdown(fd, SHUT_WR);
	answer = drain(fd);
	expect_contains(answer, "HTTP/1.1 200 OK\r\n");
	expect_contains(answer, "Content-Type: application/raw\r\n");
	assert_null(strstr(answer, "101"));
	expect_contains(answer, "\r\n\r\nearly|end");
}

static void test_hijack_both_ways(void **state)
{
	(void)state;
	check_both_ways("Connection: Upgrade\r\nUpgrade: tcp\r\n");
	check_both_ways("");
}

static void test_hijack_http_1_0(void **state)
{
	int fd = dial();
	const char *request = "POST /hijack HTTP/1.0\r\nContent-Length: 0\r\n\r\n";
	AUTO_FREE char *answer = NULL;

	(void)state;
	write_full(fd, request, strlen(request));
	expect_until(fd, "\r\n\r\n");
	write_full(fd, "later", 5);
	shutdown(fd, SHUT_WR);
	answer = drain(fd);
	assert_string_equal(answer, "later|end");
}

static void test_file(void **state)
{
	(void)state;
	expect_talk("GET /file HTTP/1.1\r\n" CLOSE "\r\n", "\r\n\r\nELF");
}

static void test_socket_mode_and_in_use(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(http_server_freep) struct http_server *second = NULL;
	const struct http_server_options options = { .routes = routes, .not_found = not_found };
	AUTO_FREE char *address = xasprintf("unix://%s", socket_path);
	AUTO_FREE char *tcp = xasprintf("tcp://127.0.0.1:%u", http_server_port(server, 1));
	struct stat info;

	(void)state;
	assert_int_equal(stat(socket_path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0660);
	assert_no_error(http_server_new(&second, &options, &err), &err);
	assert_true(http_server_listen(second, address, (gid_t)-1, &err) < 0);
	assert_int_equal(err.kind, ERR_CONFLICT);
	error_clear(&err);
	assert_true(http_server_listen(second, tcp, (gid_t)-1, &err) < 0);
	assert_int_equal(err.kind, ERR_CONFLICT);
	error_clear(&err);
	assert_true(http_server_listen(second, "ftp://x", (gid_t)-1, &err) < 0);
	assert_int_equal(err.kind, ERR_INVALID);
	error_clear(&err);
	/* It is still the first one's. */
	assert_int_equal(stat(socket_path, &info), 0);
}

static void test_stale_socket_is_replaced(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(http_server_freep) struct http_server *second = NULL;
	const struct http_server_options options = { .routes = routes, .not_found = not_found };
	struct sockaddr_un stale = { .sun_family = AF_UNIX };
	AUTO_FREE char *address = NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	snprintf(stale.sun_path, sizeof(stale.sun_path), "%s/stale", directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&stale, sizeof(stale)), 0);
	close(fd);
	address = xasprintf("unix://%s", stale.sun_path);
	assert_no_error(http_server_new(&second, &options, &err), &err);
	assert_no_error(http_server_listen(second, address, (gid_t)-1, &err), &err);
}

/* A server that stops hangs up on raw streams and waits for their handlers. */
static void test_stop_ends_hijacked(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct http_server *second = NULL;
	const struct http_server_options options = { .routes = routes, .not_found = not_found };
	AUTO_FREE char *old = xstrdup(socket_path);
	AUTO_FREE char *address = NULL;
	const char *request = "POST /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
	int before = __atomic_load_n(&dropped, __ATOMIC_SEQ_CST);
	int fd;

	(void)state;
	snprintf(socket_path, sizeof(socket_path), "%s/second", directory);
	address = xasprintf("unix://%s", socket_path);
	assert_no_error(http_server_new(&second, &options, &err), &err);
	assert_no_error(http_server_listen(second, address, (gid_t)-1, &err), &err);
	assert_no_error(http_server_start(second, &err), &err);
	fd = dial();
	write_full(fd, request, strlen(request));
	expect_until(fd, "\r\n\r\n");
	http_server_free(second);
	assert_true(__atomic_load_n(&dropped, __ATOMIC_SEQ_CST) > before);
	close(fd);
	snprintf(socket_path, sizeof(socket_path), "%s", old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo_and_names_with_slashes),
		cmocka_unit_test(test_chunked_body),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_huge_headers),
		cmocka_unit_test(test_body_over_limit),
		cmocka_unit_test(test_stream_is_chunked),
		cmocka_unit_test(test_http_1_0_stream_is_plain),
		cmocka_unit_test(test_headers_at_once_and_hangup_noticed),
		cmocka_unit_test(test_streamed_body),
		cmocka_unit_test(test_streamed_body_cut),
		cmocka_unit_test(test_streamed_body_refused),
		cmocka_unit_test(test_hijack_upgrade),
		cmocka_unit_test(test_hijack_plain),
		cmocka_unit_test(test_hijack_both_ways),
		cmocka_unit_test(test_hijack_http_1_0),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_socket_mode_and_in_use),
		cmocka_unit_test(test_stale_socket_is_replaced),
		cmocka_unit_test(test_stop_ends_hijacked),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
