/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the file is parsed as far as it can be, split into stages, and
 * walked three times: line by line, its FROM lines, its instructions with what they
 * may use. Whatever keeps it from being built ends the walk and is the failure.
 */
#include "builder/check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/quote.h"
#include "builder/check_private.h"
#include "builder/excerpt.h"

#define PAGES "https://docs.docker.com/go/dockerfile/rule/"
#define CONFIG_ARG "BUILDKIT_DOCKERFILE_CHECK"

static const struct check_rule rules[] = {
	[CHECK_STAGE_NAME_CASING] = { "StageNameCasing", "Stage names should be lowercase", "stage-name-casing",
				      false },
	[CHECK_FROM_AS_CASING] = { "FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword",
				   "from-as-casing", false },
	[CHECK_NO_EMPTY_CONTINUATION] = { "NoEmptyContinuation",
					  "Empty continuation lines will become errors in a future release",
					  "no-empty-continuation", false },
	[CHECK_CONSISTENT_CASING] = { "ConsistentInstructionCasing",
				      "All commands within the Dockerfile should use the same casing (either upper or "
				      "lower)",
				      "consistent-instruction-casing", false },
	[CHECK_DUPLICATE_STAGE] = { "DuplicateStageName", "Stage names should be unique", "duplicate-stage-name",
				    false },
	[CHECK_RESERVED_STAGE] = { "ReservedStageName", "Reserved words should not be used as stage names",
				   "reserved-stage-name", false },
	[CHECK_JSON_ARGS] = { "JSONArgsRecommended",
			      "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to "
			      "OS signals",
			      "json-args-recommended", false },
	[CHECK_MAINTAINER] = { "MaintainerDeprecated",
			       "The MAINTAINER instruction is deprecated, use a label instead to define an image "
			       "author",
			       "maintainer-deprecated", false },
	[CHECK_UNDEFINED_ARG_IN_FROM] = { "UndefinedArgInFrom", "FROM command must use declared ARGs",
					  "undefined-arg-in-from", false },
	[CHECK_WORKDIR_RELATIVE] = { "WorkdirRelativePath",
				     "Relative workdir without an absolute workdir declared within the build can have "
				     "unexpected results if the base image changes",
				     "workdir-relative-path", false },
	[CHECK_UNDEFINED_VAR] = { "UndefinedVar", "Variables should be defined before their use", "undefined-var",
				  false },
	[CHECK_MULTIPLE_INSTRUCTIONS] = { "MultipleInstructionsDisallowed",
					  "Multiple instructions of the same type should not be used in the same stage",
					  "multiple-instructions-disallowed", false },
	[CHECK_LEGACY_KEY_VALUE] = { "LegacyKeyValueFormat",
				     "Legacy key/value format with whitespace separator should not be used",
				     "legacy-key-value-format", false },
	[CHECK_BASE_PLATFORM] = { "InvalidBaseImagePlatform",
				  "Base image platform does not match expected target platform", NULL, false },
	[CHECK_REDUNDANT_PLATFORM] = { "RedundantTargetPlatform",
				       "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is "
				       "the "
				       "default behavior",
				       "redundant-target-platform", false },
	[CHECK_SECRETS] = { "SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands",
			    "secrets-used-in-arg-or-env", false },
	[CHECK_DEFAULT_ARG_IN_FROM] = { "InvalidDefaultArgInFrom",
					"Default value for global ARG results in an empty or invalid base image name",
					"invalid-default-arg-in-from", false },
	[CHECK_CONST_PLATFORM] = { "FromPlatformFlagConstDisallowed",
				   "FROM --platform flag should not use a constant value",
				   "from-platform-flag-const-disallowed", false },
	[CHECK_COPY_IGNORED] = { "CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore",
				 "copy-ignored-file", false },
	[CHECK_DEFINITION_DESCRIPTION] = { "InvalidDefinitionDescription",
					   "Comment for build stage or argument should follow the format: `# "
					   "<arg/stage "
					   "name> <description>`. If this is not intended to be a description comment, "
					   "add "
					   "an empty line or comment between the instruction and the comment.",
					   "invalid-definition-description", true },
	[CHECK_EXPOSE_CASING] = { "ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase",
				  "expose-proto-casing", false },
	[CHECK_EXPOSE_FORMAT] = { "ExposeInvalidFormat",
				  "IP address and host-port mapping should not be used in EXPOSE instruction. This "
				  "will "
				  "become an error in a future release",
				  "expose-invalid-format", false },
};

/* ---- which rules count ---- */

static void config_fini(struct check_config *config)
{
	text_list_fini(&config->skipped);
	text_list_fini(&config->experimental);
}

static void read_names(struct text_list *names, bool *all, char *value)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };

	if (text_equal(value, "all")) {
		*all = true;
		return;
	}
	text_list_split(&parts, value, ',');
	for (size_t i = 0; i < parts.count; i++)
		text_list_add(names, text_trim(parts.items[i]));
}

