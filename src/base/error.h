/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.h - one failure, told once, to a program and to a person.
 *
 * A function that can fail takes `struct error *err` last, returns a negative
 * int (or NULL), and fills `err` exactly once, where the failure is known. The
 * caller who can act on it looks at `kind`; everyone else adds a prefix and
 * returns. Only main() and the HTTP router print an error. `err` is never NULL
 * and must be clean when it is filled (asserted). Text: lower case, no full
 * stop, no "failed to". An errno never becomes a kind by itself.
 */
#pragma once

#include <stdbool.h>

enum error_kind {
	ERR_NONE = 0,
	ERR_INTERNAL,	  /* our fault or the machine's: HTTP 500 */
	ERR_INVALID,	  /* the request or its input is wrong: 400 */
	ERR_NOT_FOUND,	  /* the named thing does not exist: 404 */
	ERR_CONFLICT,	  /* the thing is in a state that forbids this: 409 */
	ERR_FORBIDDEN,	  /* not allowed: 403 */
	ERR_UNAUTHORIZED, /* credentials are missing or wrong: 401 */
	ERR_UNAVAILABLE,  /* may work later: 503 */
	ERR_CANCELED,	  /* the caller went away: 499 */
	ERR_UNSUPPORTED,  /* this build, kernel or host cannot: 501 */
	ERR_EXHAUSTED,	  /* a limit, or the disk, is full: 507 */
	ERR_KIND_COUNT
};

struct error {
	enum error_kind kind; /* why, as the API user sees it */
	int errnum;	      /* errno of the system call that failed, or 0 */
	char *message;	      /* owned: "fetch layer sha256:9f..: open tmp/3c: No space left on device" */
};

static inline int error_failed(int ignored)
{
	(void)ignored;
	return -1;
}

/*
 * Fills a clean error; always gives -1, for one-line returns. A macro around
 * a function, so that the analyzer knows the -1 and follows no impossible path.
 */
#define error_set(err, ...) error_failed((error_fill(err, __VA_ARGS__), 0))
void error_fill(struct error *err, enum error_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same, and adds ": <text of errnum>" to the message. errnum may be negative. */
#define error_set_errno(err, ...) error_failed((error_fill_errno(err, __VA_ARGS__), 0))
void error_fill_errno(struct error *err, enum error_kind kind, int errnum, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Puts "<prefix>: " before the message of a filled error; always gives -1. */
#define error_prefix(err, ...) error_failed((error_add_prefix(err, __VA_ARGS__), 0))
void error_add_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool error_is_set(const struct error *err);

/* Back to clean. Also the destructor: AUTO(error_clear) struct error err = {0}; */
void error_clear(struct error *err);

/* Moves a filled error into a clean one. Always gives -1. */
#define error_move(to, from) error_failed((error_transfer(to, from), 0))
void error_transfer(struct error *to, struct error *from);

/* Stable lower-case names ("not_found"), for logs and for programs that pass errors on. */
const char *error_kind_name(enum error_kind kind);
enum error_kind error_kind_parse(const char *name);

/*
 * Passes an error between processes over a pipe or stream socket: kind, errnum
 * and length as host-order int32, then the message. error_receive() returns 1
 * and fills err if one came, 0 at end of file (the child had none), or negative
 * with err filled if the pipe broke.
 */
int error_send(int fd, const struct error *err);
int error_receive(int fd, struct error *err);
