/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/download.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "transfer/session_private.h"

static int handle(struct session *session, const struct message_event *event, struct error *err)
{
	const struct download *download = session->arg;

	if (text_equal(event->event, "file"))
		return session_reply(session, &(struct message_reply){ .want = true }, &download->file_fd, 1, err);
	if (!text_equal(event->event, "progress"))
		return error_set(err, ERR_INTERNAL, "unexpected event \"%s\" of %s", event->event, PROGRAM);
	if (download->progress)
		download->progress(download->arg, event->current, event->total);
	return 0;
}

int download_run(struct downloaded *out_downloaded, const struct download *download, struct error *err)
{
	AUTO(session_end) struct session session;
	const struct message_request request = { .action = message_text("get"),
						 .url = message_text(download->url),
						 .etag = message_text(download->etag),
						 .authorization = message_text(download->authorization),
						 .unpacked_limit = download->limit };
	int r = session_start(&session, download->cancel_fd, err);

	session.handle = handle;
	session.arg = (void *)(uintptr_t)download;
	if (r == 0)
		r = session_run(&session, &request, err);
	if (r < 0)
		return -1;
	*out_downloaded = (struct downloaded){ .status = (int)session.end.code,
					       .etag = take_ptr(session.end.etag),
					       .modified = take_ptr(session.end.modified) };
	return 0;
}

void downloaded_fini(struct downloaded *downloaded)
{
	free(downloaded->etag);
	free(downloaded->modified);
	*downloaded = (struct downloaded){ 0 };
}
