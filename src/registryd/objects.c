/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/objects.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/thread.h"

#define SECRET_MAX 4096
#define URL_LIFE_S 3600
#define PART_BYTES ((uint64_t)64 << 20)
#define TRIES_MAX 4
#define PAUSE_FIRST_MS 200
#define ANSWER_MAX (64 * 1024)
#define LIST_MAX (4 * 1024 * 1024)

struct objects {
	const struct s3_config *config; /* borrowed */
	const struct log *log;		/* borrowed */
	char *secret;
	struct upstream_config upstream_config;
	struct upstream_list *upstreams;
	struct mutex lock;
	struct condition released;
	struct map held; /* digests; guarded by lock */
};

int objects_new(struct objects **out_objects, const struct s3_config *config, const struct log *log, struct error *err)
{
	AUTO(objects_freep) struct objects *objects = xcalloc(1, sizeof(*objects));
	AUTO_FREE char *secret = NULL;
	int r = file_read(&secret, NULL, AT_FDCWD, config->secret_file, SECRET_MAX);

	objects->config = config;
	objects->log = log;
	mutex_init(&objects->lock);
	condition_init(&objects->released);
	map_init(&objects->held, NULL);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", config->secret_file);
	objects->secret = xstrdup(text_trim(secret));
	objects->upstream_config = (struct upstream_config){ .name = config->bucket,
							     .url = config->endpoint,
							     .insecure = config->insecure };
	objects->upstreams = upstream_list_new(&objects->upstream_config, 1);
	*out_objects = take_ptr(objects);
	return 0;
}

void objects_stop(struct objects *objects)
{
	if (objects)
		upstream_list_stop(objects->upstreams);
}

void objects_free(struct objects *objects)
{
	if (!objects)
		return;
	upstream_list_free(objects->upstreams);
	map_fini(&objects->held);
	condition_fini(&objects->released);
	mutex_fini(&objects->lock);
	free(objects->secret);
	free(objects);
}

const struct s3_config *objects_config(const struct objects *objects)
{
	return objects->config;
}

struct upstream *objects_upstream(struct objects *objects)
{
	return upstream_by_name(objects->upstreams, objects->config->bucket);
}

/* ---- names ---- */

void objects_hold(struct objects *objects, const struct digest *digest)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&objects->lock);
	char text[DIGEST_TEXT_MAX];

	digest_text(digest, text);
	while (map_get(&objects->held, text))
		condition_wait(&objects->released, &objects->lock);
	map_set(&objects->held, text, objects);
}

bool objects_try_hold(struct objects *objects, const struct digest *digest)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&objects->lock);
	char text[DIGEST_TEXT_MAX];

	digest_text(digest, text);
	if (map_get(&objects->held, text))
		return false;
	map_set(&objects->held, text, objects);
	return true;
}

void objects_release(struct objects *objects, const struct digest *digest)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&objects->lock);
	char text[DIGEST_TEXT_MAX];

	map_remove(&objects->held, digest_text(digest, text));
	condition_broadcast(&objects->released);
}

/* Behind the prefix; yours. */
static char *name_of(const struct digest *digest)
{
	char text[DIGEST_TEXT_MAX];
	size_t algorithm;

	digest_text(digest, text);
	algorithm = strcspn(text, ":");
	return xasprintf("blobs/%.*s/%s", (int)algorithm, text, text + algorithm + 1);
}

/* digest NULL: of the bucket. */
static char *url_of(struct objects *objects, const char *method, const struct digest *digest, const char *query)
{
	AUTO_FREE char *name = digest ? name_of(digest) : xstrdup("");

	return s3_url(objects->config, objects->secret,
		      &(struct s3_request){ .method = method,
					    .name = name,
					    .query = query,
					    .wall_ns = clock_wall_ns(),
					    .life_s = URL_LIFE_S });
}

char *objects_url(struct objects *objects, const char *method, const struct digest *digest)
{
	return url_of(objects, method, digest, NULL);
}

/* ---- requests ---- */

static int take_bytes(void *arg, const void *data, size_t size, struct error *err)
{
	struct buffer *buffer = arg;

	buffer_append(buffer, data, size);
	return buffer_failed(buffer) ? error_set(err, ERR_INVALID, "the answer is too large") : 0;
}

