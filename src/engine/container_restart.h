/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_restart.h - restart policies as arithmetic: docker's pauses, and
 * who is started again, and in which order, when the engine opens.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct container_document;
struct restart_policy;

/* Whether the policy wants another run after this end. */
bool restart_is_wanted(const struct restart_policy *policy, int64_t exit_code, int64_t restart_count);
/* The pause before it: 100 ms, doubled up to a minute; anew after a run of 10 s. previous_ms 0: none yet. */
int64_t restart_delay_ms(int64_t previous_ms, int64_t run_ns);
/* What a policy starts when the engine opens: not what only ever was created, not what was stopped by hand. */
bool restart_at_open(const struct container_document *document);
/*
 * out_order: the indices of documents, oldest creation first (documents are newest first), but nobody before those
 * whose network, IPC or PID namespace, links or volumes he uses.
 */
void restart_order(size_t *out_order, const struct container_document *const *documents, size_t count);
