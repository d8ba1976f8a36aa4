/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the program runs as. process.user.{uid,gid,additionalGids} are numbers;
 * process.user.username ("user[:group]", as docker's USER) is looked up in the
 * container's own files, and overrides them. A number stays that number, even
 * if a user has it as a name (CVE-2016-3697); what overflows is an error, never
 * another id.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/init.h"
#include "sys/in_root.h"

#define DATABASE_MAX (8 << 20)
#define ID_LIMIT (UINT32_MAX - 1)

/* A line of passwd or group, its fields in place. */
struct entry {
	char *fields[7];
	size_t count;
};

struct database {
	char *text; /* NULL: no such file */
	char *next;
};

static void database_fini(struct database *database)
{
	free(database->text);
}

/* After pivot_root a plain path is one of the container. A fifo there must not block us: O_NONBLOCK, regular only. */
static void database_open(struct database *database, int root_fd, const char *path)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	AUTO_CLOSE int fd = root_fd < 0 ? open(path, flags) : open_in_root(root_fd, path, flags, 0);
	struct stat st;

	*database = (struct database){ 0 };
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (fd_read_all(&database->text, NULL, fd, DATABASE_MAX) < 0)
		database->text = NULL;
	database->next = database->text;
}

static bool database_next(struct database *database, struct entry *out_entry)
{
	char *line = database->next;
	char *end;

	if (!line || !*line)
		return false;
	end = strchr(line, '\n');
	database->next = end ? end + 1 : line + strlen(line);
	if (end)
		*end = '\0';
	out_entry->count = 0;
	for (char *at = line; at && out_entry->count < 7;) {
		char *colon = strchr(at, ':');

		out_entry->fields[out_entry->count++] = at;
		if (colon)
			*colon = '\0';
		at = colon ? colon + 1 : NULL;
	}
	return true;
}

/* Field `index` as an id; lines that hold none are skipped by the callers. */
static bool entry_id(const struct entry *entry, size_t index, uint32_t *out_id)
{
	uint64_t value;

	if (index >= entry->count || text_parse_u64(&value, entry->fields[index], ID_LIMIT) < 0)
		return false;
	*out_id = (uint32_t)value;
	return true;
}

static void add_group(struct init_user *user, gid_t gid)
{
	for (size_t i = 0; i < user->group_count; i++)
		if (user->groups[i] == gid)
			return;
	user->groups = xrealloc(user->groups, (user->group_count + 1) * sizeof(gid_t));
	user->groups[user->group_count++] = gid;
}

static bool is_digits(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

static int parse_id(uint32_t *out_id, const char *text, const char *what, struct error *err)
{
	uint64_t value;

	if (text_parse_u64(&value, text, ID_LIMIT) < 0)
		return error_set(err, ERR_INVALID, "%s id %s is out of range 0-%u", what, text, ID_LIMIT);
	*out_id = (uint32_t)value;
	return 0;
}

static void keep_home(struct init_user *user, const struct entry *entry)
{
	if (entry->count > 5 && *entry->fields[5] && !user->home)
		user->home = xstrdup(entry->fields[5]);
}

/* *out_name is the user's name in passwd, for /etc/group; NULL if it has none. */
static int find_user(struct init_user *user, const char *wanted, char **out_name, struct error *err)
{
	AUTO(database_fini) struct database passwd = { 0 };
	bool numeric = is_digits(wanted);
	struct entry entry;
	uint32_t uid;
	uint32_t gid;

	if (numeric && parse_id(&user->uid, wanted, "user", err) < 0)
		return -1;
	database_open(&passwd, user->root_fd, "/etc/passwd");
	while (database_next(&passwd, &entry)) {
		if (!entry_id(&entry, 2, &uid) || !entry_id(&entry, 3, &gid))
			continue;
		if (numeric ? uid != user->uid : !text_equal(entry.fields[0], wanted))
			continue;
		user->uid = uid;
		user->gid = gid;
		keep_home(user, &entry);
		*out_name = xstrdup(entry.fields[0]);
		return 0;
	}
	if (!numeric)
		return error_set(err, ERR_INVALID, "unable to find user %s: no matching entries in passwd file%s",
				 wanted, passwd.text ? "" : " (the container has no /etc/passwd)");
	user->gid = 0;
	return 0;
}

static int find_group(gid_t *out_gid, int root_fd, const char *wanted, struct error *err)
{
	AUTO(database_fini) struct database group = { 0 };
	struct entry entry;
	uint32_t gid;

	if (is_digits(wanted)) {
		if (parse_id(&gid, wanted, "group", err) < 0)
			return -1;
		*out_gid = gid;
		return 0;
	}
	database_open(&group, root_fd, "/etc/group");
	while (database_next(&group, &entry)) {
		if (!text_equal(entry.fields[0], wanted) || !entry_id(&entry, 2, &gid))
			continue;
		*out_gid = gid;
		return 0;
	}
	return error_set(err, ERR_INVALID, "unable to find group %s: no matching entries in group file%s", wanted,
			 group.text ? "" : " (the container has no /etc/group)");
}

static bool has_member(char *members, const char *name)
{
	size_t size = strlen(name);

	for (char *at = members; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, name, size) == 0 && (at[size] == ',' || at[size] == '\0'))
			return true;
	return false;
}

