/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tar_header.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* POSIX.1-1988, pax(1), "ustar Interchange Format": offset and size of each field. */
#define NAME_SIZE 100
#define NAME_MAX_PAX 450
#define MODE_AT 100
#define UID_AT 108
#define GID_AT 116
#define SIZE_AT 124
#define SIZE_SIZE 12
#define TIME_AT 136
#define SUM_AT 148
#define SUM_SIZE 8
#define TYPE_AT 156
#define MAGIC_AT 257
#define TYPE_FILE '0'
#define TYPE_FOLDER '5'
#define TYPE_PAX 'x'
#define OCTAL_SIZE_MAX UINT64_C(077777777777)

static void put_octal(uint8_t *out, size_t size, uint64_t value)
{
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		out[i] = (uint8_t)('0' + (value & 7));
}

static void put_size(uint8_t *out, uint64_t size)
{
	if (size <= OCTAL_SIZE_MAX) {
		put_octal(out, SIZE_SIZE, size);
		return;
	}
	out[0] = 0x80;
	for (size_t i = SIZE_SIZE; i-- > 4; size >>= 8)
		out[i] = (uint8_t)size;
}

static void put_block(uint8_t *out, const char *name, char type, uint64_t size)
{
	unsigned sum = 0;

	memset(out, 0, TAR_BLOCK);
	memcpy(out, name, strnlen(name, NAME_SIZE));
	put_octal(out + MODE_AT, 8, type == TYPE_FOLDER ? 0755 : 0644);
	put_octal(out + UID_AT, 8, 0);
	put_octal(out + GID_AT, 8, 0);
	put_size(out + SIZE_AT, size);
	put_octal(out + TIME_AT, 12, 0);
	out[TYPE_AT] = (uint8_t)type;
	memcpy(out + MAGIC_AT, "ustar\00000", 8);
	memset(out + SUM_AT, ' ', SUM_SIZE);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += out[i];
	put_octal(out + SUM_AT, SUM_SIZE - 1, sum);
}

int tar_header(uint8_t out[TAR_HEADER_MAX], const char *name, uint64_t size)
{
	size_t length = strlen(name);
	bool is_folder = length > 0 && name[length - 1] == '/';
	uint8_t *last = out;

	if (length > NAME_MAX_PAX)
		return -ENAMETOOLONG;
	if (length > NAME_SIZE) {
		/* "<length of all this> path=<name>\n": the length has three digits for every name that comes here. */
		size_t record = 3 + strlen(" path=") + length + 1;

		put_block(out, "pax", TYPE_PAX, record);
		memset(out + TAR_BLOCK, 0, TAR_BLOCK);
		snprintf((char *)out + TAR_BLOCK, TAR_BLOCK, "%zu path=%s\n", record, name);
		last = out + (ptrdiff_t)2 * TAR_BLOCK;
	}
	put_block(last, name, is_folder ? TYPE_FOLDER : TYPE_FILE, is_folder ? 0 : size);
	return (int)(last - out) + TAR_BLOCK;
}

size_t tar_padding(uint64_t size)
{
	return (size_t)(-size & (TAR_BLOCK - 1));
}
