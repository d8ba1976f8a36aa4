/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/scrub.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "oci/hasher.h"

#define CHUNK_BYTES ((size_t)1 << 20)

struct pass {
	struct api *api;
	struct routine *routine;
	uint64_t blobs;
	uint64_t bytes;
	uint64_t damaged;
};

/* At the pace that was asked for. -1: it shall end, or the file cannot be read. */
static int hash_slowly(struct digest *out_digest, const struct pass *pass, enum digest_algorithm algorithm, int fd,
		       struct error *err)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(algorithm);
	AUTO_FREE char *chunk = xmalloc(CHUNK_BYTES);
	ssize_t got;

	while ((got = read(fd, chunk, CHUNK_BYTES)) > 0) {
		hasher_add(hasher, chunk, (size_t)got);
		if (!routine_pause(pass->routine, got * 1000 / api_config(pass->api)->scrub_rate))
			return error_set(err, ERR_CANCELED, "the registry ends");
	}
	if (got < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read a blob");
	hasher_digest(hasher, out_digest);
	return 0;
}

static void put_aside(struct pass *pass, const struct digest *digest, const char *why)
{
	AUTO(error_clear) struct error quarantined = { 0 };
	char text[DIGEST_TEXT_MAX];

	pass->damaged++;
	blob_verify(catalog_blobs(pass->api->catalog), digest, &quarantined);
	log_error(pass->api->log, "damaged blob", F("digest", digest_text(digest, text)),
		  F("error", error_is_set(&quarantined) ? quarantined.message : why));
}

static int visit(void *arg, const struct digest *digest, uint64_t size, struct error *err)
{
	struct pass *pass = arg;
	AUTO(error_clear) struct error problem = { 0 };
	AUTO_CLOSE int fd = blob_open(catalog_blobs(pass->api->catalog), digest, &problem);
	struct digest actual;

	/* Deleted meanwhile. */
	if (fd < 0)
		return 0;
	if (hash_slowly(&actual, pass, digest->algorithm, fd, &problem) < 0) {
		if (problem.kind == ERR_CANCELED)
			return error_move(err, &problem);
		put_aside(pass, digest, problem.message);
		return 0;
	}
	pass->blobs++;
	pass->bytes += size;
	if (!digest_equal(&actual, digest))
		put_aside(pass, digest, "its bytes are not what its digest says");
	return 0;
}

static void scrub(void *arg, struct routine *routine)
{
	struct pass pass = { .api = arg, .routine = routine };
	AUTO(error_clear) struct error err = { 0 };
	char numbers[3][24];

	if (api_config(pass.api)->scrub_interval_s == 0)
		return;
	if (blob_walk(catalog_blobs(pass.api->catalog), visit, &pass, &err) < 0) {
		if (err.kind != ERR_CANCELED)
			log_error(pass.api->log, "scrub", F("error", err.message));
		return;
	}
	metrics_add_scrub(pass.api->metrics, pass.blobs, pass.damaged);
	snprintf(numbers[0], sizeof(numbers[0]), "%llu", (unsigned long long)pass.blobs);
	snprintf(numbers[1], sizeof(numbers[1]), "%llu", (unsigned long long)pass.bytes);
	snprintf(numbers[2], sizeof(numbers[2]), "%llu", (unsigned long long)pass.damaged);
	log_info(pass.api->log, "scrubbed", F("blobs", numbers[0]), F("bytes", numbers[1]), F("damaged", numbers[2]));
}

static int64_t interval_s(void *arg)
{
	const struct api *api = arg;
	int64_t seconds = api_config(api)->scrub_interval_s;

	return seconds ? seconds : 3600;
}

int scrub_start(struct routine **out_routine, struct api *api, struct error *err)
{
	return routine_start(
		out_routine,
		&(struct routine_options){ .name = "scrub", .interval_s = interval_s, .work = scrub, .arg = api }, err);
}
