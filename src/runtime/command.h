/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - the program kist-runtime: one function per command, its options
 * in a table beside it. A command returns the program's exit code, or -1 with
 * err filled, which main() prints and logs in runc's form.
 */
#pragma once

#include "base/error.h"
#include "base/options.h"
#include "oci/runtime_spec.h"
#include "runtime/runtime.h"

/* Go callers (conmon, the shim) read a failed exec as 255. */
#define EXEC_FAILED 255

/* A command that makes a process in a container moves the program to a mount nobody can write: see self_seal.h. */
enum command_seal {
	SEAL_NOT,
	SEAL_FIRST,
	SEAL_LATE, /* runtime_create() does it */
};

struct command {
	const char *name;
	const char *operands; /* for help */
	const char *summary;
	int (*run)(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
	enum command_seal seal;
};

int command_create(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_run(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_start(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_exec(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_state(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_list(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_kill(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_delete(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_pause(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_resume(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_ps(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_update(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_events(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_spec(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_features(const struct runtime *runtime, int argc, char *const *argv, struct error *err);

int command_checkpoint(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_restore(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_mounts(const struct runtime *runtime, int argc, char *const *argv, struct error *err);
int command_check(const struct runtime *runtime, int argc, char *const *argv, struct error *err);

/* Whose command line we answer to: callers look for the name in --version, and for the log's form on stderr. */
enum program_kind { PROGRAM_KIST, PROGRAM_RUNC, PROGRAM_CRUN };
/* By the last part of argv[0]. */
void command_set_program(const char *argv0);
enum program_kind command_program(void);
const char *command_program_name(void);
/* --root was given: then it must exist. */
void command_set_root_given(bool given);
bool command_root_given(void);
/* What `<program> <command> --help` begins with. */
void command_begin(const struct command *command);

/*
 * Parses a command's options and checks the number of operands. Returns 1 to go
 * on, 0 if help was printed, or fails.
 */
int command_parse(const struct option_spec *table, void *target, int argc, char *const *argv, unsigned flags,
		  struct text_list *operands, size_t least, size_t most, struct error *err);

/* The number in LISTEN_FDS if the variables were meant for us, else 0. */
int command_listen_fds(void);

/*
 * Waits for a foreground process: its terminal and signals are ours meanwhile.
 * Returns its exit code, or 128 + signal; *out_wait_status (may be NULL) is what wait(2) said.
 */
int foreground_wait(struct runtime_process *process, int *out_wait_status, struct error *err);
/* Before the process is made: from here on signals wait for foreground_wait(). */
void foreground_begin(void);
