/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "json/json.h"

#define ID_MAX_SIZE 76
#define EXIT_SIZE 160
#define CONFIG_MAX (16 * 1024 * 1024)

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool bundle_id_is_valid(const char *id)
{
	size_t size = id ? strlen(id) : 0;

	if (size == 0 || size > ID_MAX_SIZE || !is_alphanumeric(id[size - 1]))
		return false;
	for (size_t i = 0; i < size; i++)
		if (!is_alphanumeric(id[i]) && (i == 0 || !strchr("._-", id[i]) || strchr("._-", id[i - 1])))
			return false;
	return true;
}

char *bundle_state_root(const char *bundle, const char *root)
{
	return text_empty(root) ? path_join(bundle, "runtime") : xstrdup(root);
}

/* ---- shim.json, exit.json ---- */

struct shim_file {
	int64_t pid;
	char *address;
};

static const struct json_field shim_file_fields[] = {
	JSON_I64("pid", struct shim_file, pid, 0),
	JSON_TEXT("address", struct shim_file, address, 0),
	JSON_END,
};

struct exit_file {
	int64_t exit_status;
	char *exited_at;
	bool oom_killed;
};

static const struct json_field exit_file_fields[] = {
	JSON_I64("exitStatus", struct exit_file, exit_status, JSON_REQUIRED),
	JSON_TEXT("exitedAt", struct exit_file, exited_at, JSON_REQUIRED),
	JSON_BOOL("oomKilled", struct exit_file, oom_killed, 0),
	JSON_END,
};

int bundle_write_shim(int bundle_fd, const char *address, struct error *err)
{
	const struct shim_file file = { .pid = getpid(), .address = (char *)(uintptr_t)address };
	AUTO_FREE char *text = json_encode(&file, shim_file_fields);
	int r = file_write_atomic(bundle_fd, "shim.json", text, strlen(text), 0600, FILE_NO_SYNC);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write shim.json") : 0;
}

void bundle_remove_shim(int bundle_fd)
{
	unlinkat(bundle_fd, "shim.json", 0);
}

int bundle_reserve_exit(int bundle_fd, struct error *err)
{
	AUTO_CLOSE int fd = openat(bundle_fd, "exit.json.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
				   0600);
	char room[EXIT_SIZE];
	int r;

	memset(room, ' ', sizeof(room));
	r = fd < 0 ? -errno : write_full(fd, room, sizeof(room));
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "reserve exit.json");
	unlinkat(bundle_fd, "exit.json", 0); /* of an earlier container in the same bundle */
	return take_fd(&fd);
}

int bundle_write_exit(int bundle_fd, int *exit_fd, uint32_t exit_status, int64_t exited_at, bool oom_killed,
		      struct error *err)
{
	AUTO_CLOSE int fd = take_fd(exit_fd);
	char time[CLOCK_TEXT_MAX];
	const struct exit_file file = { .exit_status = exit_status,
					.exited_at = (char *)(uintptr_t)clock_format(time, exited_at),
					.oom_killed = oom_killed };
	AUTO_FREE char *text = json_encode(&file, exit_file_fields);
	size_t size = strlen(text);

	if (pwrite(fd, text, size, 0) != (ssize_t)size || ftruncate(fd, (off_t)size) < 0 ||
	    renameat(bundle_fd, "exit.json.tmp", bundle_fd, "exit.json") < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "write exit.json");
	return 0;
}

int bundle_read_exit(const char *bundle, uint32_t *out_exit_status, int64_t *out_exited_at)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *path = path_join(bundle, "exit.json");
	AUTO_FREE char *text = NULL;
	struct exit_file file = { 0 };
	int r;

	if (file_read(&text, NULL, AT_FDCWD, path, 4096) < 0 ||
	    json_decode(&file, exit_file_fields, text, strlen(text), &ignored) < 0)
		return 0;
	r = clock_parse(out_exited_at, file.exited_at) == 0;
	*out_exit_status = (uint32_t)file.exit_status;
	json_free_fields(&file, exit_file_fields);
	return r;
}

/* ---- what others wrote ---- */

/* The memory controller's line, or the one of cgroup2: "0::/docker/ab". */
static char *read_cgroup(const char *path)
{
	AUTO_FREE char *text = NULL;
	struct text_list lines = { 0 };
	char *found = NULL;

	if (file_read(&text, NULL, AT_FDCWD, path, 65536) < 0)
		return NULL;
	text_list_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		const char *controllers = strchr(lines.items[i], ':');
		const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
		bool memory = group && strncmp(controllers, ":memory:", 8) == 0;

		if (group && (memory || (!found && strncmp(controllers, "::", 2) == 0))) {
			free(found);
			found = xstrdup(group + 1);
		}
	}
	text_list_fini(&lines);
	return found;
}

char *bundle_cgroup_path(pid_t pid)
{
	AUTO_FREE char *path = xasprintf("/proc/%d/cgroup", pid);
	AUTO_FREE char *theirs = read_cgroup(path);
	AUTO_FREE char *ours = read_cgroup("/proc/self/cgroup");

	return theirs && !text_equal(theirs, ours) && !text_equal(theirs, "/") ? take_ptr(theirs) : NULL;
}

struct config {
	struct text_map annotations;
};

static const struct json_field config_fields[] = {
	JSON_TEXT_MAP("annotations", struct config, annotations, 0),
	JSON_END,
};

char *bundle_group(const char *bundle)
{
	static const char *const keys[] = { "io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id" };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *path = path_join(bundle, "config.json");
	AUTO_FREE char *text = NULL;
	struct config config = { 0 };
	char *group = NULL;

	if (file_read(&text, NULL, AT_FDCWD, path, CONFIG_MAX) < 0 ||
	    json_decode(&config, config_fields, text, strlen(text), &ignored) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys) && !group; i++)
		group = xstrdup(text_map_get(&config.annotations, keys[i]));
	json_free_fields(&config, config_fields);
	return group;
}
