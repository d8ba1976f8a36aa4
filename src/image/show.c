/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that only look: inspect, digest, manifest, config, and what registries list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "image/copy.h"
#include "image/jobs.h"
#include "image/place_registry.h"
#include "oci/image_config.h"
#include "oci/reference.h"

int job_source(struct place **out_place, const struct image_request *request, const char *name, struct error *err)
{
	return place_open(out_place, name,
			  &(struct place_options){ .request = request, .access = &request->source, .use = PLACE_READ },
			  err);
}

int job_destination(struct place **out_place, const struct image_request *request, const char *name, struct error *err)
{
	return place_open(
		out_place, name,
		&(struct place_options){ .request = request, .access = &request->destination, .use = PLACE_WRITE },
		err);
}

int job_load_config(struct place *place, const struct manifest *manifest, char **out_text, struct error *err)
{
	if (manifest->kind != MANIFEST_IMAGE || !manifest->config)
		return error_set(err, ERR_INVALID, "%s is no image: it has no config", place->name);
	return place_text(place, manifest->config, IMAGE_CONFIG_SIZE_MAX, out_text, err);
}

/* ---- one document ---- */

static int resolve_operand(struct place **out_place, struct document *out_document, struct manifest *out_manifest,
			   const struct image_request *request, struct error *err)
{
	return job_source(out_place, request, request->operands.items[0], err) < 0 ||
			       copy_resolve(*out_place, request->platform, out_document, out_manifest, err) < 0
		       ? -1
		       : 0;
}

int job_manifest(const struct image_request *request, struct error *err)
{
	AUTO(place_freep) struct place *place = NULL;
	AUTO(document_fini) struct document document = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };

	if (!text_empty(request->platform)) {
		if (resolve_operand(&place, &document, &manifest, request, err) < 0)
			return -1;
	} else if (job_source(&place, request, request->operands.items[0], err) < 0 ||
		   place_document(place, &document, NULL, err) < 0) {
		return -1;
	}
	fputs(document.text, stdout);
	return 0;
}

int job_config(const struct image_request *request, struct error *err)
{
	AUTO(place_freep) struct place *place = NULL;
	AUTO(document_fini) struct document document = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO_FREE char *text = NULL;

	if (resolve_operand(&place, &document, &manifest, request, err) < 0 ||
	    job_load_config(place, &manifest, &text, err) < 0)
		return -1;
	fputs(text, stdout);
	return 0;
}

static int print_digest(const struct image_request *request, const char *name, struct error *err)
{
	AUTO(place_freep) struct place *place = NULL;
	AUTO(document_fini) struct document document = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };

	if (job_source(&place, request, name, err) < 0)
		return -1;
	if (text_empty(request->platform) && place->registry) {
		AUTO(agent_document_fini) struct agent_document head = { 0 };
		const char *what;
		struct agent *agent = place_registry_agent(place, &what, err);

		if (!agent || agent_head(&head, agent, what, err) < 0)
			return error_prefix(err, "%s", name);
		if (digest_is_valid(head.digest)) {
			puts(head.digest);
			return 0;
		}
	}
	/* A registry that does not say it: the bytes do. */
	if (text_empty(request->platform) ? place_document(place, &document, NULL, err) < 0
					  : copy_resolve(place, request->platform, &document, &manifest, err) < 0)
		return -1;
	puts(document.digest);
	return 0;
}

int job_digest(const struct image_request *request, struct error *err)
{
	for (size_t i = 0; i < request->operands.count; i++)
		if (print_digest(request, request->operands.items[i], err) < 0)
			return -1;
	return 0;
}

/* ---- inspect: as skopeo prints it ---- */

struct layer_data {
	char *media_type;
	char *digest;
	uint64_t size;
	struct text_map annotations;
};

struct inspection {
	char *name;
	char *digest;
	struct text_list tags;
	char *created;
	struct text_map labels;
	char *architecture;
	char *os;
	struct text_list layers;
	JSON_ARRAY_OF(struct layer_data) data;
	struct text_list env;
	char *limit;
};

