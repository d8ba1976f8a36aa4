/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the folder of a URL has `head`, what the server said of the
 * file, and `files` with the file alone, under its name. The file is whole when
 * `head` is there: that is taken away before the file changes, and written last.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "builder/origin.h"
#include "oci/hasher.h"
#include "transfer/download.h"
#include "json/json.h"

#define HEAD_MAX (64 * 1024)
#define RESERVED_BYTES (4 * 1024 * 1024)

struct url_head {
	char *name;
	char *digest;
	char *etag;
	char *modified;
};

static const struct json_field url_head_fields[] = {
	JSON_TEXT("name", struct url_head, name, 0),
	JSON_TEXT("digest", struct url_head, digest, 0),
	JSON_TEXT("etag", struct url_head, etag, JSON_OMIT_EMPTY),
	JSON_TEXT("modified", struct url_head, modified, JSON_OMIT_EMPTY),
	JSON_END,
};

static void url_head_fini(struct url_head *head)
{
	json_free_fields(head, url_head_fields);
}

static int fail(struct error *err, int errnum, const char *what)
{
	errnum = errnum < 0 ? -errnum : errnum;
	return error_set_errno(err, errnum == ENOSPC || errnum == EDQUOT ? ERR_EXHAUSTED : ERR_INTERNAL, errnum, "%s",
			       what);
}

/* ---- what is here ---- */

static int folder(struct origin *origin, struct error *err)
{
	AUTO_FREE char *key = xasprintf("url %s", origin->url);

	return origin_folder(origin, key, err);
}

/* An empty head: nothing is here. */
static void read_head(struct url_head *head, int fd, const struct origin *origin)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *path = xasprintf("files/%s", origin->name);
	AUTO_FREE char *text = NULL;
	size_t size;

	if (file_read(&text, &size, fd, "head", HEAD_MAX) < 0 ||
	    json_decode(head, url_head_fields, text, size, &ignored) < 0 || !text_equal(head->name, origin->name) ||
	    text_empty(head->digest) || !file_exists(fd, path))
		url_head_fini(head);
}

static int write_head(const struct url_head *head, int fd, struct error *err)
{
	AUTO_FREE char *text = json_encode(head, url_head_fields);
	int r = file_write_atomic(fd, "head", text, strlen(text), 0600, FILE_NO_SYNC);

	return r < 0 ? fail(err, r, "keep a download") : 0;
}

/* ---- asking the server ---- */

/* RFC 9110, 5.6.7: three ways to write a date; the start of 1970 if there is none. */
static time_t parse_date(const char *text)
{
	static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
					     "%a %b %d %H:%M:%S %Y" };

	for (size_t i = 0; text && i < sizeof(forms) / sizeof(*forms); i++) {
		struct tm tm = { 0 };
		const char *end = strptime(text, forms[i], &tm);

		if (end && !*end)
			return timegm(&tm);
	}
	return 0;
}

/* HTTP_AUTH_HEADER_<host> is the header as it is, HTTP_AUTH_TOKEN_<host> a bearer's token; the latter counts more. */
static int find_authorization(char **out_value, const struct origin *origin, struct error *err)
{
	static const struct {
		const char *prefix;
		const char *scheme;
	} kinds[] = { { "HTTP_AUTH_TOKEN_", "Bearer " }, { "HTTP_AUTH_HEADER_", "" } };
	AUTO_FREE char *host = url_host_name(origin->url);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		AUTO_FREE char *id = xasprintf("%s%s", kinds[i].prefix, host);
		AUTO_FREE char *secret = NULL;
		int r = origin_secret(&secret, origin, id, err);

		if (r < 0)
			return -1;
		if (r == 0)
			continue;
		*out_value = xasprintf("%s%s", kinds[i].scheme, secret);
		return 0;
	}
	return 0;
}

static int ask(struct downloaded *answer, const struct origin *origin, const struct url_head *head, int file_fd,
	       struct error *err)
{
	AUTO_FREE char *authorization = NULL;
	struct download download = {
		.url = origin->url, .etag = head->etag, .file_fd = file_fd, .cancel_fd = build_cancel_fd(origin->build)
	};
	uint64_t free_bytes;

	if (find_authorization(&authorization, origin, err) < 0 ||
	    store_free_bytes(&free_bytes, origin->build->store, err) < 0)
		return -1;
	download.authorization = authorization;
	download.limit = free_bytes > RESERVED_BYTES ? free_bytes - RESERVED_BYTES : 1;
	return download_run(answer, &download, err);
}

