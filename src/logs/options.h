/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - the options of all log drivers, judged in dockerd's words, and
 * the questions that the engine and kist-log ask of them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

/* Whether there is such a driver; "none" is one. */
bool log_driver_is_known(const char *driver);
/* syslog, journald, gelf, fluentd: kist-log sends what they log. */
bool log_driver_is_remote(const char *driver);
/* All names but "none", ended by NULL, sorted: for info. */
extern const char *const log_driver_names[];

/* ERR_INVALID in dockerd's words; also for a driver that is not known. */
int log_options_check(const char *driver, const struct text_map *options, struct error *err);

/* Go's ParseBool; false for absent and malformed ones. */
bool log_option_is_true(const struct text_map *options, const char *key);
/* A name or a number; -1 if it is none, daemon's for NULL and "". */
int log_syslog_facility(const char *name);
bool log_fluentd_is_async(const struct text_map *options);
/* mode=non-blocking, or a driver's own word for it: how many bytes may wait; 0: blocking. */
uint64_t log_queue_bytes(const char *driver, const struct text_map *options);

/* Where and how much is kept on this machine for `docker logs`. */
struct log_files {
	bool kept;
	int64_t max_size; /* 0: no rotation */
	int64_t max_file;
	bool compress;
};

void log_files_of(struct log_files *out_files, const char *driver, const struct text_map *options);
