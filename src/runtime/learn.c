/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/learn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "oci/runtime_spec.h"
#include "sys/fd_pass.h"
#include "sys/seccomp.h"

#define STATE_MAX 65536
#define PROFILE_MAX (16 << 20)
/* Numbers beyond are of no architecture (x32 has its bit, which is cut off here). */
#define NUMBER_MAX 1024
#define X32_BIT 0x40000000
#define ARCHITECTURES_MAX 4

struct seen {
	uint32_t architecture;
	bool numbers[NUMBER_MAX];
};

struct lesson {
	struct seen seen[ARCHITECTURES_MAX];
	size_t count;
};

static void note(struct lesson *lesson, uint32_t architecture, int number)
{
	size_t i = 0;

	if (number & X32_BIT)
		number &= ~X32_BIT;
	while (i < lesson->count && lesson->seen[i].architecture != architecture)
		i++;
	if (i == ARCHITECTURES_MAX || number < 0 || number >= NUMBER_MAX)
		return;
	if (i == lesson->count)
		lesson->seen[lesson->count++].architecture = architecture;
	lesson->seen[i].numbers[number] = true;
}

/* One question; ENOENT and EINTR: who asked is gone, or was interrupted and will ask again. */
static void answer(int listener_fd, struct lesson *lesson)
{
	struct seccomp_notif question = { 0 };
	struct seccomp_notif_resp reply = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	if (ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &question) < 0)
		return;
	note(lesson, question.data.arch, question.data.nr);
	reply.id = question.id;
	ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

/* The listener hangs up when nobody is left under the filter. */
static void listen_to_the_end(int listener_fd, struct lesson *lesson)
{
	struct pollfd wait = { .fd = listener_fd, .events = POLLIN };

	for (;;) {
		if (poll(&wait, 1, -1) < 0 && errno != EINTR)
			return;
		if (wait.revents & POLLIN)
			answer(listener_fd, lesson);
		else if (wait.revents)
			return;
	}
}

static void add_name(struct text_list *names, const char *name)
{
	if (!text_list_contains(names, name))
		text_list_add(names, name);
}

static void add_lesson(struct text_list *names, struct text_list *architectures, const struct lesson *lesson)
{
	for (size_t i = 0; i < lesson->count; i++) {
		const char *architecture = seccomp_architecture_name(lesson->seen[i].architecture);

		if (architecture)
			add_name(architectures, architecture);
		for (int number = 0; number < NUMBER_MAX; number++) {
			AUTO_FREE char *name = lesson->seen[i].numbers[number]
						       ? seccomp_call_name(lesson->seen[i].architecture, number)
						       : NULL;

			if (name)
				add_name(names, name);
		}
	}
}

/* What an earlier run has learned. */
static int add_file(struct text_list *names, struct text_list *architectures, const char *path, struct error *err)
{
	struct spec_seccomp profile = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, PROFILE_MAX);

	if (r == -ENOENT || (r == 0 && size == 0))
		return 0;
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "--seccomp-learn: read %s", path);
	if (json_decode(&profile, spec_seccomp_fields, text, size, err) < 0)
		return error_prefix(err, "--seccomp-learn: %s is no profile to add to", path);
	for (size_t i = 0; i < profile.architectures.count; i++)
		add_name(architectures, profile.architectures.items[i]);
	for (size_t i = 0; i < profile.syscalls.count; i++)
		for (size_t name = 0; name < profile.syscalls.items[i].names.count; name++)
			add_name(names, profile.syscalls.items[i].names.items[name]);
	json_free_fields(&profile, spec_seccomp_fields);
	return 0;
}

static int write_profile(const char *path, struct text_list *names, struct text_list *architectures, struct error *err)
{
	struct spec_seccomp profile = { .default_action = xstrdup("SCMP_ACT_ERRNO") };
	struct spec_seccomp_rule *rule = json_array_add(&profile.syscalls, sizeof(*rule));
	AUTO_FREE char *text = NULL;
	int r;

	text_list_sort(names);
	text_list_add_all(&rule->names, names);
	text_list_add_all(&profile.architectures, architectures);
	rule->action = xstrdup("SCMP_ACT_ALLOW");
	text = json_encode_pretty(&profile, spec_seccomp_fields, "\t");
	r = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, FILE_NO_SYNC);
	json_free_fields(&profile, spec_seccomp_fields);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "--seccomp-learn: write %s", path);
	return 0;
}

static int run_agent(int socket_fd, const char *path, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO(text_list_fini) struct text_list architectures = { 0 };
	AUTO_FREE struct lesson *lesson = xcalloc(1, sizeof(*lesson));
	AUTO_FREE char *state = xcalloc(1, STATE_MAX);
	AUTO_CLOSE int listener_fd = -1;
	size_t count = 1;
	ssize_t size = fd_pass_receive(socket_fd, state, STATE_MAX, &listener_fd, &count);

	/* The container did not come that far: its own error tells why. */
	if (size <= 0 || count == 0 || listener_fd < 0)
		return 0;
	listen_to_the_end(listener_fd, lesson);
	add_lesson(&names, &architectures, lesson);
	if (add_file(&names, &architectures, path, err) < 0)
		return -1;
	return write_profile(path, &names, &architectures, err);
}

/* A file that cannot be added to, or written, is found out before anything runs. */
static int check_file(const char *path, struct error *err)
{
	AUTO(text_list_fini) struct text_list ignored = { 0 };
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "--seccomp-learn: write %s", path);
	return add_file(&ignored, &ignored, path, err);
}

int learn_begin(struct learn *out_learn, const char *path, struct error *err)
{
	struct error problem = { 0 };
	int pair[2];

	if (check_file(path, err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "--seccomp-learn: make a socket pair");
	out_learn->agent = fork();
	if (out_learn->agent == 0) {
		close(pair[0]);
		run_agent(pair[1], path, &problem);
		if (error_is_set(&problem))
			error_send(pair[1], &problem);
		_exit(0);
	}
	close(pair[1]);
	out_learn->socket_fd = pair[0];
	if (out_learn->agent < 0) {
		close(take_fd(&out_learn->socket_fd));
		return error_set_errno(err, ERR_INTERNAL, errno, "--seccomp-learn: fork");
	}
	return 0;
}

int learn_end(struct learn *learn, struct error *err)
{
	int r;

	/* An agent that has got no listener is told that none will come. */
	shutdown(learn->socket_fd, SHUT_WR);
	r = error_receive(learn->socket_fd, err);
	close(take_fd(&learn->socket_fd));
	while (waitpid(learn->agent, NULL, 0) < 0 && errno == EINTR)
		;
	return r == 0 ? 0 : -1;
}
