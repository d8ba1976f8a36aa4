/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/look.h"

#include <string.h>

#include "archive/pattern.h"
#include "base/alloc.h"
#include "builder/check.h"
#include "builder/describe.h"
#include "engine/image.h"

struct finder {
	struct engine *engine;
	struct image_ready image; /* found last */
};

static const struct image_config *find_image(void *arg, const char *name, const char *platform)
{
	struct finder *finder = arg;
	AUTO(error_clear) struct error ignored = { 0 };

	(void)platform;
	image_ready_fini(&finder->image);
	finder->image = (struct image_ready){ 0 };
	return image_resolve(&finder->image, finder->engine, name, &ignored) == 0 ? &finder->image.config : NULL;
}

static int check(struct build_view *out_view, struct engine *engine, const struct build_look *look, const char *name,
		 struct error *err)
{
	AUTO(pattern_list_fini) struct pattern_list ignored = { 0 };
	AUTO(check_report_fini) struct check_report report = { 0 };
	struct finder finder = { .engine = engine };
	const struct check_options options = { .build_args = look->args,
					       .platform = look->platform,
					       .target = look->target,
					       .ignored = text_empty(look->ignored) ? NULL : &ignored,
					       .image = find_image,
					       .arg = &finder };

	if (options.ignored && pattern_list_parse(&ignored, look->ignored, strlen(look->ignored), err) < 0)
		return error_prefix(err, "error reading .dockerignore");
	check_dockerfile(&report, look->dockerfile, strlen(look->dockerfile), &options);
	image_ready_fini(&finder.image);
	check_report_json(&out_view->json, &report, name, look->dockerfile);
	if (report.count == 0 && !report.failure)
		text_add(&out_view->text, "Check complete, no warnings found.\n");
	else if (report.count == 1)
		text_add(&out_view->text, "Check complete, one warning has been found!\n");
	else if (report.count > 1)
		text_addf(&out_view->text, "Check complete, %zu warnings have been found!\n", report.count);
	check_report_text(&out_view->text, &report, name, look->dockerfile);
	out_view->is_bad = report.count > 0 || report.failure;
	return 0;
}

static int describe(struct build_view *out_view, const struct build_look *look, struct error *err)
{
	AUTO(description_fini) struct description description = { 0 };
	AUTO(dockerfile_freep) struct dockerfile *dockerfile = NULL;
	int r = dockerfile_parse(&dockerfile, look->dockerfile, strlen(look->dockerfile), err);

	if (r == 0 && text_equal(look->call, "targets"))
		describe_targets(&description, dockerfile, look->dockerfile);
	else if (r == 0)
		r = describe_outline(&description, dockerfile, look->dockerfile, look->args, look->platform,
				     look->target, err);
	if (r < 0)
		return -1;
	text_add(&out_view->json, description.json.data);
	text_add(&out_view->text, text_or_empty(description.table.data));
	return 0;
}

int build_look(struct build_view *out_view, struct engine *engine, const struct build_look *look, struct error *err)
{
	const char *name = text_empty(look->name) ? "Dockerfile" : look->name;

	if (text_equal(look->call, "check"))
		return check(out_view, engine, look, name, err);
	if (text_equal(look->call, "targets") || text_equal(look->call, "outline"))
		return describe(out_view, look, err);
	return error_set(err, ERR_INVALID, "no call \"%s\": check, outline or targets", text_or_empty(look->call));
}

void build_view_fini(struct build_view *view)
{
	text_fini(&view->json);
	text_fini(&view->text);
}
