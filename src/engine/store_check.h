/* SPDX-License-Identifier: Apache-2.0 */
/* store_check.h - `kist store check`: is what is on disk whole, and can what is not be had again? */
#pragma once

#include "engine/image.h"

struct store_check_options {
	bool repair; /* put damaged blobs aside, make damaged layers again, fetch what is missing from where it came */
	const struct session_settings *registry;
	/*
	 * One JSON object: {"status":...}, {"problem":{"kind":"blob"|"layer"|"image","id":...,"text":...,"repaired":b}},
	 * {"fetched":{"id":...,"from":...,"error":...}} and last {"summary":{"blobs":n,"layers":n,"images":n,
	 * "unchecked":n,"problems":n}}: problems that are left.
	 */
	image_progress progress;
	void *progress_arg;
	int cancel_fd;
};

int store_check_run(struct engine *engine, const struct store_check_options *options, struct error *err);