static int read_bool(bool *out_value, const char *option, const char *value, struct error *err)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True", NULL };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False", NULL };

	for (size_t i = 0; yes[i]; i++)
		if (text_equal(value, yes[i]) || text_equal(value, no[i])) {
			*out_value = text_equal(value, yes[i]);
			return 0;
		}
	return error_set(err, ERR_INVALID, "failed to parse check option \"%s\": invalid boolean \"%s\"", option,
			 value);
}

static int read_option(struct check_config *config, const char *option, struct error *err)
{
	AUTO_FREE char *copy = xstrdup(option);
	char *equals = strchr(copy, '=');
	const char *key;
	char *value;

	if (!equals)
		return error_set(err, ERR_INVALID, "invalid check option \"%s\"", option);
	*equals = '\0';
	key = text_trim(copy);
	value = text_trim(equals + 1);
	if (text_equal(key, "error"))
		return read_bool(&config->is_error, option, value, err);
	if (text_equal(key, "skip"))
		read_names(&config->skipped, &config->skip_all, value);
	else if (text_equal(key, "experimental"))
		read_names(&config->experimental, &config->experimental_all, value);
	else
		return error_set(err, ERR_INVALID, "invalid check option \"%s\"", key);
	return 0;
}

/* Adds to what is there. */
static int config_parse(struct check_config *config, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };
	AUTO_FREE char *copy = xstrdup(text_or_empty(text));
	const char *trimmed = text_trim(copy);

	if (!*trimmed)
		return 0;
	text_list_split(&parts, trimmed, ';');
	for (size_t i = 0; i < parts.count; i++)
		if (read_option(config, parts.items[i], err) < 0)
			return -1;
	return 0;
}

/* What "# check=" right above an instruction says. */
static void add_local(struct check_config *config, const char *comment)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };

	text_list_split(&lines, text_or_empty(comment), '\n');
	for (size_t i = 0; i < lines.count; i++) {
		char *equals = strchr(lines.items[i], '=');
		char *value;

		if (!equals)
			continue;
		*equals = '\0';
		if (!text_equal_ignoring_case(text_trim(lines.items[i]), "check"))
			continue;
		value = text_trim(equals + 1);
		value[strcspn(value, " ")] = '\0';
		config_parse(config, value, &ignored);
		return;
	}
}

static bool counts(const struct check_config *config, const struct check_rule *rule)
{
	if (rule->experimental)
		return config->experimental_all || text_list_contains(&config->experimental, rule->name);
	return !config->skip_all && !text_list_contains(&config->skipped, rule->name);
}

/* ---- findings ---- */

static void add_finding(struct check_report *report, const struct check_finding *finding)
{
	size_t at = report->count;

	report->items = xgrow(report->items, &report->capacity, report->count + 1, sizeof(*report->items));
	while (at > 0 && report->items[at - 1].line > finding->line) {
		report->items[at] = report->items[at - 1];
		at--;
	}
	report->items[at] = *finding;
	report->count++;
}

void check_found_at(struct checker *checker, unsigned line, unsigned last_line, enum check_kind kind,
		    const char *format, ...)
{
	struct check_finding finding = { .rule = &rules[kind], .line = line, .last_line = last_line };
	va_list args;

	if (!counts(&checker->config, finding.rule))
		return;
	va_start(args, format);
	finding.detail = xvasprintf(format, args);
	va_end(args);
	add_finding(checker->report, &finding);
}

void check_found(struct checker *checker, const struct instruction *instruction, enum check_kind kind,
		 const char *format, ...)
{
	struct check_finding finding = { .rule = &rules[kind],
					 .line = instruction->line,
					 .last_line = instruction->last_line };
	AUTO(config_fini) struct check_config local = { 0 };
	va_list args;

	add_local(&local, instruction->comment);
	if (!counts(&local, finding.rule) && !finding.rule->experimental)
		return;
	if (!counts(&checker->config, finding.rule) && !(finding.rule->experimental && counts(&local, finding.rule)))
		return;
	va_start(args, format);
	finding.detail = xvasprintf(format, args);
	va_end(args);
	add_finding(checker->report, &finding);
}

void check_fail(struct checker *checker, unsigned line, unsigned last_line, struct error *err)
{
	struct check_report *report = checker->report;

	if (!report->failure) {
		report->failure = xstrdup(text_or_empty(err->message));
		report->failure_line = line;
		report->failure_last_line = last_line;
	}
	error_clear(err);
}

void check_report_fini(struct check_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		free(report->items[i].detail);
	free(report->items);
	free(report->failure);
	*report = (struct check_report){ 0 };
}

/* ---- what all walks use ---- */

char *check_written(const struct instruction *instruction)
{
	return xstrndup(instruction->original, strlen(instruction->keyword));
}

static const char *look_up(void *arg, const char *name)
{
	struct check_lookup *lookup = arg;
	const char *value = lookup->get(lookup->arg, name);
	struct text_list *list = value ? &lookup->found : &lookup->missing;

	if (!text_list_contains(list, name))
		text_list_add(list, name);
	return value;
}

void check_lookup_fini(struct check_lookup *lookup)
{
	text_list_fini(&lookup->found);
	text_list_fini(&lookup->missing);
}

void check_lookup_scope(struct check_lookup *lookup, char escape, struct expand_scope *out_scope)
{
	*out_scope = (struct expand_scope){ look_up, lookup, escape };
}

