/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upload.h - one blob from a file into a repository.
 *
 * What is there is skipped (HEAD), what another repository of the registry has
 * is mounted, all else goes in one request, or in chunks where the registry
 * wants them small. What is cut goes on where the registry says it stopped.
 */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

#include "transfer/registry.h"

struct upload {
	struct registry *registry;
	struct remote *remote;
	const char *repository; /* "library/debian" */
	const char *digest;
	uint64_t size;
	const struct text_list *mounts; /* repositories that may have it */
	/* The bytes: a descriptor that stays the caller's. Asked once, when they are needed. */
	int (*open)(void *arg, struct error *err);
	void (*progress)(void *arg, const char *status, uint64_t current, uint64_t total);
	void *arg;
};

/* Its last progress is "Layer already exists", "Mounted from <repository>" or "Pushed". */
int upload_blob(struct upload *upload, struct error *err);
/*
 * What is still being packed: sent as it comes, in one PATCH of unknown length; digest() is asked for when all has been
 * read, and fills upload->digest and size. 1: pushed; 0: this registry, or this time, it has to be upload_blob().
 */
struct upload_stream {
	ssize_t (*more)(void *arg, uint64_t offset, void *data, size_t size, struct error *err);
	int (*digest)(void *arg, struct upload *upload, struct error *err);
	void *arg;
};

int upload_as_it_comes(struct upload *upload, const struct upload_stream *stream, struct error *err);
/* 1 if it is there, or was mounted; 0 if it must be sent. Never asks for the bytes. */
int upload_find(struct upload *upload, struct error *err);
