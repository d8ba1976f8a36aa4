/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories: kist-git (git/README.md) resolves and fetches in a folder of the store that stays. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/process.h"
#include "base/program.h"
#include "builder/origin.h"
#include "oci/hasher.h"
#include "store/files.h"
#include "sys/in_root.h"

#define NOBODY 65534
#define ANSWER_MAX 4096
#define AGENT "agent"

/* ---- what it may know ---- */

/* GIT_AUTH_HEADER and GIT_AUTH_TOKEN, first those of this host alone. */
static int find_header(char **out_header, const struct origin *origin, struct error *err)
{
	static const char *const names[] = { "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN" };

	for (size_t i = 0; i < 4 && text_has_prefix(origin->git.scheme, "http"); i++) {
		bool is_token = i % 2;
		AUTO_FREE char *id = xasprintf("%s%s%s", names[i % 2], i < 2 ? "." : "", i < 2 ? origin->git.host : "");
		AUTO_FREE char *secret = NULL;
		AUTO_FREE char *pair = NULL;
		AUTO_FREE char *encoded = NULL;
		int r = origin_secret(&secret, origin, id, err);

		if (r < 0)
			return -1;
		if (r == 0)
			continue;
		pair = xasprintf("x-access-token:%s", secret);
		encoded = base64_encode(pair, strlen(pair));
		*out_header = is_token ? xasprintf("Authorization: basic %s", encoded)
				       : xasprintf("Authorization: %s", secret);
		return 0;
	}
	return 0;
}

struct key_agent {
	const struct build_client *client;
	void *server;
	int fd;
};

static void key_agent_fini(struct key_agent *agent)
{
	if (agent->server)
		agent->client->agent_stop(agent->server);
	if (agent->fd >= 0)
		close(agent->fd);
}

/* The client's ssh agent, if it forwards one. */
static int start_agent(struct key_agent *agent, const struct origin *origin, int directory_fd, struct error *err)
{
	const struct build_client *client = origin->build->options->client;
	int r;

	if (!text_equal(origin->git.scheme, "ssh") || !client || !client->agent_start)
		return 0;
	unlinkat(directory_fd, AGENT, 0);
	agent->client = client;
	agent->fd = build_listen(directory_fd, AGENT, NOBODY, NOBODY, 0600);
	if (agent->fd < 0)
		return error_set_errno(err, ERR_INTERNAL, agent->fd, "listen as an ssh agent");
	r = client->agent_start(client->arg, "default", agent->fd, build_cancel_fd(origin->build), &agent->server, err);
	return r < 0 ? -1 : 0;
}

static void fill_request(struct text_list *request, const struct origin *origin, const char *header, bool has_agent)
{
	const struct git_ref *ref = &origin->git;

	text_list_addf(request, "remote=%s%s", ref->like_local ? "https://" : "", ref->remote);
	text_list_addf(request, "ref=%s", text_or_empty(ref->ref));
	text_list_addf(request, "commit=%s", text_or_empty(origin->commit));
	if (header) {
		text_list_addf(request, "scope=%s://%s/", ref->scheme, ref->host);
		text_list_addf(request, "header=%s", header);
	}
	if (has_agent)
		text_list_add(request, "agent=/tmp/" AGENT);
	if (ref->keep_git_dir == GIT_YES)
		text_list_add(request, "keep-git-dir=1");
	if (ref->submodules != GIT_NO)
		text_list_add(request, "submodules=1");
	if (ref->mtime_commit)
		text_list_add(request, "commit-time=1");
}

/* ---- the child ---- */

static int start(struct process *process, int *out_report_fd, const char *verb, const struct text_list *request,
		 int directory_fd, struct error *err)
{
	AUTO_FREE char *program = program_find("kist-git", err);
	const char *argv[] = { "kist-git", verb, NULL };
	AUTO_CLOSE int input = program ? files_request(request, err) : -1;
	AUTO_CLOSE int report_write = -1;
	int r;

	if (input < 0)
		return -1;
	r = pipe_open(out_report_fd, &report_write);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "make a pipe");
	return process_spawn(process,
			     &(struct process_options){ .path = program,
							.argv = (char *const *)argv,
							.stdin_fd = input,
							.fds = (const int[]){ report_write, directory_fd },
							.fd_count = 2 },
			     err);
}

