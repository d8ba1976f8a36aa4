/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a question goes over the channel, with the writing end of a pipe
 * if bytes are wanted. The child says the head before it writes the first byte,
 * closes the pipe, then says how it ended; so we read in that order too.
 */
#include "transfer/fetcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "transfer/session_private.h"

#define CHUNK_BYTES (256 * 1024)
#define PIPE_BYTES (1024 * 1024)

struct fetcher {
	struct session session;
	bool broken;
};

int fetcher_new(struct fetcher **out_fetcher, const struct fetcher_options *options, struct error *err)
{
	AUTO(fetcher_freep) struct fetcher *fetcher = xcalloc(1, sizeof(*fetcher));
	struct message_request request = { .action = xstrdup("fetch"), .server = xstrdup(options->server) };
	AUTO_FREE char *line = NULL;
	int r;

	session_fill_settings(&request, options->settings);
	session_fill_auth(&request, options->auth);
	line = json_encode(&request, message_request_fields);
	json_free_fields(&request, message_request_fields);
	r = session_start(&fetcher->session, -1, err);
	if (r == 0)
		r = channel_send(&fetcher->session.channel, line, NULL, 0, err);
	if (r < 0)
		return -1;
	*out_fetcher = take_ptr(fetcher);
	return 0;
}

void fetcher_free(struct fetcher *fetcher)
{
	if (!fetcher)
		return;
	session_end(&fetcher->session);
	free(fetcher);
}

void fetcher_stop(struct fetcher *fetcher)
{
	process_kill(&fetcher->session.process, SIGKILL);
}

bool fetcher_is_broken(const struct fetcher *fetcher)
{
	return fetcher->broken;
}

void fetch_head_fini(struct fetch_head *head)
{
	free(head->media_type);
	free(head->digest);
	free(head->link);
	free(head->filters);
	free(head->etag);
	free(head->mirror);
	*head = (struct fetch_head){ 0 };
}

static void take_head(struct fetch_head *out_head, struct message_fetched *answer)
{
	fetch_head_fini(out_head);
	*out_head = (struct fetch_head){
		.status = (int)answer->status,
		.media_type = answer->media_type ? take_ptr(answer->media_type) : xstrdup(""),
		.digest = take_ptr(answer->digest),
		.has_size = answer->size.set,
		.size = answer->size.value,
		.link = take_ptr(answer->link),
		.filters = take_ptr(answer->filters),
		.etag = take_ptr(answer->etag),
		.source = answer->source,
		.mirror = take_ptr(answer->mirror),
	};
}

static int send_question(struct fetcher *fetcher, const struct fetch_call *call, int fd, struct error *err)
{
	const struct message_fetch question = { .method = message_text(call->method),
						.path = message_text(call->path),
						.scope = message_text(call->scope),
						.manifest = call->manifest,
						.body = fd >= 0,
						.resume = call->resume,
						.once = call->once,
						.from = call->from,
						.url = message_text(call->url),
						.text = message_text(call->text),
						.send_size = { .set = call->send_size > 0, .value = call->send_size },
						.send_offset = call->send_offset,
						.headers = call->headers ? *call->headers : (struct text_list){ 0 } };
	AUTO_FREE char *line = json_encode(&question, message_fetch_fields);

	int fds[2];
	size_t count = 0;

	if (fd >= 0)
		fds[count++] = fd;
	if (call->send_size > 0)
		fds[count++] = call->send_fd;
	return channel_send(&fetcher->session.channel, line, fds, count, err);
}

static int read_answer(struct message_fetched *out_answer, struct fetcher *fetcher, struct error *err)
{
	AUTO_FREE char *line = NULL;
	int r = channel_receive(&line, &fetcher->session.channel, -1, err);

	if (r == 0)
		return error_set(err, ERR_UNAVAILABLE, "%s went away", PROGRAM);
	return r < 0 ? -1 : json_decode(out_answer, message_fetched_fields, line, strlen(line), err);
}

static int read_bytes(const struct fetch_call *call, int fd, struct error *err)
{
	AUTO_FREE char *chunk = xmalloc(CHUNK_BYTES);

	for (;;) {
		ssize_t got = read(fd, chunk, CHUNK_BYTES);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "read from %s", PROGRAM);
		if (got == 0)
			return 0;
		if (call->on_bytes(call->arg, chunk, (size_t)got, err) < 0)
			return -1;
	}
}

static int judge(const struct message_fetched *answer, struct error *err)
{
	enum error_kind kind;

	if (!answer->error_kind)
		return 0;
	kind = error_kind_parse(answer->error_kind);
	return error_set(err, kind == ERR_NONE ? ERR_INTERNAL : kind, "%s", text_or_empty(answer->error_message));
}

/* Everything behind the question; an error of ours leaves the child in an unknown state. */
static int read_all(struct fetch_head *out_head, struct fetcher *fetcher, const struct fetch_call *call, int fd,
		    struct message_fetched *answer, struct error *err)
{
	if (read_answer(answer, fetcher, err) < 0)
		return -1;
	if (answer->last) {
		take_head(out_head, answer);
		return 0;
	}
	/* It could not even begin: that is how it ends. */
	if (answer->error_kind)
		return error_set(err, ERR_INTERNAL, "%s: %s", PROGRAM, text_or_empty(answer->error_message));
	take_head(out_head, answer);
	json_free_fields(answer, message_fetched_fields);
	if (fd < 0)
		return error_set(err, ERR_INTERNAL, "%s sent a head nobody asked for", PROGRAM);
	if ((call->on_head && call->on_head(call->arg, out_head, err) < 0) || read_bytes(call, fd, err) < 0)
		return -1;
	return read_answer(answer, fetcher, err);
}

int fetcher_send(struct fetch_head *out_head, struct fetcher *fetcher, const struct fetch_call *call, struct error *err)
{
	struct message_fetched answer = { 0 };
	AUTO_CLOSE int reading = -1;
	AUTO_CLOSE int writing = -1;
	int r = 0;

	*out_head = (struct fetch_head){ 0 };
	if (call->on_bytes) {
		r = pipe_open(&reading, &writing);
		if (r < 0)
			return error_set_errno(err, ERR_EXHAUSTED, r, "create a pipe");
		fcntl(writing, F_SETPIPE_SZ, PIPE_BYTES);
	}
	r = send_question(fetcher, call, writing, err);
	if (writing >= 0)
		close(take_fd(&writing));
	if (r == 0)
		r = read_all(out_head, fetcher, call, reading, &answer, err);
	fetcher->broken = r < 0;
	if (r == 0)
		r = judge(&answer, err);
	json_free_fields(&answer, message_fetched_fields);
	return r;
}