static const struct json_field layer_data_fields[] = {
	JSON_TEXT("MIMEType", struct layer_data, media_type, 0),
	JSON_TEXT("Digest", struct layer_data, digest, 0),
	JSON_U64("Size", struct layer_data, size, 0),
	JSON_TEXT_MAP("Annotations", struct layer_data, annotations, JSON_EMPTY_NULL),
	JSON_END,
};

static const struct json_field inspection_fields[] = {
	JSON_TEXT("Name", struct inspection, name, JSON_OMIT_EMPTY),
	JSON_TEXT("Digest", struct inspection, digest, 0),
	JSON_TEXT_LIST("RepoTags", struct inspection, tags, 0),
	JSON_TEXT("Created", struct inspection, created, 0),
	JSON_TEXT_MAP("Labels", struct inspection, labels, JSON_EMPTY_NULL),
	JSON_TEXT("Architecture", struct inspection, architecture, 0),
	JSON_TEXT("Os", struct inspection, os, 0),
	JSON_TEXT_LIST("Layers", struct inspection, layers, 0),
	JSON_ARRAY("LayersData", struct inspection, data, layer_data_fields, 0),
	JSON_TEXT_LIST("Env", struct inspection, env, JSON_EMPTY_NULL),
	JSON_TEXT("RateLimitRemaining", struct inspection, limit, JSON_OMIT_EMPTY),
	JSON_END,
};

static int fill_registry(struct inspection *inspection, struct place *place, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct agent *agent = place->registry ? place_registry_agent(place, NULL, err) : NULL;

	if (!agent)
		return error_is_set(err) ? -1 : 0;
	inspection->name = xasprintf("%s/%s", place->registry, place->repository);
	/* A registry may refuse to list: what is asked for is the image. */
	agent_tags(&inspection->tags, agent, &ignored);
	return 0;
}

static void fill_layers(struct inspection *inspection, const struct manifest *manifest)
{
	for (size_t i = 0; i < manifest->layers.count; i++) {
		const struct descriptor *layer = &manifest->layers.items[i];
		struct layer_data *data = json_array_add(&inspection->data, sizeof(*data));

		text_list_add(&inspection->layers, layer->digest);
		data->media_type = xstrdup(layer->media_type);
		data->digest = xstrdup(layer->digest);
		data->size = layer->size;
		text_map_copy(&data->annotations, &layer->annotations);
	}
}

static int fill_config(struct inspection *inspection, const char *text, struct error *err)
{
	AUTO(image_config_fini) struct image_config config = { 0 };

	if (image_config_decode(&config, text, strlen(text), err) < 0)
		return -1;
	inspection->created = xstrdup(config.created);
	inspection->architecture = xstrdup(config.architecture);
	inspection->os = xstrdup(config.os);
	text_map_copy(&inspection->labels, &config.config.labels);
	text_list_add_all(&inspection->env, &config.config.env);
	return 0;
}

static int print_inspection(struct place *place, const struct document *document, const struct manifest *manifest,
			    struct error *err)
{
	struct inspection inspection = { 0 };
	AUTO(document_fini) struct document top = { 0 };
	AUTO_FREE char *config = NULL;
	AUTO_FREE char *text = NULL;
	int r = job_load_config(place, manifest, &config, err);

	if (r == 0 && media_type_is_config(manifest->config->media_type))
		r = fill_config(&inspection, config, err);
	if (r == 0)
		r = fill_registry(&inspection, place, err);
	/* As skopeo: the digest of what the name means, which may be an index. */
	if (r == 0)
		r = place_document(place, &top, NULL, err);
	if (r == 0) {
		inspection.digest = xstrdup(top.digest);
		inspection.limit = xstrdup(document->limit);
		fill_layers(&inspection, manifest);
		text = json_encode_pretty(&inspection, inspection_fields, "    ");
		puts(text);
	}
	json_free_fields(&inspection, inspection_fields);
	return r;
}

/* The config as it is, or indented. */
static int print_config(struct place *place, const struct manifest *manifest, bool raw, struct error *err)
{
	AUTO(image_config_fini) struct image_config config = { 0 };
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *pretty = NULL;

	if (job_load_config(place, manifest, &text, err) < 0)
		return -1;
	if (raw) {
		fputs(text, stdout);
		return 0;
	}
	if (image_config_decode(&config, text, strlen(text), err) < 0)
		return -1;
	pretty = json_encode_pretty(&config, image_config_fields, "    ");
	puts(pretty);
	return 0;
}

