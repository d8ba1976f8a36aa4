/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-git resolve|checkout - run by builder/origin_git.c only. Descriptors: 0
 * the request, "key=value" texts each ended by a NUL; 3 the report, 'R' and a
 * text or 'E' and the error; 4 the directory to work in, which becomes nobody's.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "git/checkout.h"
#include "sys/mount_api.h"

#define REPORT_FD 3
#define DIRECTORY_FD 4
#define NOBODY 65534
#define REQUEST_MAX (1024 * 1024)
/* There on every machine, and nothing of it is wanted here. */
#define PLACE "/tmp"

/* ---- the request ---- */

static bool set_value(struct git_request *request, const char *key, const char *value)
{
	const struct {
		const char *key;
		const char **text;
		bool *flag;
	} keys[] = {
		{ "remote", &request->remote, NULL },
		{ "ref", &request->ref, NULL },
		{ "commit", &request->commit, NULL },
		{ "header", &request->header, NULL },
		{ "scope", &request->scope, NULL },
		{ "agent", &request->agent, NULL },
		{ "keep-git-dir", NULL, &request->keep_git_dir },
		{ "submodules", NULL, &request->submodules },
		{ "commit-time", NULL, &request->commit_time },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (!text_equal(keys[i].key, key))
			continue;
		if (keys[i].flag)
			*keys[i].flag = true;
		else
			*keys[i].text = value;
		return true;
	}
	return false;
}

static int parse_request(struct git_request *request, char *data, size_t size, struct error *err)
{
	char *next;

	*request = (struct git_request){ .ref = "", .commit = "" };
	for (char *key = data; key < data + size; key = next) {
		char *value = strchr(key, '=');

		next = key + strlen(key) + 1;
		if (value)
			*value++ = '\0';
		if (!value || !set_value(request, key, value))
			return error_set(err, ERR_INVALID, "kist-git is started by kistd only");
	}
	if (text_empty(request->remote) || text_has_prefix(request->remote, "-"))
		return error_set(err, ERR_INVALID, "kist-git is started by kistd only");
	return 0;
}

/* ---- the jail ---- */

/* `tree`: the directory as a mount of its own, made before this namespace was. */
static int enter_directory(int tree, struct error *err)
{
	int r = tree;

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "copy the mount of the repository");
	r = mount_change(tree, 0, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, 0);
	if (r == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		r = -errno;
	if (r == 0)
		r = mount_attach_at(tree, AT_FDCWD, PLACE);
	if (r == 0 && (chown(PLACE, NOBODY, NOBODY) < 0 || chmod(PLACE, 0700) < 0 || chdir(PLACE) < 0))
		r = -errno;
	close(tree);
	close(DIRECTORY_FD);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "enter the repository's directory") : 0;
}

static int become_nobody(struct error *err)
{
	const struct rlimit none = { 0, 0 };
	const struct rlimit files = { 1024, 1024 };

	umask(022);
	if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "become nobody");
	/* Changing the user clears it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return 0;
}

/* ---- work ---- */

static int act(char **out_text, const char *verb, int tree, struct error *err)
{
	struct git_request request;
	AUTO_FREE char *data = NULL;
	size_t size;
	int r = fd_read_all(&data, &size, STDIN_FILENO, REQUEST_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read the request");
	if (parse_request(&request, data, size, err) < 0 || enter_directory(tree, err) < 0 || become_nobody(err) < 0)
		return -1;
	git_environment(&request);
	return text_equal(verb, "resolve") ? git_resolve(out_text, &request, err) : git_checkout(&request, err);
}

/* First process of its namespace: with it everything that git started is gone. */
static void inside(const char *verb, int tree)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *text = NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (act(&text, verb, tree, &err) == 0)
		_exit(write_full(REPORT_FD, "R", 1) < 0 ||
		      write_full(REPORT_FD, text_or_empty(text), strlen(text_or_empty(text))) < 0);
	if (write_full(REPORT_FD, "E", 1) == 0)
		error_send(REPORT_FD, &err);
	_exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	pid_t pid;
	int status;
	int tree;

	/* Without kistd nobody wants the result. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (argc != 2 || fcntl(REPORT_FD, F_GETFD) < 0 || fcntl(DIRECTORY_FD, F_GETFD) < 0) {
		dprintf(STDERR_FILENO, "kist-git is started by kistd only\n");
		return 2;
	}
	fd_set_cloexec(REPORT_FD, true);
	fd_set_cloexec(DIRECTORY_FD, true);
	tree = mount_clone(DIRECTORY_FD, "", 0);
	if (unshare(CLONE_NEWNS | CLONE_NEWPID) < 0) {
		dprintf(STDERR_FILENO, "kist-git: make namespaces: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	pid = fork();
	if (pid == 0)
		inside(argv[1], tree);
	close(REPORT_FD);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	_exit(pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}