/* The new file takes its place. */
static int install(const struct origin *origin, int fd, int file_fd, const struct url_head *head, struct error *err)
{
	const time_t modified = parse_date(head->modified);
	const struct timespec times[2] = { { .tv_sec = modified }, { .tv_sec = modified } };
	AUTO_FREE char *path = xasprintf("files/%s", origin->name);
	int r = remove_tree(fd, "files");

	if (r == 0 && (mkdirat(fd, "files", 0700) < 0 || fchmod(file_fd, 0600) < 0 || futimens(file_fd, times) < 0 ||
		       renameat(fd, "new", fd, path) < 0))
		r = -errno;
	return r < 0 ? fail(err, r, "keep a download") : write_head(head, fd, err);
}

static int check_digest(const struct origin *origin, const char *got, struct error *err)
{
	if (!origin->checksum || text_equal(origin->checksum, got))
		return 0;
	return error_set(err, ERR_INVALID, "digest mismatch for %s: %s (expected: %s)", origin->url, got,
			 origin->checksum);
}

static int take_new(struct url_head *head, const struct origin *origin, struct downloaded *answer, int fd, int file_fd,
		    struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	enum digest_algorithm algorithm = DIGEST_SHA256;
	struct digest wanted;
	struct digest digest;
	int r;

	if (origin->checksum && digest_parse(&wanted, origin->checksum, err) == 0)
		algorithm = wanted.algorithm;
	r = lseek(file_fd, 0, SEEK_SET) < 0 ? -errno : digest_of_fd(&digest, algorithm, file_fd);
	if (r < 0)
		return fail(err, r, "read a download");
	if (check_digest(origin, digest_text(&digest, text), err) < 0)
		return -1;
	url_head_fini(head);
	*head = (struct url_head){ .name = xstrdup(origin->name),
				   .digest = xstrdup(text),
				   .etag = take_ptr(answer->etag),
				   .modified = take_ptr(answer->modified) };
	return install(origin, fd, file_fd, head, err);
}

static int fetch(struct url_head *head, const struct origin *origin, int fd, struct error *err)
{
	AUTO(downloaded_fini) struct downloaded answer = { 0 };
	AUTO_CLOSE int file_fd = -1;
	int r;

	unlinkat(fd, "new", 0);
	file_fd = openat(fd, "new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file_fd < 0)
		return fail(err, errno, "keep a download");
	r = ask(&answer, origin, head, file_fd, err);
	if (r == 0 && answer.status == 304 && head->etag) {
		unlinkat(fd, "new", 0);
		return check_digest(origin, head->digest, err);
	}
	if (r == 0 && answer.status / 100 != 2)
		r = error_set(err, answer.status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "invalid response status %d",
			      answer.status);
	if (r == 0) {
		unlinkat(fd, "head", 0);
		r = take_new(head, origin, &answer, fd, file_fd, err);
	}
	if (r < 0)
		unlinkat(fd, "new", 0);
	return r;
}

static int open_files(struct origin *origin, int fd, struct error *err)
{
	origin->fd = openat(fd, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return origin->fd < 0 ? fail(err, errno, "open a download") : 0;
}

static void set_digest(struct origin *origin, const char *content, const char *modified)
{
	AUTO_FREE char *text = xasprintf("kist.url.1\n%s\n%s\n%s\n", origin->name, content, text_or_empty(modified));

	digest_of(&origin->digest, DIGEST_SHA256, text, strlen(text));
}

/* A checksum says it all: a build that has everything needs no network. */
int origin_url_resolve(struct origin *origin, struct error *err)
{
	AUTO(url_head_fini) struct url_head head = { 0 };
	int fd;

	if (origin->checksum) {
		set_digest(origin, origin->checksum, NULL);
		return 0;
	}
	fd = folder(origin, err);
	if (fd < 0)
		return -1;
	read_head(&head, fd, origin);
	if (fetch(&head, origin, fd, err) < 0)
		return err->kind == ERR_CANCELED ? -1 : error_prefix(err, "failed to load cache key");
	set_digest(origin, head.digest, head.modified);
	origin->opened = true;
	return open_files(origin, fd, err);
}

int origin_url_open(struct origin *origin, struct error *err)
{
	AUTO(url_head_fini) struct url_head head = { 0 };
	int fd = folder(origin, err);

	if (fd < 0)
		return -1;
	read_head(&head, fd, origin);
	if (!text_equal(head.digest, origin->checksum) && fetch(&head, origin, fd, err) < 0)
		return -1;
	return open_files(origin, fd, err);
}