/* The groups whose member lists name the user. */
static void add_memberships(struct init_user *user, const char *name)
{
	AUTO(database_fini) struct database group = { 0 };
	struct entry entry;
	uint32_t gid;

	database_open(&group, user->root_fd, "/etc/group");
	while (database_next(&group, &entry))
		if (entry.count > 3 && entry_id(&entry, 2, &gid) && has_member(entry.fields[3], name))
			add_group(user, gid);
}

/* Docker: a group given by hand replaces the primary one, and then the member lists do not count. */
static int find_username(struct init_user *user, const char *username, struct error *err)
{
	AUTO_FREE char *name = xstrdup(username);
	AUTO_FREE char *passwd_name = NULL;
	char *group = strchr(name, ':');

	if (group)
		*group++ = '\0';
	if (*name && find_user(user, name, &passwd_name, err) < 0)
		return -1;
	if (group && *group)
		return find_group(&user->gid, user->root_fd, group, err);
	if (passwd_name)
		add_memberships(user, passwd_name);
	return 0;
}

static int add_annotated_groups(struct init_user *user, const char *list, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	text_list_split(&names, text_or_empty(list), ',');
	for (size_t i = 0; i < names.count; i++) {
		gid_t gid;

		if (find_group(&gid, user->root_fd, names.items[i], err) < 0)
			return -1;
		add_group(user, gid);
	}
	return 0;
}

static void find_home(struct init_user *user)
{
	AUTO(database_fini) struct database passwd = { 0 };
	struct entry entry;
	uint32_t uid;

	database_open(&passwd, user->root_fd, "/etc/passwd");
	while (!user->home && database_next(&passwd, &entry))
		if (entry_id(&entry, 2, &uid) && uid == user->uid)
			keep_home(user, &entry);
}

int init_user_find_in(struct init_user *out_user, int root_fd, const struct spec_user *spec,
		      const struct text_map *annotations, struct error *err)
{
	*out_user = (struct init_user){ .uid = spec->uid, .gid = spec->gid, .root_fd = root_fd };
	for (size_t i = 0; i < spec->additional_gids.count; i++) {
		if (spec->additional_gids.items[i].value > ID_LIMIT)
			return error_set(err, ERR_INVALID, "process.user.additionalGids[%zu] is out of range", i);
		add_group(out_user, (gid_t)spec->additional_gids.items[i].value);
	}
	if (!text_empty(spec->username)) {
		if (find_username(out_user, spec->username, err) < 0)
			return -1;
		/* As docker does: who drops the group by setgid() must not lose what denies it something (CVE-2022-36109). */
		add_group(out_user, out_user->gid);
	}
	if (add_annotated_groups(out_user, text_map_get(annotations, INIT_GROUPS_ANNOTATION), err) < 0)
		return -1;
	/* Always: HOME of the environment may be empty, and then does not count. */
	find_home(out_user);
	return 0;
}

int init_user_find(struct init_user *out_user, const struct plan *plan, struct error *err)
{
	return init_user_find_in(out_user, -1, &plan->process->user, &plan->spec->annotations, err);
}

void init_user_fini(struct init_user *user)
{
	free(user->groups);
	free(user->home);
	*user = (struct init_user){ 0 };
}
