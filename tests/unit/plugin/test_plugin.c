/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins that are slow, rude, full or gone: sockets in a folder of the test's own, answered by threads. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "plugin/plugin.h"
#include "unit/unit.h"

struct place {
	char folder[64];
	struct plugins *plugins;
	int listener;
	pthread_t thread;
	const char *const *answers; /* one for each connection; NULL ends */
};

static int listen_at(const char *path, int queue)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, queue), 0);
	return fd;
}

static int make_place(void **state)
{
	struct place *place = xcalloc(1, sizeof(*place));
	AUTO_FREE char *path = NULL;

	snprintf(place->folder, sizeof(place->folder), "/tmp/kist-plugin-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	path = xasprintf("/nowhere:%s", place->folder);
	place->plugins = plugins_new(path);
	place->listener = -1;
	*state = place;
	return 0;
}

static int end_place(void **state)
{
	struct place *place = *state;

	plugins_free(place->plugins);
	if (place->listener >= 0)
		close(place->listener);
	remove_tree(AT_FDCWD, place->folder);
	free(place);
	return 0;
}

static void *serve(void *arg)
{
	struct place *place = arg;

	for (const char *const *answer = place->answers; *answer; answer++) {
		int fd = accept(place->listener, NULL, NULL);
		char request[4096];

		if (read(fd, request, sizeof(request)) > 0)
			write_full(fd, *answer, strlen(*answer));
		close(fd);
	}
	return NULL;
}

static void serve_answers(struct place *place, const char *name, const char *const *answers)
{
	AUTO_FREE char *path = xasprintf("%s/%s.sock", place->folder, name);

	place->listener = listen_at(path, 8);
	place->answers = answers;
	assert_int_equal(pthread_create(&place->thread, NULL, serve, place), 0);
}

static struct plugin_call call_of(const char *name, const char *method)
{
	return (struct plugin_call){
		.name = name, .method = method, .body = "{}", .timeout_ms = 60000, .cancel_fd = -1, .other_fd = -1
	};
}

#define OK "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

static void test_it_is_activated_once(void **state)
{
	static const char *const answers[] = { OK "{\"Implements\":[\"A\",\"B\"]}", OK "{\"x\":1}", OK "{\"x\":2}",
					       NULL };
	struct place *place = *state;
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list names = { 0 };
	struct plugin_call call = call_of("p", "A.Do");

	call.kind = "A";
	serve_answers(place, "p", answers);
	plugins_used(&names, place->plugins, "A");
	assert_int_equal(names.count, 0);
	for (int i = 1; i <= 2; i++) {
		AUTO_FREE char *answer = NULL;
		AUTO_FREE char *expected = xasprintf("{\"x\":%d}", i);

		assert_int_equal(plugin_call(&answer, place->plugins, &call, &err), PLUGIN_DONE);
		assert_string_equal(answer, expected);
	}
	pthread_join(place->thread, NULL);
	plugins_used(&names, place->plugins, "B");
	assert_int_equal(names.count, 1);
	plugins_find(&names, place->plugins, "C"); /* it is none of those */
	assert_int_equal(names.count, 1);
}

static void expect(struct place *place, const char *answer_text, enum plugin_result result, const char *message)
{
	const char *const answers[] = { answer_text, NULL };
	struct plugin_call call = call_of("p", "A.Do");
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *path = xasprintf("%s/p.sock", place->folder);
	AUTO_FREE char *answer = NULL;

	serve_answers(place, "p", answers);
	assert_int_equal(plugin_call(&answer, place->plugins, &call, &err), result);
	pthread_join(place->thread, NULL);
	close(place->listener);
	place->listener = -1;
	unlink(path);
	assert_non_null(err.message);
	if (!strstr(err.message, message))
		fail_msg("%s has no %s", err.message, message);
	assert_int_equal(err.kind, ERR_INTERNAL);
}

static void test_answers_that_say_no(void **state)
{
	expect(*state, OK "{\"Err\":\"no\"}", PLUGIN_REFUSED, "no");
	expect(*state, "HTTP/1.1 500 x\r\nConnection: close\r\n\r\n{\"Err\":\"on fire\"}", PLUGIN_REFUSED,
	       "A.Do: on fire");
	expect(*state, "HTTP/1.1 404 x\r\nConnection: close\r\n\r\nnot here\n", PLUGIN_REFUSED, "A.Do: not here");
	expect(*state, "HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", PLUGIN_REFUSED, "A.Do: status 404");
	expect(*state, OK "rubbish", PLUGIN_LOST, "plugin p answered A.Do with something that cannot be read");
	expect(*state, "rubbish\r\n\r\n", PLUGIN_LOST, "plugin p: A.Do");
	expect(*state, "", PLUGIN_LOST, "without an answer");
}

static void test_one_that_is_not_there(void **state)
{
	struct place *place = *state;
	struct plugin_call call = call_of("p", "A.Do");
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *answer = NULL;

	assert_int_equal(plugin_call(&answer, place->plugins, &call, &err), PLUGIN_LOST);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_string_equal(err.message, "plugin \"p\" not found");
}

/* No file is looked for, and it is its caller's fault. */
static void test_what_is_no_name(void **state)
{
	static const char *const names[] = { NULL, "", ".", "..", ".p", "../p", "a/p", "/p" };
	struct place *place = *state;
	AUTO_FREE char *answer = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct plugin_call call = call_of(names[i], "A.Do");
		AUTO(error_clear) struct error err = { 0 };

		assert_int_equal(plugin_call(&answer, place->plugins, &call, &err), PLUGIN_LOST);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.message, "not found: that is no name of a plugin"));
		call.kind = "A";
		error_clear(&err);
		assert_int_equal(plugin_call(&answer, place->plugins, &call, &err), PLUGIN_LOST);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

