/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a question gets a number and a place in `waiting`. One of the
 * threads that wait is the reader: it receives a line without the lock, gives
 * the answer to whose it is and wakes all.
 */
#include "transfer/agent.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "oci/hasher.h"
#include "transfer/ask.h"
#include "transfer/session_private.h"

struct pending {
	struct list_node node;
	uint64_t id;
	bool done;
	struct message_answer answer;
};

struct agent {
	struct session session;
	struct mutex lock;
	struct condition answered;
	struct list waiting;
	uint64_t last_id;
	bool reading;
	struct error broken; /* the child went away */
};

/* ---- life ---- */

int agent_open(struct agent **out_agent, const struct agent_options *options, struct error *err)
{
	AUTO(agent_closep) struct agent *agent = xcalloc(1, sizeof(*agent));
	struct message_request request = { .action = xstrdup("serve"), .reference = xstrdup(options->reference) };
	AUTO_FREE char *line = NULL;
	int r;

	mutex_init(&agent->lock);
	condition_init(&agent->answered);
	list_init(&agent->waiting);
	request.verify = options->verify;
	session_fill_settings(&request, options->settings);
	session_fill_auth(&request, options->auth);
	line = json_encode(&request, message_request_fields);
	json_free_fields(&request, message_request_fields);
	r = session_start(&agent->session, options->cancel_fd, err);
	if (r == 0)
		r = channel_send(&agent->session.channel, line, NULL, 0, err);
	if (r == 0)
		*out_agent = take_ptr(agent);
	return r;
}

void agent_close(struct agent *agent)
{
	if (!agent)
		return;
	session_end(&agent->session);
	condition_fini(&agent->answered);
	mutex_fini(&agent->lock);
	error_clear(&agent->broken);
	free(agent);
}

/* ---- questions and answers ---- */

static void give_answer(struct agent *agent, struct message_answer *answer)
{
	LIST_FOR_EACH (node, &agent->waiting) {
		struct pending *pending = list_entry(node, struct pending, node);

		if (pending->id != answer->id || pending->done)
			continue;
		pending->answer = *answer;
		pending->done = true;
		return;
	}
	json_free_fields(answer, message_answer_fields);
}

/* Id 0 is the child's own: it could not even start. */
static int receive_answer(struct message_answer *out_answer, struct agent *agent, struct error *err)
{
	AUTO_FREE char *line = NULL;
	int r = channel_receive(&line, &agent->session.channel, agent->session.cancel_fd, err);

	if (r == 0)
		return error_set(err, ERR_INTERNAL, "%s went away", PROGRAM);
	if (r < 0 || json_decode(out_answer, message_answer_fields, line, strlen(line), err) < 0)
		return -1;
	if (out_answer->id == 0) {
		enum error_kind kind = error_kind_parse(text_or_empty(out_answer->error_kind));

		error_set(err, kind == ERR_NONE ? ERR_INTERNAL : kind, "%s",
			  out_answer->error_message ? out_answer->error_message : "the transfer ended early");
		json_free_fields(out_answer, message_answer_fields);
		return -1;
	}
	return 0;
}

static void read_one(struct agent *agent)
{
	struct message_answer answer = { 0 };
	struct error err = { 0 };
	int r;

	agent->reading = true;
	mutex_unlock(&agent->lock);
	r = receive_answer(&answer, agent, &err);
	mutex_lock(&agent->lock);
	agent->reading = false;
	if (r < 0 && !error_is_set(&agent->broken))
		error_transfer(&agent->broken, &err);
	else if (r == 0)
		give_answer(agent, &answer);
	error_clear(&err);
	condition_broadcast(&agent->answered);
}

static int wait_answer(struct agent *agent, struct pending *pending, struct error *err)
{
	mutex_assert_held(&agent->lock);
	while (!pending->done && !error_is_set(&agent->broken)) {
		if (agent->reading)
			condition_wait(&agent->answered, &agent->lock);
		else
			read_one(agent);
	}
	list_remove(&pending->node);
	if (!pending->done) {
		error_set(err, agent->broken.kind, "%s", agent->broken.message);
		err->errnum = agent->broken.errnum;
		return -1;
	}
	return 0;
}

/* fd is borrowed, -1: none. The answer is the caller's to free, also after a failure. */
static int ask(struct message_answer *out_answer, struct agent *agent, struct message_ask *question, int fd,
	       struct error *err)
{
	struct pending pending = { 0 };
	AUTO_FREE char *line = NULL;
	int r;

	mutex_lock(&agent->lock);
	pending.id = ++agent->last_id;
	question->id = pending.id;
	list_add_last(&agent->waiting, &pending.node);
	mutex_unlock(&agent->lock);

	line = json_encode(question, message_ask_fields);
	r = channel_send(&agent->session.channel, line, &fd, fd >= 0 ? 1 : 0, err);
	mutex_lock(&agent->lock);
	if (r == 0)
		r = wait_answer(agent, &pending, err);
	else
		list_remove(&pending.node);
	mutex_unlock(&agent->lock);
	*out_answer = pending.answer;
	if (r == 0 && out_answer->error_kind) {
		enum error_kind kind = error_kind_parse(out_answer->error_kind);

		error_set(err, kind == ERR_NONE ? ERR_INTERNAL : kind, "%s", text_or_empty(out_answer->error_message));
		err->errnum = (int)out_answer->error_number;
		return -1;
	}
	return r;
}

