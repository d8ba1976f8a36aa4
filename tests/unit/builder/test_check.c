/* SPDX-License-Identifier: Apache-2.0 */
/* The build checks, a Dockerfile a row: what is found as "line rule: detail" lines, and what keeps it from being built. */
#include "builder/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "unit/unit.h"

struct row {
	const char *file;
	const char *findings;
	const char *failure; /* NULL: none */
	const char *ignored; /* .dockerignore; NULL: none */
	const char *args;    /* "NAME=value"; NULL: none */
	const char *target;
};

#define CASING "ConsistentInstructionCasing: Command "
#define LOWER " should match the case of the command majority (lowercase)\n"
#define UPPER " should match the case of the command majority (uppercase)\n"
#define AS_FROM "FromAsCasing: 'as' and 'FROM' keywords' casing do not match\n"
#define JSON(what)                                                                                                     \
	"JSONArgsRecommended: JSON arguments recommended for " what                                                    \
	" to prevent unintended behavior related to OS signals\n"
#define SECRET(what) "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (" what ")\n"
#define MULTIPLE(what)                                                                                                 \
	"MultipleInstructionsDisallowed: Multiple " what                                                               \
	" instructions should not be used in the same stage because only the last one will be used\n"
#define LEGACY(what)                                                                                                   \
	"LegacyKeyValueFormat: \"" what " key=value\" should be used instead of legacy \"" what " key value\" "        \
	"format\n"
#define IGNORED(how, what)                                                                                             \
	"CopyIgnoredFile: Attempting to " how " file \"" what "\" that is excluded by .dockerignore\n"
#define DEFAULT_ARG(what)                                                                                              \
	"InvalidDefaultArgInFrom: Default value for ARG " what " results in empty or invalid base image name\n"
#define REDUNDANT(what)                                                                                                \
	"RedundantTargetPlatform: Setting platform to predefined " what                                                \
	" in FROM is redundant as this is the default behavior\n"
#define DESCRIBE(what, name)                                                                                           \
	"InvalidDefinitionDescription: Comment for " what " should follow the format: `# " name " <description>`\n"
#define EXPOSED(port)                                                                                                  \
	"ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '" port   \
	"'\n"

