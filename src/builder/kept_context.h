/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept_context.h - build contexts that stay, so that the next build of the same
 * folder is sent only what has changed.
 *
 * <data root>/build-contexts/<digest of the key>/ has `files` and `lock`. One
 * build at a time has it; others take a folder that goes away with them. What has
 * not been used for two days is removed when another one is taken.
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"

struct engine;
struct kept_context;

/* 1 and it is ours, 0: another build has it. */
int kept_context_take(struct kept_context **out_context, struct engine *engine, const char *key, struct error *err);
/* The directory (borrowed). */
int kept_context_fd(const struct kept_context *context);
/* Gives it back as it is. */
void kept_context_free(struct kept_context *context);
DEFINE_AUTO(struct kept_context, kept_context_free)

/* Removes all that no build has now. */
void kept_context_prune(struct engine *engine);
