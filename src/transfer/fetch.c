/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/fetch.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "oci/media_type.h"
#include "transfer/refusal.h"
#include "transfer/source.h"

#define CONNECT_TIMEOUT_S 5
#define TRIES_MAX 5
/* A cut after this much is a new start for the count of tries. */
#define PROGRESS_WORTH (1024 * 1024)
#define ACCEPT                                                                                                         \
	"Accept: " MEDIA_OCI_INDEX ", " MEDIA_DOCKER_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST          \
	", */*;q=0.1"

struct fetch {
	struct channel *channel; /* borrowed */
	struct source_list sources;
	struct remote *remote;
	atomic_bool stop;
};

/* One question. */
struct flow {
	struct fetch *fetch;
	const struct message_fetch *question;
	int fd;	     /* borrowed, or -1: no bytes wanted */
	int send_fd; /* the same: none to send */
	bool headed;
	bool begun;	  /* bytes of this try came */
	size_t source;	  /* asked now; once there are bytes, whose the first are */
	uint64_t written; /* of all tries */
	uint64_t skip;	  /* of a body that starts at zero although we asked for less */
};

/* ---- life ---- */

int fetch_open(struct fetch **out_fetch, const struct message_request *request, struct channel *channel,
	       struct error *err)
{
	AUTO(fetch_freep) struct fetch *fetch = xcalloc(1, sizeof(*fetch));

	fetch->channel = channel;
	if (source_list_load_server(&fetch->sources, request, &fetch->stop, err) < 0)
		return -1;
	fetch->remote =
		remote_new(&(struct remote_options){ .connect_timeout_s = CONNECT_TIMEOUT_S, .stop = &fetch->stop });
	*out_fetch = take_ptr(fetch);
	return 0;
}

void fetch_free(struct fetch *fetch)
{
	if (!fetch)
		return;
	remote_free(fetch->remote);
	source_list_fini(&fetch->sources);
	free(fetch);
}

/* ---- answers ---- */

static int send_answer(struct fetch *fetch, const struct message_fetched *answer, struct error *err)
{
	AUTO_FREE char *line = json_encode(answer, message_fetched_fields);

	return channel_send(fetch->channel, line, NULL, 0, err);
}

static void describe(struct message_fetched *answer, const struct remote_response *response)
{
	const char *length = remote_header(response, "content-length");
	const char *type = text_or_empty(remote_header(response, "content-type"));

	answer->status = response->status;
	answer->media_type = xstrndup(type, strcspn(type, "; "));
	answer->digest = xstrdup(remote_header(response, "docker-content-digest"));
	answer->etag = xstrdup(remote_header(response, "etag"));
	answer->link = xstrdup(remote_header(response, "link"));
	answer->filters = xstrdup(remote_header(response, "oci-filters-applied"));
	if (length && text_parse_u64(&answer->size.value, length, INT64_MAX) == 0)
		answer->size.set = true;
}

/* Mirrors say what a tag means, or give what a digest names, or both; for all else they are not asked. */
static bool may_ask(const struct source *source, const struct message_fetch *question)
{
	const char *what = strrchr(question->path, '/');
	bool reads = text_equal(question->method, "GET") || text_equal(question->method, "HEAD");

	return source->pushes || (reads && what && (strchr(what, ':') ? source->digests : source->tags));
}

/* Whose bytes they are; what they are worth is seen by who hashes them, and he may want another's. */
static void describe_source(struct message_fetched *answer, const struct flow *flow)
{
	const struct source_list *sources = &flow->fetch->sources;

	answer->source = flow->source;
	for (size_t i = flow->source + 1; text_empty(flow->question->url) && i < sources->count; i++)
		if (!answer->mirror && may_ask(&sources->items[i], flow->question))
			answer->mirror = xstrdup(sources->hosts.items[flow->source].address);
}

static int send_head(struct flow *flow, const struct remote_response *response, struct error *err)
{
	struct message_fetched answer = { 0 };
	int r;

	flow->headed = true;
	describe(&answer, response);
	describe_source(&answer, flow);
	r = send_answer(flow->fetch, &answer, err);
	json_free_fields(&answer, message_fetched_fields);
	return r;
}

/* ---- bytes ---- */

static int begin_body(struct flow *flow, const struct remote_response *head, struct error *err)
{
	const char *range = text_or_empty(remote_header(head, "content-range"));
	const char *start = text_after(range, "bytes ");

	flow->begun = true;
	flow->skip = head->status == 206 ? 0 : flow->written;
	if (head->status == 206 && (!start || strtoull(start, NULL, 10) != flow->written))
		return error_set(err, ERR_INVALID, "asked for bytes from %llu, the answer is for \"%s\"",
				 (unsigned long long)flow->written, range);
	return flow->headed ? 0 : send_head(flow, head, err);
}

static int take_body(void *arg, const struct remote_response *head, const void *data, size_t size, struct error *err)
{
	struct flow *flow = arg;
	size_t dropped;
	int r;

	if (!flow->begun && begin_body(flow, head, err) < 0)
		return -1;
	dropped = size < flow->skip ? size : (size_t)flow->skip;
	flow->skip -= dropped;
	r = write_full(flow->fd, (const char *)data + dropped, size - dropped);
	if (r < 0)
		return error_set_errno(err, ERR_CANCELED, r, "nobody wants the bytes any more");
	flow->written += size - dropped;
	return 0;
}