int job_inspect(const struct image_request *request, struct error *err)
{
	AUTO(place_freep) struct place *place = NULL;
	AUTO(document_fini) struct document document = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };

	if (request->raw && !request->config)
		return job_manifest(request, err);
	if (resolve_operand(&place, &document, &manifest, request, err) < 0)
		return -1;
	return request->config ? print_config(place, &manifest, request->raw, err)
			       : print_inspection(place, &document, &manifest, err);
}

/* ---- lists ---- */

static void print_names(struct text_list *names)
{
	text_list_sort(names);
	for (size_t i = 0; i < names->count; i++)
		puts(names->items[i]);
}

int job_ls_tags(const struct image_request *request, struct error *err)
{
	AUTO(place_freep) struct place *place = NULL;
	AUTO(text_list_fini) struct text_list names = { 0 };
	struct agent *agent;

	if (job_source(&place, request, request->operands.items[0], err) < 0)
		return -1;
	agent = place_registry_agent(place, NULL, err);
	if (!agent || agent_tags(&names, agent, err) < 0)
		return -1;
	print_names(&names);
	return 0;
}

/* A registry has no name without a repository: any will do. */
int job_catalog(const struct image_request *request, struct error *err)
{
	const char *host = request->operands.items[0];
	const char *rest = text_after(host, "docker://");
	AUTO_FREE char *name = NULL;
	AUTO(place_freep) struct place *place = NULL;
	AUTO(text_list_fini) struct text_list names = { 0 };
	struct agent *agent;

	host = rest ? rest : host;
	name = xasprintf("docker://%.*s/any", (int)strcspn(host, "/"), host);
	if (job_source(&place, request, name, err) < 0)
		return -1;
	agent = place_registry_agent(place, NULL, err);
	if (!agent || agent_catalog(&names, agent, err) < 0)
		return -1;
	print_names(&names);
	return 0;
}

static int print_referrers(const struct image_request *request, const char *text, struct error *err)
{
	AUTO(manifest_fini) struct manifest index = { 0 };

	if (manifest_decode(&index, text, strlen(text), MEDIA_OCI_INDEX, err) < 0)
		return error_prefix(err, "referrers");
	if (request->raw) {
		fputs(text, stdout);
		return 0;
	}
	for (size_t i = 0; i < index.manifests.count; i++) {
		const struct descriptor *entry = &index.manifests.items[i];
		const char *type = text_empty(entry->artifact_type) ? entry->media_type : entry->artifact_type;

		if (text_empty(request->artifact_type) || text_equal(request->artifact_type, type))
			printf("%s %s\n", entry->digest, type);
	}
	return 0;
}

int job_referrers(const struct image_request *request, struct error *err)
{
	AUTO(place_freep) struct place *place = NULL;
	AUTO(document_fini) struct document document = { 0 };
	AUTO_FREE char *text = NULL;
	struct agent *agent;

	if (job_source(&place, request, request->operands.items[0], err) < 0)
		return -1;
	agent = place_registry_agent(place, NULL, err);
	if (!agent || place_document(place, &document, NULL, err) < 0 ||
	    agent_referrers(&text, agent, document.digest, err) < 0)
		return -1;
	return print_referrers(request, text, err);
}

/* ---- delete ---- */

int job_delete(const struct image_request *request, struct error *err)
{
	AUTO(place_freep) struct place *place = NULL;
	AUTO(agent_document_fini) struct agent_document head = { 0 };
	const char *what;
	struct agent *agent;

	if (job_source(&place, request, request->operands.items[0], err) < 0)
		return -1;
	agent = place_registry_agent(place, &what, err);
	if (!agent)
		return -1;
	if (request->by_digest && !digest_is_valid(what)) {
		if (agent_head(&head, agent, what, err) < 0)
			return error_prefix(err, "%s", place->name);
		what = head.digest;
	}
	return agent_delete(agent, text_or_empty(what), err) < 0 ? error_prefix(err, "%s", place->name) : 0;
}
