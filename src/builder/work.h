/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.h - the nodes of a build solved by several threads at once; inside
 * builder/ only.
 *
 * A node is begun when all it stands on is solved, the earlier in the graph
 * first. The first failure, and a client that goes away, stop the others
 * (work_cancel_fd()); work_end() waits for them. The build's own thread tells
 * how it goes: with messages one node after the other in the order in which it
 * waits for them, what the others print being kept meanwhile (up to
 * NODE_OUTPUT_MAX); who watches vertices hears of all at once.
 */
#pragma once

#include "base/error.h"

struct build;
struct node;
struct work;

/* One node whose dependencies are solved; any thread. */
typedef int (*work_fn)(struct build *build, struct node *node, struct error *err);

/* Begins with all nodes that the steps of needed stages stand on. */
int work_start(struct work **out_work, struct build *build, work_fn solve_one, struct error *err);
/* Tells what the node prints until it has ended: 1 it is solved, 0 the work has been stopped. */
int work_wait(struct work *work, struct node *node);
/* Stops what still runs and waits for it. The node that failed first; NULL: none. */
struct node *work_end(struct work *work);
/* What a node has printed and nobody was told; after work_end(). */
void work_tell_rest(struct work *work, struct node *node);
void work_free(struct work *work);

/* Readable when nodes are to stop. */
int work_cancel_fd(const struct work *work);
/* A message of a node, any thread; taken. */
void work_print_take(struct work *work, struct node *node, char *message);
