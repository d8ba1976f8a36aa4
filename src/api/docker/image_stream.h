/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_stream.h - answers of JSON lines: pull, push, import, load. The status
 * line goes out with the first message: what fails before is an ordinary error,
 * what fails after it goes into the stream.
 */
#pragma once

#include "base/error.h"
#include "http/server.h"

/* An image_progress; arg is the struct http_response. */
void image_stream_send(void *arg, const char *json);
/* Sends the status line now: an error from here on goes into the stream. */
void image_stream_begin(struct http_response *response);
/* The handler's last step; result is the verb's. */
int image_stream_finish(struct http_response *response, int result, struct error *err);
/* X-Registry-Auth decoded, yours; NULL: none. */
char *image_stream_auth(const struct http_request *request);
