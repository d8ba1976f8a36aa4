/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"

#define STATE_FILE "state.json"
#define STATE_NEW ".state.json"
#define CONFIG_FILE "config.json"
#define START_SOCKET "start"
#define RECORD_MAX (1 << 20)
#define CONFIG_MAX (16 << 20)
#define ID_MAX 1024

static const struct json_field record_fields[] = {
	JSON_TEXT("ociVersion", struct record, oci_version, 0),
	JSON_TEXT("id", struct record, id, 0),
	JSON_TEXT("bundle", struct record, bundle, 0),
	JSON_TEXT("rootfs", struct record, rootfs, 0),
	JSON_TEXT("created", struct record, created, 0),
	JSON_TEXT("cgroupPath", struct record, cgroup_path, 0),
	JSON_TEXT("resctrl", struct record, resctrl, JSON_OMIT_EMPTY),
	JSON_TEXT("unit", struct record, unit, 0),
	JSON_I64("pid", struct record, pid, 0),
	JSON_U64("startTime", struct record, start_time, 0),
	JSON_I64("creator", struct record, creator, 0),
	JSON_U64("creatorStart", struct record, creator_start, 0),
	JSON_U32("owner", struct record, owner, 0),
	JSON_BOOL("ownPidNamespace", struct record, own_pid_namespace, 0),
	JSON_OPT_I64("waitStatus", struct record, wait_status, JSON_OMIT_EMPTY),
	JSON_BOOL("hasPoststop", struct record, has_poststop, 0),
	JSON_TEXT_MAP("annotations", struct record, annotations, 0),
	JSON_END,
};

void record_fini(struct record *record)
{
	json_free_fields(record, record_fields);
}

static bool is_id_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_+-.", c);
}

int record_check_id(const char *id, struct error *err)
{
	if (text_empty(id))
		return error_set(err, ERR_INVALID, "container id must not be empty");
	if (id[0] == '.' || strlen(id) > ID_MAX)
		return error_set(err, ERR_INVALID, "invalid container id format: \"%s\"", id);
	for (const char *at = id; *at; at++)
		if (!is_id_byte(*at))
			return error_set(err, ERR_INVALID, "invalid container id format: \"%s\"", id);
	return 0;
}

/* A folder below /tmp may be somebody else's, who then writes the records. */
static int check_owner(const char *root, struct error *err)
{
	struct stat st;

	if (stat(root, &st) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "state folder %s", root);
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(err, ERR_FORBIDDEN, "state folder %s: others may write to it", root);
	return 0;
}

int record_make_folder(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO_FREE char *path = NULL;
	int r;

	if (record_check_id(id, err) < 0)
		return -1;
	path = path_join(runtime->root, id);
	r = mkdir(path, 0711);
	if (r < 0 && errno == ENOENT) {
		r = mkdir_all(AT_FDCWD, runtime->root, 0700);
		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "create state folder %s", runtime->root);
		/* Sticky, as runc: nobody tidies it away from $XDG_RUNTIME_DIR (basedir specification). */
		if (geteuid() != 0)
			chmod(runtime->root, 01700);
		r = mkdir(path, 0711);
	}
	if (r == 0 && geteuid() != 0 && check_owner(runtime->root, err) < 0) {
		rmdir(path);
		return -1;
	}
	if (r < 0 && errno == EEXIST)
		return error_set(err, ERR_CONFLICT, "container with given ID already exists: %s", id);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "create state folder %s", path);
	return record_open_folder(runtime, id, err);
}

int record_open_folder(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO_FREE char *path = NULL;
	int fd;

	if (record_check_id(id, err) < 0)
		return -1;
	path = path_join(runtime->root, id);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "container does not exist: %s", id);
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open state folder %s", path);
	return fd;
}

/* The three names we make are removed by hand; the walk is for what a crash or a newer version left. */
int record_remove_open_folder(const struct runtime *runtime, const char *id, int folder_fd, struct error *err)
{
	AUTO_FREE char *path = path_join(runtime->root, id);
	int r;

	unlinkat(folder_fd, STATE_FILE, 0);
	unlinkat(folder_fd, CONFIG_FILE, 0);
	if (rmdir(path) == 0)
		return 0;
	r = remove_tree(AT_FDCWD, path);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "remove state folder %s", path);
	return 0;
}

int record_remove_folder(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO_FREE char *path = path_join(runtime->root, id);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return 0;
	return record_remove_open_folder(runtime, id, fd, err);
}

/* A new file in a folder nobody else writes to. */
static int write_new(int folder_fd, const char *name, const char *data, size_t size, mode_t mode)
{
	AUTO_CLOSE int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);

	return fd < 0 ? -errno : write_full(fd, data, size);
}