/* For questions whose answer is only that it went well, or whether. */
static int ask_plain(struct agent *agent, struct message_ask *question, int fd, struct error *err)
{
	struct message_answer answer = { 0 };
	int r = ask(&answer, agent, question, fd, err);

	if (r == 0)
		r = answer.found;
	json_free_fields(&answer, message_answer_fields);
	return r;
}

/* ---- documents ---- */

void agent_document_fini(struct agent_document *document)
{
	free(document->media_type);
	free(document->digest);
	free(document->text);
	free(document->limit);
	*document = (struct agent_document){ 0 };
}

static int check_text(const struct message_answer *answer, const char *what, struct error *err)
{
	struct digest said;
	struct digest got;

	if (!answer->text || digest_parse(&said, text_or_empty(answer->digest), err) < 0)
		return error_is_set(err) ? error_prefix(err, "document of %s", PROGRAM)
					 : error_set(err, ERR_INTERNAL, "%s sent no document", PROGRAM);
	digest_of(&got, said.algorithm, answer->text, strlen(answer->text));
	if (!digest_equal(&said, &got) || (digest_is_valid(what) && !text_equal(what, answer->digest)))
		return error_set(err, ERR_INTERNAL, "%s sent a document that is not %s", PROGRAM, what);
	return 0;
}

static int ask_document(struct agent_document *out_document, struct agent *agent, const char *act, const char *what,
			struct error *err)
{
	struct message_ask question = { .act = message_text(act), .what = message_text(what) };
	struct message_answer answer = { 0 };
	int r = ask(&answer, agent, &question, -1, err);

	if (r == 0 && text_equal(act, "manifest"))
		r = check_text(&answer, what, err);
	if (r == 0)
		*out_document = (struct agent_document){ .media_type = take_ptr(answer.media_type),
							 .digest = take_ptr(answer.digest),
							 .size = answer.size,
							 .text = take_ptr(answer.text),
							 .limit = take_ptr(answer.limit) };
	json_free_fields(&answer, message_answer_fields);
	return r;
}

int agent_manifest(struct agent_document *out_document, struct agent *agent, const char *what, struct error *err)
{
	return ask_document(out_document, agent, "manifest", what, err);
}

int agent_head(struct agent_document *out_document, struct agent *agent, const char *what, struct error *err)
{
	return ask_document(out_document, agent, "head", what, err);
}

int agent_put_manifest(struct agent *agent, const char *what, const char *media_type, const char *text,
		       struct error *err)
{
	struct message_ask question = { .act = message_text("put_manifest"),
					.what = message_text(what),
					.media_type = message_text(media_type),
					.text = message_text(text) };

	return ask_plain(agent, &question, -1, err) < 0 ? -1 : 0;
}

/* ---- blobs ---- */

int agent_find_blob(struct agent *agent, const struct descriptor *blob, const struct text_list *mounts,
		    struct error *err)
{
	struct message_ask question = { .act = message_text("find_blob"),
					.digest = message_text(blob->digest),
					.size = blob->size };

	if (mounts)
		question.mounts = *mounts;
	return ask_plain(agent, &question, -1, err);
}

int agent_blob(struct agent *agent, const struct descriptor *blob, int file_fd, struct error *err)
{
	struct message_ask question = { .act = message_text("blob"),
					.digest = message_text(blob->digest),
					.media_type = message_text(blob->media_type),
					.size = blob->size,
					.urls = blob->urls };

	return ask_plain(agent, &question, file_fd, err) < 0 ? -1 : 0;
}

int agent_put_blob(struct agent *agent, const struct descriptor *blob, int file_fd, struct error *err)
{
	struct message_ask question = { .act = message_text("put_blob"),
					.digest = message_text(blob->digest),
					.size = blob->size };

	return ask_plain(agent, &question, file_fd, err) < 0 ? -1 : 0;
}

/* ---- the rest ---- */

int agent_delete(struct agent *agent, const char *what, struct error *err)
{
	struct message_ask question = { .act = message_text("delete"), .what = message_text(what) };

	return ask_plain(agent, &question, -1, err) < 0 ? -1 : 0;
}

static int ask_names(struct text_list *out_names, struct agent *agent, const char *act, struct error *err)
{
	struct message_ask question = { .act = message_text(act) };
	struct message_answer answer = { 0 };
	int r = ask(&answer, agent, &question, -1, err);

	if (r == 0)
		text_list_add_all(out_names, &answer.names);
	json_free_fields(&answer, message_answer_fields);
	return r;
}

int agent_tags(struct text_list *out_names, struct agent *agent, struct error *err)
{
	return ask_names(out_names, agent, "tags", err);
}

int agent_catalog(struct text_list *out_names, struct agent *agent, struct error *err)
{
	return ask_names(out_names, agent, "catalog", err);
}

int agent_search(char **out_text, struct agent *agent, const char *term, uint64_t limit, struct error *err)
{
	struct message_ask question = { .act = message_text("search"), .what = message_text(term), .size = limit };
	struct message_answer answer = { 0 };
	int r = ask(&answer, agent, &question, -1, err);

	if (r == 0 && answer.text)
		*out_text = take_ptr(answer.text);
	if (r == 0)
		r = *out_text != NULL;
	json_free_fields(&answer, message_answer_fields);
	return r;
}

int agent_referrers(char **out_text, struct agent *agent, const char *digest, struct error *err)
{
	struct message_ask question = { .act = message_text("referrers"), .what = message_text(digest) };
	struct message_answer answer = { 0 };
	int r = ask(&answer, agent, &question, -1, err);

	if (r == 0)
		*out_text = take_ptr(answer.text);
	json_free_fields(&answer, message_answer_fields);
	return r;
}