static bool is_worth_retrying(const struct fetch_head *head)
{
	return head->status == 0 || head->status == 408 || head->status == 429 || head->status >= 500;
}

/* Again, if that may help; body (may be NULL) is emptied before each try. */
static int send_again(struct objects *objects, struct fetch_head *out_head, struct fetch_call *call,
		      struct buffer *body, struct error *err)
{
	AUTO(text_list_fini) struct text_list headers = { 0 };

	/* Or libcurl says that it is a form. */
	text_list_add(&headers, "Content-Type: application/octet-stream");
	call->headers = &headers;
	for (int attempt = 0;; attempt++) {
		int r;

		fetch_head_fini(out_head);
		error_clear(err);
		call->on_bytes = body ? take_bytes : NULL;
		call->arg = body;
		if (body)
			body->size = 0;
		r = upstream_send(out_head, objects_upstream(objects), call, err);
		if (r == 0 || attempt + 1 == TRIES_MAX || !is_worth_retrying(out_head))
			return r;
		clock_sleep_ms(PAUSE_FIRST_MS << attempt);
	}
}

/* ---- put ---- */

static int put_whole(struct objects *objects, const struct digest *digest, int fd, uint64_t size, struct error *err)
{
	AUTO_FREE char *url = url_of(objects, "PUT", digest, NULL);
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };
	struct fetch_call call = { .method = "PUT", .url = url, .send_fd = fd, .send_size = size };

	/* An empty one is a text. */
	if (size == 0)
		call.text = "";
	return send_again(objects, &head, &call, NULL, err);
}

/* What stands between <name> and </name>, yours. */
static char *xml_value(const char *text, const char *name)
{
	AUTO_FREE char *open = xasprintf("<%s>", name);
	AUTO_FREE char *close = xasprintf("</%s>", name);
	const char *start = strstr(text, open);
	const char *end = start ? strstr(start, close) : NULL;

	return end ? xstrndup(start + strlen(open), (size_t)(end - start) - strlen(open)) : NULL;
}

static char *begin_parts(struct objects *objects, const struct digest *digest, struct error *err)
{
	AUTO_FREE char *url = url_of(objects, "POST", digest, "uploads=");
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };
	AUTO(buffer_fini) struct buffer body;
	char *id = NULL;

	buffer_init(&body, ANSWER_MAX);
	if (send_again(objects, &head, &(struct fetch_call){ .method = "POST", .url = url, .text = "" }, &body, err) <
	    0)
		return NULL;
	id = xml_value(text_or_empty(buffer_text(&body)), "UploadId");
	if (!id)
		error_set(err, ERR_UNAVAILABLE, "the object storage gave no upload id");
	return id;
}

static int put_part(struct objects *objects, const struct digest *digest, const char *id, int number,
		    const struct fetch_call *part, struct text *list, struct error *err)
{
	AUTO_FREE char *query = xasprintf("partNumber=%d&uploadId=%s", number, id);
	AUTO_FREE char *url = url_of(objects, "PUT", digest, query);
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };
	struct fetch_call call = *part;

	call.url = url;
	if (send_again(objects, &head, &call, NULL, err) < 0)
		return -1;
	text_addf(list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", number, text_or_empty(head.etag));
	return 0;
}

static int end_parts(struct objects *objects, const struct digest *digest, const char *id, const char *list,
		     struct error *err)
{
	AUTO_FREE char *query = xasprintf("uploadId=%s", id);
	AUTO_FREE char *url = url_of(objects, "POST", digest, query);
	AUTO_FREE char *text = xasprintf("<CompleteMultipartUpload>%s</CompleteMultipartUpload>", list);
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };
	AUTO(buffer_fini) struct buffer body;

	buffer_init(&body, ANSWER_MAX);
	if (send_again(objects, &head, &(struct fetch_call){ .method = "POST", .url = url, .text = text }, &body, err) <
	    0)
		return -1;
	/* S3 says 200 before it knows; the last letters of the word differ between servers. */
	if (!strstr(text_or_empty(buffer_text(&body)), "<CompleteMultipartUploadRes"))
		return error_set(err, ERR_UNAVAILABLE, "the object storage did not put the parts together: %.200s",
				 text_or_empty(buffer_text(&body)));
	return 0;
}

