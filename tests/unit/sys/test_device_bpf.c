/* SPDX-License-Identifier: Apache-2.0 */
/* The program is run here by a small interpreter of the few instructions it is made of. */
#include "sys/device_bpf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "unit/unit.h"

static uint32_t alu(const struct bpf_insn *insn, const uint64_t *reg)
{
	uint32_t left = (uint32_t)reg[insn->dst_reg];
	uint32_t right = BPF_SRC(insn->code) == BPF_X ? (uint32_t)reg[insn->src_reg] : (uint32_t)insn->imm;

	switch (BPF_OP(insn->code)) {
	case BPF_AND:
		return left & right;
	case BPF_RSH:
		return left >> right;
	default:
		return right;
	}
}

static int run(const struct bpf_insn *program, size_t count, const uint32_t context[3])
{
	uint64_t reg[11] = { 0 };

	for (size_t pc = 0; pc < count; pc++) {
		const struct bpf_insn *insn = &program[pc];

		switch (BPF_CLASS(insn->code)) {
		case BPF_LDX:
			reg[insn->dst_reg] = context[insn->off / 4];
			break;
		case BPF_ALU:
		case BPF_ALU64:
			reg[insn->dst_reg] = alu(insn, reg);
			break;
		case BPF_JMP:
			if (BPF_OP(insn->code) == BPF_EXIT)
				return (int)reg[0];
			if ((reg[insn->dst_reg] == (uint64_t)(int64_t)insn->imm) == (BPF_OP(insn->code) == BPF_JEQ))
				pc += (size_t)insn->off;
			break;
		default:
			fail_msg("unknown instruction %#x", insn->code);
		}
	}
	fail_msg("fell off the end");
	return -1;
}

static int ask(const struct cgroup_device_rule *rules, size_t count, char type, uint32_t major, uint32_t minor,
	       const char *access)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE struct bpf_insn *program = NULL;
	uint32_t bits = (strchr(access, 'm') ? BPF_DEVCG_ACC_MKNOD : 0U) |
			(strchr(access, 'r') ? BPF_DEVCG_ACC_READ : 0U) |
			(strchr(access, 'w') ? BPF_DEVCG_ACC_WRITE : 0U);
	uint32_t context[3] = { bits << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR), major, minor };
	size_t size;

	assert_no_error(device_bpf_assemble(&program, &size, rules, count, &err), &err);
	return run(program, size, context);
}

static void test_rules(void **state)
{
	const struct cgroup_device_rule rules[] = {
		{ .allow = false, .type = 'a', .major = -1, .minor = -1, .read = true, .write = true, .mknod = true },
		{ .allow = true, .type = 'c', .major = -1, .minor = -1, .mknod = true },
		{ .allow = true, .type = 'c', .major = 1, .minor = 3, .read = true },
		{ .allow = true, .type = 'c', .major = 1, .minor = 3, .write = true },
		{ .allow = true, .type = 'c', .major = 136, .minor = -1, .read = true, .write = true, .mknod = true },
		{ .allow = false, .type = 'c', .major = 136, .minor = 7, .write = true },
		{ .allow = true, .type = 'b', .major = 8, .minor = 0, .read = true },
	};
	size_t n = sizeof(rules) / sizeof(rules[0]);

	(void)state;
	assert_int_equal(ask(rules, n, 'c', 1, 3, "r"), 1);
	assert_int_equal(ask(rules, n, 'c', 1, 3, "rw"), 1);  /* two rules together */
	assert_int_equal(ask(rules, n, 'c', 1, 3, "rwm"), 1); /* three */
	assert_int_equal(ask(rules, n, 'c', 1, 5, "r"), 0);
	assert_int_equal(ask(rules, n, 'c', 1, 5, "m"), 1);
	assert_int_equal(ask(rules, n, 'c', 136, 6, "rw"), 1);
	assert_int_equal(ask(rules, n, 'c', 136, 7, "r"), 1);
	assert_int_equal(ask(rules, n, 'c', 136, 7, "rw"), 0); /* the last match wins */
	assert_int_equal(ask(rules, n, 'b', 8, 0, "r"), 1);
	assert_int_equal(ask(rules, n, 'b', 8, 0, "w"), 0);
	assert_int_equal(ask(rules, n, 'b', 8, 1, "r"), 0);
	assert_int_equal(ask(rules, n, 'b', 1, 3, "r"), 0);
	assert_int_equal(ask(rules, 0, 'c', 1, 3, "r"), 0); /* nothing named: denied */
}

static void test_allow_all(void **state)
{
	const struct cgroup_device_rule rules[] = {
		{ .allow = false, .type = 'c', .major = 1, .minor = 1, .read = true },
		{ .allow = true, .type = 'a', .major = -1, .minor = -1, .read = true, .write = true, .mknod = true },
		{ .allow = false, .type = 'c', .major = 1, .minor = 2, .read = true },
	};

	(void)state;
	assert_int_equal(ask(rules, 3, 'c', 1, 1, "rw"), 1);
	assert_int_equal(ask(rules, 3, 'b', 7, 7, "rwm"), 1);
	assert_int_equal(ask(rules, 3, 'c', 1, 2, "rw"), 0);
	assert_int_equal(ask(rules, 3, 'c', 1, 2, "w"), 1);
}

static void test_bad_rules(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	const struct cgroup_device_rule rule = { .type = 'x' };
	struct bpf_insn *program;
	size_t count;

	(void)state;
	assert_int_equal(device_bpf_assemble(&program, &count, &rule, 1, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

/* With the kernel, where there is a cgroup2 tree: the verifier takes it, and it decides. */
static void test_kernel(void **state)
{
	const char *base = access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup"
									    : "/sys/fs/cgroup/unified";
	const struct cgroup_device_rule null_only[] = {
		{ .allow = true, .type = 'c', .major = 1, .minor = 3, .read = true, .write = true },
	};
	const struct cgroup_device_rule zero_too[] = {
		{ .allow = true, .type = 'c', .major = 1, .minor = -1, .read = true, .write = true },
	};
	AUTO(error_clear) struct error err = { 0 };
	AUTO_CLOSE int fd = -1;
	char path[128], procs[160];
	int status = -1;
	pid_t pid;

	(void)state;
	snprintf(path, sizeof(path), "%s/kist-unit-devices-%d", base, getpid());
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	if (geteuid() != 0 || mkdir(path, 0755) < 0)
		skip();
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_no_error(device_bpf_attach(fd, zero_too, 1, &err), &err);
	assert_no_error(device_bpf_attach(fd, null_only, 1, &err), &err);
	pid = fork();
	if (pid == 0) {
		FILE *file = fopen(procs, "we");
		int wrong = 0;

		if (!file || fprintf(file, "0\n") < 0 || fclose(file) != 0)
			_exit(1);
		if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0)
			wrong |= 2;
		if (open("/dev/zero", O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM)
			wrong |= 4;
		_exit(wrong);
	}
	waitpid(pid, &status, 0);
	for (int i = 0; i < 100 && rmdir(path) < 0; i++)
		usleep(10000);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_allow_all),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
