/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_making.h - anonymous volumes of containers that are not there yet.
 *
 * Nobody knows the name of an anonymous volume but the container it is made for. An engine that is killed before that
 * one's row is written leaves a volume that looks like one somebody kept. So its name stands in volumes/.making from
 * before its folder is made until the row is written; what stands there when an engine starts, and is used by no
 * container, goes.
 */
#pragma once

#include "base/error.h"

struct container;
struct engine;

/* Before its folder is made. */
int volume_making_begin(struct engine *engine, const char *name, struct error *err);
/* Somebody knows it now, or it is gone. */
void volume_making_end(struct engine *engine, const char *name);
/* The same for all of a container. */
void volumes_made(struct container *container);
/* When all containers are known. */
void volumes_making_recover(struct engine *engine);
