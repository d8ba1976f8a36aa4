/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "unit/unit.h"

#define D "\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""
#define CONFIG "\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\"," D ",\"size\":2}"
#define LAYER "{\"mediaType\":\"" MEDIA_OCI_LAYER_GZIP "\"," D ",\"size\":10}"
#define ENTRY(platform) "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," D ",\"size\":7" platform "}"
#define ON(os, arch, variant)                                                                                          \
	",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\",\"variant\":\"" variant "\"}"

static int decode(struct manifest *out, const char *text, const char *content_type, struct error *err)
{
	return manifest_decode(out, text, strlen(text), content_type, err);
}

static void test_image(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO(manifest_fini) struct manifest again = { 0 };
	AUTO_FREE char *text = NULL;

	(void)state;
	assert_no_error(decode(&manifest,
			       "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," CONFIG
			       ",\"layers\":[" LAYER "," LAYER "],\"annotations\":{\"a\":\"b\"}}",
			       MEDIA_OCI_MANIFEST "; charset=utf-8", &err),
			&err);
	assert_int_equal(manifest.kind, MANIFEST_IMAGE);
	assert_int_equal(manifest.layers.count, 2);
	assert_int_equal(manifest.layers.items[1].size, 10);
	assert_int_equal(media_type_layer_packing(manifest.layers.items[0].media_type), LAYER_TAR_GZIP);
	text = manifest_encode(&manifest);
	assert_no_error(decode(&again, text, MEDIA_OCI_MANIFEST, &err), &err);
	assert_string_equal(again.config->digest, manifest.config->digest);
	assert_string_equal(text_map_get(&again.annotations, "a"), "b");
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		const char *content_type;
		const char *error;
	} rows[] = {
		{ "", NULL, "manifest: invalid JSON: line 1 column 0: '[' or '{' expected near end of file" },
		{ "[]", NULL, "manifest: expected an object" },
		{ "{}", NULL, "manifest: schemaVersion is 0, not 2" },
		{ "{\"schemaVersion\":1,\"name\":\"x\"}", NULL, "schema 1 is not supported" },
		{ "{\"schemaVersion\":2}", MEDIA_DOCKER_SCHEMA1_SIGNED, "schema 1 is not supported" },
		{ "{\"schemaVersion\":2}", NULL, "neither config nor manifests" },
		{ "{\"schemaVersion\":2}", MEDIA_OCI_MANIFEST, "config is missing" },
		{ "{\"schemaVersion\":2," CONFIG ",\"manifests\":[" ENTRY("") "]}", NULL, "both an image" },
		{ "{\"schemaVersion\":2," CONFIG "}", MEDIA_OCI_INDEX, "but it is an image manifest" },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," CONFIG "}", MEDIA_DOCKER_MANIFEST,
		  "but the server said" },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"x\",\"digest\":\"sha256:../x\"}]}",
		  NULL, "layers[0]: digest \"sha256:../x\": invalid checksum digest format" },
		{ "{\"schemaVersion\":2,\"config\":{" D "}}", NULL, "config: mediaType is missing" },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"size\":-1}]}", NULL,
		  "layers[0].size: must not be negative" },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":7}", NULL, "layers: expected an array" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		struct manifest manifest = { 0 };

		if (decode(&manifest, rows[i].text, rows[i].content_type, &err) == 0)
			fail_msg("accepted: %s", rows[i].text);
		if (i > 0 && !strstr(err.message, rows[i].error))
			fail_msg("\"%s\" lacks \"%s\"", err.message, rows[i].error);
	}
}

static const char *pick(const struct manifest *index, const char *platform, enum platform_match match)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(platform_fini) struct platform wanted = { 0 };
	const struct descriptor *entry;

	assert_no_error(platform_parse(&wanted, platform, &err), &err);
	entry = manifest_select(index, &wanted, match, &err);
	if (!entry)
		assert_int_equal(err.kind, ERR_NOT_FOUND);
	return entry ? text_or_empty(entry->platform->variant) : NULL;
}

static void test_select(void **state)
{
	/* clang-format off */
	static const char text[] = "{\"schemaVersion\":2,\"manifests\":["
		ENTRY(",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}" ON("linux", "amd64", "v9")) ","
		ENTRY(ON("unknown", "unknown", "")) ","
		ENTRY(ON("linux", "arm", "v6")) ","
		ENTRY(ON("linux", "arm", "v7")) ","
		ENTRY(ON("linux", "amd64", "v2")) ","
		ENTRY(ON("linux", "amd64", "v3")) "]}";
	/* clang-format on */
	AUTO(error_clear) struct error err = { 0 };
	AUTO(manifest_fini) struct manifest index = { 0 };

	(void)state;
	assert_no_error(decode(&index, text, MEDIA_OCI_INDEX, &err), &err);
	assert_int_equal(index.kind, MANIFEST_INDEX);
	assert_string_equal(pick(&index, "linux/arm64", PLATFORM_RUNNABLE), "v7");
	assert_string_equal(pick(&index, "linux/amd64/v4", PLATFORM_RUNNABLE), "v3");
	assert_string_equal(pick(&index, "linux/amd64/v2", PLATFORM_RUNNABLE), "v2");
	assert_null(pick(&index, "linux/amd64", PLATFORM_RUNNABLE));
	assert_null(pick(&index, "linux/arm64", PLATFORM_STRICT));
	assert_null(pick(&index, "linux/s390x", PLATFORM_RUNNABLE));
}

static void test_media_types(void **state)
{
	(void)state;
	assert_int_equal(media_type_layer_packing("application/vnd.docker.image.rootfs.diff.tar.gzip"), LAYER_TAR_GZIP);
	assert_int_equal(media_type_layer_packing("application/vnd.oci.image.layer.v1.tar+zstd"), LAYER_TAR_ZSTD);
	assert_int_equal(media_type_layer_packing("application/vnd.oci.image.layer.v1.tar"), LAYER_TAR);
	assert_int_equal(media_type_layer_packing("application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
			 LAYER_UNKNOWN);
	assert_int_equal(media_type_layer_packing(NULL), LAYER_UNKNOWN);
	assert_true(media_type_is_foreign_layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
	assert_false(media_type_is_foreign_layer(MEDIA_OCI_LAYER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_image),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_media_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
