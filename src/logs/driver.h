/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.h - where messages go.
 *
 * open() connects, so that a wrong address is the container's start error;
 * write() sends one message, connecting anew as often as the driver's options
 * allow, and fails when it is lost. One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "logs/settings.h"

#define LOG_MESSAGE_MAX 16384 /* docker's: longer lines come in parts */

struct log_message {
	const char *data; /* borrowed; without the end of line */
	size_t size;
	int64_t time_ns; /* wall; of the first part for all parts */
	bool is_error;	 /* from stderr */
	bool partial;	 /* one part of a long line */
	bool last;	 /* the last of them */
	unsigned ordinal;
	char partial_id[65];
};

struct log_driver {
	const char *name;
	int (*open)(void **out_state, const struct log_settings *settings, struct error *err);
	int (*write)(void *state, const struct log_message *message, struct error *err);
	void (*close)(void *state);
};

extern const struct log_driver syslog_driver;
extern const struct log_driver journald_driver;
extern const struct log_driver gelf_driver;
extern const struct log_driver fluentd_driver;

/* NULL if there is none of that name. */
const struct log_driver *log_driver_find(const char *name);
