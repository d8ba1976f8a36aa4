/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rollback.h"

#include <stdlib.h>

#include "base/alloc.h"

void rollback_add(struct rollback *undo, void (*fn)(void *arg), void *arg)
{
	undo->steps = xgrow(undo->steps, &undo->capacity, undo->count + 1, sizeof(*undo->steps));
	undo->steps[undo->count++] = (struct rollback_step){ fn, arg };
}

void rollback_cancel(struct rollback *undo)
{
	free(undo->steps);
	*undo = (struct rollback){ 0 };
}

void rollback_run(struct rollback *undo)
{
	while (undo->count) {
		struct rollback_step step = undo->steps[--undo->count];

		step.fn(step.arg);
	}
	rollback_cancel(undo);
}