/* One that accepts and says nothing, and one whose queue is full. */
static void test_one_that_hangs(void **state)
{
	struct place *place = *state;
	struct plugin_call call = call_of("p", "A.Do");
	AUTO_FREE char *path = xasprintf("%s/p.sock", place->folder);
	AUTO_CLOSE int canceled = eventfd(1, EFD_CLOEXEC);

	place->listener = listen_at(path, 0);
	call.timeout_ms = 200;
	for (int i = 0; i < 3; i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO_FREE char *answer = NULL;

		assert_int_equal(plugin_call(&answer, place->plugins, &call, &err), PLUGIN_LOST);
		assert_int_equal(err.kind, ERR_INTERNAL);
		assert_int_equal(err.errnum, ETIMEDOUT);
		assert_true(plugin_is_silent(place->plugins, "p"));
	}
	call.timeout_ms = 60000;
	for (int i = 0; i < 2; i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO_FREE char *answer = NULL;

		call.cancel_fd = i == 0 ? canceled : -1;
		call.other_fd = i == 0 ? -1 : canceled;
		assert_int_equal(plugin_call(&answer, place->plugins, &call, &err), PLUGIN_LOST);
		assert_int_equal(err.kind, ERR_CANCELED);
	}
}

static void *come_late(void *arg)
{
	struct place *place = arg;
	AUTO_FREE char *path = xasprintf("%s/p.sock", place->folder);

	clock_sleep_ms(150);
	place->listener = listen_at(path, 8);
	return serve(place);
}

static void test_one_that_comes_late(void **state)
{
	static const char *const answers[] = { OK "{}", NULL };
	struct place *place = *state;
	struct plugin_call call = call_of("p", "A.Do");
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *answer = NULL;

	place->answers = answers;
	call.patience_ms = 60000;
	assert_int_equal(pthread_create(&place->thread, NULL, come_late, place), 0);
	assert_int_equal(plugin_call(&answer, place->plugins, &call, &err), PLUGIN_DONE);
	pthread_join(place->thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_it_is_activated_once, make_place, end_place),
		cmocka_unit_test_setup_teardown(test_answers_that_say_no, make_place, end_place),
		cmocka_unit_test_setup_teardown(test_one_that_is_not_there, make_place, end_place),
		cmocka_unit_test_setup_teardown(test_what_is_no_name, make_place, end_place),
		cmocka_unit_test_setup_teardown(test_one_that_hangs, make_place, end_place),
		cmocka_unit_test_setup_teardown(test_one_that_comes_late, make_place, end_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
