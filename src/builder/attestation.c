/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/attestation.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "builder/build_private.h"
#include "oci/reference.h"

#define PREDICATE_SLSA_02 "https://slsa.dev/provenance/v0.2"
#define PREDICATE_SLSA_1 "https://slsa.dev/provenance/v1"
#define PREDICATE_SPDX "https://spdx.dev/Document"
#define STATEMENT "https://in-toto.io/Statement/v0.1"

/* ---- options ---- */

static bool is_on(const char *value)
{
	return text_equal(value, "true") || text_equal(value, "1") || text_empty(value);
}

/* "disabled=true" and "enabled=false" say the same. */
static bool is_switch(bool *out_on, const char *key, const char *value)
{
	bool enabled = text_equal(key, "enabled");

	*out_on = is_on(value) == enabled;
	return enabled || text_equal(key, "disabled");
}

static int read_provenance(struct attestation_options *options, const char *key, const char *value, struct error *err)
{
	bool on;

	if (is_switch(&on, key, value))
		options->provenance = on ? PROVENANCE_MIN : PROVENANCE_NONE;
	else if (text_equal(key, "mode") && (text_equal(value, "max") || text_equal(value, "min")))
		options->provenance = text_equal(value, "max") ? PROVENANCE_MAX : PROVENANCE_MIN;
	else if (text_equal(key, "version") && (text_equal(value, "v1") || text_equal(value, "v0.2")))
		options->version_1 = text_equal(value, "v1");
	else if (text_equal(key, "builder-id") && !options->builder_id)
		options->builder_id = xstrdup(value);
	else if (text_equal(key, "inline-only"))
		options->inline_only = is_on(value);
	else if (text_equal(key, "reproducible"))
		options->reproducible = is_on(value);
	else
		return error_set(err, ERR_INVALID, "provenance: %s=%s is not supported", key, text_or_empty(value));
	return 0;
}

static int read_sbom(struct attestation_options *options, const char *key, const char *value, struct error *err)
{
	bool on;

	if (is_switch(&on, key, value)) {
		options->sbom = on;
		return 0;
	}
	if (text_equal(key, "generator"))
		return error_set(err, ERR_UNSUPPORTED,
				 "sbom: generator=%s is not supported: the scanner is built in (--sbom=true)",
				 text_or_empty(value));
	return error_set(err, ERR_INVALID, "sbom: %s=%s is not supported", key, text_or_empty(value));
}

int attestation_read(struct attestation_options *options, const char *kind, const char *value, struct error *err)
{
	bool is_sbom = text_equal(kind, "sbom");
	AUTO(text_list_fini) struct text_list fields = { 0 };

	if (!is_sbom && !text_equal(kind, "provenance"))
		return error_set(err, ERR_UNSUPPORTED,
				 "attestation type \"%s\" is not supported: provenance and sbom are", kind);
	if (is_sbom)
		options->sbom = true;
	else
		options->provenance = PROVENANCE_MIN;
	text_list_split(&fields, text_or_empty(value), ',');
	for (size_t i = 0; i < fields.count; i++) {
		char *equals = strchr(fields.items[i], '=');

		if (equals)
			*equals++ = '\0';
		if (text_equal(fields.items[i], "type") && text_equal(equals, kind))
			continue;
		if (*fields.items[i] &&
		    (is_sbom ? read_sbom : read_provenance)(options, fields.items[i], equals, err) < 0)
			return -1;
	}
	return 0;
}

void attestation_options_fini(struct attestation_options *options)
{
	free(options->builder_id);
	*options = (struct attestation_options){ 0 };
}

/* ---- statements ---- */

/* package-url: the namespace as the user writes it, the tag as version. */
char *attestation_purl(const char *name, const char *platform)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *familiar = NULL;
	char digest[DIGEST_TEXT_MAX];
	struct text purl = { 0 };

	if (reference_parse(&reference, name, &ignored) < 0)
		return xstrdup(name);
	if (!digest_is_set(&reference.digest))
		reference_default_tag(&reference);
	familiar = reference_familiar_name(&reference);
	text_addf(&purl, "pkg:docker/%s", familiar);
	if (reference.tag)
		text_addf(&purl, "@%s", reference.tag);
	if (digest_is_set(&reference.digest))
		text_addf(&purl, "?digest=%s", digest_text(&reference.digest, digest));
	text_add(&purl, digest_is_set(&reference.digest) ? "&platform=" : "?platform=");
	text_add_escaped(&purl, platform, false);
	return text_take(&purl);
}

static void add_subject(struct text *json, const char *name, const struct digest *manifest, bool first)
{
	char hex[DIGEST_TEXT_MAX];

	text_add(json, first ? "{\"name\":" : ",{\"name\":");
	quote_json(json, name, strlen(name));
	text_addf(json, ",\"digest\":{\"%s\":\"%s\"}}", manifest->algorithm == DIGEST_SHA512 ? "sha512" : "sha256",
		  digest_hex(manifest, hex));
}

static char *make_statement(const struct build *build, const char *type, const char *predicate,
			    const struct digest *manifest, const struct text_list *names)
{
	AUTO_FREE char *platform = platform_format(&build->stages.platform);
	struct text json = { 0 };

	text_add(&json, "{\"_type\":\"" STATEMENT "\",\"predicateType\":\"");
	text_addf(&json, "%s\",\"subject\":[", type);
	for (size_t i = 0; names && i < names->count; i++) {
		AUTO_FREE char *purl = attestation_purl(names->items[i], platform);

		add_subject(&json, purl, manifest, i == 0);
	}
	if (!names || names->count == 0)
		add_subject(&json, "_", manifest, true);
	text_addf(&json, "],\"predicate\":%s}", predicate);
	return text_take(&json);
}

int statements_make(struct statements *out_statements, struct build *build, const struct digest *manifest,
		    const struct text_list *names, struct error *err)
{
	const struct attestation_options *options = build->options->attestations;

	*out_statements = (struct statements){ 0 };
	if (options->sbom) {
		struct statement *item = &out_statements->items[out_statements->count];
		AUTO_FREE char *predicate = NULL;

		if (sbom_make(&predicate, build, err) < 0)
			return -1;
		item->predicate_type = PREDICATE_SPDX;
		item->text = make_statement(build, item->predicate_type, predicate, manifest, names);
		out_statements->count++;
	}
	if (options->provenance != PROVENANCE_NONE) {
		struct statement *item = &out_statements->items[out_statements->count++];
		AUTO_FREE char *predicate = provenance_make(build, options);

		item->predicate_type = options->version_1 ? PREDICATE_SLSA_1 : PREDICATE_SLSA_02;
		item->text = make_statement(build, item->predicate_type, predicate, manifest, names);
	}
	return 0;
}

void statements_fini(struct statements *statements)
{
	for (size_t i = 0; i < statements->count; i++)
		free(statements->items[i].text);
	statements->count = 0;
}
