/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h - where finished blobs and the documents that name them go, or come
 * from: a registry's repository, a client's folder. Caches and images alike.
 *
 * Blobs first, documents behind them, the one everything hangs on last. What is
 * read is not proven: whoever asks hashes it.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "oci/descriptor.h"

struct place {
	void *arg;
	/* 1: it is there. NULL: nobody knows. */
	int (*has)(void *arg, const struct descriptor *blob, struct error *err);
	int (*put)(void *arg, const struct descriptor *blob, int fd, struct error *err);
	/* root: the last one, which gets the place's name. */
	int (*put_document)(void *arg, const struct descriptor *document, const char *text, bool root,
			    struct error *err);
	/* The document that the place's name means; yours. */
	int (*get_root)(void *arg, char **out_text, struct error *err);
	/* To an empty file (borrowed). */
	int (*get)(void *arg, const struct descriptor *blob, int fd, struct error *err);
	void (*close)(void *arg);
};

void place_close(struct place *place);
/* Of a document or another small blob. */
void place_describe(struct descriptor *out_descriptor, const char *media_type, const char *text);

struct build;
/* A repository, at the reference's tag or digest. */
int place_open_registry(struct place *out_place, const struct build *build, const char *reference, struct error *err);
/* An OCI layout in a tar stream. Nothing can be read of it. */
struct place_archive {
	/* Full references, for index.json; or words like "latest". NULL: none. (borrowed) */
	const struct text_list *names;
	int (*write)(void *arg, const void *data, size_t size, struct error *err);
	void *arg;
};
void place_open_archive(struct place *out_place, const struct place_archive *options);
