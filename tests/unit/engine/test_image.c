/* SPDX-License-Identifier: Apache-2.0 */
/* What the image verbs compute without a store: changes of a config, progress lines, claims. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/image_changes.h"
#include "engine/image_claim.h"
#include "engine/image_lookup.h"
#include "engine/image_progress.h"
#include "unit/unit.h"

/* The run section after the changes (NULL-terminated), as JSON; yours. */
static char *apply(const char *const *changes)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list list = { 0 };
	struct image_run run = { 0 };
	char *json;

	for (; *changes; changes++)
		text_list_add(&list, *changes);
	assert_no_error(image_changes_apply(&run, &list, &err), &err);
	json = json_encode(&run, image_run_fields);
	json_free_fields(&run, image_run_fields);
	return json;
}

#define CHANGES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void assert_changes(const char *const *changes, const char *expected)
{
	char *json = apply(changes);

	assert_string_equal(json, expected);
	free(json);
}

static void changes_of_commands(void **state)
{
	(void)state;
	assert_changes(CHANGES("CMD [\"a\", \"b c\"]"), "{\"Cmd\":[\"a\",\"b c\"]}");
	assert_changes(CHANGES("CMD echo hi"), "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo hi\"]}");
	assert_changes(CHANGES("CMD first", "cmd [\"second\"]"), "{\"Cmd\":[\"second\"]}");
	assert_changes(CHANGES("ENTRYPOINT [\"/e\"]"), "{\"Entrypoint\":[\"/e\"]}");
	assert_changes(CHANGES("ENTRYPOINT [not json"), "{\"Entrypoint\":[\"/bin/sh\",\"-c\",\"[not json\"]}");
}

static void changes_of_pairs(void **state)
{
	(void)state;
	assert_changes(CHANGES("ENV A=1 B=\"two words\" C='x'\\ y"), "{\"Env\":[\"A=1\",\"B=two words\",\"C=x y\"]}");
	assert_changes(CHANGES("ENV A the whole  rest"), "{\"Env\":[\"A=the whole  rest\"]}");
	assert_changes(CHANGES("ENV A=1", "ENV A=2"), "{\"Env\":[\"A=2\"]}");
	assert_changes(CHANGES("LABEL a=b c=d"), "{\"Labels\":{\"a\":\"b\",\"c\":\"d\"}}");
}

static void changes_of_the_rest(void **state)
{
	(void)state;
	assert_changes(CHANGES("EXPOSE 80 53/udp 80"), "{\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{}}}");
	assert_changes(CHANGES("VOLUME /a /b"), "{\"Volumes\":{\"/a\":{},\"/b\":{}}}");
	assert_changes(CHANGES("VOLUME [\"/a b\"]"), "{\"Volumes\":{\"/a b\":{}}}");
	assert_changes(CHANGES("USER me:us", "WORKDIR /a", "WORKDIR b/../c", "STOPSIGNAL SIGINT"),
		       "{\"User\":\"me:us\",\"WorkingDir\":\"/a/c\",\"StopSignal\":\"SIGINT\"}");
	assert_changes(CHANGES("ONBUILD RUN x"), "{\"OnBuild\":[\"RUN x\"]}");
	assert_changes(CHANGES("HEALTHCHECK NONE"), "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}");
	assert_changes(CHANGES("HEALTHCHECK --interval=1s --retries=3 CMD curl x"),
		       "{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"curl x\"],\"Interval\":1000000000,\"Retries\":3}}");
	assert_changes(CHANGES("HEALTHCHECK CMD [\"a\"]"), "{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"]}}");
}

