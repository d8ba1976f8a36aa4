/* SPDX-License-Identifier: Apache-2.0 */
/* FrontendAttrs of dockerfile.v0: what `docker buildx build` says on its command line. */
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "builder/git_ref.h"
#include "oci/platform.h"

#define PLATFORMS_MAX 32
/* Not of the network: the client's own standard input. */
#define UPLOAD_PREFIX "http://buildkit-session/"

/* As BuildKit's frontend sees it; what is neither is a name for the client's folder. */
static bool is_remote(const char *text)
{
	AUTO(error_clear) struct error wrong = { 0 };
	AUTO(git_ref_fini) struct git_ref ref = { 0 };

	return text_has_prefix(text, "http://") || text_has_prefix(text, "https://") ||
	       git_ref_parse(&ref, text, &wrong) != 0;
}

/* "linux/amd64,linux/arm64", each once. */
static int read_platforms(struct frontend *frontend, const struct text_map *attrs, struct error *err)
{
	AUTO(text_list_fini) struct text_list items = { 0 };

	text_list_split(&items, text_or_empty(text_map_get(attrs, "platform")), ',');
	for (size_t i = 0; i < items.count; i++) {
		AUTO(platform_fini) struct platform platform = { 0 };
		AUTO_FREE char *text = NULL;

		if (platform_parse(&platform, items.items[i], err) < 0)
			return -1;
		text = platform_format(&platform);
		if (!text_list_contains(&frontend->platforms, text))
			text_list_add(&frontend->platforms, text);
	}
	if (frontend->platforms.count > PLATFORMS_MAX)
		return error_set(err, ERR_INVALID, "more than %d platforms", PLATFORMS_MAX);
	frontend->multi = text_equal(text_map_get(attrs, "multi-platform"), "true") || frontend->platforms.count > 1;
	return 0;
}

static int read_attestations(struct frontend *frontend, const struct text_map *attrs, struct error *err)
{
	struct attestation_options *options = &frontend->attestations;

	for (size_t i = 0; i < attrs->count; i++) {
		const char *kind = text_after(attrs->items[i].key, "attest:");
		const char *vcs = text_after(attrs->items[i].key, "vcs:");

		if (kind && attestation_read(options, kind, attrs->items[i].value, err) < 0)
			return -1;
		if (vcs && (text_equal(vcs, "source") || text_equal(vcs, "revision")))
			text_map_set(&frontend->vcs, vcs, attrs->items[i].value);
	}
	if ((options->sbom || (options->provenance != PROVENANCE_NONE && !options->inline_only)) &&
	    !frontend->job->carries)
		return error_set(err, ERR_UNSUPPORTED,
				 "attestations go with an image that is pushed or in an OCI archive: add --push or "
				 "--output type=oci");
	return 0;
}

static int read_number(int64_t *target, const struct text_map *attrs, const char *key, struct error *err)
{
	const char *text = text_map_get(attrs, key);

	if (text_empty(text) || text_parse_i64(target, text, -1, INT64_MAX) == 0)
		return 0;
	return error_set(err, ERR_INVALID, "invalid %s: %s", key, text);
}

static void read_text(char **target, const struct text_map *attrs, const char *key)
{
	const char *text = text_map_get(attrs, key);

	if (!text_empty(text))
		*target = xstrdup(text);
}

/* "nofile=1024:2048,nproc=100" */
static int read_ulimits(struct host_config *host, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list items = { 0 };

	text_list_split(&items, text_or_empty(text), ',');
	for (size_t i = 0; i < items.count; i++) {
		char *value = strchr(items.items[i], '=');
		char *hard = value ? strchr(value, ':') : NULL;
		struct ulimit *ulimit;

		if (hard)
			*hard++ = '\0';
		if (value)
			*value++ = '\0';
		ulimit = json_array_add(&host->ulimits, sizeof(*ulimit));
		ulimit->name = xstrdup(items.items[i]);
		if (!value || text_parse_i64(&ulimit->soft, value, -1, INT64_MAX) < 0 ||
		    text_parse_i64(&ulimit->hard, hard ? hard : value, -1, INT64_MAX) < 0)
			return error_set(err, ERR_INVALID, "invalid ulimit %s", items.items[i]);
	}
	return 0;
}

