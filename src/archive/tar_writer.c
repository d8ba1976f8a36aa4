/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tar_writer.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define NAME_MAX_USTAR 100
#define PREFIX_MAX 155
#define ID_MAX 07777777
#define SIZE_MAX_USTAR UINT64_C(077777777777)

/* POSIX ustar; all fields are text. */
struct header {
	char name[NAME_MAX_USTAR];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[NAME_MAX_USTAR];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char prefix[PREFIX_MAX];
	char rest[12];
};

_Static_assert(sizeof(struct header) == TAR_BLOCK, "a tar header is one block");

size_t tar_padding(uint64_t size)
{
	return (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

/* width - 1 octal digits and a NUL. What does not fit is in the extended header. */
static void put_octal(char *field, size_t width, uint64_t value)
{
	field[width - 1] = '\0';
	for (size_t i = width - 1; i > 0; i--) {
		field[i - 1] = (char)('0' + (value & 7));
		value >>= 3;
	}
}

static void put_text(char *field, size_t width, const char *text)
{
	memcpy(field, text, strnlen(text, width));
}

static bool is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

/* Name and prefix, parted at a slash, if they fit. */
static bool split_path(struct header *header, const char *path)
{
	size_t size = strlen(path);
	size_t start;

	if (size <= NAME_MAX_USTAR) {
		memcpy(header->name, path, size);
		return true;
	}
	if (size > NAME_MAX_USTAR + PREFIX_MAX + 1)
		return false;
	start = size - NAME_MAX_USTAR - 1;
	for (const char *slash = strchr(path + start, '/'); slash && slash - path <= PREFIX_MAX;
	     slash = strchr(slash + 1, '/')) {
		if (slash == path || !slash[1])
			continue;
		memcpy(header->prefix, path, (size_t)(slash - path));
		memcpy(header->name, slash + 1, size - (size_t)(slash - path) - 1);
		return true;
	}
	return false;
}

static void seal(struct text *out, struct header *header)
{
	const unsigned char *bytes = (const unsigned char *)header;
	unsigned sum = 0;

	memcpy(header->magic, "ustar", 6);
	memcpy(header->version, "00", 2);
	memset(header->checksum, ' ', sizeof(header->checksum));
	for (size_t i = 0; i < sizeof(*header); i++)
		sum += bytes[i];
	put_octal(header->checksum, 7, sum);
	text_add_bytes(out, header, sizeof(*header));
}

/* ---- the extended header ---- */

/* "<length> <key>=<value>\n", where the length counts its own digits. */
static void add_record(struct text *records, const char *key, const void *value, size_t size)
{
	size_t rest = strlen(key) + size + 3;
	size_t total = rest + 1;
	char digits[24];

	for (;;) {
		size_t width = (size_t)snprintf(digits, sizeof(digits), "%zu", total);

		if (rest + width == total)
			break;
		total = rest + width;
	}
	text_addf(records, "%s %s=", digits, key);
	text_add_bytes(records, value, size);
	text_add_char(records, '\n');
}

static void add_text_record(struct text *records, const char *key, const char *value)
{
	add_record(records, key, value, strlen(value));
}

static void add_number_record(struct text *records, const char *key, long long value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%lld", value);
	add_text_record(records, key, digits);
}

static void collect_records(struct text *records, const struct tar_entry *entry, const char *path, bool path_fits)
{
	if (!path_fits || !is_ascii(path))
		add_text_record(records, "path", path);
	if (entry->link && (strlen(entry->link) > NAME_MAX_USTAR || !is_ascii(entry->link)))
		add_text_record(records, "linkpath", entry->link);
	if (entry->size > SIZE_MAX_USTAR)
		add_number_record(records, "size", (long long)entry->size);
	if (entry->uid > ID_MAX)
		add_number_record(records, "uid", (long long)entry->uid);
	if (entry->gid > ID_MAX)
		add_number_record(records, "gid", (long long)entry->gid);
	if (entry->mtime_s < 0 || (uint64_t)entry->mtime_s > SIZE_MAX_USTAR)
		add_number_record(records, "mtime", entry->mtime_s);
	for (size_t i = 0; i < entry->xattr_count; i++) {
		AUTO_FREE char *key = xasprintf("SCHILY.xattr.%s", entry->xattrs[i].name);

		add_record(records, key, entry->xattrs[i].value, entry->xattrs[i].size);
	}
}

static void add_extended(struct text *out, const struct text *records)
{
	static const char zeros[TAR_BLOCK];
	struct header header = { .type = 'x' };

	put_text(header.name, sizeof(header.name), "PaxHeaders.0/entry");
	put_octal(header.mode, sizeof(header.mode), 0644);
	put_octal(header.uid, sizeof(header.uid), 0);
	put_octal(header.gid, sizeof(header.gid), 0);
	put_octal(header.size, sizeof(header.size), records->size);
	put_octal(header.mtime, sizeof(header.mtime), 0);
	seal(out, &header);
	text_add_bytes(out, records->data, records->size);
	text_add_bytes(out, zeros, tar_padding(records->size));
}

void tar_add_header(struct text *out, const struct tar_entry *entry)
{
	bool is_directory = entry->type == TAR_DIRECTORY;
	size_t size = strlen(entry->path);
	AUTO_FREE char *path = is_directory && (!size || entry->path[size - 1] != '/') ? xasprintf("%s/", entry->path)
										       : xstrdup(entry->path);
	AUTO(text_fini) struct text records = { 0 };
	struct header header = { .type = (char)entry->type };
	bool fits = split_path(&header, path);

	if (!fits)
		put_text(header.name, sizeof(header.name), path);
	if (entry->link)
		put_text(header.link, sizeof(header.link), entry->link);
	put_octal(header.mode, sizeof(header.mode), entry->mode & 07777);
	put_octal(header.uid, sizeof(header.uid), entry->uid > ID_MAX ? 0 : entry->uid);
	put_octal(header.gid, sizeof(header.gid), entry->gid > ID_MAX ? 0 : entry->gid);
	put_octal(header.size, sizeof(header.size), entry->size > SIZE_MAX_USTAR ? 0 : entry->size);
	put_octal(header.mtime, sizeof(header.mtime), entry->mtime_s < 0 ? 0 : (uint64_t)entry->mtime_s);
	put_octal(header.major, sizeof(header.major), entry->device_major);
	put_octal(header.minor, sizeof(header.minor), entry->device_minor);
	collect_records(&records, entry, path, fits);
	if (records.size > 0)
		add_extended(out, &records);
	seal(out, &header);
}
