/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/image_stream.h"

#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/quote.h"

void image_stream_begin(struct http_response *response)
{
	AUTO(error_clear) struct error err = { 0 };

	/* A failure marks the response: later writes fail too. */
	if (!http_started(response))
		http_start(response, 200, "application/json", &err);
}

void image_stream_send(void *arg, const char *json)
{
	struct http_response *response = arg;
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *line = xasprintf("%s\r\n", json);

	image_stream_begin(response);
	/* A client that is gone is seen by the cancel descriptor. */
	http_write(response, line, strlen(line), &err);
}

int image_stream_finish(struct http_response *response, int result, struct error *err)
{
	AUTO(text_fini) struct text json = { 0 };
	const char *message = text_or_empty(err->message);

	if (result >= 0) {
		if (!http_started(response))
			http_reply(response, 200, "application/json", "", 0);
		return 0;
	}
	if (!http_started(response)) {
		/* A 401 would make docker's client ask for a user name on the terminal; dockerd answers 500. */
		if (err->kind == ERR_UNAUTHORIZED)
			err->kind = ERR_INTERNAL;
		return -1;
	}
	text_add(&json, "{\"errorDetail\":{\"message\":");
	quote_json(&json, message, strlen(message));
	text_add(&json, "},\"error\":");
	quote_json(&json, message, strlen(message));
	text_add(&json, "}");
	image_stream_send(response, json.data);
	error_clear(err);
	return 0;
}

char *image_stream_auth(const struct http_request *request)
{
	const char *header = http_header(request, "X-Registry-Auth");
	char *auth = NULL;
	size_t size;

	/* dockerd reads a broken header as none: old clients send odd ones when they have no credentials. */
	if (!text_empty(header) && base64_decode(&auth, &size, header) == 0)
		return auth;
	return NULL;
}
