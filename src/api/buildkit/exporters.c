/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a build's result: the image, the image pushed, archives and files for the client. */
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "builder/exporter.h"
#include "engine/image.h"
#include "engine/layer_parts.h"
#include "oci/reference.h"

int exporters_check(const struct bk_solve_request *request, struct error *err)
{
	if (!text_empty(request->exporter) && exporter_check(request->exporter, &request->exporter_attrs, err) < 0)
		return -1;
	for (size_t i = 0; i < request->exporters.count; i++) {
		const struct bk_exporter *exporter = &request->exporters.items[i];

		if (exporter_check(text_or_empty(exporter->type), &exporter->attrs, err) < 0)
			return -1;
	}
	return 0;
}

bool exporters_clamp(const struct bk_solve_request *request)
{
	bool clamp = exporter_clamps(&request->exporter_attrs);

	for (size_t i = 0; i < request->exporters.count; i++)
		clamp = clamp || exporter_clamps(&request->exporters.items[i].attrs);
	return clamp;
}

bool exporters_carry(const struct bk_solve_request *request)
{
	bool carry = !text_empty(request->exporter) && exporter_carries(request->exporter, &request->exporter_attrs);

	for (size_t i = 0; i < request->exporters.count; i++)
		carry = carry || exporter_carries(text_or_empty(request->exporters.items[i].type),
						  &request->exporters.items[i].attrs);
	return carry;
}

/* ---- exporters ---- */

struct exporting {
	struct frontend *frontend;
	const char *type;
	size_t number;
	const struct text_map *attrs;
	struct text_map *answer;
	struct text_list tags; /* full references */
	struct text_map annotations;
	struct text_map index_annotations;
	struct layer_form form;
	struct build_images images;
};

static void exporting_fini(struct exporting *exporting)
{
	text_list_fini(&exporting->tags);
	text_map_fini(&exporting->annotations);
	text_map_fini(&exporting->index_annotations);
}

static void answer_image(const struct exporting *exporting, const struct digest *id)
{
	const char *names = text_or_empty(text_map_get(exporting->attrs, "name"));
	char text[DIGEST_TEXT_MAX];

	text_map_set(exporting->answer, "containerimage.digest", digest_text(id, text));
	text_map_set(exporting->answer, "containerimage.config.digest", text);
	if (*names)
		text_map_set(exporting->answer, "image.name", names);
}

static void answer_written(const struct exporting *exporting, const struct build_written *written)
{
	const char *names = text_or_empty(text_map_get(exporting->attrs, "name"));
	char text[DIGEST_TEXT_MAX];

	text_map_set(exporting->answer, "containerimage.digest", digest_text(&written->digest, text));
	if (digest_is_set(&written->config))
		text_map_set(exporting->answer, "containerimage.config.digest", digest_text(&written->config, text));
	text_map_set(exporting->answer, "containerimage.descriptor", written->descriptor);
	if (*names)
		text_map_set(exporting->answer, "image.name", names);
}

/* What is told of a push stays between the registry and us. */
static void drop_progress(void *arg, const char *json)
{
	(void)arg;
	(void)json;
}

static int push_all(void *arg, struct error *err)
{
	struct exporting *exporting = arg;
	struct frontend *frontend = exporting->frontend;
	struct engine *engine = frontend->job->buildkit->engine;

	for (size_t i = 0; i < exporting->tags.count; i++) {
		AUTO(reference_fini) struct reference reference = { 0 };
		AUTO_FREE char *full = NULL;
		AUTO_FREE char *part = NULL;
		AUTO_FREE char *auth = NULL;
		int64_t started_ns = clock_wall_ns();

		if (reference_parse(&reference, exporting->tags.items[i], err) < 0)
			return -1;
		reference_default_tag(&reference);
		full = reference_format(&reference);
		part = xasprintf("pushing manifest for %s", full);
		auth = frontend_credentials(frontend, reference.domain, frontend->options.cancel_fd);
		build_show_part(frontend->build, part, started_ns, 0, false);
		if (image_push(engine,
			       &(struct image_push_options){ .image = full,
							     .tag = "",
							     .auth = auth,
							     .registry = frontend->options.registry,
							     .progress = drop_progress,
							     .cancel_fd = frontend->options.cancel_fd },
			       err) < 0)
			return error_prefix(err, "failed to push %s", full);
		build_show_part(frontend->build, part, started_ns, 0, true);
	}
	return 0;
}

static int push_written(void *arg, struct error *err)
{
	struct exporting *exporting = arg;
	AUTO(build_written_fini) struct build_written written = { 0 };

	if (build_push_images(&written, &exporting->images, &exporting->tags, err) < 0)
		return -1;
	answer_written(exporting, &written);
	return 0;
}

static int store_written(void *arg, struct error *err)
{
	struct exporting *exporting = arg;
	AUTO(build_written_fini) struct build_written written = { 0 };

	if (build_store_images(&written, &exporting->images, &exporting->tags, err) < 0)
		return -1;
	answer_written(exporting, &written);
	return 0;
}

static int export_image(struct exporting *exporting, struct error *err)
{
	struct frontend *frontend = exporting->frontend;
	bool push = text_equal(text_map_get(exporting->attrs, "push"), "true");
	bool is_plain = !build_images_need_index(&exporting->images) && !text_map_get(exporting->attrs, "compression");
	struct digest id;

	if (push && exporting->tags.count == 0)
		return error_set(err, ERR_INVALID, "tag is needed when pushing to registry");
	if (frontend->multi) {
		if (build_export_shown(frontend->build, "exporting to image", store_written, exporting, err) < 0)
			return -1;
	} else {
		if (build_export(&id, frontend->build, &exporting->tags, &exporting->annotations, err) < 0)
			return -1;
		answer_image(exporting, &id);
	}
	return push ? build_export_shown(frontend->build, "pushing to registry", is_plain ? push_all : push_written,
					 exporting, err)
		    : 0;
}

