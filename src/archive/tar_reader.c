/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tar_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define EXTENDED_MAX ((uint64_t)1 << 20)
#define SKIP_SIZE 65536

/* Offsets and widths of POSIX ustar. */
enum {
	NAME = 0,
	NAME_SIZE = 100,
	MODE = 100,
	UID = 108,
	GID = 116,
	ID_SIZE = 8,
	SIZE = 124,
	MTIME = 136,
	NUMBER_SIZE = 12,
	CHECKSUM = 148,
	TYPE = 156,
	LINK = 157,
	MAGIC = 257,
	MAJOR = 329,
	MINOR = 337,
	PREFIX = 345,
	PREFIX_SIZE = 155
};

struct tar_reader {
	tar_source source;
	void *arg;
	uint64_t left;	/* of the content of the last entry */
	size_t padding; /* behind it */
	char *path;
	char *link;
	/* What extended headers say of the next entry. */
	char *long_path;
	char *long_link;
	bool has_size;
	uint64_t size;
	bool has_mtime;
	int64_t mtime_s;
};

struct tar_reader *tar_reader_new(tar_source source, void *arg)
{
	struct tar_reader *reader = xcalloc(1, sizeof(*reader));

	reader->source = source;
	reader->arg = arg;
	return reader;
}

static void forget(struct tar_reader *reader)
{
	free(reader->long_path);
	free(reader->long_link);
	reader->long_path = NULL;
	reader->long_link = NULL;
	reader->has_size = false;
	reader->has_mtime = false;
}

void tar_reader_free(struct tar_reader *reader)
{
	if (!reader)
		return;
	forget(reader);
	free(reader->path);
	free(reader->link);
	free(reader);
}

/* ---- bytes ---- */

/* 1 all of them, 0 the end came before the first. */
static int read_block(struct tar_reader *reader, void *data, size_t size, struct error *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = reader->source(reader->arg, (char *)data + done, size - done, err);

		if (got < 0)
			return -1;
		if (got == 0)
			return done == 0 ? 0 : error_set(err, ERR_INVALID, "the archive is cut short");
		done += (size_t)got;
	}
	return 1;
}

ssize_t tar_reader_read(struct tar_reader *reader, void *data, size_t size, struct error *err)
{
	size_t want = size < reader->left ? size : (size_t)reader->left;
	ssize_t got = want ? reader->source(reader->arg, data, want, err) : 0;

	if (got == 0 && want)
		return error_set(err, ERR_INVALID, "the archive is cut short");
	if (got > 0)
		reader->left -= (uint64_t)got;
	return got;
}

static int skip_rest(struct tar_reader *reader, struct error *err)
{
	AUTO_FREE char *dropped = NULL;
	char padding[TAR_BLOCK];

	if (reader->left)
		dropped = xmalloc(SKIP_SIZE);
	while (reader->left)
		if (tar_reader_read(reader, dropped, SKIP_SIZE, err) < 0)
			return -1;
	if (reader->padding && read_block(reader, padding, reader->padding, err) <= 0)
		return error_is_set(err) ? -1 : error_set(err, ERR_INVALID, "the archive is cut short");
	reader->padding = 0;
	return 0;
}

/* ---- fields ---- */

/* Octal with blanks and NULs around it, or GNU's base 256. */
static int parse_number(uint64_t *out_number, const unsigned char *field, size_t size)
{
	uint64_t value = 0;
	size_t at = 0;

	if (field[0] & 0x80) {
		value = field[0] & 0x7f;
		for (at = 1; at < size; at++) {
			if (value >> 55)
				return -1;
			value = value << 8 | field[at];
		}
		*out_number = value;
		return 0;
	}
	while (at < size && field[at] == ' ')
		at++;
	for (; at < size && field[at] >= '0' && field[at] <= '7'; at++)
		value = value << 3 | (uint64_t)(field[at] - '0');
	*out_number = value;
	return at == size || field[at] == ' ' || field[at] == '\0' ? 0 : -1;
}

static bool checksum_is_right(const unsigned char *block)
{
	uint64_t told;
	uint64_t sum = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= CHECKSUM && i < CHECKSUM + 8 ? ' ' : block[i];
	return parse_number(&told, block + CHECKSUM, 8) == 0 && told == sum;
}

static char *field_text(const unsigned char *field, size_t size)
{
	return xstrndup((const char *)field, strnlen((const char *)field, size));
}

static char *header_path(const unsigned char *block)
{
	AUTO_FREE char *name = field_text(block + NAME, NAME_SIZE);
	AUTO_FREE char *prefix = NULL;

	if (memcmp(block + MAGIC, "ustar\0", 6) != 0 || !block[PREFIX])
		return take_ptr(name);
	prefix = field_text(block + PREFIX, PREFIX_SIZE);
	return xasprintf("%s/%s", prefix, name);
}

/* ---- extended headers ---- */

