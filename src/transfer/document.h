/* SPDX-License-Identifier: Apache-2.0 */
/* document.h - inside kist-transfer: manifests and indexes as registries give them, and what they say instead. */
#pragma once

#include "oci/descriptor.h"
#include "oci/reference.h"
#include "transfer/source.h"

/* GET or HEAD of a manifest by tag or digest; any status may come back. */
int document_request(struct remote_response *out_response, const struct source *source, struct remote *remote,
		     const char *method, const char *what, struct error *err);
/* What the descriptor or the server's header says, against the bytes; fills the descriptor's digest and size. */
int document_prove(struct descriptor *descriptor, const struct remote_response *response, struct error *err);
/* docker's words for a status that is no success. */
int document_refusal(const struct reference *reference, struct remote_response *response, struct error *err);
/* "98 of 100" from "ratelimit-remaining: 98;w=21600" and its like (yours); NULL: the registry does not count. */
char *document_limit(const struct remote_response *response);