int check_expand(char **out_text, const char *word, struct check_lookup *lookup, char escape, struct error *err)
{
	struct expand_scope scope;

	check_lookup_scope(lookup, escape, &scope);
	return expand_word(out_text, word, &scope, err);
}

static int load_stages(struct checker *checker, struct error *err)
{
	const struct check_options *options = checker->options;
	static const struct text_map no_args = { 0 };
	AUTO(text_list_fini) struct text_list consumed = { 0 };

	return stages_load(&checker->stages, checker->dockerfile, options->build_args ? options->build_args : &no_args,
			   options->platform, options->target, &consumed, err);
}

static void check_loaded(struct checker *checker)
{
	AUTO(error_clear) struct error err = { 0 };
	bool loaded = load_stages(checker, &err) == 0;

	/* These need the global ARGs only, and know more of what is wrong. */
	check_from_lines(checker);
	if (!loaded)
		check_fail(checker, 0, 0, &err);
	else if (!checker->report->failure)
		check_stages(checker);
}

void check_dockerfile(struct check_report *out_report, const char *text, size_t size,
		      const struct check_options *options)
{
	struct checker checker = { .options = options, .report = out_report };
	AUTO(dockerfile_freep) struct dockerfile *dockerfile = NULL;
	AUTO(error_clear) struct error parse_error = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	const char *given = options->build_args ? text_map_get(options->build_args, CONFIG_ARG) : NULL;
	bool parsed = dockerfile_parse_part(&dockerfile, text, size, &parse_error) == 0;

	checker.dockerfile = dockerfile;
	if (config_parse(&checker.config, given ? given : dockerfile->check, &err) < 0) {
		error_prefix(&err, "failed to parse check options");
		check_fail(&checker, 0, 0, &err);
	} else {
		check_lines(&checker);
		if (!parsed)
			check_fail(&checker, dockerfile->failed_line, dockerfile->failed_last_line, &parse_error);
		else
			check_loaded(&checker);
	}
	out_report->is_error = checker.config.is_error;
	stages_fini(&checker.stages);
	config_fini(&checker.config);
}

/* ---- the report ---- */

static void add_location(struct text *out, unsigned line, unsigned last_line)
{
	text_add(out, "{");
	if (line)
		text_addf(out, "\"ranges\":[{\"start\":{\"line\":%u},\"end\":{\"line\":%u}}]", line, last_line);
	text_add_char(out, '}');
}

static void add_member(struct text *out, const char *key, const char *value)
{
	text_addf(out, "\"%s\":", key);
	quote_json(out, value, strlen(value));
	text_add_char(out, ',');
}

static void add_finding_json(struct text *out, const struct check_finding *finding)
{
	AUTO_FREE char *url = finding->rule->page ? xasprintf(PAGES "%s/", finding->rule->page) : NULL;

	text_add_char(out, '{');
	add_member(out, "ruleName", finding->rule->name);
	add_member(out, "description", finding->rule->description);
	if (url)
		add_member(out, "url", url);
	add_member(out, "detail", finding->detail);
	text_add(out, "\"location\":");
	add_location(out, finding->line, finding->last_line);
	text_add_char(out, '}');
}

void check_report_json(struct text *out, const struct check_report *report, const char *filename, const char *source)
{
	AUTO_FREE char *data = base64_encode(source, strlen(source));

	text_add(out, "{\"warnings\":");
	for (size_t i = 0; i < report->count; i++) {
		text_add(out, i ? "," : "[");
		add_finding_json(out, &report->items[i]);
	}
	text_add(out, report->count ? "],\"sources\":[{" : "null,\"sources\":[{");
	add_member(out, "filename", filename);
	text_addf(out, "\"data\":\"%s\",\"language\":\"Dockerfile\"}]", data);
	if (report->failure) {
		text_add(out, ",\"buildError\":{");
		add_member(out, "message", report->failure);
		text_add(out, "\"location\":");
		add_location(out, report->failure_line, report->failure_last_line);
		text_add_char(out, '}');
	}
	text_add_char(out, '}');
}

void check_report_text(struct text *out, const struct check_report *report, const char *filename, const char *source)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct check_finding *finding = &report->items[i];

		text_addf(out, "\nWARNING: %s", finding->rule->name);
		if (finding->rule->page)
			text_addf(out, " - " PAGES "%s/", finding->rule->page);
		text_addf(out, "\n%s\n", finding->detail);
		excerpt_add(out, filename, source, finding->line, finding->last_line);
	}
	if (!report->failure)
		return;
	text_addf(out, "\nERROR: %s\n", report->failure);
	excerpt_add(out, filename, source, report->failure_line, report->failure_last_line);
}

char *check_report_violations(const struct check_report *report)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO_FREE char *joined = NULL;

	if (!report->is_error || report->count == 0)
		return NULL;
	for (size_t i = 0; i < report->count; i++)
		if (!text_list_contains(&names, report->items[i].rule->name))
			text_list_add(&names, report->items[i].rule->name);
	joined = text_list_join(&names, ", ");
	return xasprintf("lint violation found for rules: %s", joined);
}
