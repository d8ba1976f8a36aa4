/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/host_process.h"
#include "runtime/sync.h"
#include "sys/fd_pass.h"
#include "sys/pidfd_wait.h"

#define MESSAGE_MAX (64 << 10)
#define LOG_TAIL (64 << 10)
#define ERRORS_SHOWN 3
#define END_TIMEOUT_MS 10000
/* Where descriptors wait until the low numbers can be given out. */
#define LIFTED 64

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(take_fd(fd));
}

void criu_fini(struct criu *criu)
{
	int status;

	/* It ends by itself when nobody asks any more; one that hangs does not get for ever. */
	close_fd(&criu->socket_fd);
	if (criu->pidfd >= 0) {
		if (pidfd_ended(criu->pidfd, END_TIMEOUT_MS) != 1)
			pidfd_signal(criu->pidfd, SIGKILL);
		pidfd_wait(criu->pidfd, true, &status);
	}
	close_fd(&criu->pidfd);
	close_fd(&criu->output_fd);
}

/* ---- the process ---- */

struct launch {
	const struct criu_start_options *options;
	int sync_fd;
	int socket_fd;
	int output_fd;
};

static int lift(int fd, struct error *err)
{
	int lifted = fcntl(fd, F_DUPFD_CLOEXEC, LIFTED);

	return lifted < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "pass descriptor %d to CRIU", fd) : lifted;
}

