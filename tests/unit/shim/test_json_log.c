/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/json_log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "unit/unit.h"
#include "json/json.h"

struct entry {
	char *log;
	char *stream;
	char *time;
};

static const struct json_field entry_fields[] = {
	JSON_TEXT("log", struct entry, log, JSON_REQUIRED),
	JSON_TEXT("stream", struct entry, stream, JSON_REQUIRED),
	JSON_TEXT("time", struct entry, time, JSON_REQUIRED),
	JSON_END,
};

struct fixture {
	char directory[32];
	char *path;
	struct json_log *log;
};

static void open_log(struct fixture *fixture, int64_t max_size, int64_t max_file)
{
	AUTO(error_clear) struct error err = { 0 };

	memcpy(fixture->directory, "/tmp/t-shim-log-XXXXXX", sizeof("/tmp/t-shim-log-XXXXXX"));
	assert_non_null(mkdtemp(fixture->directory));
	fixture->path = xasprintf("%s/c-json.log", fixture->directory);
	const struct json_log_options options = { .path = fixture->path, .max_size = max_size, .max_file = max_file };

	assert_no_error(json_log_open(&fixture->log, &options, &err), &err);
}

static void close_log(struct fixture *fixture)
{
	json_log_close(fixture->log);
	remove_tree(AT_FDCWD, fixture->directory);
	free(fixture->path);
}

static void write_text(struct fixture *fixture, const char *text)
{
	json_log_write(fixture->log, JSON_LOG_STDOUT, text, strlen(text));
}

/* Entry number `index` of path (with suffix); empty if there are fewer. */
static struct entry read_entry(struct fixture *fixture, const char *suffix, size_t index)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *path = xasprintf("%s%s", fixture->path, suffix);
	AUTO_FREE char *text = NULL;
	struct text_list lines = { 0 };
	struct entry entry = { 0 };

	if (file_read(&text, NULL, AT_FDCWD, path, 1 << 24) < 0)
		return entry;
	text_list_split(&lines, text, '\n');
	if (index < lines.count && *lines.items[index])
		assert_no_error(json_decode(&entry, entry_fields, lines.items[index], strlen(lines.items[index]), &err),
				&err);
	text_list_fini(&lines);
	return entry;
}

static void assert_log(struct fixture *fixture, const char *suffix, size_t index, const char *expected)
{
	struct entry entry = read_entry(fixture, suffix, index);

	if (expected)
		assert_string_equal(entry.log, expected);
	else
		assert_null(entry.log);
	json_free_fields(&entry, entry_fields);
}

static void test_lines_in_pieces(void **state)
{
	struct fixture fixture = { 0 };
	struct entry entry;

	(void)state;
	open_log(&fixture, 0, 1);
	write_text(&fixture, "one\ntw");
	assert_log(&fixture, "", 1, NULL);
	write_text(&fixture, "o\n\n");
	json_log_write(fixture.log, JSON_LOG_STDERR, "err\n", 4);
	write_text(&fixture, "rest");
	json_log_end(fixture.log, JSON_LOG_STDOUT);
	assert_log(&fixture, "", 0, "one\n");
	assert_log(&fixture, "", 1, "two\n");
	assert_log(&fixture, "", 2, "\n");
	assert_log(&fixture, "", 3, "err\n");
	assert_log(&fixture, "", 4, "rest");
	assert_log(&fixture, "", 5, NULL);
	entry = read_entry(&fixture, "", 3);
	assert_string_equal(entry.stream, "stderr");
	json_free_fields(&entry, entry_fields);
	close_log(&fixture);
}

static void test_long_lines_are_cut_at_16_kib(void **state)
{
	struct fixture fixture = { 0 };
	AUTO_FREE char *line = xmalloc(40001);
	struct entry parts[3];

	(void)state;
	memset(line, 'x', 40000);
	line[40000] = '\n';
	open_log(&fixture, 0, 1);
	json_log_write(fixture.log, JSON_LOG_STDOUT, line, 40001);
	for (size_t i = 0; i < 3; i++)
		parts[i] = read_entry(&fixture, "", i);
	assert_int_equal(strlen(parts[0].log), 16384);
	assert_int_equal(strlen(parts[1].log), 16384);
	assert_int_equal(strlen(parts[2].log), 40000 - 2 * 16384 + 1);
	assert_true(text_has_suffix(parts[2].log, "x\n"));
	/* docker: one time for all parts of a line */
	assert_string_equal(parts[0].time, parts[1].time);
	assert_string_equal(parts[0].time, parts[2].time);
	for (size_t i = 0; i < 3; i++)
		json_free_fields(&parts[i], entry_fields);
	assert_log(&fixture, "", 3, NULL);
	close_log(&fixture);
}

