/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include "base/cleanup.h"
#include "unit/unit.h"

struct sample {
	bool tty;
	bool interactive;
	const char *name;
	struct text_list env;
	struct text_list subnets;
	int64_t memory;
	struct optional_i64 tail;
};

static const struct option_spec table[] = {
	OPTION_FLAG("tty", 't', struct sample, tty, "allocate a terminal"),
	OPTION_FLAG("interactive", 'i', struct sample, interactive, "keep stdin open"),
	OPTION_TEXT("name", 0, struct sample, name, "string", "name"),
	OPTION_LIST("env", 'e', struct sample, env, "list", "environment"),
	OPTION_STRINGS("subnet", 0, struct sample, subnets, "subnets"),
	OPTION_SIZE("memory", 'm', struct sample, memory, "memory limit"),
	OPTION_OPT_I64("tail", 'n', struct sample, tail, NULL),
	OPTION_END,
};

static int parse(struct sample *sample, struct text_list *operands, unsigned flags, struct error *err,
		 const char *const *argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return options_parse(table, sample, argc, (char *const *)(uintptr_t)argv, flags, operands, err);
}

#define ARGV(...) ((const char *const[]){ "run", __VA_ARGS__, NULL })

static void test_docker_forms(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct sample s = { 0 };

	(void)state;
	assert_no_error(
		parse(&s, &operands, OPTIONS_STOP_AT_OPERAND, &err,
		      ARGV("-it", "--name=x", "-eA=1", "-e", "B=2", "--memory", "64m", "busybox", "-x", "--", "y")),
		&err);
	assert_true(s.tty && s.interactive);
	assert_string_equal(s.name, "x");
	assert_int_equal(s.env.count, 2);
	assert_string_equal(s.env.items[0], "A=1");
	assert_true(s.memory == 64 << 20);
	assert_int_equal(operands.count, 4);
	assert_string_equal(operands.items[1], "-x");
	assert_string_equal(operands.items[2], "--");
	text_list_fini(&s.env);
}

static void test_strings_are_split_and_lists_are_not(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct sample s = { 0 };

	(void)state;
	assert_no_error(parse(&s, &operands, 0, &err, ARGV("--subnet", "a,b", "--subnet=c", "-e", "A=1,2")), &err);
	assert_int_equal(s.subnets.count, 3);
	assert_string_equal(s.subnets.items[1], "b");
	assert_int_equal(s.env.count, 1);
	text_list_fini(&s.subnets);
	text_list_fini(&s.env);
}

static void test_operands_between_options(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct sample s = { .tty = true };

	(void)state;
	assert_no_error(parse(&s, &operands, 0, &err, ARGV("a", "--tty=false", "b", "--", "-t", "-")), &err);
	assert_false(s.tty);
	assert_int_equal(operands.count, 4);
}

static void test_go_style(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct sample s = { 0 };

	(void)state;
	assert_no_error(parse(&s, &operands, OPTIONS_GO_STYLE, &err, ARGV("-name", "moby", "-tty", "start")), &err);
	assert_string_equal(s.name, "moby");
	assert_true(s.tty);
	assert_string_equal(operands.items[0], "start");
}

static void test_errors_as_pflag(void **state)
{
	static const struct {
		const char *arg;
		const char *message;
	} cases[] = {
		{ "--nope", "unknown flag: --nope" },
		{ "-x", "unknown shorthand flag: 'x' in -x" },
		{ "--name", "flag needs an argument: --name" },
		{ "-e", "flag needs an argument: 'e' in -e" },
		{ "-m1q", "invalid argument \"1q\" for \"-m, --memory\" flag: invalid size: '1q'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(text_list_fini) struct text_list operands = { 0 };
		struct sample s = { 0 };

		assert_int_equal(parse(&s, &operands, 0, &err, ARGV(cases[i].arg)), -1);
		assert_string_equal(err.message, cases[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_docker_forms),
		cmocka_unit_test(test_operands_between_options),
		cmocka_unit_test(test_go_style),
		cmocka_unit_test(test_errors_as_pflag),
		cmocka_unit_test(test_strings_are_split_and_lists_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
