/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/pack_one.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "transfer/pack.h"

static int ask_files(int *out_source, int *out_target, struct channel *channel, struct error *err)
{
	const struct message_event event = { .event = message_text("blob") };
	AUTO_FREE char *line = json_encode(&event, message_event_fields);
	AUTO_FREE char *answer = NULL;
	int r = channel_send(channel, line, NULL, 0, err);

	if (r == 0)
		r = channel_receive(&answer, channel, -1, err);
	if (r == 0)
		return error_set(err, ERR_CANCELED, "the engine went away");
	if (r < 0)
		return -1;
	*out_source = channel_take_fd(channel);
	*out_target = channel_take_fd(channel);
	return *out_source < 0 || *out_target < 0 ? error_set(err, ERR_INTERNAL, "the engine sent no files") : 0;
}

int pack_one(struct channel *channel, const struct message_request *request, struct message_event *out_end,
	     struct error *err)
{
	const atomic_bool stop = false;
	AUTO_CLOSE int source = -1;
	AUTO_CLOSE int target = -1;
	AUTO(pack_freep) struct pack *pack = NULL;
	char text[DIGEST_TEXT_MAX];
	struct digest digest;

	if (request->zstd_level < 0 || request->zstd_level > 22)
		return error_set(err, ERR_INVALID, "zstd has levels from 1 to 22");
	if (ask_files(&source, &target, channel, err) < 0 ||
	    pack_start_as(&pack, source, target, (int)request->zstd_level, &stop, err) < 0 ||
	    pack_wait(pack, &digest, &out_end->size, err) < 0)
		return -1;
	out_end->digest = xstrdup(digest_text(&digest, text));
	return 0;
}