static const struct row rows[] = {
	/* comments that describe */
	{ "# bar this is the bar\nARG foo=bar\n# BasE this is the BasE image\nFROM scratch AS base\n", "" },
	{ "# check=experimental=all\n# foo this is the foo\nARG foo=bar\n# base this is the base image\nFROM scratch "
	  "AS base\n"
	  "# version this is the version number\nARG version=latest\n# baz this is the baz\nARG foo=baz bar=qux "
	  "baz=quux\n"
	  "#\nARG bit=bat\n# comment for something else\nCOPY Dockerfile .\n",
	  "" },
	{ "# check=experimental=InvalidDefinitionDescription\n# bar this is the bar\nARG foo=bar\n# BasE this is the "
	  "BasE "
	  "image\nFROM scratch AS base\n# definitely a bad comment\nARG version=latest\n# definitely a bad comment\n"
	  "ARG foo=baz bar=qux baz=quux\n",
	  "3 " DESCRIBE("ARG", "foo") "5 " DESCRIBE("FROM", "base") "7 " DESCRIBE("ARG", "version") "9 " DESCRIBE(
		  "ARG", "<arg_key>") },
	/* .dockerignore */
	{ "FROM scratch\nCOPY Dockerfile .\nADD Dockerfile /windy\n",
	  "2 " IGNORED("Copy", "Dockerfile") "3 " IGNORED("Add", "Dockerfile"), .ignored = "\nDockerfile\n" },
	{ "FROM scratch\nCOPY ./Dockerfile /a\n", "2 " IGNORED("Copy", "Dockerfile"), .ignored = "Dockerfile\n" },
	{ "FROM scratch\nCOPY a b/c /d/\n", "2 " IGNORED("Copy", "b/c"), .ignored = "b\n" },
	{ "# check=skip=CopyIgnoredFile\nFROM scratch\nCOPY Dockerfile .\n", "", .ignored = "Dockerfile\n" },
	{ "FROM scratch AS base\nCOPY Dockerfile /foobar\nFROM base\nCOPY --from=base /foobar /Dockerfile\n", "",
	  .ignored = "foobar\n" },
	{ "FROM scratch\nCOPY ./Dockerfile .\n", "", .ignored = "**\n!Dockerfile\n" },
	{ "FROM scratch\nCOPY . .\n", "", .ignored = "**\n!Dockerfile\n" },
	{ "FROM scratch\nCOPY . .\n", "", .ignored = ".*\n" },
	{ "FROM scratch\nCOPY . .\n", "2 " IGNORED("Copy", "."), .ignored = "*\n" },
	{ "FROM scratch\nADD https://example.org/f /f\nCOPY <<f /f\nx\nf\n", "", .ignored = "*\n" },
	/* secrets */
	{ "FROM scratch\nARG SECRET_PASSPHRASE\nENV SUPER_Secret=foo\nENV password=bar secret=baz\n"
	  "ARG super_duper_secret_token=foo auth=bar\nENV apikey=bar sunflower=foo\nENV git_key=\nENV PUBLIC_KEY=\n"
	  "ARG public_token\nARG SECRET_PASSPHRASE_FILE\nENV password_file=bar secret_File=baz\nARG "
	  "AUTH_MODULE_VERSION\n"
	  "ENV monkey=1 authored=2 passwords=3\n",
	  "2 " SECRET("ARG \"SECRET_PASSPHRASE\"") "3 " SECRET("ENV \"SUPER_Secret\"") "4 " SECRET("ENV \"password\"") "4 " SECRET("ENV \"secret\"") "5 " SECRET(
		  "ARG \"super_duper_secret_token\"") "5 " SECRET("ARG \"auth\"") "6 " SECRET("ENV \"apik"
											      "ey\"") "7 " SECRET("ENV "
														  "\"gi"
														  "t_"
														  "key"
														  "\"") },
	{ "FROM scratch\n# check=skip=SecretsUsedInArgOrEnv // allow secret in environment\nENV password=bar\n"
	  "# check=skip=all // is local to only this instruction\nARG password\nENV password=again\n",
	  "6 " SECRET("ENV \"password\"") },
	/* every stage, or those a target needs */
	{ "FROM scratch AS first\nCOPY $foo .\nFROM scratch AS second\nCOPY $bar .\n",
	  "2 UndefinedVar: Usage of undefined variable '$foo'\n4 UndefinedVar: Usage of undefined variable '$bar'\n" },
	{ "FROM scratch AS first\nCOPY $foo .\nFROM scratch AS second\nCOPY $bar .\n",
	  "4 UndefinedVar: Usage of undefined variable '$bar'\n", .target = "second" },
	{ "FROM scratch AS a\nENV k v\nFROM scratch AS b\nCOPY --from=a /x /x\n", "2 " LEGACY("ENV"), .target = "b" },
	{ "FROM scratch AS a\n", "", "target stage \"b\" could not be found", .target = "b" },
	/* which rules count */
	{ "#check=skip=all\nFROM scratch as base\ncopy Dockerfile .\n", "" },
	{ "#check=skip=all;error=true\nFROM scratch as base\ncopy Dockerfile .\n", "" },
	{ "#check=skip=ConsistentInstructionCasing,FromAsCasing\nFROM scratch as base\ncopy Dockerfile .\n", "" },
	{ "#check=skip=ConsistentInstructionCasing , FromAsCasing;error=true\nFROM scratch as base\ncopy Dockerfile "
	  ".\n",
	  "" },
	{ "#check=skip=ConsistentInstructionCasing\nFROM scratch as base\ncopy Dockerfile .\n", "2 " AS_FROM },
	{ "#check=skip=ConsistentInstructionCasing;error=true\nFROM scratch as base\ncopy Dockerfile .\n",
	  "2 " AS_FROM "violation: lint violation found for rules: FromAsCasing\n" },
	{ "#check=skip=all\nFROM scratch as base\ncopy Dockerfile .\n",
	  "2 " AS_FROM "violation: lint violation found for rules: FromAsCasing\n",
	  .args = "BUILDKIT_DOCKERFILE_CHECK=skip=ConsistentInstructionCasing;error=true" },
	{ "#check=error=true\nFROM scratch as base\ncopy Dockerfile .\n", "",
	  .args = "BUILDKIT_DOCKERFILE_CHECK=skip=all" },
	{ "#check=skip\nFROM scratch\n", "", "failed to parse check options: invalid check option \"skip\"" },
	{ "#check=drop=all\nFROM scratch\n", "", "failed to parse check options: invalid check option \"drop\"" },
	{ "#check=error=perhaps\nFROM scratch\n", "",
	  "failed to parse check options: failed to parse check option \"error=perhaps\": invalid boolean "
	  "\"perhaps\"" },
	/* names of stages */
	{ "# a stage\n#\nFROM scratch AS BadStageName\n\nFROM scratch as base2\nFROM scratch AS base3\n",
	  "3 StageNameCasing: Stage name 'BadStageName' should be lowercase\n5 " AS_FROM },
	{ "from scratch AS base\nfrom scratch as base2\n",
	  "1 FromAsCasing: 'AS' and 'from' keywords' casing do not match\n" },
	{ "FROM scratch AS b\nFROM scratch AS b\n",
	  "2 DuplicateStageName: Duplicate stage name \"b\", stage names should be "
	  "unique\n" },
	{ "FROM scratch AS b\nFROM scratch AS B\n", "2 StageNameCasing: Stage name 'B' should be lowercase\n2 "
						    "DuplicateStageName: Duplicate stage name \"b\", stage "
						    "names should be unique\n" },
	{ "FROM scratch AS b1\nFROM scratch AS b2\n", "" },
	{ "FROM scratch AS scratch\nFROM scratch AS context\n",
	  "1 ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\"\n"
	  "2 ReservedStageName: Stage name should not use the same name as reserved stage \"context\"\n" },
	{ "FROM scratch\nFROM scratch AS a\n", "" },
	/* lines that go on */
	{ "FROM scratch\n# blank inside\nCOPY Dockerfile \\\n\n.\nCOPY Dockerfile \\\n.\n",
	  "5 NoEmptyContinuation: Empty continuation line\n" },
	{ "FROM scratch\nRUN a \\\n# said\n  b\n", "" },
	/* upper and lower case */
	{ "From scratch as base\nFROM scratch AS base2\n", "1 " CASING "'From'" UPPER },
	{ "FROM scratch\ncopy Dockerfile /foo\nCOPY Dockerfile /bar\n", "2 " CASING "'copy'" UPPER },
	{ "frOM scratch as base\nfrom scratch as base2\n", "1 " CASING "'frOM'" LOWER },
	{ "from scratch\nCOPY Dockerfile /foo\ncopy Dockerfile /bar\n", "2 " CASING "'COPY'" LOWER },
	{ "from scratch\nCOPY Dockerfile /foo\nCOPY Dockerfile /bar\nCOPY Dockerfile /baz\n",
	  "1 " CASING "'from'" UPPER },
	{ "FROM scratch\ncopy Dockerfile /foo\ncopy Dockerfile /bar\ncopy Dockerfile /baz\n",
	  "1 " CASING "'FROM'" LOWER },
	{ "from scratch\ncopy Dockerfile /foo\ncopy Dockerfile /bar\n", "" },
	{ "arg A=1\nFROM scratch\nCOPY Dockerfile /foo\n", "" },
	{ "FROM scratch\nRUN <<'EOT'\nenv\nEOT\n", "" },
	/* CMD and ENTRYPOINT */
	{ "FROM scratch\nCMD mycommand\n", "2 " JSON("CMD") },
	{ "FROM scratch\nENTRYPOINT mycommand\n", "2 " JSON("ENTRYPOINT") },
	{ "FROM scratch\nSHELL [\"/usr/bin/customshell\"]\nCMD mycommand\n", "" },
	{ "FROM scratch\nSHELL [\"/usr/bin/customshell\"]\nENTRYPOINT mycommand\n", "" },
	{ "FROM scratch AS base\nSHELL [\"/usr/bin/customshell\"]\nFROM base\nCMD mycommand\n", "" },
	{ "FROM shell\nCMD mycommand\n", "" },
	{ "FROM scratch\n# check=skip=JSONArgsRecommended\nCMD mycommand\n", "" },
	{ "FROM scratch\n# check=skip=JSONArgsRecommended\nENTRYPOINT mycommand\n", "" },
	{ "FROM scratch\nENTRYPOINT [\"/a\"]\nENTRYPOINT [\"/b\"]\nCMD [\"/a\"]\nCMD [\"/b\"]\nHEALTHCHECK CMD "
	  "[\"/a\"]\n"
	  "HEALTHCHECK CMD [\"/b\"]\n",
	  "2 " MULTIPLE("ENTRYPOINT") "4 " MULTIPLE("CMD") "6 " MULTIPLE("HEALTHCHECK") },
	{ "FROM scratch\nENTRYPOINT [\"/a\"]\nCMD [\"/a\"]\nCOPY <<EOF /a.txt\nHello\nEOF\nENTRYPOINT [\"/b\"]\nCMD "
	  "[\"/b\"]\n",
	  "2 " MULTIPLE("ENTRYPOINT") "3 " MULTIPLE("CMD") },
	{ "FROM scratch AS a\nENTRYPOINT [\"/a\"]\nCMD [\"/a\"]\nFROM a AS b\nENTRYPOINT [\"/b\"]\nCMD [\"/b\"]\n",
	  "" },
	/* MAINTAINER */
	{ "FROM scratch\nMAINTAINER me@example.org\n",
	  "2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label\n" },
	{ "FROM scratch\nLABEL org.opencontainers.image.authors=\"me@example.org\"\n", "" },
	{ "FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER me@example.org\n", "" },
	/* what is found before the line that is wrong */
	{ "FROM scratch AS BadStageName\nMAINTAINER me@example.org\nBADCMD\n",
	  "1 StageNameCasing: Stage name 'BadStageName' should be lowercase\n"
	  "2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label\n",
	  "dockerfile parse error on line 3: unknown instruction: BADCMD" },
	{ "", "", "the Dockerfile cannot be empty" },
	/* ARGs of FROM */
	{ "ARG base=scratch\nFROM $base\nCOPY Dockerfile .\n", "" },
	{ "ARG BUILDPLATFORM=linux/amd64\nFROM --platform=$BUILDPLATFORM scratch\n", "" },
	{ "FROM --platform=$BUILDPLATFORM scratch\n", "" },
	{ "ARG DEBUG\nFROM scratch${DEBUG}\n", "" },
	{ "ARG DEBUG\nFROM scra${DEBUG:-tch}\n", "" },
	{ "ARG DEBUG=\"\"\nFROM scratch${DEBUG-@bogus}\n", "" },
	{ "FROM --platform=$BULIDPLATFORM scratch\n",
	  "1 UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)\n",
	  "empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)" },
	{ "ARG tag=latest\nFROM bb:${tag}${version} AS b\n",
	  "2 UndefinedArgInFrom: FROM argument 'version' is not declared\n" },
	{ "ARG MY_ARCH=amd64\nFROM bb:${MYARCH}x\n",
	  "2 UndefinedArgInFrom: FROM argument 'MYARCH' is not declared (did you mean MY_ARCH?)\n" },
	{ "ARG VERSION\nFROM bb:$VERSION\n", "2 " DEFAULT_ARG("bb:$VERSION"), .args = "VERSION=latest" },
	{ "ARG IMAGE\nFROM $IMAGE\n", "2 " DEFAULT_ARG("$IMAGE"), .args = "IMAGE=bb" },
	{ "ARG SFX=\"box:\"\nFROM busy${SFX}\n", "2 " DEFAULT_ARG("busy${SFX}"), .args = "SFX=box:latest" },
	{ "ARG VERSION=\"latest\"\nFROM bb:${VERSION}\n", "", .args = "VERSION=latest" },
	{ "ARG VARIANT=\"\"\nFROM bb:stable${VARIANT}\n", "", .args = "VARIANT=-musl" },
	{ "ARG VARIANT\nFROM bb:stable${VARIANT}\n", "", .args = "VARIANT=-musl" },
	{ "ARG IMAGE\nFROM $IMAGE\n", "2 " DEFAULT_ARG("$IMAGE"), "base name ($IMAGE) should not be blank" },
	/* platforms */
	{ "FROM --platform=$TARGETPLATFORM scratch\n", "1 " REDUNDANT("$TARGETPLATFORM") },
	{ "FROM --platform=${TARGETPLATFORM} scratch\n", "1 " REDUNDANT("${TARGETPLATFORM}") },
	{ "# check=skip=RedundantTargetPlatform\nFROM --platform=$TARGETPLATFORM scratch\n", "" },
	{ "FROM scratch AS a\n\n# check=skip=RedundantTargetPlatform\nFROM --platform=$TARGETPLATFORM scratch\n", "" },
	{ "FROM --platform=linux/amd64 scratch\n",
	  "1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/amd64\"\n" },
	{ "FROM --platform=linux/amd64 scratch AS my_amd64_stage\n", "" },
	{ "FROM --platform=linux/amd64 scratch AS linux\n", "" },
	{ "FROM arm\n", "1 InvalidBaseImagePlatform: Base image arm was pulled with platform \"linux/arm64\", expected "
			"\"linux/amd64\" for "
			"current build\n" },
	/* WORKDIR */
	{ "FROM scratch\nWORKDIR app/\n",
	  "2 WorkdirRelativePath: Relative workdir \"app/\" can have unexpected results if the base image changes\n" },
	{ "FROM scratch AS a\nWORKDIR /app\n\nFROM a AS b\nWORKDIR subdir/\n", "" },
	{ "FROM scratch\n# check=skip=WorkdirRelativePath\nWORKDIR app/\n", "" },
	{ "FROM scratch\nWORKDIR a\nWORKDIR b\n",
	  "2 WorkdirRelativePath: Relative workdir \"a\" can have unexpected results if the base image changes\n" },
	/* variables */
	{ "FROM scratch\nARG foo\nCOPY Dockerfile${foo} .\n", "" },
	{ "FROM scratch AS base\nARG foo=Dockerfile\n\nFROM base\nCOPY $foo .\n", "" },
	{ "FROM bb\nRUN echo $PATH $NOT_OURS\n", "" },
	{ "FROM bb\nCOPY $foo .\nARG foo=bar\nRUN echo $foo\n",
	  "2 UndefinedVar: Usage of undefined variable '$foo'\n" },
	{ "FROM bb\nARG DIR_BINARIES=binaries/\nARG DIR_ASSETS=assets/\nCOPY $DIR_ASSET .\n",
	  "4 UndefinedVar: Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)\n" },
	{ "FROM scratch\nENV PATH=$PTHA:/tmp/bin\n",
	  "2 UndefinedVar: Usage of undefined variable '$PTHA' (did you mean $PATH?)\n" },
	{ "FROM bb\nUSER $FROM_IMAGE\n", "" },
	{ "FROM nowhere\nUSER $PERHAPS_THERE\n", "" },
	{ "FROM scratch\nENV A=1 B=$A\n", "2 UndefinedVar: Usage of undefined variable '$A'\n" },
	{ "FROM scratch\nCOPY <<E <<'L' /x/\n$IN_BODY\nE\n$LITERAL\nL\n",
	  "2 UndefinedVar: Usage of undefined variable '$IN_BODY'\n" },
	{ "FROM scratch\nRUN --mount=type=cache,target=$WHERE true\n",
	  "2 UndefinedVar: Usage of undefined variable '$WHERE'\n" },
	{ "FROM scratch\nENV A=${B\n", "", "failed to process \"${B\": syntax error: missing '}'" },
	/* ENV and LABEL without '=' */
	{ "FROM scratch\nENV testkey value\nLABEL key value\n", "2 " LEGACY("ENV") "3 " LEGACY("LABEL") },
	{ "FROM scratch\nENV testkey=value\nLABEL key=value\n", "" },
	{ "FROM scratch\n# check=skip=LegacyKeyValueFormat\nENV testkey value\n# check=skip=LegacyKeyValueFormat\n"
	  "LABEL key value\n",
	  "" },
	/* EXPOSE */
	{ "FROM scratch\nEXPOSE 80/TcP 8080/TCP 8080/udp\n",
	  "2 ExposeProtoCasing: Defined protocol '80/TcP' in EXPOSE instruction should be lowercase\n"
	  "2 ExposeProtoCasing: Defined protocol '8080/TCP' in EXPOSE instruction should be lowercase\n" },
	{ "FROM scratch\nEXPOSE 127.0.0.1:80:80 [::1]:8080:8080 5000:5000 8000\n",
	  "2 " EXPOSED("127.0.0.1:80:80") "2 " EXPOSED("[::1]:8080:8080") "2 " EXPOSED("5000:5000") },
};

