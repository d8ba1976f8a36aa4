/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-image: one job on images, for the kist that started it: the request
 * (request.h) is on descriptor 3. Results go to stdout, what goes on to stderr.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "image/jobs.h"

#define REQUEST_FD 3
#define REQUEST_MAX (4 * 1024 * 1024)

static const struct {
	const char *name;
	image_job *run;
	size_t operands; /* at least */
} jobs[] = {
	{ "append", job_append, 1 },
	{ "catalog", job_catalog, 1 },
	{ "config", job_config, 1 },
	{ "copy", job_copy, 2 },
	{ "delete", job_delete, 1 },
	{ "digest", job_digest, 1 },
	{ "export", job_export, 1 },
	{ "flatten", job_flatten, 1 },
	{ "inspect", job_inspect, 1 },
	{ "ls-tags", job_ls_tags, 1 },
	{ "manifest", job_manifest, 1 },
	{ "manifest-annotate", job_manifest_annotate, 2 },
	{ "manifest-create", job_manifest_create, 2 },
	{ "manifest-inspect", job_manifest_inspect, 1 },
	{ "manifest-push", job_manifest_push, 1 },
	{ "mutate", job_mutate, 1 },
	{ "rebase", job_rebase, 1 },
	{ "referrers", job_referrers, 1 },
	{ "sync", job_sync, 2 },
	{ "validate", job_validate, 1 },
};

static int run(const struct image_request *request, struct error *err)
{
	for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
		if (!text_equal(jobs[i].name, request->act))
			continue;
		if (request->operands.count < jobs[i].operands)
			return error_set(err, ERR_INVALID, "%s needs %zu operands", request->act, jobs[i].operands);
		return jobs[i].run(request, err);
	}
	return error_set(err, ERR_UNSUPPORTED, "unknown job \"%s\"", request->act);
}

static int load_request(struct image_request *out_request, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = fd_read_all(&text, &size, REQUEST_FD, REQUEST_MAX);

	close(REQUEST_FD);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read the request");
	return json_decode(out_request, image_request_fields, text, size, err);
}

int main(int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	struct image_request request = { 0 };
	int r;

	if (argc == 2 && text_equal(argv[1], "--version")) {
		puts("kist-image " KIST_VERSION);
		return 0;
	}
	if (argc != 1) {
		fputs("kist-image is started by kist, with its request on descriptor 3\n", stderr);
		return 2;
	}
	/* Who kills kist wants it to end. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOFBF, 0);
	r = load_request(&request, &err);
	if (r == 0)
		r = run(&request, &err);
	json_free_fields(&request, image_request_fields);
	if (r == 0 && fflush(stdout) != 0)
		r = error_set(&err, ERR_INTERNAL, "write the result: the output is closed or full");
	if (r == 0)
		return 0;
	fflush(stdout);
	fprintf(stderr, "%s\n", err.message);
	return 1;
}
