/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - every command there is, and what they share. */
#pragma once

#include <stdio.h>

#include "cli/command.h"
#include "cli/session.h"

extern const struct command command_attach;
extern const struct command command_build;
extern const struct command command_builder_du;
extern const struct command command_builder_history;
extern const struct command command_builder_prune;
extern const struct command command_checkpoint_create;
extern const struct command command_checkpoint_ls;
extern const struct command command_checkpoint_rm;
extern const struct command command_commit;
extern const struct command command_completion;
extern const struct command command_container_inspect;
extern const struct command command_container_prune;
extern const struct command command_context_create;
extern const struct command command_context_export;
extern const struct command command_context_import;
extern const struct command command_context_inspect;
extern const struct command command_context_ls;
extern const struct command command_context_rm;
extern const struct command command_context_show;
extern const struct command command_context_update;
extern const struct command command_context_use;
extern const struct command command_cp;
extern const struct command command_create;
extern const struct command command_diff;
extern const struct command command_doctor;
extern const struct command command_events;
extern const struct command command_exec;
extern const struct command command_explain;
extern const struct command command_export;
extern const struct command command_history;
extern const struct command command_image_append;
extern const struct command command_image_catalog;
extern const struct command command_image_config;
extern const struct command command_image_copy;
extern const struct command command_image_delete;
extern const struct command command_image_digest;
extern const struct command command_image_export;
extern const struct command command_image_flatten;
extern const struct command command_image_inspect;
extern const struct command command_image_ls_tags;
extern const struct command command_image_manifest;
extern const struct command command_image_mutate;
extern const struct command command_image_prune;
extern const struct command command_image_rebase;
extern const struct command command_image_referrers;
extern const struct command command_image_sync;
extern const struct command command_image_validate;
extern const struct command command_images;
extern const struct command command_import;
extern const struct command command_info;
extern const struct command command_inspect;
extern const struct command command_kill;
extern const struct command command_load;
extern const struct command command_login;
extern const struct command command_logout;
extern const struct command command_logs;
extern const struct command command_manifest_annotate;
extern const struct command command_manifest_create;
extern const struct command command_manifest_inspect;
extern const struct command command_manifest_push;
extern const struct command command_manifest_rm;
extern const struct command command_network_connect;
extern const struct command command_network_create;
extern const struct command command_network_disconnect;
extern const struct command command_network_doctor;
extern const struct command command_network_inspect;
extern const struct command command_network_ls;
extern const struct command command_network_prune;
extern const struct command command_network_rm;
extern const struct command command_pause;
extern const struct command command_plugin_create;
extern const struct command command_plugin_disable;
extern const struct command command_plugin_enable;
extern const struct command command_plugin_inspect;
extern const struct command command_plugin_install;
extern const struct command command_plugin_ls;
extern const struct command command_plugin_push;
extern const struct command command_plugin_rm;
extern const struct command command_plugin_set;
extern const struct command command_plugin_upgrade;
extern const struct command command_port;
extern const struct command command_ps;
extern const struct command command_pull;
extern const struct command command_push;
extern const struct command command_rename;
extern const struct command command_restart;
extern const struct command command_rm;
extern const struct command command_rmi;
extern const struct command command_run;
extern const struct command command_save;
extern const struct command command_search;
extern const struct command command_start;
extern const struct command command_stats;
extern const struct command command_stop;
extern const struct command command_store_check;
extern const struct command command_system_df;
extern const struct command command_system_recover;
extern const struct command command_system_dial_stdio;
extern const struct command command_system_prune;
extern const struct command command_tag;
extern const struct command command_top;
extern const struct command command_unpause;
extern const struct command command_update;
extern const struct command command_version;
extern const struct command command_volume_create;
extern const struct command command_volume_inspect;
extern const struct command command_volume_ls;
extern const struct command command_volume_prune;
extern const struct command command_volume_rm;
extern const struct command command_volume_update;
extern const struct command command_wait;

/*
 * The body of an answer to a file, which gets its name when it is whole, or to stdout (output NULL). "Saving - ": what
 * a terminal shows meanwhile, before the size.
 */
int save_answer(struct local_response *response, const char *output, const char *label, struct error *err);
/* The same to a descriptor (borrowed). */
int save_to_fd(struct local_response *response, int fd, const char *label, struct error *err);
/* `images --tree` of what GET /images/json says. */
int images_print_tree(struct client *client, const struct json_value *images, struct error *err);
/* Adds X-Registry-Auth for the registry of this image, as config.json and its helpers know it. */
int auth_header(struct text_list *headers, const struct config *config, const char *image, struct error *err);
/* Pulls an image, progress to `out`. */
/* Fails if signatures are to be checked: by --disable-content-trust=false, or DOCKER_CONTENT_TRUST without it. */
int check_trust(const struct optional_bool *disabled, struct error *err);
int pull_image(struct cli *cli, const char *name, const char *platform, bool quiet, FILE *out, struct error *err);
/* image inspect of the engine's images; names are escaped here. */
int inspect_images(struct cli *cli, const char *format, const char *platform, const struct text_list *names,
		   struct error *err);
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
/* ?platform= as the API takes it, of "linux/arm64"; nothing for an empty text. */
int query_add_platform(struct text *path, const char *key, const char *text, struct error *err);
/* One tag; its progress goes to `out`. */
int push_image(struct cli *cli, const char *name, FILE *out, bool quiet, struct error *err);
/* The object of this name, or fails: a message goes to stderr, and others are still printed. */
typedef int (*inspect_finder)(struct json_value **out_object, void *arg, const char *name, struct error *err);
/* All, as an indented array or through a template. Exit code, or -1. */
int inspect_objects(const struct text_list *names, const char *format, inspect_finder find, void *arg,
		    struct error *err);
/* --detach-keys, or detachKeys of config.json, or NULL. */
const char *detach_keys_of(const struct cli *cli, const char *given);
/* ERR_INVALID if a terminal is wanted and stdin is none. */
int check_tty(bool attach_stdin, bool tty, struct error *err);
/* 126, 127 or 125, from the words of a start that failed. */
int start_failure_code(const char *message);