static void test_a_line_of_exactly_16_kib(void **state)
{
	struct fixture fixture = { 0 };
	AUTO_FREE char *line = xmalloc(16384);
	struct entry entry;

	(void)state;
	memset(line, 'y', 16384);
	open_log(&fixture, 0, 1);
	json_log_write(fixture.log, JSON_LOG_STDOUT, line, 16384);
	entry = read_entry(&fixture, "", 0);
	assert_int_equal(strlen(entry.log), 16384);
	json_free_fields(&entry, entry_fields);
	write_text(&fixture, "\n");
	assert_log(&fixture, "", 1, "\n");
	close_log(&fixture);
}

static void test_characters_are_not_cut(void **state)
{
	struct fixture fixture = { 0 };
	AUTO_FREE char *line = xmalloc(16390);
	struct entry entry;

	(void)state;
	memset(line, 'z', 16382);
	memcpy(line + 16382, "\xe2\x82\xac!\n", 5); /* the euro sign spans the limit */
	open_log(&fixture, 0, 1);
	json_log_write(fixture.log, JSON_LOG_STDOUT, line, 16387);
	entry = read_entry(&fixture, "", 0);
	assert_int_equal(strlen(entry.log), 16382);
	json_free_fields(&entry, entry_fields);
	assert_log(&fixture, "", 1, "\xe2\x82\xac!\n");
	close_log(&fixture);
}

static void test_bytes_that_are_no_text(void **state)
{
	struct fixture fixture = { 0 };

	(void)state;
	open_log(&fixture, 0, 1);
	write_text(&fixture, "a\xff\"\\\t\x01\n");
	assert_log(&fixture, "", 0, "a\xef\xbf\xbd\"\\\t\x01\n");
	close_log(&fixture);
}

static void test_rotation(void **state)
{
	struct fixture fixture = { 0 };

	(void)state;
	open_log(&fixture, 100, 3); /* an entry has some 70 bytes: two per file */
	for (int i = 0; i < 7; i++) {
		char line[8];

		(void)snprintf(line, sizeof(line), "%d\n", i);
		write_text(&fixture, line);
	}
	assert_log(&fixture, "", 0, "6\n");
	assert_log(&fixture, "", 1, NULL);
	assert_log(&fixture, ".1", 0, "4\n");
	assert_log(&fixture, ".1", 1, "5\n");
	assert_log(&fixture, ".2", 0, "2\n");
	assert_log(&fixture, ".2", 1, "3\n");
	assert_log(&fixture, ".3", 0, NULL); /* the oldest is gone */
	close_log(&fixture);
}

static void test_rotation_within_one_write(void **state)
{
	struct fixture fixture = { 0 };

	(void)state;
	open_log(&fixture, 100, 2);
	write_text(&fixture, "0\n1\n2\n3\n4\n");
	assert_log(&fixture, "", 0, "4\n");
	assert_log(&fixture, ".1", 0, "2\n");
	assert_log(&fixture, ".1", 1, "3\n");
	close_log(&fixture);
}

static void test_rotation_with_one_file_starts_anew(void **state)
{
	struct fixture fixture = { 0 };

	(void)state;
	open_log(&fixture, 100, 1);
	write_text(&fixture, "0\n1\n2\n");
	assert_log(&fixture, "", 0, "2\n");
	assert_log(&fixture, "", 1, NULL);
	assert_log(&fixture, ".1", 0, NULL);
	close_log(&fixture);
}

