/* SPDX-License-Identifier: Apache-2.0 */
/* The build checks while a build goes on, for clients that watch it. */
#include <string.h>

#include "base/alloc.h"
#include "builder/build_private.h"
#include "builder/check.h"

#define RULES_URL "https://docs.docker.com/go/dockerfile/rule/"

/* Only what the build has found by itself is looked at. */
static const struct image_config *find_image(void *arg, const char *name, const char *platform)
{
	struct image_ready *image = ((void **)arg)[1];
	const struct build *build = ((void **)arg)[0];
	AUTO(error_clear) struct error ignored = { 0 };

	(void)platform;
	image_ready_fini(image);
	*image = (struct image_ready){ 0 };
	return image_resolve(image, build->engine, name, &ignored) == 0 ? &image->config : NULL;
}

static void tell(const struct build *build, const struct check_finding *finding)
{
	const struct build_watch *watch = build->options->watch;
	AUTO_FREE char *text = xasprintf("%s: %s (line %u)", finding->rule->name, finding->detail, finding->line);
	AUTO_FREE char *url = finding->rule->page ? xasprintf(RULES_URL "%s/", finding->rule->page) : xstrdup("");
	const struct build_warning warning = { .vertex = build->definition_vertex,
					       .text = text,
					       .detail = finding->rule->description,
					       .url = url,
					       .path = build->dockerfile_path,
					       .dockerfile = build->dockerfile_text,
					       .first = finding->line,
					       .last = finding->last_line };

	watch->warning(watch->arg, &warning);
}

int warn_findings(struct build *build, struct error *err)
{
	AUTO(pattern_list_fini) struct pattern_list ignored = { 0 };
	AUTO(check_report_fini) struct check_report report = { 0 };
	AUTO_FREE char *violations = NULL;
	struct image_ready image = { 0 };
	void *finder[] = { build, &image };
	const struct check_options options = { .build_args = build->options->args,
					       .platform = build->options->platform,
					       .target = build->options->target,
					       .ignored = build->ignored.count > 0 ? &ignored : NULL,
					       .image = find_image,
					       .arg = finder };

	for (size_t i = 0; i < build->ignored.count; i++)
		if (pattern_list_add(&ignored, build->ignored.items[i], err) < 0)
			return -1;
	check_dockerfile(&report, build->dockerfile_text, strlen(build->dockerfile_text), &options);
	image_ready_fini(&image);
	for (size_t i = 0; i < report.count; i++)
		tell(build, &report.items[i]);
	violations = check_report_violations(&report);
	return violations ? error_set(err, ERR_INVALID, "%s", violations) : 0;
}