static int try_once(struct flow *flow, const struct source *source, struct remote_response *response, struct error *err)
{
	const struct message_fetch *question = flow->question;
	AUTO(text_list_fini) struct text_list headers = { 0 };

	flow->begun = false;
	if (question->manifest)
		text_list_add(&headers, ACCEPT);
	if (flow->written > 0)
		text_list_addf(&headers, "Range: bytes=%llu-", (unsigned long long)flow->written);
	return registry_send(response, source->registry, flow->fetch->remote,
			     &(struct registry_call){ .method = question->method,
						      .path = question->path,
						      .scope = text_empty(question->scope) ? NULL : question->scope,
						      .headers = &headers,
						      .on_body = flow->fd >= 0 ? take_body : NULL,
						      .arg = flow,
						      .once = question->once },
			     err);
}

/* What is no part of a registry: object storage, a program that wants to be told something. */
static int send_elsewhere(struct flow *flow, struct remote_response *response, struct error *err)
{
	const struct message_fetch *question = flow->question;
	bool file = question->send_size.set;
	struct remote_request request = { .method = question->method,
					  .url = question->url,
					  .headers = &question->headers,
					  .trust = &source_list_own(&flow->fetch->sources)->trust.remote,
					  .on_body = flow->fd >= 0 ? take_body : NULL,
					  .arg = flow };

	flow->begun = false;
	if (file) {
		request.body_fd = flow->send_fd;
		request.body_offset = question->send_offset;
		request.body_size = question->send_size.value;
	} else if (text_has_prefix(question->method, "P")) {
		/* POST and PUT say how long nothing is. */
		request.body = text_or_empty(question->text);
		request.body_size = strlen(request.body);
	}
	return remote_send(response, flow->fetch->remote, &request, err);
}

static bool was_cut(const struct remote_response *response)
{
	return response->failure == REMOTE_CUT || response->failure == REMOTE_TIMEOUT ||
	       response->failure == REMOTE_NO_CONNECT;
}

static int get_from(struct flow *flow, const struct source *source, struct remote_response *response, struct error *err)
{
	uint64_t last = flow->written;
	int attempt = 0;

	for (;;) {
		int r = try_once(flow, source, response, err);

		if (r == 0 || !flow->question->resume || flow->written == 0 || !was_cut(response))
			return r;
		if (flow->written - last >= PROGRESS_WORTH)
			attempt = 0;
		last = flow->written;
		if (++attempt >= TRIES_MAX)
			return r;
		remote_response_fini(response);
		error_clear(err);
		if (!registry_pause(source->registry, attempt, 0))
			return error_set(err, ERR_CANCELED, "canceled");
	}
}

/* From the first source that has it; if none has, what the last one said counts. */
static int get(struct flow *flow, struct remote_response *response, struct error *err)
{
	const struct source_list *sources = &flow->fetch->sources;
	bool asked = false;
	int r = 0;

	for (size_t i = flow->question->from; i < sources->count; i++) {
		if (!may_ask(&sources->items[i], flow->question))
			continue;
		asked = true;
		if (!flow->headed)
			flow->source = i;
		remote_response_fini(response);
		error_clear(err);
		r = get_from(flow, &sources->items[i], response, err);
		/* The rest of what was begun comes from the next, if the bytes never change. */
		if ((r == 0 && response->status / 100 == 2) || (flow->headed && !flow->question->resume))
			return r;
	}
	return asked ? r : error_set(err, ERR_NOT_FOUND, "no source may be asked for %s", flow->question->path);
}

static int answer_one(struct fetch *fetch, const struct message_fetch *question, int fd, int send_fd, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(error_clear) struct error problem = { 0 };
	struct flow flow = { .fetch = fetch, .question = question, .fd = fd, .send_fd = send_fd };
	struct message_fetched answer = { .last = true };
	int r = text_empty(question->url) ? get(&flow, &response, &problem)
					  : send_elsewhere(&flow, &response, &problem);

	if (r == 0) {
		describe(&answer, &response);
		describe_source(&answer, &flow);
		if (response.status / 100 != 2)
			refusal_error(&response, NULL, &problem);
	}
	if (error_is_set(&problem)) {
		answer.error_kind = xstrdup(error_kind_name(problem.kind));
		answer.error_message = xstrdup(problem.message);
	}
	r = send_answer(fetch, &answer, err);
	json_free_fields(&answer, message_fetched_fields);
	return r;
}

/* 1: answered; 0: the other end is gone. */
static int serve_one(struct fetch *fetch, struct error *err)
{
	struct message_fetch question = { 0 };
	AUTO_FREE char *line = NULL;
	AUTO_CLOSE int fd = -1;
	AUTO_CLOSE int send_fd = -1;
	int r = channel_receive(&line, fetch->channel, -1, err);

	if (r <= 0)
		return r;
	r = json_decode(&question, message_fetch_fields, line, strlen(line), err);
	if (r == 0 && question.body)
		fd = channel_take_fd(fetch->channel);
	if (r == 0 && question.send_size.set)
		send_fd = channel_take_fd(fetch->channel);
	if (r == 0 && ((question.body && fd < 0) || (question.send_size.set && send_fd < 0)))
		r = error_set(err, ERR_INTERNAL, "no descriptor came with the question");
	if (r == 0)
		r = answer_one(fetch, &question, fd, send_fd, err);
	json_free_fields(&question, message_fetch_fields);
	return r < 0 ? -1 : 1;
}

/* The death signal would come with the end of the thread that started us: here with the end of the program. */
static void *watch_other_end(void *arg)
{
	struct pollfd item = { .fd = *(const int *)arg, .events = POLLRDHUP };

	while (!(item.revents & (POLLHUP | POLLRDHUP | POLLERR)))
		poll(&item, 1, -1);
	_exit(0);
}

int fetch_run(struct fetch *fetch, struct error *err)
{
	int r;

	prctl(PR_SET_PDEATHSIG, 0);
	if (thread_start(NULL, "watch", watch_other_end, &fetch->channel->fd, err) < 0)
		return -1;
	do
		r = serve_one(fetch, err);
	while (r > 0);
	return r;
}
