/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h - messages between the thread that reads from the container and the
 * one that sends: mode=non-blocking. When max_bytes of text wait, the newest
 * are dropped and counted, as dockerd does; the container never waits.
 */
#pragma once

#include <stdint.h>

#include "logs/driver.h"

struct log_queue;

struct log_queue *log_queue_new(uint64_t max_bytes);
void log_queue_free(struct log_queue *queue);
/* Copies it, or drops it. */
void log_queue_add(struct log_queue *queue, const struct log_message *message);
/* No more will be added. */
void log_queue_end(struct log_queue *queue);
/* Waits: true with a message whose data lives until the next call; false at the end. */
bool log_queue_next(struct log_queue *queue, struct log_message *out_message);
/* How many were dropped since the last time it was asked. */
uint64_t log_queue_take_dropped(struct log_queue *queue);
