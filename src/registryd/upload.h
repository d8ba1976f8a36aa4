/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upload.h - blobs that clients are sending in several requests.
 *
 * An upload lives in memory with a blob_writer and belongs to one repository
 * and, while a request works on it, to that request. Those nobody touched for
 * an hour are dropped, and so are all at a restart: the client is told
 * BLOB_UPLOAD_UNKNOWN and starts again, as it must be able to.
 * Threads: share the table freely.
 */
#pragma once

#include "store/blob.h"

#define UPLOAD_ID_MAX 40

struct upload_table;

struct upload {
	char id[UPLOAD_ID_MAX];
	char *repository;
	struct blob_writer *writer;
	uint64_t size;
	uint64_t room; /* so many bytes the repository may still take */
	int64_t touched_ns;
	bool busy;
};

struct upload_table *upload_table_new(struct blob_store *blobs);
void upload_table_free(struct upload_table *table);
DEFINE_AUTO(struct upload_table, upload_table_free)

/* A new one, taken. */
int upload_start(struct upload **out_upload, struct upload_table *table, const char *repository, struct error *err);
/* Takes one: ERR_NOT_FOUND, or ERR_CONFLICT while another request has it. */
int upload_take(struct upload **out_upload, struct upload_table *table, const char *repository, const char *id,
		struct error *err);
/* How much of one has come, without taking it: nobody else is refused because somebody asks. Errors as above. */
int upload_look(uint64_t *out_size, struct upload_table *table, const char *repository, const char *id,
		struct error *err);
/* Gives it back for the next request. */
void upload_give(struct upload_table *table, struct upload *upload);
/* Ends a taken one. */
void upload_drop(struct upload_table *table, struct upload *upload);
