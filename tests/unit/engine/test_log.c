/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/unit.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"
#include "engine/log.h"
#include "engine/log_line.h"

static char folder[64];
static char path[96];

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/kist-log-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/x-json.log", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return remove_tree(AT_FDCWD, folder);
}

static void append(const char *name, int first, int count, const char *stream)
{
	AUTO_FCLOSE FILE *file = fopen(name, "a");

	assert_non_null(file);
	for (int i = first; i < first + count; i++)
		fprintf(file, "{\"log\":\"line %d\\n\",\"stream\":\"%s\",\"time\":\"2024-01-01T00:00:%02d.5Z\"}\n", i,
			stream, i % 60);
}

static int read_numbers(const struct log_query *query, int *out_first, int *out_last)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(log_reader_closep) struct log_reader *reader = NULL;
	struct log_record record;
	int count = 0;
	int r;

	assert_no_error(log_reader_open(&reader, path, query, -1, &err), &err);
	while ((r = log_reader_next(reader, &record, -1, &err)) > 0) {
		AUTO_FREE char *text = xstrndup(record.data, record.size);
		int number = (int)strtol(text + strlen("line "), NULL, 10);

		if (count++ == 0)
			*out_first = number;
		*out_last = number;
	}
	assert_no_error(r, &err);
	return count;
}

static void make_rotated(void)
{
	char name[128];

	snprintf(name, sizeof(name), "%s.2", path);
	append(name, 0, 10, "stdout");
	snprintf(name, sizeof(name), "%s.1", path);
	append(name, 10, 10, "stderr");
	append(path, 20, 5, "stdout");
}

static void test_rotated_order(void **state)
{
	const struct log_query query = { .want_stdout = true, .want_stderr = true, .tail = -1 };
	int first = -1;
	int last = -1;

	(void)state;
	make_rotated();
	assert_int_equal(read_numbers(&query, &first, &last), 25);
	assert_int_equal(first, 0);
	assert_int_equal(last, 24);
}

static void test_tail(void **state)
{
	static const int tails[] = { 0, 1, 5, 6, 15, 24, 25, 26, 1000 };
	int first = -1;
	int last = -1;

	(void)state;
	make_rotated();
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		const struct log_query query = { .want_stdout = true, .want_stderr = true, .tail = tails[i] };
		int wanted = tails[i] < 25 ? tails[i] : 25;

		assert_int_equal(read_numbers(&query, &first, &last), wanted);
		if (wanted)
			assert_int_equal(first, 25 - wanted);
	}
}

static void test_streams_and_times(void **state)
{
	struct log_query query = { .want_stderr = true, .tail = -1 };
	int first = -1;
	int last = -1;

	(void)state;
	make_rotated();
	assert_int_equal(read_numbers(&query, &first, &last), 10);
	assert_int_equal(first, 10);
	query.want_stdout = true;
	assert_int_equal(clock_parse(&query.since_ns, "2024-01-01T00:00:05.5Z"), 0);
	assert_int_equal(clock_parse(&query.until_ns, "2024-01-01T00:00:07.5Z"), 0);
	assert_int_equal(read_numbers(&query, &first, &last), 3);
	assert_int_equal(first, 5);
	assert_int_equal(last, 7);
}

/* What a rotation between the two opens looks like. */
static void test_one_file_under_two_names(void **state)
{
	const struct log_query query = { .want_stdout = true, .want_stderr = true, .tail = -1 };
	char older[128];
	int first;
	int last;

	(void)state;
	snprintf(older, sizeof(older), "%s.1", path);
	unlink(path);
	unlink(older);
	append(path, 0, 10, "stdout");
	assert_int_equal(link(path, older), 0);
	assert_int_equal(read_numbers(&query, &first, &last), 10);
	unlink(older);
	unlink(path);
}

#define PER_FILE 20

struct writer {
	int done_fd;
	_Atomic int read;
};