/* bb and shell are for this machine, arm is not; nothing else is known. */
static const struct image_config *find_image(void *arg, const char *name, const char *platform)
{
	struct image_config *config = arg;

	(void)platform;
	text_list_fini(&config->config.shell);
	if (text_equal(name, "shell"))
		text_list_add(&config->config.shell, "/bin/bash");
	free(config->architecture);
	config->architecture = xstrdup(text_equal(name, "arm") ? "arm64" : "amd64");
	return text_equal(name, "nowhere") ? NULL : config;
}

static void check_row(const struct row *row)
{
	AUTO(pattern_list_fini) struct pattern_list ignored = { 0 };
	AUTO(check_report_fini) struct check_report report = { 0 };
	AUTO(text_map_fini) struct text_map args = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text got = { 0 };
	AUTO_FREE char *violations = NULL;
	struct image_config config = { .os = xstrdup("linux") };
	const struct check_options options = { .build_args = &args,
					       .platform = "linux/amd64",
					       .target = row->target,
					       .ignored = row->ignored ? &ignored : NULL,
					       .image = find_image,
					       .arg = &config };

	text_list_add(&config.config.env, "FROM_IMAGE=1");
	if (row->ignored)
		assert_no_error(pattern_list_parse(&ignored, row->ignored, strlen(row->ignored), &err), &err);
	if (row->args) {
		AUTO_FREE char *name = xstrndup(row->args, strcspn(row->args, "="));

		text_map_set(&args, name, strchr(row->args, '=') + 1);
	}
	check_dockerfile(&report, row->file, strlen(row->file), &options);
	for (size_t i = 0; i < report.count; i++)
		text_addf(&got, "%u %s: %s\n", report.items[i].line, report.items[i].rule->name,
			  report.items[i].detail);
	violations = check_report_violations(&report);
	if (violations)
		text_addf(&got, "violation: %s\n", violations);
	if (!text_equal(got.size ? got.data : "", row->findings))
		fail_msg("%s\nfound:\n%s\nwanted:\n%s", row->file, text_or_empty(got.data), row->findings);
	if (!text_equal(report.failure, row->failure))
		fail_msg("%s\nfailure: %s, wanted: %s", row->file, text_or_empty(report.failure),
			 text_or_empty(row->failure));
	json_free_fields(&config, image_config_fields);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		check_row(&rows[i]);
}

