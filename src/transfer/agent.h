/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h - one repository of a registry, through a kist-transfer that serves
 * it: documents and blobs both ways, lists, deletion.
 *
 * The child is unprivileged and writes to the descriptors it is given only.
 * Documents are hashed again here; blobs are proven by the child.
 * Threads: share an agent freely; every call blocks until its answer is there.
 */
#pragma once

#include "base/cleanup.h"
#include "transfer/session.h"

struct agent;

struct agent_options {
	const char *reference; /* of its repository; tag and digest do not count */
	const struct session_auth *auth;
	const struct session_settings *settings;
	bool verify; /* TLS with a good certificate only, whatever the settings say, also on loopback */
	int cancel_fd;
};

int agent_open(struct agent **out_agent, const struct agent_options *options, struct error *err);
void agent_close(struct agent *agent);
DEFINE_AUTO(struct agent, agent_close)

struct agent_document {
	char *media_type;
	char *digest;
	uint64_t size;
	char *text;  /* NULL: only its head was asked */
	char *limit; /* requests left here, or NULL */
};

void agent_document_fini(struct agent_document *document);

/* `what` is a tag or a digest. ERR_NOT_FOUND. */
int agent_manifest(struct agent_document *out_document, struct agent *agent, const char *what, struct error *err);
int agent_head(struct agent_document *out_document, struct agent *agent, const char *what, struct error *err);
/* Under a tag or its digest. */
int agent_put_manifest(struct agent *agent, const char *what, const char *media_type, const char *text,
		       struct error *err);
/* 1 if the repository has it, now maybe mounted from one of `mounts` (NULL: none); 0 if not. */
int agent_find_blob(struct agent *agent, const struct descriptor *blob, const struct text_list *mounts,
		    struct error *err);
/* Into a file, which may hold a first part; borrowed. What it has then is what the digest says. */
int agent_blob(struct agent *agent, const struct descriptor *blob, int file_fd, struct error *err);
int agent_put_blob(struct agent *agent, const struct descriptor *blob, int file_fd, struct error *err);
/* A manifest, with all its tags if `what` is a digest. */
int agent_delete(struct agent *agent, const char *what, struct error *err);
int agent_tags(struct text_list *out_names, struct agent *agent, struct error *err);
/* Of the whole registry. */
int agent_catalog(struct text_list *out_names, struct agent *agent, struct error *err);
/* 1 with what Docker Hub, or a registry that has a search like it, says (yours, not proven); 0: it has none. */
int agent_search(char **out_text, struct agent *agent, const char *term, uint64_t limit, struct error *err);
/* An index's text (yours): of all that refer to a manifest. */
int agent_referrers(char **out_text, struct agent *agent, const char *digest, struct error *err);