/* Writes, rotates in between, never a file away that was not read, and says when it is over. */
static void *write_and_rotate(void *arg)
{
	struct writer *writer = arg;
	const uint64_t one = 1;
	char older[128];
	char oldest[128];

	snprintf(older, sizeof(older), "%s.1", path);
	snprintf(oldest, sizeof(oldest), "%s.2", path);
	for (int i = 0; i < 200; i++) {
		append(path, i, 1, "stdout");
		if (i % PER_FILE == PER_FILE - 1) {
			while (atomic_load(&writer->read) <= i - 2 * PER_FILE)
				clock_sleep_ms(1);
			rename(older, oldest);
			rename(path, older);
		}
	}
	assert_int_equal(write(writer->done_fd, &one, sizeof(one)), sizeof(one));
	return NULL;
}

static void test_follow_from_before_the_first_line(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(log_reader_closep) struct log_reader *reader = NULL;
	AUTO_CLOSE int done_fd = eventfd(1, EFD_CLOEXEC);
	const struct log_query query = { .want_stdout = true, .follow = true, .tail = -1 };
	struct log_record record;
	char older[128];
	int count = 0;

	(void)state;
	snprintf(older, sizeof(older), "%s.1", path);
	assert_no_error(log_reader_open(&reader, path, &query, done_fd, &err), &err);
	append(older, 0, 5, "stdout");
	append(path, 5, 5, "stdout");
	while (log_reader_next(reader, &record, -1, &err) > 0)
		count++;
	assert_int_equal(count, 10);
}

static void test_follow_through_rotation(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(log_reader_closep) struct log_reader *reader = NULL;
	AUTO_CLOSE int done_fd = eventfd(0, EFD_CLOEXEC);
	const struct log_query query = { .want_stdout = true, .follow = true, .tail = -1 };
	struct writer writer = { .done_fd = done_fd };
	struct log_record record;
	pthread_t thread;
	int next = 0;
	int r;

	(void)state;
	assert_no_error(log_reader_open(&reader, path, &query, done_fd, &err), &err);
	assert_no_error(thread_start(&thread, "writer", write_and_rotate, &writer, &err), &err);
	while ((r = log_reader_next(reader, &record, -1, &err)) > 0) {
		char wanted[32];

		snprintf(wanted, sizeof(wanted), "line %d\n", next++);
		assert_int_equal(record.size, strlen(wanted));
		assert_memory_equal(record.data, wanted, record.size);
		atomic_store(&writer.read, next);
	}
	assert_no_error(r, &err);
	pthread_join(thread, NULL);
	assert_int_equal(next, 200);
	log_reader_close(take_ptr(reader));
}

static void read_lines(struct log_reader *reader, int first, int count)
{
	AUTO(error_clear) struct error err = { 0 };
	struct log_record record;

	for (int i = first; i < first + count; i++) {
		char wanted[32];

		snprintf(wanted, sizeof(wanted), "line %d\n", i);
		assert_int_equal(log_reader_next(reader, &record, -1, &err), 1);
		assert_int_equal(record.size, strlen(wanted));
		assert_memory_equal(record.data, wanted, record.size);
	}
}

