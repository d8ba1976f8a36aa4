/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/s3.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "unit/unit.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
/* 2013-05-24T00:00:00Z */
#define MOMENT_NS (INT64_C(1369353600) * CLOCK_SECOND)

static struct s3_config example(void)
{
	return (struct s3_config){ .endpoint = (char *)(uintptr_t) "https://s3.amazonaws.com",
				   .bucket = (char *)(uintptr_t) "examplebucket",
				   .access_key = (char *)(uintptr_t) "AKIAIOSFODNN7EXAMPLE",
				   .virtual_host = true };
}

/* Amazon S3 API reference, "Authenticating requests: using query parameters", its example. */
static void test_amazons_example(void **state)
{
	const struct s3_config config = example();
	AUTO_FREE char *url = s3_url(
		&config, SECRET,
		&(struct s3_request){ .method = "GET", .name = "test.txt", .wall_ns = MOMENT_NS, .life_s = 86400 });

	(void)state;
	assert_string_equal(url, "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
				 "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
				 "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
				 "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

static void test_names_and_queries(void **state)
{
	struct s3_config config = example();
	AUTO_FREE char *plain = NULL;
	AUTO_FREE char *encoded = s3_encode("a/b+c=d e~f");

	(void)state;
	config.virtual_host = false;
	config.prefix = (char *)(uintptr_t) "kist/";
	plain = s3_url(&config, SECRET,
		       &(struct s3_request){ .method = "PUT",
					     .name = "blobs/sha256/00",
					     .query = "partNumber=1&uploadId=x",
					     .wall_ns = MOMENT_NS,
					     .life_s = 60 });
	assert_non_null(strstr(plain, "https://s3.amazonaws.com/examplebucket/kist/blobs/sha256/00?X-Amz-Algorithm"));
	assert_non_null(strstr(plain, "&X-Amz-SignedHeaders=host&partNumber=1&uploadId=x&X-Amz-Signature="));
	assert_string_equal(encoded, "a%2Fb%2Bc%3Dd%20e~f");
}

static void expect_problem(const struct s3_config *config, const char *words)
{
	AUTO_FREE char *problem = s3_problem(config);

	if (!words)
		assert_null(problem);
	else
		assert_non_null(strstr(problem, words));
}

static void test_problems(void **state)
{
	struct s3_config config = example();

	(void)state;
	expect_problem(&config, NULL);
	config.endpoint = (char *)(uintptr_t) "s3.amazonaws.com";
	expect_problem(&config, "endpoint");
	config.endpoint = (char *)(uintptr_t) "https://host/path";
	expect_problem(&config, "endpoint");
	config = example();
	config.bucket = (char *)(uintptr_t) "a/b";
	expect_problem(&config, "bucket");
	config = example();
	config.prefix = (char *)(uintptr_t) "a b";
	expect_problem(&config, "prefix");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_amazons_example),
		cmocka_unit_test(test_names_and_queries),
		cmocka_unit_test(test_problems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