static void drop_parts(struct objects *objects, const struct digest *digest, const char *id)
{
	AUTO_FREE char *query = xasprintf("uploadId=%s", id);
	AUTO_FREE char *url = url_of(objects, "DELETE", digest, query);
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };

	upstream_send(&head, objects_upstream(objects), &(struct fetch_call){ .method = "DELETE", .url = url },
		      &ignored);
}

static int put_parts(struct objects *objects, const struct digest *digest, int fd, uint64_t size, struct error *err)
{
	AUTO_FREE char *plain = begin_parts(objects, digest, err);
	AUTO_FREE char *id = plain ? s3_encode(plain) : NULL;
	struct text list = { 0 };
	int number = 1;
	int r = id ? 0 : -1;

	for (uint64_t at = 0; r == 0 && at < size; at += PART_BYTES)
		r = put_part(objects, digest, id, number++,
			     &(struct fetch_call){ .method = "PUT",
						   .send_fd = fd,
						   .send_offset = at,
						   .send_size = size - at < PART_BYTES ? size - at : PART_BYTES },
			     &list, err);
	if (r == 0)
		r = end_parts(objects, digest, id, text_or_empty(list.data), err);
	if (r < 0 && id)
		drop_parts(objects, digest, id);
	text_fini(&list);
	return r;
}

bool objects_in_parts(uint64_t size)
{
	return size > PART_BYTES;
}

int objects_put(struct objects *objects, const struct digest *digest, int fd, uint64_t size, struct error *err)
{
	int r = objects_in_parts(size) ? put_parts(objects, digest, fd, size, err)
				       : put_whole(objects, digest, fd, size, err);

	if (r == 0)
		return 0;
	/* Whatever it said to us is not what the client did. */
	err->kind = ERR_UNAVAILABLE;
	return error_prefix(err, "object storage");
}

/* ---- remove, read ---- */

/* Who may put need not be allowed to list: then the storage's own rules about unfinished uploads must do. */
static int judge_list(struct objects *objects, const struct fetch_head *head, struct error *err)
{
	if (head->status / 100 != 4 && head->status != 501)
		return error_prefix(err, "object storage");
	log_warn(objects->log, "parts of blobs that were never put together may be in the object storage",
		 F("error", err->message));
	error_clear(err);
	return 0;
}

int objects_drop_parts(struct objects *objects, const struct digest *digest, struct error *err)
{
	AUTO_FREE char *name = name_of(digest);
	AUTO_FREE char *whole = xasprintf("%s%s", text_or_empty(objects->config->prefix), name);
	AUTO_FREE char *prefix = s3_encode(whole);
	AUTO_FREE char *query = xasprintf("prefix=%s&uploads=", prefix);
	AUTO_FREE char *url = url_of(objects, "GET", NULL, query);
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };
	AUTO(buffer_fini) struct buffer body;

	buffer_init(&body, LIST_MAX);
	if (send_again(objects, &head, &(struct fetch_call){ .method = "GET", .url = url }, &body, err) < 0)
		return judge_list(objects, &head, err);
	for (const char *at = text_or_empty(buffer_text(&body)); (at = strstr(at, "<UploadId>")); at++) {
		AUTO_FREE char *plain = xml_value(at, "UploadId");
		AUTO_FREE char *id = plain ? s3_encode(plain) : NULL;

		if (id)
			drop_parts(objects, digest, id);
	}
	return 0;
}

int objects_remove(struct objects *objects, const struct digest *digest, struct error *err)
{
	AUTO_FREE char *url = url_of(objects, "DELETE", digest, NULL);
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };

	if (send_again(objects, &head, &(struct fetch_call){ .method = "DELETE", .url = url }, NULL, err) == 0)
		return 0;
	if (head.status != 404)
		return error_prefix(err, "object storage");
	error_clear(err);
	return 0;
}

int objects_read(char **out_data, size_t *out_size, struct objects *objects, const struct digest *digest, size_t limit,
		 struct error *err)
{
	AUTO_FREE char *url = url_of(objects, "GET", digest, NULL);
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };
	AUTO(buffer_fini) struct buffer body;

	buffer_init(&body, limit);
	if (send_again(objects, &head, &(struct fetch_call){ .method = "GET", .url = url }, &body, err) < 0) {
		err->kind = head.status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE;
		return error_prefix(err, "object storage");
	}
	*out_size = body.size;
	*out_data = xmemdup(text_or_empty(buffer_text(&body)), body.size + 1);
	return 0;
}