static void test_rotation_takes_nothing_from_a_reader(void **state)
{
	struct fixture fixture = { 0 };
	char text[256] = { 0 };
	int fd;

	(void)state;
	open_log(&fixture, 100, 1);
	write_text(&fixture, "0\n1\n");
	fd = open(fixture.path, O_RDONLY | O_CLOEXEC);
	write_text(&fixture, "2\n");
	assert_log(&fixture, "", 0, "2\n");
	assert_true(read_full(fd, text, sizeof(text) - 1) > 100);
	assert_non_null(strstr(text, "{\"log\":\"1\\n\""));
	close(fd);
	close_log(&fixture);
}

static void test_a_failed_rotation_loses_nothing(void **state)
{
	struct fixture fixture = { 0 };
	AUTO_FREE char *in_the_way = NULL;

	(void)state;
	open_log(&fixture, 100, 2);
	in_the_way = xasprintf("%s.1", fixture.path);
	assert_int_equal(mkdir(in_the_way, 0700), 0);
	write_text(&fixture, "0\n1\n2\n3\n");
	assert_log(&fixture, "", 0, "0\n");
	assert_log(&fixture, "", 3, "3\n");
	close_log(&fixture);
}

static void test_an_existing_log_goes_on(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct fixture fixture = { 0 };
	struct stat status;

	(void)state;
	open_log(&fixture, 0, 1);
	write_text(&fixture, "old\n");
	json_log_close(fixture.log);
	assert_no_error(json_log_open(&fixture.log, &(struct json_log_options){ .path = fixture.path }, &err), &err);
	write_text(&fixture, "new\n");
	assert_log(&fixture, "", 0, "old\n");
	assert_log(&fixture, "", 1, "new\n");
	assert_int_equal(stat(fixture.path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640 & ~0022);
	close_log(&fixture);
}

/* A file size limit acts as a full disk does: writes fail in the middle. */
static void test_a_full_disk_leaves_whole_lines(void **state)
{
	struct fixture fixture = { 0 };
	struct rlimit old;
	struct rlimit small;
	int errnum = 0;

	(void)state;
	open_log(&fixture, 0, 1);
	write_text(&fixture, "kept\n");
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){ .rlim_cur = 100, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	write_text(&fixture, "lost\n");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(json_log_lost(fixture.log, &errnum) > 0);
	assert_int_equal(errnum, EFBIG);
	write_text(&fixture, "again\n");
	assert_log(&fixture, "", 0, "kept\n");
	assert_log(&fixture, "", 1, "again\n");
	close_log(&fixture);
}

/* Many lines in one piece: those that have room stay. */
static void test_a_full_disk_loses_only_what_has_no_room(void **state)
{
	struct fixture fixture = { 0 };
	struct rlimit old;
	struct rlimit small;
	int errnum = 0;

	(void)state;
	open_log(&fixture, 0, 1);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){ .rlim_cur = 200, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	write_text(&fixture, "one\ntwo\nthree\nfour\n");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(json_log_lost(fixture.log, &errnum) > 0);
	write_text(&fixture, "again\n");
	assert_log(&fixture, "", 0, "one\n");
	assert_log(&fixture, "", 1, "two\n");
	assert_log(&fixture, "", 2, "again\n");
	close_log(&fixture);
}

static void test_no_such_directory(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct json_log *log = NULL;

	(void)state;
	assert_int_equal(json_log_open(&log, &(struct json_log_options){ .path = "/tmp/t-shim-none/x.log" }, &err), -1);
	assert_string_equal(err.message, "open log /tmp/t-shim-none/x.log: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_in_pieces),
		cmocka_unit_test(test_long_lines_are_cut_at_16_kib),
		cmocka_unit_test(test_a_line_of_exactly_16_kib),
		cmocka_unit_test(test_characters_are_not_cut),
		cmocka_unit_test(test_bytes_that_are_no_text),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_rotation_within_one_write),
		cmocka_unit_test(test_rotation_with_one_file_starts_anew),
		cmocka_unit_test(test_rotation_takes_nothing_from_a_reader),
		cmocka_unit_test(test_a_failed_rotation_loses_nothing),
		cmocka_unit_test(test_an_existing_log_goes_on),
		cmocka_unit_test(test_a_full_disk_leaves_whole_lines),
		cmocka_unit_test(test_a_full_disk_loses_only_what_has_no_room),
		cmocka_unit_test(test_no_such_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