static int read_report(char **out_text, int report_fd, struct error *err)
{
	AUTO(buffer_fini) struct buffer answer = { 0 };
	char tag;
	int r;

	if (read_full(report_fd, &tag, 1) != 1)
		return error_set(err, ERR_INTERNAL, "kist-git ended without a report");
	if (tag != 'R')
		return error_receive(report_fd, err) > 0 ? -1 : error_set(err, ERR_INTERNAL, "kist-git ended early");
	buffer_init(&answer, ANSWER_MAX);
	r = buffer_read_all(&answer, report_fd);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read the report of kist-git");
	*out_text = xstrdup(buffer_text(&answer));
	return 0;
}

/* Until it ends, or until nobody wants it any more: then it is killed, with all it started. */
static int wait_for(char **out_text, int report_fd, int cancel_fd, struct error *err)
{
	struct pollfd polled[2] = { { .fd = report_fd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };

	while (poll(polled, 2, -1) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "poll");
	if (polled[0].revents == 0)
		return error_set(err, ERR_CANCELED, "canceled");
	return read_report(out_text, report_fd, err);
}

static int run(char **out_text, struct origin *origin, const char *verb, int directory_fd, struct error *err)
{
	AUTO(key_agent_fini) struct key_agent agent = { .fd = -1 };
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	AUTO_FREE char *header = NULL;
	AUTO_CLOSE int report_fd = -1;

	if (find_header(&header, origin, err) < 0 || start_agent(&agent, origin, directory_fd, err) < 0)
		return -1;
	fill_request(&request, origin, header, agent.server != NULL);
	if (start(&process, &report_fd, verb, &request, directory_fd, err) < 0)
		return -1;
	return wait_for(out_text, report_fd, build_cancel_fd(origin->build), err);
}

static int folder(struct origin *origin, struct error *err)
{
	AUTO_FREE char *key = xasprintf("git %s", origin->git.remote);

	return origin_folder(origin, key, err);
}

/* ---- the origin ---- */

static int ask(struct origin *origin, struct error *err)
{
	int fd = folder(origin, err);

	if (fd < 0 || run(&origin->commit, origin, "resolve", fd, err) < 0)
		return -1;
	if (!git_is_commit(origin->commit))
		return error_set(err, ERR_INVALID, "invalid commit sha \"%s\"", origin->commit);
	if (origin->git.checksum && !text_has_prefix(origin->commit, origin->git.checksum))
		return error_set(err, ERR_INVALID, "expected checksum to match %s, got %s", origin->git.checksum,
				 origin->commit);
	return 0;
}

/* A commit that is said in full needs no question. */
int origin_git_resolve(struct origin *origin, struct error *err)
{
	const struct git_ref *ref = &origin->git;
	bool keep = ref->keep_git_dir == GIT_YES;
	AUTO_FREE char *text = NULL;

	if (ref->ref && git_is_commit(ref->ref))
		origin->commit = xstrdup(ref->ref);
	else if (ref->fetch_by_commit)
		origin->commit = xstrdup(ref->checksum);
	else if (ask(origin, err) < 0)
		return err->kind == ERR_CANCELED ? -1 : error_prefix(err, "failed to load cache key");
	text = xasprintf("kist.git.1\n%s\n%s\n%s\n%d %d %d\n%s\n", ref->remote, origin->commit,
			 text_or_empty(ref->subdir), keep, ref->submodules != GIT_NO, ref->mtime_commit,
			 keep ? text_or_empty(ref->ref) : "");
	digest_of(&origin->digest, DIGEST_SHA256, text, strlen(text));
	return 0;
}

int origin_git_open(struct origin *origin, struct error *err)
{
	const char *subdir = origin->git.subdir;
	AUTO_FREE char *ignored = NULL;
	AUTO_CLOSE int files = -1;
	int fd = folder(origin, err);

	if (fd < 0 || run(&ignored, origin, "checkout", fd, err) < 0)
		return -1;
	files = openat(fd, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (files < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open a checkout");
	origin->fd = text_empty(subdir) ? take_fd(&files) : open_in_root(files, subdir, O_RDONLY | O_DIRECTORY, 0);
	if (origin->fd < 0) {
		int r = origin->fd;

		origin->fd = -1;
		return error_set_errno(err, ERR_INVALID, r, "failed to open subdir %s", subdir);
	}
	return 0;
}
