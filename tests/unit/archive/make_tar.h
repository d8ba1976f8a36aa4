/* SPDX-License-Identifier: Apache-2.0 */
/* make_tar.h - tar archives made in the test, byte by byte, so that they can be evil. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "base/text.h"

struct tar_entry {
	const char *name;
	char type; /* '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' directory, '6' fifo; 0 means '0' */
	const char *link;
	const char *content;
	unsigned mode; /* 0: 0644, directories 0755 */
	unsigned uid;
	unsigned gid;
	long mtime;
	unsigned major;
	unsigned minor;
	const char *xattr; /* "user.x=y" */
};

static inline void tar_pad(struct text *tar)
{
	while (tar->size % 512 != 0)
		text_add_char(tar, '\0');
}

/* An octal field of `size` bytes with its NUL. */
static inline void tar_octal(unsigned char *field, size_t size, unsigned long value)
{
	char digits[32];

	snprintf(digits, sizeof(digits), "%031lo", value);
	memcpy(field, digits + 32 - size, size);
}

static inline void tar_header(struct text *tar, const struct tar_entry *entry, char type, size_t size)
{
	unsigned mode = entry->mode ? entry->mode : type == '5' ? 0755 : 0644;
	unsigned char header[512] = { 0 };
	unsigned sum = 0;

	snprintf((char *)header, 100, "%s", entry->name);
	tar_octal(header + 100, 8, mode);
	tar_octal(header + 108, 8, entry->uid);
	tar_octal(header + 116, 8, entry->gid);
	tar_octal(header + 124, 12, size);
	tar_octal(header + 136, 12, (unsigned long)entry->mtime);
	memset(header + 148, ' ', 8);
	header[156] = (unsigned char)type;
	snprintf((char *)header + 157, 100, "%s", entry->link ? entry->link : "");
	memcpy(header + 257, "ustar\00000", 8);
	tar_octal(header + 329, 8, entry->major);
	tar_octal(header + 337, 8, entry->minor);
	for (int i = 0; i < 512; i++)
		sum += header[i];
	tar_octal(header + 148, 7, sum);
	text_add_bytes(tar, header, 512);
}

/* PAX record: its own length counts itself. */
static inline void tar_xattr(struct text *tar, const char *xattr)
{
	size_t rest = strlen(" SCHILY.xattr.") + strlen(xattr) + 1;
	size_t size = rest + (rest + 2 > 99 ? 3 : 2);
	struct tar_entry header = { .name = "pax" };

	tar_header(tar, &header, 'x', size);
	text_addf(tar, "%zu SCHILY.xattr.%s\n", size, xattr);
	tar_pad(tar);
}

static inline void tar_add(struct text *tar, struct tar_entry entry)
{
	size_t size = entry.content ? strlen(entry.content) : 0;

	if (entry.xattr)
		tar_xattr(tar, entry.xattr);
	tar_header(tar, &entry, entry.type ? entry.type : '0', size);
	if (size > 0)
		text_add(tar, entry.content);
	tar_pad(tar);
}

static inline void tar_end(struct text *tar)
{
	for (int i = 0; i < 1024; i++)
		text_add_char(tar, '\0');
}
