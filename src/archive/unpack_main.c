/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-unpack - unpacks one untrusted layer. Run by store/unpack.c only:
 *
 *   kist-unpack unpack <limit bytes> <allow|skip|refuse> <lowest|above|archive> [tee]
 *   kist-unpack finish <number of lower layers>
 *
 * Descriptors: 0 the stream (finish: the deferred work), 3 the target
 * directory, 4 the report, 5... lower layers, highest first (tee: 5 gets the
 * uncompressed stream). The report is 'R',
 * struct unpack_report and the deferred work, or 'E' and the error.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "archive/jail.h"
#include "archive/report.h"
#include "archive/unpack.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"

#define TARGET_FD 3
#define REPORT_FD 4
#define LOWER_FD 5
#define TEE_FD 5
#define LOWER_MAX 500
#define DEFERRED_MAX (256 * 1024 * 1024)
/* Far more than any image has; keeps a stream of empty files from eating all inodes. */
#define ENTRIES_MAX 20000000

static int usage(struct error *err)
{
	return error_set(err, ERR_INVALID, "kist-unpack is started by kistd only");
}

static int run_unpack(struct unpack_counts *counts, struct text *deferred, char **argv, struct error *err)
{
	struct unpack_settings settings = { .limit_entries = ENTRIES_MAX,
					    .lowest = !text_equal(argv[4], "above") && !text_equal(argv[4], "whole"),
					    .marks_apart = text_equal(argv[4], "whole"),
					    .any_compression = text_equal(argv[4], "archive"),
					    .tee_fd = text_equal(argv[5], "tee") ? TEE_FD : 0 };
	int target_fd = TARGET_FD;

	if (text_parse_u64(&settings.limit_bytes, argv[2], UINT64_MAX) < 0 ||
	    unpack_devices_parse(&settings.devices, argv[3]) < 0)
		return usage(err);
	if (jail_enter(&target_fd, NULL, 0, err) < 0)
		return -1;
	return unpack_stream(counts, deferred, STDIN_FILENO, target_fd, &settings, err);
}

static int run_finish(char **argv, struct error *err)
{
	AUTO_FREE char *deferred = NULL;
	int lower_fds[LOWER_MAX];
	int target_fd = TARGET_FD;
	uint64_t count;
	size_t size;
	int r;

	if (text_parse_u64(&count, argv[2], LOWER_MAX) < 0)
		return usage(err);
	for (size_t i = 0; i < count; i++)
		lower_fds[i] = LOWER_FD + (int)i;
	if (jail_enter(&target_fd, lower_fds, count, err) < 0)
		return -1;
	r = fd_read_all(&deferred, &size, STDIN_FILENO, DEFERRED_MAX);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read the deferred work");
	return unpack_finish(target_fd, lower_fds, count, deferred, size, err);
}

static int run(struct unpack_counts *counts, struct text *deferred, int argc, char **argv, struct error *err)
{
	if ((argc == 5 || argc == 6) && text_equal(argv[1], "unpack"))
		return run_unpack(counts, deferred, argv, err);
	if (argc == 3 && text_equal(argv[1], "finish"))
		return run_finish(argv, err);
	return usage(err);
}

static int report_success(const struct unpack_counts *counts, const struct text *deferred)
{
	struct unpack_report report = { counts->entries, counts->bytes, counts->has_root, deferred->size };

	if (write_full(REPORT_FD, "R", 1) < 0 || write_full(REPORT_FD, &report, sizeof(report)) < 0)
		return -1;
	return deferred->size > 0 ? write_full(REPORT_FD, deferred->data, deferred->size) : 0;
}

static int tell(int result, const struct unpack_counts *counts, const struct text *deferred, const struct error *err)
{
	if (result == 0)
		return report_success(counts, deferred) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (write_full(REPORT_FD, "E", 1) < 0 || error_send(REPORT_FD, err) < 0)
		dprintf(STDERR_FILENO, "kist-unpack: %s\n", err->message);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct error err = { 0 };
	struct text deferred = { 0 };
	struct unpack_counts counts = { 0 };

	/* Without kistd nobody wants the result. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	/* Nothing runs at exit: what libraries may want to do there, the jail does not let them do. */
	_exit(tell(run(&counts, &deferred, argc, argv, &err), &counts, &deferred, &err));
}
