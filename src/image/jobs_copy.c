/* SPDX-License-Identifier: Apache-2.0 */
/* copy and sync. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"
#include "image/copy.h"
#include "image/jobs.h"
#include "image/place_registry.h"
#include "oci/digest.h"
#include "oci/reference.h"

static int copy_between(const struct image_request *request, const char *source, const char *destination,
			char **out_digest, struct error *err)
{
	AUTO(place_freep) struct place *from = NULL;
	AUTO(place_freep) struct place *to = NULL;
	AUTO(document_fini) struct document top = { 0 };
	const struct copy_options options = { .request = request };

	if (job_source(&from, request, source, err) < 0 || job_destination(&to, request, destination, err) < 0 ||
	    copy_image(to, from, &options, &top, err) < 0 || place_finish(to, err) < 0)
		return -1;
	if (top.limit && !request->quiet)
		fprintf(stderr, "%s: %s requests left\n", from->registry, top.limit);
	*out_digest = take_ptr(top.digest);
	return 0;
}

static int check_format(const struct image_request *request, struct error *err)
{
	if (text_empty(request->format) || text_equal(request->format, "oci") || text_equal(request->format, "v2s2"))
		return 0;
	return error_set(err, ERR_INVALID, "unknown format \"%s\": choose oci or v2s2", request->format);
}

int job_copy(const struct image_request *request, struct error *err)
{
	AUTO_FREE char *digest = NULL;

	if (request->all && !text_empty(request->platform))
		return error_set(err, ERR_INVALID, "--all and --platform exclude each other");
	if (check_format(request, err) < 0 ||
	    copy_between(request, request->operands.items[0], request->operands.items[1], &digest, err) < 0)
		return -1;
	puts(digest);
	return 0;
}

/* ---- sync: every tag of a repository ---- */

/* The name of one tag at the destination: a registry or a folder, below which the repository keeps its name. */
static char *target_of(const struct place *from, const char *destination, const char *tag)
{
	const char *folder = text_after(destination, "dir:");
	const char *layout = text_after(destination, "oci:");
	const char *base = path_base(from->repository);

	if (folder)
		return xasprintf("dir:%s/%s:%s", folder, base, tag);
	if (layout)
		return xasprintf("oci:%s:%s", layout, tag);
	return xasprintf("%s/%s:%s", destination, base, tag);
}

static int list_tags(struct text_list *out_tags, const struct image_request *request, char **out_name,
		     struct error *err)
{
	const char *operand = request->operands.items[0];
	const char *rest = text_after(operand, "docker://");
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO(place_freep) struct place *place = NULL;
	struct agent *agent;

	if (reference_parse(&reference, rest ? rest : operand, err) < 0)
		return -1;
	*out_name = reference_name(&reference);
	if (reference.tag) {
		text_list_add(out_tags, reference.tag);
		return 0;
	}
	if (job_source(&place, request, operand, err) < 0)
		return -1;
	agent = place_registry_agent(place, NULL, err);
	return agent ? agent_tags(out_tags, agent, err) : -1;
}

/* Where there is no referrers API, sha256-<hex> is the list of what refers to sha256:<hex>: no image. */
static bool is_referrers_tag(const char *tag)
{
	AUTO_FREE char *digest = xstrdup(tag);
	char *dash = strchr(digest, '-');

	if (!dash)
		return false;
	*dash = ':';
	return digest_is_valid(digest);
}

static bool skips(const struct image_request *request, const char *tag)
{
	if (request->all || !is_referrers_tag(tag))
		return false;
	if (!request->referrers && !request->quiet)
		fprintf(stderr, "%s: lists what refers to an image: left out, as --referrers was not asked for\n", tag);
	return true;
}

int job_sync(const struct image_request *request, struct error *err)
{
	AUTO(text_list_fini) struct text_list tags = { 0 };
	AUTO_FREE char *name = NULL;
	struct place naming = { 0 };
	size_t failed = 0;

	if (check_format(request, err) < 0 || list_tags(&tags, request, &name, err) < 0)
		return -1;
	naming.repository = name;
	for (size_t i = 0; i < tags.count; i++) {
		AUTO(error_clear) struct error problem = { 0 };
		AUTO_FREE char *source = xasprintf("docker://%s:%s", name, tags.items[i]);
		AUTO_FREE char *target = target_of(&naming, request->operands.items[1], tags.items[i]);
		AUTO_FREE char *digest = NULL;

		if (skips(request, tags.items[i]))
			continue;
		if (copy_between(request, source, target, &digest, &problem) == 0) {
			printf("%s %s\n", tags.items[i], digest);
			continue;
		}
		fprintf(stderr, "%s: %s\n", tags.items[i], problem.message);
		failed++;
	}
	if (failed)
		return error_set(err, ERR_INTERNAL, "%zu of %zu tags could not be copied", failed, tags.count);
	return 0;
}