int record_begin(int folder_fd, const struct record *record, const char *config, size_t size, struct error *err)
{
	AUTO_FREE char *text = json_encode(record, record_fields);
	int r = write_new(folder_fd, STATE_FILE, text, strlen(text), 0644);

	if (r == 0)
		r = write_new(folder_fd, CONFIG_FILE, config, size, 0600);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "write state of %s", record->id);
	return 0;
}

int record_prepare(int folder_fd, const struct record *record, struct error *err)
{
	AUTO_FREE char *text = json_encode(record, record_fields);
	int r = write_new(folder_fd, STATE_NEW, text, strlen(text), 0644);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write state of %s", record->id) : 0;
}

int record_commit(int folder_fd, const struct record *record, struct error *err)
{
	if (renameat(folder_fd, STATE_NEW, folder_fd, STATE_FILE) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "write state of %s", record->id);
	return 0;
}

int record_save(int folder_fd, const struct record *record, struct error *err)
{
	return record_prepare(folder_fd, record, err) < 0 ? -1 : record_commit(folder_fd, record, err);
}

int record_load(struct record *out_record, int folder_fd, const char *id, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, folder_fd, STATE_FILE, RECORD_MAX);

	*out_record = (struct record){ 0 };
	if (r == -ENOENT || (r == 0 && size == 0)) {
		out_record->id = xstrdup(id);
		return 0;
	}
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read state of %s", id);
	if (json_decode(out_record, record_fields, text, size, err) < 0)
		return error_prefix(err, "state of %s is damaged", id);
	return 0;
}

int record_load_spec(struct spec *out_spec, int folder_fd, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, folder_fd, CONFIG_FILE, CONFIG_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read kept config.json");
	return spec_parse(out_spec, text, size, err);
}

/* proc(5): "pid (comm) state ..."; comm may hold anything, so the last ')' counts. */
struct process_stat {
	char state;
	uint64_t start;
	int exit_code; /* of a zombie, in wait(2)'s form; 0 if we may not know */
};

static const char *skip_fields(const char *at, int count)
{
	for (; count > 0 && at; count--)
		at = strchr(at + 1, ' ');
	return at;
}

static bool read_process(pid_t pid, struct process_stat *out_stat)
{
	char path[32];
	char line[1024];
	const char *at;
	AUTO_CLOSE int fd = -1;
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	size = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	if (size <= 0)
		return false;
	line[size] = '\0';
	at = strrchr(line, ')');
	if (!at || at[1] != ' ')
		return false;
	out_stat->state = at[2];
	at = skip_fields(at + 1, 22 - 3);
	out_stat->start = at ? strtoull(at + 1, NULL, 10) : 0;
	at = skip_fields(at, 52 - 22);
	out_stat->exit_code = at ? (int)strtol(at + 1, NULL, 10) : 0;
	return out_stat->start != 0;
}

static bool is_running(int64_t pid, uint64_t start_time)
{
	struct process_stat stat;

	if (pid <= 0 || !read_process((pid_t)pid, &stat))
		return false;
	return stat.start == start_time && stat.state != 'Z' && stat.state != 'X';
}

bool record_read_end(const struct record *record, int *out_wait_status)
{
	struct process_stat stat;

	if (record->wait_status.set) {
		*out_wait_status = (int)record->wait_status.value;
		return true;
	}
	/* Whoever may not look into the process reads 0, which would be a lie. */
	if (geteuid() != 0 || record->pid <= 0 || !read_process((pid_t)record->pid, &stat) ||
	    stat.start != record->start_time || stat.state != 'Z')
		return false;
	*out_wait_status = stat.exit_code;
	return true;
}

bool record_is_alive(const struct record *record)
{
	return is_running(record->pid, record->start_time);
}

bool record_is_abandoned(const struct record *record)
{
	return record->pid <= 0 && record->creator > 0 && !is_running(record->creator, record->creator_start);
}

enum runtime_status record_status(const struct record *record, int folder_fd)
{
	if (record->pid <= 0)
		return record_is_abandoned(record) ? RUNTIME_STOPPED : RUNTIME_CREATING;
	if (!record_is_alive(record))
		return RUNTIME_STOPPED;
	return file_exists(folder_fd, START_SOCKET) ? RUNTIME_CREATED : RUNTIME_RUNNING;
}

char *record_state_json(const struct record *record, enum runtime_status status, int64_t pid)
{
	const struct spec_state state = { .oci_version = record->oci_version,
					  .id = record->id,
					  .status = (char *)runtime_status_name(status),
					  .pid = pid,
					  .bundle = record->bundle,
					  .annotations = record->annotations };

	return json_encode(&state, spec_state_fields);
}
