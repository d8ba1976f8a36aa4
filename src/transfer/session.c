/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the caller's thread sends one request and then is a loop over
 * the child's events until "end". The child is not trusted with anything that
 * can be checked here: documents are hashed again and must hang together.
 */
#include "transfer/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/process.h"
#include "base/program.h"
#include "oci/hasher.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "transfer/session_private.h"

/* ---- life ---- */

int session_start(struct session *session, int cancel_fd, struct error *err)
{
	AUTO_FREE char *path = program_find(PROGRAM, err);
	char *argv[] = { message_text(PROGRAM), NULL };
	AUTO_CLOSE int theirs = -1;
	int pair[2];

	*session = (struct session){ .process = { .pidfd = -1 }, .cancel_fd = cancel_fd > 0 ? cancel_fd : -1 };
	channel_init(&session->channel, -1);
	if (!path)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a socket for %s", PROGRAM);
	session->channel.fd = pair[0];
	theirs = pair[1];
	return process_spawn(&session->process,
			     &(struct process_options){
				     .path = path, .argv = argv, .fds = &theirs, .fd_count = 1, .new_group = true },
			     err);
}

void session_end(struct session *session)
{
	process_fini(&session->process);
	channel_fini(&session->channel);
	manifest_fini(&session->index);
	manifest_fini(&session->manifest);
	image_config_fini(&session->config);
	json_free_fields(&session->end, message_event_fields);
}

/* The child went away without a word. */
static int explain_death(struct session *session, struct error *err)
{
	struct process_end end;

	if (process_wait(&session->process, &end, -1, session->cancel_fd, err) < 0)
		return -1;
	if (session->process.pidfd >= 0)
		return error_set(err, ERR_CANCELED, "canceled");
	if (end.signaled)
		return error_set(err, ERR_INTERNAL, "%s was killed by signal %d", PROGRAM, end.code);
	return error_set(err, ERR_INTERNAL, "%s exited with %d", PROGRAM, end.code);
}

/* ---- documents ---- */

static int find_entry(const struct manifest *index, const char *digest)
{
	for (size_t i = 0; i < index->manifests.count; i++)
		if (text_equal(index->manifests.items[i].digest, digest))
			return 1;
	return 0;
}

static int check_document(const struct session *session, enum session_document kind, const struct message_event *event,
			  struct error *err)
{
	bool has_index = session->index.schema_version != 0;
	struct digest said;
	struct digest got;

	if (!event->text)
		return error_set(err, ERR_INTERNAL, "%s sent no text for %s", PROGRAM, text_or_empty(event->digest));
	if (digest_parse(&said, event->digest, err) < 0)
		return error_prefix(err, "document of %s", PROGRAM);
	digest_of(&got, said.algorithm, event->text, strlen(event->text));
	if (!digest_equal(&said, &got))
		return error_set(err, ERR_INTERNAL, "%s sent a document that is not %s", PROGRAM, event->digest);
	if (kind == SESSION_CONFIG
		    ? !session->manifest.config || !text_equal(session->manifest.config->digest, event->digest)
		    : has_index && !find_entry(&session->index, event->digest))
		return error_set(err, ERR_INTERNAL, "%s sent %s, which nothing refers to", PROGRAM, event->digest);
	return 0;
}

static int keep_document(struct session *session, enum session_document kind, const struct message_event *event,
			 struct error *err)
{
	size_t size = strlen(event->text);
	struct manifest *target = kind == SESSION_INDEX ? &session->index : &session->manifest;

	if (kind == SESSION_CONFIG) {
		if (session->have_config)
			return error_set(err, ERR_INTERNAL, "%s sent two configs", PROGRAM);
		session->have_config = true;
		return image_config_decode(&session->config, event->text, size, err);
	}
	manifest_fini(target);
	return manifest_decode(target, event->text, size, event->media_type, err);
}

static int on_document(struct session *session, struct message_event *event, struct error *err)
{
	enum session_document kind = text_equal(event->kind, "index")	   ? SESSION_INDEX
				     : text_equal(event->kind, "manifest") ? SESSION_MANIFEST
									   : SESSION_CONFIG;
	struct descriptor descriptor = { .media_type = event->media_type, .digest = event->digest };

	descriptor.size = strlen(text_or_empty(event->text));
	if (check_document(session, kind, event, err) < 0 || keep_document(session, kind, event, err) < 0)
		return -1;
	return session->sink->document(session->sink->arg, kind, &descriptor, event->text, descriptor.size, err);
}

static int on_limit(const struct session *session, const struct message_event *event)
{
	AUTO_FREE char *status = xasprintf("Requests left at the registry: %.64s", text_or_empty(event->text));

	if (session->sink->progress)
		session->sink->progress(session->sink->arg, &(struct session_progress){ .status = status });
	return 0;
}

/* ---- layers ---- */

