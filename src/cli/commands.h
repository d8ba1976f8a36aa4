/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - every command there is, and what they share. */
#pragma once

#include <stdio.h>

#include "cli/command.h"
#include "cli/session.h"

extern const struct command command_attach, command_build, command_builder_prune, command_commit, command_completion,
	extern const struct command command_container_inspect, command_container_prune, command_cp, command_create,
	command_diff, command_doctor, command_events, command_exec, command_explain, command_export, command_history,
	command_image_inspect, command_image_prune, command_images, command_import, command_info, command_inspect,
	command_kill, command_load, command_login, command_logout, command_logs, command_network_connect,
	command_network_create, command_network_disconnect, command_network_inspect, command_network_ls,
	command_network_prune, command_network_rm, command_pause, command_port, command_ps, command_pull, command_push,
	command_rename, command_restart, command_rm, command_rmi, command_run, command_save, command_start,
	command_stats, command_stop, command_store_check, command_system_df, command_system_dial_stdio,
	command_system_prune, command_tag, command_top, command_unpause, command_update, command_version,
	command_volume_create, command_volume_inspect, command_volume_ls, command_volume_prune, command_volume_rm,
	command_wait;

/* The body of an answer to a file, which gets its name when it is whole, or to stdout (output NULL). */
int save_answer(struct local_response *response, const char *output, struct error *err);
/* Adds X-Registry-Auth for the registry of this image, as config.json and its helpers know it. */
int auth_header(struct text_list *headers, const struct config *config, const char *image, struct error *err);
/* Pulls an image, progress to `out`. */
/* Fails if signatures are to be checked: by --disable-content-trust=false, or DOCKER_CONTENT_TRUST without it. */
int check_trust(const struct optional_bool *disabled, struct error *err);
int pull_image(struct cli *cli, const char *name, const char *platform, bool quiet, FILE *out, struct error *err);
enum operand_result {
	OPERAND_DONE = 0,    /* its name is printed */
	OPERAND_FORGIVEN = 1 /* the error is printed, but is no failure */
};
/* -1: the error is printed and the exit code is 1. */
typedef int (*operand_action)(struct client *client, void *options, const char *name, struct error *err);
/* Runs a request on each operand, many at the same time; results are printed in order. Exit code. */
int for_each_operand(struct cli *cli, const struct text_list *operands, void *options, operand_action act,
		     struct error *err);
/* The exit code in the answer to a wait request, which blocks until it is there. */
int wait_result(struct local_response *wait, int *out_code, struct error *err);
/* Opens /wait with this condition: returns as soon as the engine watches. */
int wait_open(struct local_response **out_wait, struct client *client, const char *id, const char *condition,
	      struct error *err);
/* Hijacks the streams of a container. */
int attach_open(struct local_response **out_stream, struct client *client, const char *id, bool use_stdin,
		bool use_stdout, bool use_stderr, const char *detach_keys, struct error *err);
/* --detach-keys, or detachKeys of config.json, or NULL. */
const char *detach_keys_of(const struct cli *cli, const char *given);
/* ERR_INVALID if a terminal is wanted and stdin is none. */
int check_tty(bool attach_stdin, bool tty, struct error *err);
/* 126, 127 or 125, from the words of a start that failed. */
int start_failure_code(const char *message);
