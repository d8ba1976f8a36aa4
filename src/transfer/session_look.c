/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "oci/hasher.h"
#include "transfer/session_private.h"

/* The child is believed only as far as its digests are right. */
static int take_document(char **out_text, const struct message_event *event, struct error *err)
{
	const char *text = text_or_empty(event->text);
	struct digest said;
	struct digest got;

	if (digest_parse(&said, text_or_empty(event->digest), err) < 0)
		return error_prefix(err, "document of %s", PROGRAM);
	digest_of(&got, said.algorithm, text, strlen(text));
	if (!digest_equal(&said, &got))
		return error_set(err, ERR_INTERNAL, "%s sent a document that is not %s", PROGRAM, event->digest);
	free(*out_text);
	*out_text = xstrdup(text);
	return 0;
}

static int handle(struct session *session, const struct message_event *event, struct error *err)
{
	struct session_looked *looked = session->arg;

	if (!text_equal(event->event, "document"))
		return error_set(err, ERR_INTERNAL, "unexpected event \"%s\" of %s", event->event, PROGRAM);
	return take_document(text_equal(event->kind, "config") ? &looked->config : &looked->text, event, err);
}

int session_look(struct session_looked *out_looked, const struct session_pull *look, struct error *err)
{
	AUTO(session_end) struct session session;
	AUTO(session_looked_fini) struct session_looked looked = { 0 };
	struct message_request request = { .action = xstrdup("look"), .reference = xstrdup(look->reference) };
	int r = session_start(&session, look->cancel_fd, err);

	session.handle = handle;
	session.arg = &looked;
	session_fill_settings(&request, look->settings);
	session_fill_auth(&request, look->auth);
	if (r == 0)
		r = session_run(&session, &request, err);
	json_free_fields(&request, message_request_fields);
	if (r < 0)
		return -1;
	if (!looked.text)
		return error_set(err, ERR_INTERNAL, "%s sent no document", PROGRAM);
	looked.digest = take_ptr(session.end.digest);
	looked.media_type = take_ptr(session.end.media_type);
	*out_looked = looked;
	looked = (struct session_looked){ 0 };
	return 0;
}

void session_looked_fini(struct session_looked *looked)
{
	free(looked->digest);
	free(looked->media_type);
	free(looked->text);
	free(looked->config);
	*looked = (struct session_looked){ 0 };
}