static void report(const struct session *session, size_t index, const char *status, uint64_t current, uint64_t total)
{
	char id[DIGEST_TEXT_MAX];
	struct digest digest;

	if (!session->sink->progress)
		return;
	descriptor_digest(&session->manifest.layers.items[index], &digest);
	digest_hex(&digest, id);
	id[ID_DIGITS] = '\0';
	session->sink->progress(
		session->sink->arg,
		&(struct session_progress){ .id = id, .status = status, .current = current, .total = total });
}

static int find_layer(struct session_layer *out_layer, const struct session *session, const struct message_event *event,
		      struct error *err)
{
	size_t count = session->manifest.layers.count;

	if (event->index >= count || count != session->config.rootfs.diff_ids.count)
		return error_set(err, ERR_INTERNAL, "%s speaks of a layer that does not exist", PROGRAM);
	*out_layer = (struct session_layer){ .index = event->index,
					     .count = count,
					     .descriptor = &session->manifest.layers.items[event->index],
					     .diff_id = session->config.rootfs.diff_ids.items[event->index],
					     .again = event->again };
	return 0;
}

int session_reply(struct session *session, const struct message_reply *reply, const int *fds, size_t fd_count,
		  struct error *err)
{
	AUTO_FREE char *line = json_encode(reply, message_reply_fields);

	return channel_send(&session->channel, line, fds, fd_count, err);
}

static int on_known(struct session *session, const struct message_event *event, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct message_reply reply = { 0 };
	AUTO_FREE char *text = NULL;
	struct digest digest;

	if (session->sink->known && digest_parse(&digest, text_or_empty(event->digest), &ignored) == 0)
		text = session->sink->known(session->sink->arg, &digest);
	reply.text = text;
	return session_reply(session, &reply, NULL, 0, err);
}

/* More are wanted than are fetched at a time. */
static void report_waiting(const struct session *session, const struct message_reply *reply)
{
	size_t wanted = 0;

	for (size_t i = 0; i < reply->have.count; i++)
		if (!reply->have.items[i].value && ++wanted > session->parallel)
			report(session, i, "Waiting", 0, 0);
}

static int on_which(struct session *session, struct error *err)
{
	const struct session_sink *sink = session->sink;
	struct message_reply reply = { 0 };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < session->manifest.layers.count; i++) {
		struct message_event event = { .index = i };
		struct session_layer layer;
		struct message_flag *flag = json_array_add(&reply.have, sizeof(*flag));

		r = find_layer(&layer, session, &event, err);
		if (r == 0 && sink->have_layer)
			r = sink->have_layer(sink->arg, &layer, err);
		flag->value = r == 1;
		if (r >= 0)
			report(session, i, r ? "Already exists" : "Pulling fs layer", 0, 0);
	}
	if (r >= 0) {
		report_waiting(session, &reply);
		r = session_reply(session, &reply, NULL, 0, err);
	}
	json_free_fields(&reply, message_reply_fields);
	return r;
}

static int on_layer(struct session *session, const struct message_event *event, struct error *err)
{
	struct session_grant grant = { .ingest_fd = -1, .unpack_fd = -1 };
	struct message_reply reply = { 0 };
	struct session_layer layer;
	AUTO_CLOSE int unpack_fd = -1;
	int fds[2];
	int r;

	if (find_layer(&layer, session, event, err) < 0)
		return -1;
	r = session->sink->want_layer(session->sink->arg, &layer, &grant, err);
	if (r < 0)
		return -1;
	unpack_fd = r ? grant.unpack_fd : -1;
	fds[0] = grant.ingest_fd;
	fds[1] = unpack_fd;
	reply.want = r > 0;
	reply.unpack = unpack_fd >= 0;
	if (r == 0)
		report(session, layer.index, "Already exists", 0, 0);
	return session_reply(session, &reply, fds, reply.want ? 1 + (size_t)reply.unpack : 0, err);
}

static int on_done(struct session *session, const struct message_event *event, struct error *err)
{
	struct session_layer layer;

	if (find_layer(&layer, session, event, err) < 0)
		return -1;
	report(session, layer.index, "Extracting", layer.descriptor->size, layer.descriptor->size);
	if (session->sink->layer_done(session->sink->arg, &layer, err) < 0)
		return -1;
	report(session, layer.index, "Pull complete", 0, 0);
	return 0;
}

static int on_unpack_broke(struct session *session, const struct message_event *event, struct error *err)
{
	struct session_layer layer;

	if (find_layer(&layer, session, event, err) < 0)
		return -1;
	session->sink->unpack_broke(session->sink->arg, &layer, err);
	if (!error_is_set(err))
		error_set(err, ERR_INTERNAL, "unpack layer %s: the unpacker stopped", layer.descriptor->digest);
	return -1;
}

static int on_progress(struct session *session, const struct message_event *event, struct error *err)
{
	struct session_layer layer;

	if (find_layer(&layer, session, event, err) < 0)
		return -1;
	report(session, layer.index, text_or_empty(event->status), event->current, event->total);
	return 0;
}

/* ---- the loop ---- */