static void wrong_changes(void **state)
{
	static const struct {
		const char *change;
		const char *words;
	} wrong[] = {
		{ "RUN ls", "RUN is not a valid change command" },
		{ "CMD", "CMD requires at least one argument" },
		{ "ENV A", "ENV must have two arguments" },
		{ "ENV A=1 B", "can't find = in \"B\"" },
		{ "EXPOSE 99999", "invalid containerPort: 99999" },
		{ "EXPOSE 80/xyz", "invalid containerPort" },
		{ "HEALTHCHECK curl", "Unknown type" },
		{ "HEALTHCHECK --nope=1 CMD x", "unknown flag" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(text_list_fini) struct text_list list = { 0 };
		struct image_run run = { 0 };

		text_list_add(&list, wrong[i].change);
		assert_int_equal(image_changes_apply(&run, &list, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		if (!strstr(err.message, wrong[i].words))
			fail_msg("%s: %s", wrong[i].change, err.message);
		json_free_fields(&run, image_run_fields);
	}
}

static char last_line[512];

static void keep_line(void *arg, const char *json)
{
	(void)arg;
	snprintf(last_line, sizeof(last_line), "%s", json);
}

static void progress_in_dockers_words(void **state)
{
	struct progress progress;

	(void)state;
	progress_init(&progress, keep_line, NULL);
	progress_status(&progress, NULL, "Status: %s", "done \"x\"");
	assert_string_equal(last_line, "{\"status\":\"Status: done \\\"x\\\"\"}");
	progress_bytes(&progress, "abc", "Pull complete", 0, 0);
	assert_string_equal(last_line, "{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"abc\"}");
	progress_bytes(&progress, "abc", "Downloading", 1049000, 29130000);
	assert_string_equal(last_line,
			    "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1049000,\"total\":29130000},"
			    "\"progress\":\"[=>                                                 ]  1.049MB/29.13MB\","
			    "\"id\":\"abc\"}");
	progress_fini(&progress);
}

static void references_of_parameters(void **state)
{
	static const struct {
		const char *image;
		const char *tag;
		const char *full; /* NULL: refused */
	} cases[] = {
		{ "debian", "", "docker.io/library/debian:latest" },
		{ "debian:11", "12", "docker.io/library/debian:12" },
		{ "debian:11", "", "docker.io/library/debian:11" },
		{ "debian", "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		  "docker.io/library/debian@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
		{ "Debian", "", NULL },
		{ "debian", "a b", NULL },
		{ "debian", "sha256:12", NULL },
		{ "", "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(reference_fini) struct reference reference = { 0 };
		int r = image_parse_reference(&reference, cases[i].image, cases[i].tag, &err);
		char *full;

		assert_int_equal(r, cases[i].full ? 0 : -1);
		if (!cases[i].full)
			continue;
		full = reference_format(&reference);
		assert_string_equal(full, cases[i].full);
		free(full);
	}
}

/* ---- claims ---- */

static void *release_later(void *arg)
{
	clock_sleep_ms(50);
	image_claim_release("store", arg);
	return NULL;
}

static void claims_wait(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list first = { 0 };
	AUTO(text_list_fini) struct text_list second = { 0 };
	int64_t started = clock_monotonic_ns();
	pthread_t thread;

	(void)state;
	text_list_add(&first, "a");
	text_list_add(&first, "b");
	text_list_add(&second, "b");
	text_list_add(&second, "b");
	assert_no_error(image_claim("store", &first, -1, &err), &err);
	assert_no_error(thread_start(&thread, "release", release_later, &first, &err), &err);
	assert_no_error(image_claim("store", &second, -1, &err), &err);
	assert_true(clock_monotonic_ns() - started >= 50 * CLOCK_MS);
	pthread_join(thread, NULL);
	image_claim_release("store", &second);
}

static void canceled_claim(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list digests = { 0 };
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	close(ends[1]); /* readable: the client is gone */
	text_list_add(&digests, "a");
	assert_no_error(image_claim("store", &digests, -1, &err), &err);
	assert_int_equal(image_claim("store", &digests, ends[0], &err), -1);
	assert_int_equal(err.kind, ERR_CANCELED);
	image_claim_release("store", &digests);
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_of_commands),
		cmocka_unit_test(changes_of_pairs),
		cmocka_unit_test(changes_of_the_rest),
		cmocka_unit_test(wrong_changes),
		cmocka_unit_test(progress_in_dockers_words),
		cmocka_unit_test(references_of_parameters),
		cmocka_unit_test(claims_wait),
		cmocka_unit_test(canceled_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
