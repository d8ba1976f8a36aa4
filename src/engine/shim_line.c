/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shim_line.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "engine/engine_private.h"
#include "engine/shim_scan.h"

#define SHIM_FILE_MAX 65536
#define ANSWER_PATIENCE_S 5

struct shim_document {
	int64_t pid;
	char *address;
};

static const struct json_field shim_document_fields[] = {
	JSON_I64("pid", struct shim_document, pid, 0),
	JSON_TEXT("address", struct shim_document, address, 0),
	JSON_END,
};

static int load(struct shim_document *out_document, const struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *path = path_join(container->bundle, "shim.json");
	AUTO_FREE char *text = NULL;
	size_t size;

	if (file_read(&text, &size, AT_FDCWD, path, SHIM_FILE_MAX) < 0)
		return -1;
	return json_decode(out_document, shim_document_fields, text, size, &err);
}

struct task_client *shim_connect(const struct container *container)
{
	const struct itimerspec patience = { .it_value.tv_sec = ANSWER_PATIENCE_S };
	AUTO(error_clear) struct error err = { 0 };
	AUTO(task_client_closep) struct task_client *task = NULL;
	AUTO_CLOSE int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct shim_document document = { 0 };
	pid_t shim_pid;
	pid_t task_pid = 0;
	int r;

	if (timer < 0 || timerfd_settime(timer, 0, &patience, NULL) < 0 || load(&document, container) < 0)
		return NULL;
	r = task_client_open(&task, text_or_empty(document.address), &err);
	json_free_fields(&document, shim_document_fields);
	if (r < 0 || task_connect(task, container->id, &shim_pid, &task_pid, timer, &err) < 0 || task_pid == 0)
		return NULL;
	return take_ptr(task);
}

bool shim_is_alive(const struct container *container)
{
	struct shim_document document = { 0 };
	bool alive = load(&document, container) == 0 && shim_is_of(document.pid, container->id);

	json_free_fields(&document, shim_document_fields);
	return alive;
}
