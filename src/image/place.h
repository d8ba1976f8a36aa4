/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h - somewhere an image can be: "docker://busybox", "oci:folder:tag",
 * "oci-archive:file:tag", "docker-archive:file:name", "dir:folder".
 *
 * A place names one image (or index). Reading and writing are one interface;
 * what a place cannot do fails with ERR_UNSUPPORTED. Nothing has a name in the
 * destination before place_finish().
 * Threads: blobs may be moved by several at a time; documents by one.
 */
#pragma once

#include "base/cleanup.h"
#include "image/request.h"
#include "oci/descriptor.h"
#include "oci/manifest.h"

/* A manifest or index: its exact bytes. */
struct document {
	char *media_type;
	char *digest;
	char *text;
	size_t size;
	char *limit; /* of registries that count: requests left */
};

void document_fini(struct document *document);
/* Takes text; the digest is of its bytes. */
void document_init(struct document *out_document, const char *media_type, char *text);

/* The same for bytes that must have this digest, sha512 too. */
int document_check(struct document *out_document, const char *media_type, const char *digest, char *text,
		   struct error *err);

struct place;

struct place_ops {
	/* By digest, or (NULL) what the place names. */
	int (*document)(struct place *place, struct document *out_document, const char *digest, struct error *err);
	/* Into the file, which may hold a first part; then the bytes are proven. */
	int (*blob)(struct place *place, const struct descriptor *blob, int file_fd, struct error *err);
	/* 1: it is there already. Mounts: repositories of the same registry that may have it. NULL: never. */
	int (*find)(struct place *place, const struct descriptor *blob, const struct text_list *mounts,
		    struct error *err);
	/* Where the bytes of a blob are best written: a file (yours) that may hold a first part. NULL: any. */
	int (*blob_file)(struct place *place, const struct descriptor *blob, struct error *err);
	int (*put_blob)(struct place *place, const struct descriptor *blob, int file_fd, struct error *err);
	/* top: it is what the place names, else it is part of it. */
	int (*put_document)(struct place *place, const struct document *document, bool top, struct error *err);
	int (*finish)(struct place *place, struct error *err); /* NULL: nothing to do */
	void (*free)(struct place *place);
};

enum place_likes { PLACE_LIKES_ANY, PLACE_LIKES_OCI, PLACE_LIKES_DOCKER };

struct place {
	const struct place_ops *ops;
	char *name;	  /* as it was typed */
	char *registry;	  /* its domain; NULL: none */
	char *repository; /* NULL: none */
	enum place_likes likes;
	bool one_image;	   /* no indexes here */
	bool plain_layers; /* its layers are uncompressed because it keeps them so, not because they were */
	bool packs;	   /* plain layers of such a place are better compressed here */
};

enum place_use { PLACE_READ, PLACE_WRITE };

struct place_options {
	const struct image_request *request; /* borrowed: credentials */
	const struct image_access *access;   /* borrowed */
	enum place_use use;
};

/* A text without a transport is a name in a registry. */
int place_open(struct place **out_place, const char *name, const struct place_options *options, struct error *err);
void place_free(struct place *place);
DEFINE_AUTO(struct place, place_free)

int place_document(struct place *place, struct document *out_document, const char *digest, struct error *err);
/* The whole of a small blob, as text (yours). */
int place_text(struct place *place, const struct descriptor *blob, size_t limit, char **out_text, struct error *err);
int place_finish(struct place *place, struct error *err);

/* A file without a name for bytes on their way. */
int place_scratch(struct error *err);
/* Copies all of source's bytes from `offset`, at most `size`, into file_fd, and proves them. */
int place_copy_proven(int file_fd, int source_fd, uint64_t offset, const struct descriptor *blob, struct error *err);
/* "path:reference" of a transport; the reference NULL if there is none. Both yours. */
void place_split(char **out_path, char **out_reference, const char *rest);

int place_registry_open(struct place **out_place, const char *name, const struct place_options *options,
			struct error *err);
int place_layout_open(struct place **out_place, const char *rest, bool archive, enum place_use use, struct error *err);
int place_dir_open(struct place **out_place, const char *rest, enum place_use use, struct error *err);
int place_docker_open(struct place **out_place, const char *rest, enum place_use use, struct error *err);