/* "name=address,..." */
static int read_hosts(struct host_config *host, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list items = { 0 };

	text_list_split(&items, text_or_empty(text), ',');
	for (size_t i = 0; i < items.count; i++) {
		const char *equals = strchr(items.items[i], '=');

		if (!equals)
			return error_set(err, ERR_INVALID, "invalid host %s: expected name=address", items.items[i]);
		text_list_addf(&host->extra_hosts, "%.*s:%s", (int)(equals - items.items[i]), items.items[i],
			       equals + 1);
	}
	return 0;
}

static int read_host(struct host_config *host, const struct text_map *attrs, struct error *err)
{
	const struct {
		const char *key;
		int64_t *target;
	} numbers[] = {
		{ "memory", &host->memory },	    { "memswap", &host->memory_swap },
		{ "cpushares", &host->cpu_shares }, { "cpuperiod", &host->cpu_period },
		{ "cpuquota", &host->cpu_quota },   { "shm-size", &host->shm_size },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (read_number(numbers[i].target, attrs, numbers[i].key, err) < 0)
			return -1;
	read_text(&host->cpuset_cpus, attrs, "cpusetcpus");
	read_text(&host->cpuset_mems, attrs, "cpusetmems");
	read_text(&host->cgroup_parent, attrs, "cgroup-parent");
	read_text(&host->network_mode, attrs, "force-network-mode");
	return read_ulimits(host, text_map_get(attrs, "ulimit"), err) < 0 ||
			       read_hosts(host, text_map_get(attrs, "add-hosts"), err) < 0
		       ? -1
		       : 0;
}

int attributes_read(struct frontend *frontend, const struct text_map *attrs, struct error *err)
{
	struct build_options *options = &frontend->options;
	const char *no_cache = text_map_get(attrs, "no-cache");

	if (read_platforms(frontend, attrs, err) < 0 || read_attestations(frontend, attrs, err) < 0 ||
	    read_host(&frontend->host, attrs, err) < 0 || caches_read(&frontend->cache_from, attrs, err) < 0)
		return -1;
	for (size_t i = 0; i < attrs->count; i++) {
		const struct text_pair *pair = &attrs->items[i];
		const char *arg = text_after(pair->key, "build-arg:");
		const char *label = text_after(pair->key, "label:");
		const char *context = text_after(pair->key, "context:");

		if (arg)
			text_map_set(&frontend->args, arg, pair->value);
		if (label)
			text_map_set(&frontend->labels, label, pair->value);
		if (context)
			text_map_set(&frontend->contexts, context, pair->value);
	}
	read_text(&frontend->dockerfile, attrs, "filename");
	read_text(&frontend->target, attrs, "target");
	if (text_has_prefix(text_map_get(attrs, "context"), UPLOAD_PREFIX))
		read_text(&frontend->context, attrs, "context");
	else if (is_remote(text_or_empty(text_map_get(attrs, "context"))))
		read_text(&frontend->remote, attrs, "context");
	options->remote = frontend->remote;
	options->own_dockerfile = text_map_get(attrs, "dockerfilekey") != NULL;
	options->dockerfile = frontend->dockerfile;
	options->target = frontend->target;
	options->platform = frontend->platforms.count ? frontend->platforms.items[0] : NULL;
	options->show_platform = frontend->platforms.count > 1;
	options->attestations = &frontend->attestations;
	options->vcs = &frontend->vcs;
	options->args = &frontend->args;
	options->labels = &frontend->labels;
	options->contexts = &frontend->contexts;
	options->cache_from = &frontend->cache_from;
	options->host = &frontend->host;
	options->pull = text_equal(text_map_get(attrs, "image-resolve-mode"), "pull");
	/* Without a value everything, else the stages it names. */
	options->no_cache = no_cache && !*no_cache;
	text_list_split(&frontend->no_cache_stages, text_or_empty(no_cache), ',');
	options->no_cache_stages = &frontend->no_cache_stages;
	options->force_remove = true;
	return 0;
}
