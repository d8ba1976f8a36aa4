/* SPDX-License-Identifier: Apache-2.0 */
/* What a build's client says in its session: a listing of files, as packets, made into a directory; and every message. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/buildkit/messages.h"
#include "api/buildkit/tree.h"
#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGE_MAX 1024

static const struct proto_field *const tables[] = {
	bk_solve_request_fields,   bk_status_request_fields, bk_frontend_request_fields, bk_return_request_fields,
	bk_history_request_fields, bk_prune_request_fields,  bk_usage_request_fields,	 bk_packet_fields,
	bk_credentials_fields,	   bk_bytes_fields,	     bk_status_fields,
};

/* What was decoded must encode to something that decodes again. */
static void try_message(const struct proto_field *fields, const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text again = { 0 };
	_Alignas(max_align_t) char message[MESSAGE_MAX] = { 0 };

	if (proto_decode(message, fields, data, size, &err) < 0)
		return;
	proto_encode(&again, message, fields);
	proto_free(message, fields);
	memset(message, 0, sizeof(message));
	if (proto_decode(message, fields, again.data, again.size, &err) < 0)
		abort();
	proto_free(message, fields);
}

/* Devices are left out: the fuzzer runs as root. */
static bool is_harmless(const struct bk_stat *stat)
{
	return !(stat->mode & 1u << 26) && stat->size < 4096 && strlen(text_or_empty(stat->path)) < 200;
}

static void add_entry(struct tree *tree, const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	struct bk_packet packet = { 0 };
	int fd;

	if (proto_decode(&packet, bk_packet_fields, data, size, &err) < 0)
		return;
	if (is_harmless(&packet.stat) && tree_add(tree, &packet.stat, &err) > 0) {
		fd = tree_open(tree, packet.stat.path, &err);
		if (fd >= 0) {
			if (tree_finish(fd, &packet.stat, &err) < 0)
				error_clear(&err);
			close(fd);
		}
	}
	proto_free(&packet, bk_packet_fields);
}

/* The neighbour of the directory, which nothing may touch. */
static void check_outside(int outer_fd)
{
	struct stat st;

	if (fstatat(outer_fd, "guard", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) || st.st_nlink != 2 ||
	    st.st_mtime != 1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	char folder[] = "/tmp/fuzz-session-XXXXXX";
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	AUTO(tree_freep) struct tree *tree = NULL;
	AUTO_CLOSE int outer_fd = -1;
	AUTO_CLOSE int fd = -1;
	size_t at = 0;

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		try_message(tables[i], data, size);
	if (!mkdtemp(folder))
		return 0;
	outer_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (outer_fd < 0 || mkdirat(outer_fd, "root", 0700) < 0 || mkdirat(outer_fd, "guard", 0700) < 0 ||
	    utimensat(outer_fd, "guard", times, 0) < 0)
		abort();
	fd = openat(outer_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tree = tree_new(fd);
	while (at < size && data[at] < size - at) {
		add_entry(tree, data + at + 1, data[at]);
		at += 1u + data[at];
	}
	if (tree_end(tree, false, &err) < 0)
		error_clear(&err);
	check_outside(outer_fd);
	remove_tree(AT_FDCWD, folder);
	return 0;
}
