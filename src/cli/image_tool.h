/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_tool.h - kist-image from the command line: options that many of its
 * commands share, credentials from config.json, images of the engine's store as
 * archives on descriptors.
 */
#pragma once

#include "base/optional.h"
#include "cli/commands.h"
#include "image/request.h"

/* The options of one side. */
struct tool_access {
	const char *creds; /* "user[:password]" */
	const char *cert_dir;
	bool no_creds;
	struct optional_bool tls_verify;
};

struct tool_options {
	struct tool_access source;
	struct tool_access destination;
	bool all;
	bool preserve_digests;
	bool referrers;
	bool quiet;
	bool raw;
	bool config;
	bool by_digest;
	bool force;
	bool verbose;
	bool clear_entrypoint;
	bool clear_cmd;
	const char *platform;
	const char *format;
	const char *output;
	const char *artifact_type;
	const char *base;
	const char *new_base;
	const char *user;
	const char *workdir;
	const char *set_platform;
	const char *arch;
	const char *os;
	const char *variant;
	const char *os_version;
	struct text_list os_features;
	struct text_list files;
	struct text_list env;
	struct text_list labels;
	struct text_list annotations;
	struct text_list entrypoint;
	struct text_list cmd;
	struct text_list ports;
};

/* Is it "docker://...", "oci:...": a place that is not the engine's store? */
bool tool_is_place(const char *name);
/* Runs a job on the operands as they are; its exit code. */
int tool_run(struct cli *cli, const char *act, const struct tool_options *options, const struct text_list *operands,
	     struct error *err);
/* copy: names without a transport, and store:, are the engine's. */
int tool_copy(struct cli *cli, const struct tool_options *options, const struct text_list *operands, struct error *err);
