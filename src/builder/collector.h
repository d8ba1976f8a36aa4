/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collector.h - images and results of build steps that nobody uses go by
 * themselves, by age and by how much room all take. Off unless asked for.
 *
 * What a container was made of, running or not, is never touched. A thread
 * looks once in a while; collector_free() ends it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"

struct collector;
struct engine;

/* Results of build steps that were not used for so long go, the longest unused first, as far as they are too many. */
struct collector_rule {
	int64_t unused_ns;  /* 0: however short */
	int64_t keep_bytes; /* 0: however few; -1: a tenth of the file system */
	bool all;	    /* also what images share */
};

struct collector_settings {
	int64_t pause_ns; /* between two looks */
	const struct collector_rule *rules;
	size_t rule_count; /* 0: the cache is left alone */
	bool images;
	/* An image goes when it was idle so long, and only while the layers of all take more than keep_bytes (0: always). */
	int64_t image_unused_ns;
	int64_t image_keep_bytes;
};

/* All is borrowed, and must live until collector_free(). */
int collector_start(struct collector **out_collector, struct engine *engine, const struct log *log,
		    const struct collector_settings *settings, struct error *err);
/* From the next look on these. */
void collector_reload(struct collector *collector, const struct collector_settings *settings);
void collector_free(struct collector *collector);
