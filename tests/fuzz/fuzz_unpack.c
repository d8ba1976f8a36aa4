/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer stream into a folder of a private tmpfs-like place (/dev/shm), emptied
 * each time. Beside the folder lies a canary: nothing may appear there.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/unpack.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define LIMIT (1u << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];
static int folder_fd = -1;

static void remove_folder(void)
{
	if (chdir("/") == 0)
		remove_tree(AT_FDCWD, folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	snprintf(folder, sizeof(folder), "/dev/shm/t-store-fuzz-XXXXXX");
	if (!mkdtemp(folder))
		abort();
	atexit(remove_folder);
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

static void check_canary(void)
{
	AUTO_CLOSEDIR DIR *dir = opendir(folder);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !text_equal(entry->d_name, "layer"))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(error_clear) struct error finish_err = { 0 };
	AUTO(text_fini) struct text deferred = { 0 };
	AUTO_CLOSE int stream = memfd_create("layer", MFD_CLOEXEC);
	AUTO_CLOSE int root = -1;
	/* No devices: the fuzzer runs as root on somebody's machine. */
	const struct unpack_settings settings = { .limit_bytes = LIMIT,
						  .limit_entries = 200,
						  .devices = UNPACK_DEVICES_REFUSE,
						  .lowest = size > 0 && (data[0] & 1) };
	struct unpack_counts counts;
	int r;

	if (mkdirat(folder_fd, "layer", 0755) < 0 || write_full(stream, data, size) < 0)
		abort();
	lseek(stream, 0, SEEK_SET);
	root = openat(folder_fd, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = unpack_stream(&counts, &deferred, stream, root, &settings, &err);
	if ((r < 0) != error_is_set(&err))
		abort();
	if (r == 0)
		unpack_finish(root, NULL, 0, deferred.data, deferred.size, &finish_err);
	if (fchdir(folder_fd) < 0 || remove_tree(folder_fd, "layer") < 0)
		abort();
	check_canary();
	return 0;
}
