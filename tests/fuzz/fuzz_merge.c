/* SPDX-License-Identifier: Apache-2.0 */
/* Any two layers, cut from one input: no crash, and what comes out is a tar that ends. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/tar_reader.h"
#include "base/file.h"
#include "image/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ssize_t read_fd(void *arg, void *data, size_t size, struct error *err)
{
	(void)err;
	return read(*(const int *)arg, data, size);
}

static void check(int fd)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(tar_reader_freep) struct tar_reader *reader = tar_reader_new(read_fd, &fd);
	struct tar_entry entry;
	int r;

	if (lseek(fd, 0, SEEK_SET) < 0)
		abort();
	while ((r = tar_reader_next(reader, &entry, &err)) > 0)
		;
	if (r < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	size_t half = size / 2 / 512 * 512;
	AUTO_CLOSE int lower = file_memory("lower", data, half);
	AUTO_CLOSE int upper = file_memory("upper", data + half, size - half);
	AUTO_CLOSE int out = file_memory("out", "", 0);
	const int layers[] = { lower, upper };

	if (lower < 0 || upper < 0 || out < 0)
		return 0;
	if (merge_layers(out, layers, 2, &err) == 0)
		check(out);
	return 0;
}
