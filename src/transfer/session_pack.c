/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "transfer/session_private.h"

static int handle(struct session *session, const struct message_event *event, struct error *err)
{
	const struct session_pack *pack = session->arg;
	const int fds[] = { pack->source_fd, pack->target_fd };
	const struct message_reply reply = { .want = true };

	if (!text_equal(event->event, "blob"))
		return error_set(err, ERR_INTERNAL, "unexpected event \"%s\" of %s", event->event, PROGRAM);
	return session_reply(session, &reply, fds, 2, err);
}

int session_pack(struct digest *out_digest, uint64_t *out_size, const struct session_pack *pack, struct error *err)
{
	AUTO(session_end) struct session session;
	struct message_request request = { .action = xstrdup("pack"), .zstd_level = pack->zstd_level };
	struct session_pack files = *pack;
	int r = session_start(&session, pack->cancel_fd, err);

	session.handle = handle;
	session.arg = &files;
	if (r == 0)
		r = session_run(&session, &request, err);
	json_free_fields(&request, message_request_fields);
	if (r < 0 || digest_parse(out_digest, text_or_empty(session.end.digest), err) < 0)
		return -1;
	*out_size = session.end.size;
	return 0;
}
