/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "sys/in_root.h"

#define DATABASE_MAX (4 * 1024 * 1024)
#define ID_MAX 4294967294u

/* The fields of the line that starts "name:"; 1, 0 or an error. */
static int find_line(struct text_list *out_fields, int root_fd, const char *path, const char *name, struct error *err)
{
	AUTO_CLOSE int fd = open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK, 0);
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *data = NULL;
	size_t size;
	int r;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	r = fd < 0 ? fd : fd_read_all(&data, &size, fd, DATABASE_MAX);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	text_list_split(&lines, data, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		const char *rest = text_after(lines.items[i], name);

		if (!rest || *rest != ':')
			continue;
		text_list_split(out_fields, lines.items[i], ':');
		return 1;
	}
	return 0;
}

static int id_field(uint64_t *out_id, const struct text_list *fields, size_t index)
{
	if (fields->count <= index || text_parse_u64(out_id, fields->items[index], ID_MAX) < 0)
		return -EINVAL;
	return 0;
}

static int find_user(struct owner *owner, int root_fd, const char *name, struct error *err)
{
	AUTO(text_list_fini) struct text_list fields = { 0 };
	uint64_t uid;
	uint64_t gid;
	int r;

	if (text_parse_u64(&uid, name, ID_MAX) == 0) {
		*owner = (struct owner){ (uid_t)uid, (gid_t)uid };
		return 0;
	}
	r = find_line(&fields, root_fd, "/etc/passwd", name, err);
	if (r < 0)
		return -1;
	if (r == 0 || id_field(&uid, &fields, 2) < 0 || id_field(&gid, &fields, 3) < 0)
		return error_set(err, ERR_INVALID,
				 "unable to convert uid/gid chown string to host mapping: can't find uid for user %s: "
				 "no such user: %s",
				 name, name);
	*owner = (struct owner){ (uid_t)uid, (gid_t)gid };
	return 0;
}

static int find_group(struct owner *owner, int root_fd, const char *name, struct error *err)
{
	AUTO(text_list_fini) struct text_list fields = { 0 };
	uint64_t gid;
	int r;

	if (text_parse_u64(&gid, name, ID_MAX) < 0) {
		r = find_line(&fields, root_fd, "/etc/group", name, err);
		if (r < 0)
			return -1;
		if (r == 0 || id_field(&gid, &fields, 2) < 0)
			return error_set(err, ERR_INVALID,
					 "unable to convert uid/gid chown string to host mapping: can't find gid for "
					 "group %s: no such group: %s",
					 name, name);
	}
	owner->gid = (gid_t)gid;
	return 0;
}

int owner_parse(struct owner *out_owner, int root_fd, const char *text, struct error *err)
{
	const char *colon = strchr(text, ':');
	AUTO_FREE char *user = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
	struct owner owner = { 0, 0 };

	if (colon && strchr(colon + 1, ':'))
		return error_set(err, ERR_INVALID, "invalid chown string passed: %s", text);
	if (*user && find_user(&owner, root_fd, user, err) < 0)
		return -1;
	if (colon && colon[1] && find_group(&owner, root_fd, colon + 1, err) < 0)
		return -1;
	*out_owner = owner;
	return 0;
}

/* ---- modes ---- */

/* What one letter behind the operator stands for; -1: nothing. */
static int permission_bits(char letter, mode_t mode, bool is_directory)
{
	switch (letter) {
	case 'r':
		return 0444;
	case 'w':
		return 0222;
	case 'x':
		return 0111;
	case 'X':
		return is_directory || (mode & 0111) != 0 ? 0111 : 0;
	case 's':
		return 06000;
	case 't':
		return 01000;
	default:
		return -1;
	}
}

static mode_t who_mask(const char **at)
{
	mode_t who = 0;

	for (; **at && strchr("ugoa", **at); (*at)++)
		who |= **at == 'u' ? 04700 : **at == 'g' ? 02070 : **at == 'o' ? 01007 : 07777;
	return who ? who : 07777;
}

/* One "[ugoa]*[+-=][rwxXst]*" clause. Moves *at to the comma or the end; -1: broken. */
static int apply_clause(const char **at, mode_t *mode, bool is_directory)
{
	mode_t who = who_mask(at);
	char operation = **at;
	mode_t bits = 0;

	if (!operation || !strchr("+-=", operation))
		return -1;
	for ((*at)++; **at && **at != ','; (*at)++) {
		int more = permission_bits(**at, *mode, is_directory);

		if (more < 0)
			return -1;
		bits |= (mode_t)more;
	}
	bits &= who;
	if (operation == '=')
		*mode = (*mode & ~who) | bits;
	else
		*mode = operation == '+' ? *mode | bits : *mode & ~bits;
	return 0;
}

static int apply_symbolic(const char *text, mode_t *mode, bool is_directory)
{
	const char *at = text;

	do {
		at += *at == ',';
		if (apply_clause(&at, mode, is_directory) < 0)
			return -1;
	} while (*at);
	return 0;
}

int mode_check(const char *text, struct error *err)
{
	mode_t mode = 0;
	uint32_t octal;

	if (text_parse_octal(&octal, text, 07777) == 0)
		return 0;
	if (strspn(text, "0123456789") != strlen(text) && apply_symbolic(text, &mode, false) == 0)
		return 0;
	return error_set(err, ERR_INVALID,
			 "invalid chmod parameter: '%s'. it should be octal string and between 0 and 07777", text);
}

mode_t mode_apply(const char *text, mode_t mode, bool is_directory)
{
	uint32_t octal;

	if (text_parse_octal(&octal, text, 07777) == 0)
		return octal;
	apply_symbolic(text, &mode, is_directory);
	return mode;
}