static void test_shown(void **state)
{
	static const char file[] = "FROM scratch\nCMD x\n\nBAD\n";
	const struct check_options options = { .platform = "linux/amd64" };
	AUTO(check_report_fini) struct check_report report = { 0 };
	AUTO(text_fini) struct text json = { 0 };
	AUTO(text_fini) struct text text = { 0 };

	(void)state;
	check_dockerfile(&report, "FROM scratch\nCMD x\n", strlen("FROM scratch\nCMD x\n"), &options);
	check_report_text(&text, &report, "Dockerfile", "FROM scratch\nCMD x\n");
	assert_string_equal(
		text.data,
		"\nWARNING: JSONArgsRecommended - "
		"https://docs.docker.com/go/dockerfile/rule/json-args-recommended/\n"
		"JSON arguments recommended for CMD to prevent unintended behavior related to OS signals\n"
		"Dockerfile:2\n--------------------\n   1 |     FROM scratch\n   2 | >>> CMD x\n   3 |     \n"
		"--------------------\n");
	check_report_json(&json, &report, "Dockerfile", "FROM scratch\nCMD x\n");
	assert_string_equal(
		json.data,
		"{\"warnings\":[{\"ruleName\":\"JSONArgsRecommended\",\"description\":\"JSON arguments "
		"recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS "
		"signals\",\"url\":\"https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"
		"\",\"detail\":\"JSON arguments recommended for CMD to prevent unintended behavior related to "
		"OS signals\",\"location\":{\"ranges\":[{\"start\":{\"line\":2},\"end\":{\"line\":2}}]}}],"
		"\"sources\":[{\"filename\":\"Dockerfile\",\"data\":\"RlJPTSBzY3JhdGNoCkNNRCB4Cg==\","
		"\"language\":\"Dockerfile\"}]}");
	check_report_fini(&report);
	text_reset(&json);
	check_dockerfile(&report, file, strlen(file), &options);
	check_report_json(&json, &report, "D", file);
	assert_non_null(strstr(json.data, "{\"warnings\":null,"));
	assert_non_null(strstr(json.data,
			       "\"buildError\":{\"message\":\"dockerfile parse error on line 4: unknown instruction: "
			       "BAD (did you mean ADD?)\",\"location\":{\"ranges\":[{\"start\":{\"line\":4},"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_shown) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
