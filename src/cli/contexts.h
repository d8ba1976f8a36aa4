/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contexts.h - docker's contexts: named engines, kept beside config.json.
 *
 *   contexts/meta/<sha256 of the name>/meta.json   {"Name","Metadata":{"Description"},"Endpoints":{"docker":{"Host",...}}}
 *   contexts/tls/<sha256 of the name>/docker/{ca,cert,key}.pem
 *
 * "default" is no file: it is whatever DOCKER_HOST and its like say.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/config.h"
#include "json/json.h"

struct saved_context {
	char *name;
	char *description;
	char *host; /* of its docker endpoint */
	bool skip_tls_verify;
};
void saved_context_fini(struct saved_context *context);

/* Files of a context; all yours, those that are not there are NULL. */
struct context_tls {
	char *ca;
	char *certificate;
	char *key;
};
void context_tls_fini(struct context_tls *tls);

int context_check_name(const char *name, struct error *err);
/* ERR_NOT_FOUND in docker's words. */
int context_load(struct saved_context *out_context, const struct config *config, const char *name, struct error *err);
bool context_exists(const struct config *config, const char *name);
/* Writes the metadata; what the file has beside it stays. */
int context_save(const struct saved_context *context, const struct config *config, struct error *err);
int context_remove(const struct config *config, const char *name, struct error *err);
/* All but default, sorted. */
void context_names(struct text_list *out_names, const struct config *config);
void context_tls_find(struct context_tls *out_tls, const struct config *config, const char *name);
/* Copies a file into its TLS folder: "ca.pem", "cert.pem", "key.pem". */
int context_tls_put(const struct config *config, const char *name, const char *file, const char *text, size_t size,
		    struct error *err);
/* <config>/contexts/meta/<id> or .../tls/<id>: yours. */
char *context_folder(const struct config *config, const char *kind, const char *name);

/* By DOCKER_HOST, --context, DOCKER_CONTEXT, config.json, in docker's order; borrowed. */
const char *context_current(const struct config *config, const char *chosen);
/* Writes currentContext ("" or "default": none). */
int context_use(const struct config *config, const char *name, struct error *err);
