/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugins.h - docker's command line plugins: an executable docker-NAME in the cli-plugins folders (cliPluginsExtraDirs,
 * beside config.json, then the machine's) is the command NAME. It gets our arguments as they were, and the address of
 * our engine in DOCKER_HOST unless the user named another one.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "cli/command.h"

/* Path of a plugin, yours; NULL if there is none. */
char *plugin_find(const struct config *config, const char *name);
/* Names of all there are, sorted. */
void plugin_names(struct text_list *out_names, const struct config *config);
/* Becomes the plugin; returns only with an error. */
int plugin_execute(struct cli *cli, const char *path, char *const *argv, struct error *err);
