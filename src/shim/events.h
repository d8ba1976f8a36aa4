/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - task events to containerd, by ttrpc Events.Forward, in order.
 *
 * One is on its way at a time: the next goes when the answer to the last came,
 * so containerd sees create < start < exit < delete. A connection that breaks is
 * made again; an event is tried 5 times. At most 2048 wait, then new ones are dropped.
 */
#pragma once

#include <stdbool.h>

#include "base/log.h"
#include "rpc/proto.h"
#include "shim/loop.h"

struct events;

/* address NULL or "": nobody listens, events go nowhere. All borrowed. */
struct events *events_new(struct loop *loop, const struct log *log, const char *address, const char *name_space);
void events_free(struct events *events);
/* topic: "/tasks/exit"; type: "TaskExit". */
void events_publish(struct events *events, const char *topic, const char *type, const void *message,
		    const struct proto_field *fields);
/* Whether all were taken (or given up). */
bool events_is_idle(const struct events *events);