static int export_archive(struct exporting *exporting, struct error *err)
{
	bool is_docker = text_equal(exporting->type, "docker");
	const char *compression = text_map_get(exporting->attrs, "compression");
	AUTO(build_written_fini) struct build_written written = { 0 };
	struct digest id = { 0 };
	struct filesend wanted = {
		.form = is_docker ? FILESEND_DOCKER : FILESEND_LAYOUT,
		.exporter = exporting->number,
		.tags = &exporting->tags,
		.annotations = &exporting->annotations,
		.out_id = &id,
	};

	if (is_docker && exporting->frontend->multi)
		return error_set(
			err, ERR_UNSUPPORTED,
			"docker exporter does not support exporting manifest lists, use the oci exporter instead");
	exporting->images.is_inline = text_equal(text_map_get(exporting->attrs, "attestation-inline"), "true");
	/* Nobody waits for compression who did not ask. */
	if (text_empty(compression))
		exporting->form.packing = LAYER_TAR;
	if (!is_docker && (build_images_need_index(&exporting->images) || exporting->form.packing != LAYER_TAR)) {
		wanted.images = &exporting->images;
		wanted.out_written = &written;
	}
	if (filesend_export(exporting->frontend, &wanted, err) < 0)
		return -1;
	if (wanted.images)
		answer_written(exporting, &written);
	else
		answer_image(exporting, &id);
	return 0;
}

static int export_files(const struct exporting *exporting, struct error *err)
{
	const struct filesend wanted = { .form = text_equal(exporting->type, "tar") ? FILESEND_TAR : FILESEND_LOCAL,
					 .exporter = exporting->number };

	if (exporting->frontend->build_count > 1)
		return error_set(err, ERR_UNSUPPORTED, "output type=%s: one platform at a time", exporting->type);
	return filesend_export(exporting->frontend, &wanted, err);
}

static int read_tags(struct exporting *exporting, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	text_list_split(&names, text_or_empty(text_map_get(exporting->attrs, "name")), ',');
	for (size_t i = 0; i < names.count; i++) {
		AUTO(reference_fini) struct reference reference = { 0 };

		if (reference_parse(&reference, names.items[i], err) < 0)
			return -1;
		reference_default_tag(&reference);
		text_list_add_take(&exporting->tags, reference_format(&reference));
	}
	return 0;
}

static int read_annotations(struct exporting *exporting, struct error *err)
{
	for (size_t i = 0; i < exporting->attrs->count; i++) {
		const struct text_pair *attr = &exporting->attrs->items[i];
		const char *key = exporter_annotation(attr->key);
		const char *index_key = exporter_index_annotation(attr->key);

		if (key && strchr(attr->key, '[') && exporting->frontend->build_count > 1)
			return error_set(err, ERR_UNSUPPORTED,
					 "%s: annotations of one platform among several are not supported", attr->key);
		if (key)
			text_map_set(&exporting->annotations, key, attr->value);
		if (index_key)
			text_map_set(&exporting->index_annotations, index_key, attr->value);
	}
	return 0;
}

static int prepare(struct exporting *exporting, struct error *err)
{
	struct frontend *frontend = exporting->frontend;

	if (read_tags(exporting, err) < 0 || read_annotations(exporting, err) < 0 ||
	    (exporter_kind(exporting->type) != EXPORT_FILES &&
	     exporter_form(&exporting->form, exporting->attrs, err) < 0))
		return -1;
	exporting->images = (struct build_images){ .builds = frontend->builds,
						   .count = frontend->build_count,
						   .multi = frontend->multi,
						   .is_inline = true,
						   .names = &exporting->tags,
						   .annotations = &exporting->annotations,
						   .index_annotations = &exporting->index_annotations,
						   .form = &exporting->form };
	if (exporting->index_annotations.count > 0 && exporter_kind(exporting->type) != EXPORT_FILES &&
	    !build_images_need_index(&exporting->images))
		return error_set(err, ERR_UNSUPPORTED, "index annotations not supported for single platform export");
	return 0;
}

static int export_one(struct frontend *frontend, const char *type, size_t number, const struct text_map *attrs,
		      struct text_map *answer, struct error *err)
{
	AUTO(exporting_fini)
	struct exporting exporting = {
		.frontend = frontend, .type = type, .number = number, .attrs = attrs, .answer = answer
	};

	if (prepare(&exporting, err) < 0)
		return -1;
	switch (exporter_kind(type)) {
	case EXPORT_IMAGE:
		return export_image(&exporting, err);
	case EXPORT_ARCHIVE:
		return export_archive(&exporting, err);
	default:
		return export_files(&exporting, err);
	}
}

int frontend_export(struct frontend *frontend, const struct bk_solve_request *request,
		    struct bk_solve_response *response, int cancel_fd, struct error *err)
{
	struct text_map *answer = &response->exporter_response;

	frontend->options.cancel_fd = cancel_fd;
	for (size_t i = 1; i < frontend->build_count; i++)
		frontend->more_options[i].cancel_fd = cancel_fd;
	if (request->exporters.count == 0 && !text_empty(request->exporter))
		return export_one(frontend, request->exporter, 0, &request->exporter_attrs, answer, err);
	for (size_t i = 0; i < request->exporters.count; i++) {
		const struct bk_exporter *exporter = &request->exporters.items[i];

		if (export_one(frontend, text_or_empty(exporter->type), i, &exporter->attrs, answer, err) < 0)
			return -1;
	}
	return 0;
}
