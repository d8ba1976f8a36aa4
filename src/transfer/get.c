/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/get.h"

#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "http/remote.h"

#define PROGRESS_NS (CLOCK_SECOND / 10)

struct get {
	struct channel *channel; /* borrowed */
	uint64_t limit;
	uint64_t total; /* 0: not known */
	uint64_t written;
	int64_t told_ns;
	int fd; /* owned; -1: not asked for yet */
};

static int send_event(const struct get *get, const struct message_event *event, struct error *err)
{
	AUTO_FREE char *line = json_encode(event, message_event_fields);

	return channel_send(get->channel, line, NULL, 0, err);
}

/* The descriptor arrives with the reply, at the latest. */
static int ask_for_file(struct get *get, const struct remote_response *head, struct error *err)
{
	const char *length = remote_header(head, "content-length");
	AUTO_FREE char *line = NULL;
	int r;

	if (length && text_parse_u64(&get->total, length, INT64_MAX) < 0)
		get->total = 0;
	if (send_event(get, &(struct message_event){ .event = message_text("file") }, err) < 0)
		return -1;
	r = channel_receive(&line, get->channel, -1, err);
	if (r > 0)
		get->fd = channel_take_fd(get->channel);
	if (r >= 0 && get->fd < 0)
		return error_set(err, ERR_CANCELED, "nobody wants the file any more");
	return r < 0 ? -1 : 0;
}

static int tell(struct get *get, struct error *err)
{
	int64_t now_ns = clock_monotonic_ns();

	if (now_ns - get->told_ns < PROGRESS_NS)
		return 0;
	get->told_ns = now_ns;
	return send_event(get,
			  &(struct message_event){
				  .event = message_text("progress"), .current = get->written, .total = get->total },
			  err);
}

static int take_body(void *arg, const struct remote_response *head, const void *data, size_t size, struct error *err)
{
	struct get *get = arg;
	int r;

	if (get->fd < 0 && ask_for_file(get, head, err) < 0)
		return -1;
	if (size > get->limit - get->written)
		return error_set(err, ERR_EXHAUSTED, "the file is larger than the %llu bytes there is room for",
				 (unsigned long long)get->limit);
	r = write_full(get->fd, data, size);
	if (r < 0)
		return error_set_errno(err, ERR_EXHAUSTED, r, "write the file");
	get->written += size;
	return tell(get, err);
}

static void describe(struct message_event *end, const struct remote_response *response)
{
	end->code = response->status;
	end->etag = xstrdup(remote_header(response, "etag"));
	end->modified = xstrdup(remote_header(response, "last-modified"));
}

int get_run(struct channel *channel, const struct message_request *request, struct message_event *out_end,
	    struct error *err)
{
	AUTO(remote_freep) struct remote *remote = remote_new(&(struct remote_options){ 0 });
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(text_list_fini) struct text_list headers = { 0 };
	struct get get = { .channel = channel, .limit = request->unpacked_limit, .fd = -1 };
	const struct remote_request question = { .url = text_or_empty(request->url),
						 .headers = &headers,
						 .authorization = request->authorization,
						 .on_body = take_body,
						 .arg = &get };
	int r;

	if (!text_empty(request->etag))
		text_list_addf(&headers, "If-None-Match: %s", request->etag);
	r = remote_send(&response, remote, &question, err);
	if (get.fd >= 0)
		close(get.fd);
	if (r < 0)
		return -1;
	describe(out_end, &response);
	return 0;
}
