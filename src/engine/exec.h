/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.h - further processes in a running container.
 *
 * An exec is created (an id, nothing runs), started once, inspected, and
 * forgotten when its container stops (docker keeps it until then too). Not
 * stored: a restarted kistd answers "No such exec instance".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/attach.h"
#include "engine/container_config.h"
#include "json/json.h"

struct engine;

/* The body of POST /containers/{id}/exec. */
struct exec_config {
	char *user;
	bool privileged;
	bool tty;
	bool attach_stdin;
	bool attach_stdout;
	bool attach_stderr;
	bool detach;
	char *detach_keys;
	struct text_list env;
	char *working_dir;
	struct text_list cmd;
	JSON_ARRAY_OF(struct u64_item) console_size;
};
extern const struct json_field exec_config_fields[];

/* *out_id: 64 hex digits, yours. ERR_NOT_FOUND, ERR_CONFLICT "container X is not running", ERR_INVALID "No exec command specified". */
int exec_create(char **out_id, struct engine *engine, const char *container, const struct exec_config *config,
		struct error *err);

struct exec_start_options {
	bool detach;
	bool tty;	 /* the form of the output, whatever the config says */
	uint16_t height; /* first console size, or 0 */
	uint16_t width;
};

/*
 * Starts it. With detach, *out_attach stays NULL and a command that cannot be
 * started is an error. Without, the request is refused with an error only if
 * nothing was tried (ERR_NOT_FOUND, ERR_CONFLICT); when the command cannot be
 * started the attach delivers the reason as output and the exit code becomes
 * 126 or 127, as docker does.
 */
int exec_start(struct attach **out_attach, struct engine *engine, const char *exec_id,
	       const struct exec_start_options *options, int cancel_fd, struct error *err);
/* A signal to an exec that runs. */
int exec_kill(struct engine *engine, const char *exec_id, int signal, struct error *err);
int exec_resize(struct engine *engine, const char *exec_id, uint16_t height, uint16_t width, struct error *err);

/* GET /exec/{id}/json. */
struct exec_process_config {
	bool tty;
	char *entrypoint;
	struct text_list arguments;
	struct optional_bool privileged;
	char *user;
};
struct exec_inspect {
	char *id;
	bool running;
	struct optional_i64 exit_code; /* null until it ended */
	struct exec_process_config process;
	bool open_stdin;
	bool open_stderr;
	bool open_stdout;
	bool can_remove;
	char *container_id;
	char *detach_keys;
	int64_t pid;
};
extern const struct json_field exec_inspect_fields[];
int exec_inspect(struct exec_inspect *out_inspect, struct engine *engine, const char *exec_id, struct error *err);
