/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: several operands are served at the same time, each by a thread
 * with a connection of its own; what is printed comes in the order of the
 * operands. One operand needs no thread.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "cli/commands.h"

#define AT_ONCE 16

struct job {
	const char *name; /* borrowed */
	int result;
	struct error err;
};

struct crowd {
	struct cli *cli;
	void *options;
	operand_action act;
	struct job *jobs;
	size_t count;
	size_t next; /* taken by fetch-and-add */
};

static void report(int *code, struct job *job)
{
	int ignored;

	if (job->result == OPERAND_DONE)
		cli_done(job->name);
	else
		cli_report(job->result == OPERAND_FORGIVEN ? &ignored : code, &job->err);
}

static void run_jobs(struct crowd *crowd, struct client *client)
{
	for (;;) {
		size_t i = __atomic_fetch_add(&crowd->next, 1, __ATOMIC_RELAXED);

		if (i >= crowd->count)
			return;
		crowd->jobs[i].result = crowd->act(client, crowd->options, crowd->jobs[i].name, &crowd->jobs[i].err);
	}
}

static void *serve(void *arg)
{
	struct crowd *crowd = arg;
	const struct client_options options = { .host = crowd->cli->client.host };
	AUTO(error_clear) struct error err = { 0 };
	struct client client = { 0 };

	/* Without a connection of its own this thread does nothing; the others do all. */
	if (client_open(&client, &options, &err) < 0)
		return NULL;
	text_list_fini(&client.headers);
	text_list_add_all(&client.headers, &crowd->cli->client.headers);
	run_jobs(crowd, &client);
	client_close(&client);
	return NULL;
}

static void run_crowd(struct crowd *crowd, struct client *client)
{
	pthread_t threads[AT_ONCE];
	size_t started = 0;

	while (started + 1 < crowd->count && started < AT_ONCE - 1 &&
	       pthread_create(&threads[started], NULL, serve, crowd) == 0)
		started++;
	run_jobs(crowd, client);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

int for_each_operand(struct cli *cli, const struct text_list *operands, void *options, operand_action act,
		     struct error *err)
{
	struct client *client = cli_client(cli, err);
	struct crowd crowd = { .cli = cli, .options = options, .act = act, .count = operands->count };
	int code = 0;

	if (!client)
		return -1;
	crowd.jobs = xcalloc(operands->count + 1, sizeof(*crowd.jobs));
	for (size_t i = 0; i < operands->count; i++)
		crowd.jobs[i].name = operands->items[i];
	run_crowd(&crowd, client);
	for (size_t i = 0; i < operands->count; i++)
		report(&code, &crowd.jobs[i]);
	free(crowd.jobs);
	return code;
}
