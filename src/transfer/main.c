/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-transfer: one pull, push, login or file, any number of fetches, or a repository, for the engine at the other end of
 * descriptor 3 (session.h). Reads its request, loads certificates, locks itself
 * in, does the work, says how it ended.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "http/remote.h"
#include "transfer/fetch.h"
#include "transfer/get.h"
#include "transfer/login.h"
#include "transfer/pack_one.h"
#include "transfer/pull.h"
#include "transfer/push.h"
#include "transfer/sandbox.h"
#include "transfer/serve.h"

#define CHANNEL_FD 3

static int receive_request(struct message_request *out_request, struct channel *channel, struct error *err)
{
	AUTO_FREE char *line = NULL;
	int r = channel_receive(&line, channel, -1, err);

	if (r == 0)
		return error_set(err, ERR_CANCELED, "no request came");
	return r < 0 ? -1 : json_decode(out_request, message_request_fields, line, strlen(line), err);
}

static int do_pull(struct channel *channel, const struct message_request *request, struct message_event *end,
		   struct error *err)
{
	AUTO(pull_freep) struct pull *pull = NULL;

	if (pull_open(&pull, request, channel, err) < 0 || sandbox_enter(err) < 0)
		return -1;
	return text_equal(request->action, "look") ? pull_look(pull, end, err) : pull_run(pull, end, err);
}

static int do_push(struct channel *channel, const struct message_request *request, struct message_event *end,
		   struct error *err)
{
	AUTO(push_freep) struct push *push = NULL;

	if (push_open(&push, request, channel, err) < 0 || sandbox_enter(err) < 0)
		return -1;
	return push_run(push, end, err);
}

static int do_pack(struct channel *channel, const struct message_request *request, struct message_event *end,
		   struct error *err)
{
	return sandbox_enter(err) < 0 ? -1 : pack_one(channel, request, end, err);
}

static int do_login(struct channel *channel, const struct message_request *request, struct message_event *end,
		    struct error *err)
{
	AUTO(login_freep) struct login *login = NULL;

	(void)channel;
	if (login_open(&login, request, err) < 0 || sandbox_enter(err) < 0)
		return -1;
	return login_run(login, end, err);
}

static int do_fetch(struct channel *channel, const struct message_request *request, struct message_event *end,
		    struct error *err)
{
	AUTO(fetch_freep) struct fetch *fetch = NULL;

	(void)end;
	if (fetch_open(&fetch, request, channel, err) < 0 || sandbox_enter(err) < 0)
		return -1;
	return fetch_run(fetch, err);
}

static int do_get(struct channel *channel, const struct message_request *request, struct message_event *end,
		  struct error *err)
{
	return sandbox_enter(err) < 0 ? -1 : get_run(channel, request, end, err);
}

static int do_serve(struct channel *channel, const struct message_request *request, struct message_event *end,
		    struct error *err)
{
	AUTO(serve_freep) struct serve *serve = NULL;

	(void)end;
	if (serve_open(&serve, request, channel, err) < 0 || sandbox_enter(err) < 0)
		return -1;
	return serve_run(serve, err);
}

typedef int (*action_fn)(struct channel *channel, const struct message_request *request, struct message_event *end,
			 struct error *err);

static const struct {
	const char *name;
	action_fn run;
} actions[] = {
	{ "pull", do_pull },   { "look", do_pull },   { "push", do_push }, { "pack", do_pack },
	{ "fetch", do_fetch }, { "login", do_login }, { "get", do_get },   { "serve", do_serve },
};

static int act(struct channel *channel, struct message_event *end, struct error *err)
{
	struct message_request request = { 0 };
	action_fn run = NULL;
	int r = receive_request(&request, channel, err);

	for (size_t i = 0; r == 0 && i < sizeof(actions) / sizeof(*actions); i++)
		if (text_equal(actions[i].name, request.action))
			run = actions[i].run;
	if (r == 0 && !run)
		r = error_set(err, ERR_UNSUPPORTED, "unknown action \"%s\"", request.action);
	if (r == 0)
		r = run(channel, &request, end, err);
	json_free_fields(&request, message_request_fields);
	return r;
}

static void send_end(struct channel *channel, struct message_event *end, const struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *line = NULL;

	end->event = xstrdup("end");
	if (error_is_set(err)) {
		end->error_kind = xstrdup(error_kind_name(err->kind));
		end->error_message = xstrdup(err->message);
		end->error_number = err->errnum;
	}
	line = json_encode(end, message_event_fields);
	channel_send(channel, line, NULL, 0, &ignored);
}

int main(int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	struct message_event end = { 0 };
	struct channel channel;
	int type;
	socklen_t size = sizeof(type);

	if (argc == 2 && text_equal(argv[1], "--version")) {
		puts("kist-transfer " KIST_VERSION);
		return 0;
	}
	if (argc != 1 || getsockopt(CHANNEL_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
		fputs("kist-transfer is started by kistd, kist and kist-registry, with a socket as descriptor 3\n",
		      stderr);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	remote_global_init();
	channel_init(&channel, CHANNEL_FD);
	act(&channel, &end, &err);
	send_end(&channel, &end, &err);
	json_free_fields(&end, message_event_fields);
	channel_fini(&channel);
	/* Nothing runs at exit: what libraries may want to do there, the sandbox does not let them do. */
	_exit(0);
}