static int on_end(struct session *session, struct message_event *event, struct error *err)
{
	if (event->error_kind) {
		enum error_kind kind = error_kind_parse(event->error_kind);

		error_set(err, kind == ERR_NONE ? ERR_INTERNAL : kind, "%s", text_or_empty(event->error_message));
		err->errnum = (int)event->error_number;
		return -1;
	}
	session->end = *event;
	*event = (struct message_event){ 0 };
	return 1;
}

/* 1: it was the last one. */
static int handle(struct session *session, struct message_event *event, struct error *err)
{
	if (text_equal(event->event, "end"))
		return on_end(session, event, err);
	if (session->handle)
		return session->handle(session, event, err);
	if (!session->sink)
		return error_set(err, ERR_INTERNAL, "unexpected event \"%s\" of %s", text_or_empty(event->event),
				 PROGRAM);
	if (text_equal(event->event, "document"))
		return on_document(session, event, err);
	if (text_equal(event->event, "limit"))
		return on_limit(session, event);
	if (text_equal(event->event, "known"))
		return on_known(session, event, err);
	if (text_equal(event->event, "which"))
		return on_which(session, err);
	if (text_equal(event->event, "layer"))
		return on_layer(session, event, err);
	if (text_equal(event->event, "progress"))
		return on_progress(session, event, err);
	if (text_equal(event->event, "done"))
		return on_done(session, event, err);
	if (text_equal(event->event, "unpack_broke"))
		return on_unpack_broke(session, event, err);
	return error_set(err, ERR_INTERNAL, "unknown event \"%s\" of %s", text_or_empty(event->event), PROGRAM);
}

int session_run(struct session *session, const struct message_request *request, struct error *err)
{
	AUTO_FREE char *line = json_encode(request, message_request_fields);
	int r = channel_send(&session->channel, line, NULL, 0, err);

	while (r == 0) {
		AUTO_FREE char *text = NULL;
		struct message_event event = { 0 };

		r = channel_receive(&text, &session->channel, session->cancel_fd, err);
		if (r < 0)
			return -1;
		if (r == 0)
			return explain_death(session, err);
		r = json_decode(&event, message_event_fields, text, strlen(text), err);
		if (r == 0)
			r = handle(session, &event, err);
		json_free_fields(&event, message_event_fields);
	}
	return r < 0 ? -1 : 0;
}

void session_fill_settings(struct message_request *request, const struct session_settings *settings)
{
	if (!settings)
		return;
	text_list_add_all(&request->insecure, &settings->insecure);
	text_list_add_all(&request->mirrors, &settings->mirrors);
	text_list_add_all(&request->peers, &settings->peers);
	text_list_add_all(&request->certs, &settings->certs);
	text_list_add_all(&request->folders, &settings->folders);
	request->parallel = settings->parallel;
}

void session_fill_auth(struct message_request *request, const struct session_auth *auth)
{
	if (!auth)
		return;
	request->auth.username = xstrdup(auth->username);
	request->auth.password = xstrdup(auth->password);
	request->auth.identity_token = xstrdup(auth->identity_token);
	request->auth.registry_token = xstrdup(auth->registry_token);
}

int session_pull(struct session_pulled *out_pulled, const struct session_pull *pull, const struct session_sink *sink,
		 struct error *err)
{
	AUTO(session_end) struct session session;
	struct message_request request = { .action = xstrdup("pull"), .reference = xstrdup(pull->reference) };
	int r = session_start(&session, pull->cancel_fd, err);

	session.sink = sink;
	session.parallel = pull->settings && pull->settings->parallel > 0 ? (size_t)pull->settings->parallel
									  : PARALLEL_DEFAULT;
	if (pull->known)
		text_list_add_all(&request.known, pull->known);
	session_fill_settings(&request, pull->settings);
	session_fill_auth(&request, pull->auth);
	request.strict = pull->match == PLATFORM_STRICT;
	request.unpacked_limit = pull->unpacked_limit;
	if (pull->platform) {
		request.platform = xcalloc(1, sizeof(*request.platform));
		platform_copy(request.platform, pull->platform);
	}
	if (r == 0)
		r = session_run(&session, &request, err);
	json_free_fields(&request, message_request_fields);
	if (r < 0)
		return -1;
	*out_pulled = (struct session_pulled){ .digest = take_ptr(session.end.digest),
					       .media_type = take_ptr(session.end.media_type) };
	return 0;
}

void session_pulled_fini(struct session_pulled *pulled)
{
	free(pulled->digest);
	free(pulled->media_type);
	*pulled = (struct session_pulled){ 0 };
}

int session_login(char **out_identity_token, const struct session_login *login, struct error *err)
{
	AUTO(session_end) struct session session;
	struct message_request request = { .action = xstrdup("login"), .server = xstrdup(login->server) };
	int r = session_start(&session, login->cancel_fd, err);

	session_fill_settings(&request, login->settings);
	session_fill_auth(&request, login->auth);
	if (r == 0)
		r = session_run(&session, &request, err);
	json_free_fields(&request, message_request_fields);
	if (r < 0)
		return -1;
	*out_identity_token = xstrdup(text_or_empty(session.end.identity_token));
	return 0;
}