/* max-size without max-file: the shim puts a new file in its place; an administrator truncates the old one. */
static void follow_anew(bool replace)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(log_reader_closep) struct log_reader *reader = NULL;
	AUTO_CLOSE int done_fd = eventfd(0, EFD_CLOEXEC);
	const struct log_query query = { .want_stdout = true, .follow = true, .tail = -1 };
	const uint64_t one = 1;
	struct log_record record;

	append(path, 0, 5, "stdout");
	assert_no_error(log_reader_open(&reader, path, &query, done_fd, &err), &err);
	read_lines(reader, 0, 5);
	if (replace) {
		append(path, 5, 1, "stdout");
		assert_int_equal(unlink(path), 0);
	} else {
		assert_int_equal(truncate(path, 0), 0);
	}
	append(path, 6, 2, "stdout");
	if (replace)
		read_lines(reader, 5, 1);
	read_lines(reader, 6, 2);
	assert_int_equal(write(done_fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(log_reader_next(reader, &record, -1, &err), 0);
}

static void test_follow_a_replaced_file(void **state)
{
	(void)state;
	follow_anew(true);
}

/* logrotate and its like give it a name that is none of ours. */
static void test_follow_a_file_that_was_moved(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(log_reader_closep) struct log_reader *reader = NULL;
	AUTO_CLOSE int done_fd = eventfd(0, EFD_CLOEXEC);
	const struct log_query query = { .want_stdout = true, .follow = true, .tail = 5 };
	char name[128];

	(void)state;
	snprintf(name, sizeof(name), "%s.1", path);
	append(name, 0, 5, "stdout");
	append(path, 5, 5, "stdout");
	assert_no_error(log_reader_open(&reader, path, &query, done_fd, &err), &err);
	read_lines(reader, 5, 5);
	snprintf(name, sizeof(name), "%s-20240101", path);
	assert_int_equal(rename(path, name), 0);
	append(path, 10, 2, "stdout");
	read_lines(reader, 10, 2);
}

/* A reader that is far behind goes on with the oldest file that is left. */
static void test_follow_what_was_rotated_out_of_existence(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(log_reader_closep) struct log_reader *reader = NULL;
	AUTO_CLOSE int done_fd = eventfd(0, EFD_CLOEXEC);
	const struct log_query query = { .want_stdout = true, .follow = true, .tail = -1 };
	char older[128];
	char oldest[128];

	(void)state;
	snprintf(older, sizeof(older), "%s.1", path);
	snprintf(oldest, sizeof(oldest), "%s.2", path);
	append(path, 0, 5, "stdout");
	assert_no_error(log_reader_open(&reader, path, &query, done_fd, &err), &err);
	for (int i = 1; i < 5; i++) {
		rename(older, oldest);
		rename(path, older);
		append(path, 5 * i, 5, "stdout");
	}
	read_lines(reader, 0, 5);
	/* 5 to 9 are gone. */
	read_lines(reader, 10, 10);
	/* As if killed between the two renames. */
	rename(older, oldest);
	read_lines(reader, 20, 5);
}

static void test_follow_a_truncated_file(void **state)
{
	(void)state;
	follow_anew(false);
}

static void test_cancel(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(log_reader_closep) struct log_reader *reader = NULL;
	AUTO_CLOSE int cancel_fd = eventfd(1, EFD_CLOEXEC);
	const struct log_query query = { .want_stdout = true, .follow = true, .tail = 0 };
	struct log_record record;

	(void)state;
	assert_no_error(log_reader_open(&reader, path, &query, -1, &err), &err);
	assert_int_equal(log_reader_next(reader, &record, cancel_fd, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELED);
	log_reader_close(take_ptr(reader));
}

static void test_no_stream_is_refused(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(log_reader_closep) struct log_reader *reader = NULL;
	const struct log_query query = { .tail = -1 };

	(void)state;
	assert_int_equal(log_reader_open(&reader, path, &query, -1, &err), -1);
	assert_string_equal(err.message, "Bad parameters: you must choose at least one stream");
}

static int parse(struct log_line *line, const char *text)
{
	return log_line_parse(line, text, strlen(text));
}

static void test_lines(void **state)
{
	struct log_line line = { 0 };

	(void)state;
	assert_int_equal(parse(&line, "{\"log\":\"a\\u0000\\u00e4\\ud83d\\ude00\\n\\\"\",\"stream\":\"stderr\","
				      "\"attrs\":{\"a\":[1,\"}\"]},\"time\":\"2024-01-01T00:00:00Z\"}"),
			 0);
	assert_int_equal(line.stream, STREAM_STDERR);
	assert_int_equal(line.log.size, 10);
	assert_memory_equal(line.log.data, "a\0\xc3\xa4\xf0\x9f\x98\x80\n\"", 10);
	assert_int_not_equal(parse(&line, ""), 0);
	assert_int_not_equal(parse(&line, "{\"log\":\"torn"), 0);
	assert_int_not_equal(parse(&line, "{\"log\":\"a\"} x"), 0);
	assert_int_not_equal(parse(&line, "{\"log\":3"), 0);
	assert_int_not_equal(parse(&line, "{\"log\":\"\\u00g0\"}"), 0);
	log_line_fini(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rotated_order, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_tail, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_streams_and_times, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_one_file_under_two_names, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_follow_from_before_the_first_line, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_follow_through_rotation, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_follow_a_replaced_file, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_follow_a_file_that_was_moved, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_follow_what_was_rotated_out_of_existence, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(test_follow_a_truncated_file, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_cancel, make_folder, remove_folder),
		cmocka_unit_test(test_no_stream_is_refused),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
