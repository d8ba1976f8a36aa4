/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "engine/container.h"
#include "engine/log.h"

struct listing {
	struct text text;
	const struct json_field *fields;
};

static void add_summary(void *context, struct container_summary *summary)
{
	struct listing *listing = context;

	if (listing->text.size > 1)
		text_add_char(&listing->text, ',');
	json_encode_to(&listing->text, summary, listing->fields);
}

DOCKER_HANDLER(docker_container_list)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	struct list_options options = {
		.all = query_bool(request, "all"),
		.size = query_bool(request, "size"),
		.filters = &filters,
	};
	AUTO(text_list_fini) struct text_list fields = { 0 };
	AUTO_FREE struct json_field *chosen = NULL;
	struct listing listing = { 0 };
	struct optional_i64 limit;

	/* Kist's own: dockerd ignores it, and so whoever asks gets all keys there. */
	if (!text_empty(http_query(request, "fields"))) {
		text_list_split(&fields, http_query(request, "fields"), ',');
		options.fields = &fields;
	}

	if (query_filters(&filters, request, container_filter_keys, err) < 0 ||
	    query_number(&limit, request, "limit", err) < 0)
		return -1;
	options.limit = limit.value > 0 ? limit.value : 0;
	chosen = container_list_fields(options.fields);
	listing.fields = chosen;
	text_add_char(&listing.text, '[');
	if (container_list(api->engine, &options, add_summary, &listing, err) < 0) {
		text_fini(&listing.text);
		return -1;
	}
	text_add_char(&listing.text, ']');
	reply_json_take(response, 200, text_take(&listing.text));
	return 0;
}

DOCKER_HANDLER(docker_container_inspect)
{
	struct docker_api *api = context;
	struct container_inspect inspect = { 0 };

	if (container_inspect(&inspect, api->engine, http_param(request, "id"), query_bool(request, "size"), err) < 0)
		return -1;
	reply_json(response, 200, &inspect, container_inspect_fields);
	json_free_fields(&inspect, container_inspect_fields);
	return 0;
}

DOCKER_HANDLER(docker_container_top)
{
	struct docker_api *api = context;
	struct container_top top = { 0 };

	if (container_top(&top, api->engine, http_param(request, "id"), http_query(request, "ps_args"), err) < 0)
		return -1;
	reply_json(response, 200, &top, container_top_fields);
	json_free_fields(&top, container_top_fields);
	return 0;
}

/* ---- logs ---- */

#define LOG_BATCH_BYTES ((size_t)64 << 10)

struct log_form {
	bool mux;
	bool timestamps;
	bool details;
};

static int log_query_from(struct log_query *out_query, const struct http_request *request, struct error *err)
{
	const char *tail = http_query(request, "tail");

	*out_query = (struct log_query){
		.want_stdout = query_bool(request, "stdout"),
		.want_stderr = query_bool(request, "stderr"),
		.follow = query_bool(request, "follow"),
		.tail = -1,
	};
	/* dockerd reads every tail that is no number as "all". */
	if (!text_empty(tail) && text_parse_i64(&out_query->tail, tail, 0, INT64_MAX) < 0)
		out_query->tail = -1;
	if (query_moment(&out_query->since_ns, request, "since", err) < 0)
		return -1;
	return query_moment(&out_query->until_ns, request, "until", err);
}

static void add_piece(struct text *out, const struct log_form *form, int stream, const struct text *front,
		      const char *data, size_t size)
{
	uint8_t header[MUX_HEADER_BYTES];

	if (form->mux) {
		mux_header(header, stream, front->size + size);
		text_add_bytes(out, header, sizeof(header));
	}
	text_add_bytes(out, front->data, front->size);
	text_add_bytes(out, data, size);
}

static void add_record(struct text *out, const struct log_form *form, const struct log_record *record)
{
	AUTO(text_fini) struct text front = { 0 };
	char time[CLOCK_TEXT_MAX];

	if (form->timestamps)
		text_addf(&front, "%s ", clock_format_fixed(time, record->time_ns));
	if (form->details) {
		AUTO_FREE char *attributes = text_list_join(record->attributes, ",");

		text_addf(&front, "%s ", attributes);
	}
	add_piece(out, form, (int)record->stream, &front, record->data, record->size);
}

static int flush(struct http_response *response, struct text *out, struct error *err)
{
	if (out->size > 0 && http_write(response, out->data, out->size, err) < 0)
		return -1;
	text_reset(out);
	return 0;
}

/* Lines that are at hand go out together; none waits for one that is still to come. */
static int write_records(struct http_response *response, const struct log_form *form, struct log_reader *reader,
			 int cancel_fd, struct error *err)
{
	AUTO(text_fini) struct text out = { 0 };
	struct log_record record;
	int r;

	while ((r = log_reader_next(reader, &record, cancel_fd, err)) > 0) {
		add_record(&out, form, &record);
		if ((out.size >= LOG_BATCH_BYTES || !log_reader_is_ready(reader)) && flush(response, &out, err) < 0)
			return -1;
	}
	return r < 0 ? -1 : flush(response, &out, err);
}

static int write_failure(struct http_response *response, const struct log_form *form, const struct error *failure)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(text_fini) struct text piece = { 0 };
	AUTO(text_fini) struct text out = { 0 };

	text_addf(&piece, "Error grabbing logs: %s\n", text_or_empty(failure->message));
	add_piece(&out, form, STREAM_SYSTEM_ERROR, &piece, "", 0);
	return flush(response, &out, &ignored);
}

static const char *stream_type(bool mux, const struct http_request *request)
{
	return mux && http_tag(request) >= API_VERSION(1, 42) ? "application/vnd.docker.multiplexed-stream"
							      : "application/vnd.docker.raw-stream";
}

DOCKER_HANDLER(docker_container_logs)
{
	struct docker_api *api = context;
	AUTO(log_reader_closep) struct log_reader *reader = NULL;
	struct log_form form = { .timestamps = query_bool(request, "timestamps"),
				 .details = query_bool(request, "details") };
	struct log_query query;
	int r;

	if (log_query_from(&query, request, err) < 0 ||
	    container_logs(&reader, api->engine, http_param(request, "id"), &query, err) < 0)
		return -1;
	form.mux = !log_reader_tty(reader);
	if (http_start(response, 200, stream_type(form.mux, request), err) < 0)
		return -1;
	r = write_records(response, &form, reader, http_cancel_fd(request), err);
	if (r < 0 && err->kind != ERR_CANCELED)
		write_failure(response, &form, err);
	return r;
}
