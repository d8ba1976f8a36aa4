/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/image_auth.h"
#include "engine/image_lookup.h"
#include "oci/manifest.h"

static const struct json_field target_fields[] = {
	JSON_TEXT("mediaType", struct distribution_target, media_type, 0),
	JSON_TEXT("digest", struct distribution_target, digest, 0),
	JSON_I64("size", struct distribution_target, size, 0),
	JSON_END,
};

const struct json_field image_distribution_fields[] = {
	JSON_OBJECT("Descriptor", struct image_distribution, descriptor, target_fields, 0),
	JSON_ARRAY("Platforms", struct image_distribution, platforms, platform_fields, 0),
	JSON_END,
};

static void add_platform(struct image_distribution *out, const struct platform *platform)
{
	platform_copy(json_array_add(&out->platforms, sizeof(struct platform)), platform);
}

static int fill_platforms(struct image_distribution *out, const struct session_looked *looked, struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO(image_config_fini) struct image_config config = { 0 };
	AUTO(platform_fini) struct platform platform = { 0 };

	if (manifest_decode(&manifest, looked->text, strlen(looked->text), looked->media_type, err) < 0)
		return -1;
	for (size_t i = 0; i < manifest.manifests.count; i++)
		if (manifest.manifests.items[i].platform)
			add_platform(out, manifest.manifests.items[i].platform);
	if (!looked->config)
		return 0;
	if (image_config_decode(&config, looked->config, strlen(looked->config), err) < 0)
		return -1;
	image_config_platform(&config, &platform);
	add_platform(out, &platform);
	return 0;
}

int image_look(struct session_looked *out_looked, const struct reference *reference, const char *auth,
	       const struct session_settings *registry, int cancel_fd, struct error *err)
{
	AUTO(image_auth_fini) struct image_auth decoded = { 0 };
	AUTO_FREE char *full = reference_format(reference);
	struct session_auth session_auth;

	if (image_auth_decode(&decoded, auth, err) < 0)
		return -1;
	session_auth = image_auth_session(&decoded);
	return session_look(
		out_looked,
		&(struct session_pull){
			.reference = full, .auth = &session_auth, .settings = registry, .cancel_fd = cancel_fd },
		err);
}

int image_distribution(struct image_distribution *out, const struct image_distribution_options *options,
		       struct error *err)
{
	AUTO(session_looked_fini) struct session_looked looked = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };

	if (image_parse_reference(&reference, options->image, NULL, err) < 0 ||
	    image_look(&looked, &reference, options->auth, options->registry, options->cancel_fd, err) < 0)
		return -1;
	*out = (struct image_distribution){ 0 };
	if (fill_platforms(out, &looked, err) < 0) {
		json_free_fields(out, image_distribution_fields);
		return -1;
	}
	out->descriptor.size = (int64_t)strlen(looked.text);
	out->descriptor.digest = take_ptr(looked.digest);
	out->descriptor.media_type = take_ptr(looked.media_type);
	return 0;
}
