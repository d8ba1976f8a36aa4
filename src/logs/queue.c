/* SPDX-License-Identifier: Apache-2.0 */
#include "logs/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "base/thread.h"

struct entry {
	struct list_node node;
	struct log_message message;
	char data[];
};

struct log_queue {
	struct mutex mutex; /* guards all below */
	struct condition changed;
	struct list entries;
	struct entry *given;
	uint64_t bytes;
	uint64_t max_bytes;
	uint64_t dropped;
	bool ended;
};

struct log_queue *log_queue_new(uint64_t max_bytes)
{
	struct log_queue *queue = xcalloc(1, sizeof(*queue));

	mutex_init(&queue->mutex);
	condition_init(&queue->changed);
	list_init(&queue->entries);
	queue->max_bytes = max_bytes;
	return queue;
}

static struct entry *take_first(struct log_queue *queue)
{
	struct list_node *node = list_first(&queue->entries);

	if (!node)
		return NULL;
	list_remove(node);
	return list_entry(node, struct entry, node);
}

void log_queue_free(struct log_queue *queue)
{
	struct entry *entry;

	if (!queue)
		return;
	while ((entry = take_first(queue)))
		free(entry);
	free(queue->given);
	condition_fini(&queue->changed);
	mutex_fini(&queue->mutex);
	free(queue);
}

void log_queue_add(struct log_queue *queue, const struct log_message *message)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&queue->mutex);
	struct entry *entry;

	/* One that alone is larger still goes through an empty queue. */
	if (queue->bytes > 0 && queue->bytes + message->size > queue->max_bytes) {
		queue->dropped++;
		return;
	}
	entry = xmalloc(sizeof(*entry) + message->size + 1);
	entry->message = *message;
	memcpy(entry->data, message->data, message->size);
	entry->message.data = entry->data;
	list_add_last(&queue->entries, &entry->node);
	queue->bytes += message->size;
	condition_broadcast(&queue->changed);
}

void log_queue_end(struct log_queue *queue)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&queue->mutex);

	queue->ended = true;
	condition_broadcast(&queue->changed);
}

bool log_queue_next(struct log_queue *queue, struct log_message *out_message)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&queue->mutex);

	free(take_ptr(queue->given));
	while (!(queue->given = take_first(queue))) {
		if (queue->ended)
			return false;
		condition_wait(&queue->changed, &queue->mutex);
	}
	queue->bytes -= queue->given->message.size;
	*out_message = queue->given->message;
	return true;
}

uint64_t log_queue_take_dropped(struct log_queue *queue)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&queue->mutex);
	uint64_t dropped = queue->dropped;

	queue->dropped = 0;
	return dropped;
}
