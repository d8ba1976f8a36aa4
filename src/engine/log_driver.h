/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_driver.h - what a container's LogConfig means: which files are kept here,
 * what its shim is told (a URI), and what kist-log is (log.json in the bundle).
 * The drivers themselves are in logs/.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

struct container;
struct engine;
struct log_config;

/* Puts the engine's driver and options where the user named none. Before container_check(). */
void log_config_fill(struct log_config *config, const struct engine *engine);
/* In docker's words; also the template of the tag and the regular expressions. */
int log_config_check(const struct log_config *config, struct error *err);
/* Whether `docker logs` has something to read. */
bool log_config_is_kept(const struct log_config *config);
/* "json-file:///path?max-size=..&max-file=..", or "none:"; yours. */
char *container_log_uri(const struct container *container, struct error *err);
/* Writes log.json into the bundle, for drivers that need it. */
int container_log_settings(const struct container *container, struct error *err);
