/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rollback.h - undo what was done, last step first, unless all went well.
 *
 * AUTO(rollback_run) struct rollback undo = {0};
 * after each step: rollback_add(&undo, remove_layer, layer);
 * at the end: rollback_cancel(&undo). Undo functions ignore their own failures.
 */
#pragma once

#include <stddef.h>

struct rollback_step {
	void (*fn)(void *arg);
	void *arg; /* borrowed */
};

struct rollback {
	struct rollback_step *steps;
	size_t count;
	size_t capacity;
};

void rollback_add(struct rollback *undo, void (*fn)(void *arg), void *arg);
void rollback_cancel(struct rollback *undo);
void rollback_run(struct rollback *undo);
