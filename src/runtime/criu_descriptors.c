/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/criu_descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "json/json.h"

#define FILE_NAME "descriptors.json"
#define FILE_MAX 65536
#define MOUNTINFO_MAX (16 << 20)
#define MEMORY_DEVICES 1
#define MODE_MAX 0177777

struct item {
	char *text;
};
typedef JSON_ARRAY_OF(struct item) item_list;
static const struct json_field item_fields[] = {
	JSON_TEXT("", struct item, text, 0),
	JSON_END,
};

void criu_descriptors_fini(struct criu_descriptors *descriptors)
{
	for (size_t i = 0; i < CRIU_STDIO; i++)
		free(take_ptr(descriptors->names[i]));
}

bool criu_descriptor_is_file(const char *name)
{
	return text_has_prefix(text_or_empty(name), "file[");
}

bool criu_descriptor_is_outside(const char *name)
{
	return criu_descriptor_is_file(name) || text_has_prefix(text_or_empty(name), "pipe:");
}

/* ---- of a process ---- */

/* fdinfo: "mnt_id:\t27". */
static int64_t mount_of(pid_t pid, size_t fd)
{
	AUTO_FREE char *path = xasprintf("/proc/%d/fdinfo/%zu", pid, fd);
	AUTO_FREE char *text = NULL;
	const char *at;

	if (file_read(&text, NULL, AT_FDCWD, path, FILE_MAX) < 0)
		return -1;
	at = strstr(text, "mnt_id:");
	return at ? strtoll(at + strlen("mnt_id:"), NULL, 10) : -1;
}

static bool has_mount(const struct text_list *mounts, int64_t id)
{
	AUTO_FREE char *begin = xasprintf("%lld ", (long long)id);

	for (size_t i = 0; i < mounts->count; i++)
		if (text_has_prefix(mounts->items[i], begin))
			return true;
	return false;
}

/* CRIU's own name of a file, or of the null device, that the container's mounts do not have; else NULL. */
static char *name_outside(pid_t pid, size_t fd, const struct text_list *mounts, const struct stat *st)
{
	int64_t mount = mount_of(pid, fd);

	if (mount < 0 || has_mount(mounts, mount))
		return NULL;
	if (!S_ISREG(st->st_mode) && !(S_ISCHR(st->st_mode) && major(st->st_rdev) == MEMORY_DEVICES))
		return NULL;
	return xasprintf("file[%llx:%llx]", (unsigned long long)mount, (unsigned long long)st->st_ino);
}

static void look_at(struct criu_descriptors *descriptors, pid_t pid, size_t fd, const struct text_list *mounts)
{
	AUTO_FREE char *path = xasprintf("/proc/%d/fd/%zu", pid, fd);
	char target[PATH_MAX];
	ssize_t size = readlink(path, target, sizeof(target));
	struct stat st;

	if (size > 0 && stat(path, &st) == 0)
		descriptors->names[fd] = name_outside(pid, fd, mounts, &st);
	if (descriptors->names[fd])
		descriptors->modes[fd] = st.st_mode;
	else
		descriptors->names[fd] = xstrndup(target, size > 0 ? (size_t)size : 0);
}

int criu_descriptors_look(struct criu_descriptors *out_descriptors, pid_t pid, struct error *err)
{
	AUTO_FREE char *path = xasprintf("/proc/%d/mountinfo", pid);
	AUTO(text_list_fini) struct text_list mounts = { 0 };
	AUTO_FREE char *text = NULL;
	int r = file_read(&text, NULL, AT_FDCWD, path, MOUNTINFO_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read the mounts of process %d", pid);
	text_list_split(&mounts, text, '\n');
	*out_descriptors = (struct criu_descriptors){ 0 };
	for (size_t fd = 0; fd < CRIU_STDIO; fd++)
		look_at(out_descriptors, pid, fd, &mounts);
	return 0;
}

/* ---- the file ---- */

static void add(item_list *list, char *text)
{
	struct item *item = json_array_add(list, sizeof(*item));

	item->text = text;
}

int criu_descriptors_save(const struct criu_descriptors *descriptors, int folder_fd, struct error *err)
{
	item_list list = { 0 };
	AUTO_FREE char *json = NULL;
	int r;

	for (size_t i = 0; i < CRIU_STDIO; i++)
		add(&list, xstrdup(text_or_empty(descriptors->names[i])));
	for (size_t i = 0; i < CRIU_STDIO; i++)
		add(&list, xasprintf("%o", descriptors->modes[i]));
	json = json_encode_array(&list, item_fields, sizeof(struct item));
	json_free_array(&list, item_fields, sizeof(struct item));
	r = file_write_atomic(folder_fd, FILE_NAME, json, strlen(json), 0600, FILE_NO_SYNC);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", FILE_NAME) : 0;
}

int criu_descriptors_load(struct criu_descriptors *out_descriptors, int folder_fd, struct error *err)
{
	item_list list = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, folder_fd, FILE_NAME, FILE_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "%s of the checkpoint", FILE_NAME);
	if (json_decode_array(&list, item_fields, sizeof(struct item), text, size, err) < 0)
		return error_prefix(err, "%s of the checkpoint", FILE_NAME);
	*out_descriptors = (struct criu_descriptors){ 0 };
	for (size_t i = 0; i < CRIU_STDIO; i++) {
		uint32_t mode = 0;

		if (i < list.count)
			out_descriptors->names[i] = xstrdup(text_or_empty(list.items[i].text));
		if (CRIU_STDIO + i < list.count &&
		    text_parse_octal(&mode, text_or_empty(list.items[CRIU_STDIO + i].text), MODE_MAX) == 0)
			out_descriptors->modes[i] = mode;
	}
	json_free_array(&list, item_fields, sizeof(struct item));
	return 0;
}