static void take_record(struct tar_reader *reader, const char *key, const char *value)
{
	if (text_equal(key, "path")) {
		free(reader->long_path);
		reader->long_path = xstrdup(value);
	} else if (text_equal(key, "linkpath")) {
		free(reader->long_link);
		reader->long_link = xstrdup(value);
	} else if (text_equal(key, "size")) {
		reader->has_size = text_parse_u64(&reader->size, value, UINT64_MAX >> 1) == 0;
	} else if (text_equal(key, "mtime")) {
		reader->mtime_s = strtoll(value, NULL, 10);
		reader->has_mtime = true;
	}
}

/* "<length> <key>=<value>\n", again and again. */
static int take_records(struct tar_reader *reader, char *data, uint64_t size, struct error *err)
{
	char *at = data;
	char *end = data + size;

	while (at < end) {
		char *key;
		unsigned long length = strtoul(at, &key, 10);
		char *equals;

		if (length == 0 || length > (size_t)(end - at) || *key != ' ' || at[length - 1] != '\n' ||
		    key >= at + length)
			return error_set(err, ERR_INVALID, "damaged pax header");
		at[length - 1] = '\0';
		equals = strchr(++key, '=');
		if (!equals)
			return error_set(err, ERR_INVALID, "damaged pax header");
		*equals = '\0';
		take_record(reader, key, equals + 1);
		at += length;
	}
	return 0;
}

static int read_extended(struct tar_reader *reader, char type, uint64_t size, struct error *err)
{
	AUTO_FREE char *data = NULL;

	if (size > EXTENDED_MAX)
		return error_set(err, ERR_INVALID, "a header of %llu bytes", (unsigned long long)size);
	data = xcalloc(1, (size_t)size + 1);
	reader->left = 0;
	if (size && read_block(reader, data, (size_t)size, err) <= 0)
		return error_is_set(err) ? -1 : error_set(err, ERR_INVALID, "the archive is cut short");
	if (skip_rest(reader, err) < 0)
		return -1;
	if (type == 'x')
		return take_records(reader, data, size, err);
	if (type == 'L')
		take_record(reader, "path", data);
	else if (type == 'K')
		take_record(reader, "linkpath", data);
	return 0;
}

/* ---- entries ---- */

static int fill_entry(struct tar_reader *reader, struct tar_entry *entry, const unsigned char *block, uint64_t size,
		      struct error *err)
{
	uint64_t numbers[6];
	const size_t fields[6][2] = { { MODE, ID_SIZE },      { UID, ID_SIZE },	  { GID, ID_SIZE },
				      { MTIME, NUMBER_SIZE }, { MAJOR, ID_SIZE }, { MINOR, ID_SIZE } };

	for (size_t i = 0; i < 6; i++)
		if (parse_number(&numbers[i], block + fields[i][0], fields[i][1]) < 0)
			return error_set(err, ERR_INVALID, "damaged tar header");
	free(reader->path);
	free(reader->link);
	reader->path = reader->long_path ? take_ptr(reader->long_path) : header_path(block);
	reader->link = reader->long_link ? take_ptr(reader->long_link) : field_text(block + LINK, NAME_SIZE);
	*entry = (struct tar_entry){
		.path = reader->path,
		.link = reader->link,
		.type = block[TYPE] ? (enum tar_type)block[TYPE] : TAR_FILE,
		.mode = (uint32_t)numbers[0] & 07777,
		.uid = numbers[1],
		.gid = numbers[2],
		.size = size,
		.mtime_s = reader->has_mtime ? reader->mtime_s : (int64_t)numbers[3],
		.device_major = (uint32_t)numbers[4],
		.device_minor = (uint32_t)numbers[5],
	};
	/* As old archives have it. */
	if (entry->type == TAR_FILE && text_has_suffix(reader->path, "/"))
		entry->type = TAR_DIRECTORY;
	if (entry->type != TAR_FILE)
		entry->size = 0;
	return 0;
}

static bool is_zero(const unsigned char *block)
{
	for (size_t i = 0; i < TAR_BLOCK; i++)
		if (block[i])
			return false;
	return true;
}

int tar_reader_next(struct tar_reader *reader, struct tar_entry *out_entry, struct error *err)
{
	unsigned char block[TAR_BLOCK];
	uint64_t size;
	int r;

	for (;;) {
		if (skip_rest(reader, err) < 0)
			return -1;
		r = read_block(reader, block, sizeof(block), err);
		if (r <= 0 || is_zero(block))
			return r < 0 ? -1 : 0;
		if (!checksum_is_right(block) || parse_number(&size, block + SIZE, NUMBER_SIZE) < 0)
			return error_set(err, ERR_INVALID, "not a tar archive");
		if (!strchr("xgLK", block[TYPE]) || block[TYPE] == '\0')
			break;
		reader->padding = tar_padding(size);
		if (read_extended(reader, (char)block[TYPE], size, err) < 0)
			return -1;
	}
	if (reader->has_size)
		size = reader->size;
	r = fill_entry(reader, out_entry, block, size, err);
	forget(reader);
	reader->left = size;
	reader->padding = tar_padding(size);
	return r < 0 ? -1 : 1;
}