/* 0, 1, 2: the container's or ours; 3: the socket; then what it is given. */
static int place_descriptors(const struct launch *launch, struct error *err)
{
	const struct criu_start_options *options = launch->options;
	const struct runtime_stdio *stdio = options->stdio;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int wanted[CRIU_FIRST_FD + CRIU_FDS_MAX] = { null, launch->output_fd, launch->output_fd, launch->socket_fd };
	size_t count = CRIU_FIRST_FD + options->fd_count;

	if (null < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open /dev/null");
	if (stdio) {
		wanted[0] = stdio->in >= 0 ? stdio->in : null;
		wanted[1] = stdio->out >= 0 ? stdio->out : null;
		wanted[2] = stdio->error >= 0 ? stdio->error : null;
	}
	if (options->fd_count)
		memcpy(wanted + CRIU_FIRST_FD, options->fds, options->fd_count * sizeof(int));
	for (size_t i = 0; i < count; i++) {
		wanted[i] = lift(wanted[i], err);
		if (wanted[i] < 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++)
		if (dup2(wanted[i], (int)i) < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "pass a descriptor to CRIU");
	return 0;
}

static void default_signals(void)
{
	const struct sigaction plain = { .sa_handler = SIG_DFL };
	sigset_t none;

	sigaction(SIGPIPE, &plain, NULL);
	sigaction(SIGCHLD, &plain, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become_criu(const struct launch *launch)
{
	static char *const argv[] = { (char *)"criu", (char *)"swrk", (char *)"3", NULL };
	struct error err = { 0 };
	int sync_fd = lift(launch->sync_fd, &err);

	default_signals();
	if (sync_fd >= 0 &&
	    (!launch->options->prepare || launch->options->prepare(launch->options->context, &err) == 0) &&
	    place_descriptors(launch, &err) == 0) {
		execvp(argv[0], argv);
		if (errno == ENOENT)
			error_set(&err, ERR_UNSUPPORTED, "there is no program criu in $PATH");
		else
			error_set_errno(&err, ERR_UNSUPPORTED, errno, "execute criu");
	}
	sync_send_error(sync_fd, &err);
	_exit(1);
}

int criu_start(struct criu *out_criu, const struct criu_start_options *options, struct error *err)
{
	AUTO_CLOSE int ours = -1;
	AUTO_CLOSE int theirs = -1;
	AUTO_CLOSE int our_sync = -1;
	AUTO_CLOSE int their_sync = -1;
	struct launch launch = { .options = options };
	int sync[2];
	int pair[2];

	if (options->fd_count > CRIU_FDS_MAX)
		return error_set(err, ERR_INTERNAL, "too many descriptors for CRIU");
	out_criu->output_fd = memfd_create("criu", MFD_CLOEXEC);
	if (out_criu->output_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make the socket for CRIU");
	ours = pair[0];
	theirs = pair[1];
	if (host_process_sync_pair(sync, err) < 0)
		return -1;
	our_sync = sync[0];
	their_sync = sync[1];
	launch.sync_fd = their_sync;
	launch.socket_fd = theirs;
	launch.output_fd = out_criu->output_fd;
	out_criu->pid = fork();
	if (out_criu->pid < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "start criu");
	if (out_criu->pid == 0)
		become_criu(&launch);
	out_criu->pidfd = pidfd_of(out_criu->pid);
	out_criu->socket_fd = take_fd(&ours);
	close_fd(&their_sync);
	return host_process_await_exec(our_sync, err);
}

/* ---- the talk ---- */

/* "(00.245314) Error (criu/files-reg.c:1790): Can't lookup mount": what is behind the place; NULL: no error. */
static const char *error_of_line(const char *line)
{
	const char *at = strstr(line, "Error (");
	const char *colon = at ? strstr(at, "): ") : NULL;

	return colon ? colon + 3 : NULL;
}

/* CRIU tells a failure at each of its levels: the last few lines have the cause and where it led. */
static char *last_errors(const char *log)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO(text_list_fini) struct text_list found = { 0 };

	text_list_split(&lines, log, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		const char *text = error_of_line(lines.items[i]);

		if (text)
			text_list_add(&found, text);
		if (found.count > ERRORS_SHOWN)
			text_list_remove(&found, 0);
	}
	return found.count ? text_list_join(&found, "; ") : NULL;
}

/* However much it wrote: the end of a file; NULL: there is none. */
static char *read_tail(int fd)
{
	struct stat status;
	char *tail;
	ssize_t size;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return NULL;
	tail = xcalloc(1, LOG_TAIL + 1);
	size = pread(fd, tail, LOG_TAIL, status.st_size > LOG_TAIL ? status.st_size - LOG_TAIL : 0);
	tail[size > 0 ? size : 0] = '\0';
	return tail;
}

void criu_explain(struct error *err, const char *folder, const char *log_file)
{
	AUTO_FREE char *path = path_join(folder, log_file);
	AUTO_FREE char *message = xstrdup(text_or_empty(err->message));
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	AUTO_FREE char *log = read_tail(fd);
	AUTO_FREE char *errors = NULL;
	enum error_kind kind = err->kind;

	if (!log)
		return;
	errors = last_errors(log);
	error_clear(err);
	error_set(err, kind, "%s%s%s (log file: %s)", message, errors ? ": " : "", text_or_empty(errors), path);
}

/* It ended without an answer: what it wrote before. */
static int fail_without_answer(const struct criu *criu, struct error *err)
{
	AUTO_FREE char *output = read_tail(criu->output_fd);
	AUTO_FREE char *errors = output ? last_errors(output) : NULL;

	return error_set(err, ERR_UNSUPPORTED, "CRIU ended without an answer%s%s", errors ? ": " : "",
			 text_or_empty(errors));
}

static int send_request(const struct criu *criu, const struct criu_request *request, struct error *err)
{
	AUTO(text_fini) struct text bytes = { 0 };
	bool has_options = request->kind == CRIU_DUMP || request->kind == CRIU_PRE_DUMP ||
			   request->kind == CRIU_RESTORE;

	proto_encode(&bytes, request, has_options ? criu_request_fields : criu_short_request_fields);
	if (send(criu->socket_fd, bytes.data, bytes.size, MSG_NOSIGNAL) < 0)
		return errno == EPIPE ? fail_without_answer(criu, err)
				      : error_set_errno(err, ERR_INTERNAL, errno, "talk to CRIU");
	return 0;
}

/* Its answer, and the descriptor that may come with it. */
static int receive(const struct criu *criu, struct criu_response *out_response, int *out_fd, struct error *err)
{
	AUTO_FREE char *data = xmalloc(MESSAGE_MAX);
	size_t count = 1;
	ssize_t r;

	do
		r = fd_pass_receive(criu->socket_fd, data, MESSAGE_MAX, out_fd, &count);
	while (r == -EINTR);
	if (count == 0)
		*out_fd = -1;
	if (r == 0 || r == -ECONNRESET)
		return fail_without_answer(criu, err);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, (int)r, "talk to CRIU");
	return proto_decode(out_response, criu_response_fields, data, (size_t)r, err);
}

static const char *kind_name(int kind)
{
	switch (kind) {
	case CRIU_DUMP:
		return "DUMP";
	case CRIU_PRE_DUMP:
		return "PRE_DUMP";
	case CRIU_RESTORE:
		return "RESTORE";
	case CRIU_NOTIFY:
		return "NOTIFY";
	default:
		return "request";
	}
}

static int fail_with_answer(int asked, const struct criu_response *response, struct error *err)
{
	char name[32];
	const char *why = response->errnum ? strerror_r(response->errnum, name, sizeof(name)) : NULL;

	return error_set(err, ERR_INTERNAL, "criu failed: type %s errno %d%s%s", kind_name(asked), response->errnum,
			 why ? ", " : "", text_or_empty(why));
}

static int answer_notification(const struct criu *criu, const struct criu_response *response, int *fd,
			       criu_notify_fn *notify, void *context, struct error *err)
{
	const struct criu_request answer = { .kind = CRIU_NOTIFY, .notify_success = true };

	if (notify && notify(context, text_or_empty(response->script), response->script_pid, fd, err) < 0)
		return -1;
	return send_request(criu, &answer, err);
}

int criu_ask(struct criu *criu, const struct criu_request *request, struct criu_response *out_response,
	     criu_notify_fn *notify, void *context, struct error *err)
{
	if (send_request(criu, request, err) < 0)
		return -1;
	for (;;) {
		AUTO_CLOSE int fd = -1;
		int r;

		*out_response = (struct criu_response){ 0 };
		if (receive(criu, out_response, &fd, err) < 0)
			return -1;
		if (!out_response->success) {
			r = fail_with_answer(request->kind, out_response, err);
		} else if (out_response->kind == CRIU_NOTIFY) {
			r = answer_notification(criu, out_response, &fd, notify, context, err);
			if (r == 0) {
				proto_free(out_response, criu_response_fields);
				continue;
			}
		} else {
			return 0;
		}
		proto_free(out_response, criu_response_fields);
		return r;
	}
}

/* ---- what it can do ---- */

static int ask_alone(const struct criu_request *request, struct criu_response *out_response, struct error *err)
{
	AUTO(criu_fini) struct criu criu = CRIU_NONE;
	const struct criu_start_options nothing = { 0 };

	return criu_start(&criu, &nothing, err) < 0 ? -1 : criu_ask(&criu, request, out_response, NULL, NULL, err);
}

int criu_check(struct error *err)
{
	const struct criu_request request = { .kind = CRIU_VERSION };
	struct criu_response response = { 0 };
	int version;

	if (ask_alone(&request, &response, err) < 0)
		return error_prefix(err, "CRIU is needed");
	version = response.version.major * 10000 + response.version.minor * 100 + response.version.sublevel;
	proto_free(&response, criu_response_fields);
	if (version < CRIU_VERSION_LEAST)
		return error_set(err, ERR_UNSUPPORTED, "CRIU version %d must be %d or higher", version,
				 CRIU_VERSION_LEAST);
	return version;
}

int criu_check_features(const struct criu_features *wanted, struct error *err)
{
	const struct criu_request request = { .kind = CRIU_FEATURE_CHECK, .features = *wanted };
	struct criu_response response = { 0 };
	struct criu_features has;

	if (ask_alone(&request, &response, err) < 0)
		return error_prefix(err, "CRIU feature check failed");
	has = response.features;
	proto_free(&response, criu_response_fields);
	if (wanted->memory_tracking && !has.memory_tracking)
		return error_set(err, ERR_UNSUPPORTED,
				 "criu is missing features: [MemTrack]: this kernel or processor cannot track memory");
	if (wanted->lazy_pages && !has.lazy_pages)
		return error_set(err, ERR_UNSUPPORTED,
				 "criu is missing features: [LazyPages]: this kernel has no usable userfaultfd");
	return 0;
}
