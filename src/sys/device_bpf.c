/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the program sees the device type, the access asked for and
 * the numbers. The rules are laid out last first, because for each bit of
 * access the last match wins. An allow rule that fits strikes its bits off what
 * is asked and says yes when none is left; a deny rule that fits says no if it
 * has one of those left. A rule that does not fit jumps to the next.
 */
#include "sys/device_bpf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

/* The most that the verifier takes is a million; nobody lists so many devices. */
#define RULES_MAX 4096
#define ATTACHED_MAX 64
#define LOG_SIZE 4096

struct assembler {
	struct bpf_insn *code;
	size_t count;
	size_t capacity;
};

static void emit(struct assembler *assembler, struct bpf_insn insn)
{
	assembler->code = xgrow(assembler->code, &assembler->capacity, assembler->count + 1, sizeof(insn));
	assembler->code[assembler->count++] = insn;
}

/* r2 type, r3 access bits not yet allowed, r4 major, r5 minor */
static void emit_prologue(struct assembler *a)
{
	const uint8_t load = BPF_LDX | BPF_W | BPF_MEM;

	emit(a, (struct bpf_insn){ .code = load, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_1 });
	emit(a, (struct bpf_insn){ .code = BPF_ALU | BPF_AND | BPF_K, .dst_reg = BPF_REG_2, .imm = 0xffff });
	emit(a, (struct bpf_insn){ .code = load, .dst_reg = BPF_REG_3, .src_reg = BPF_REG_1 });
	emit(a, (struct bpf_insn){ .code = BPF_ALU | BPF_RSH | BPF_K, .dst_reg = BPF_REG_3, .imm = 16 });
	emit(a, (struct bpf_insn){ .code = load, .dst_reg = BPF_REG_4, .src_reg = BPF_REG_1, .off = 4 });
	emit(a, (struct bpf_insn){ .code = load, .dst_reg = BPF_REG_5, .src_reg = BPF_REG_1, .off = 8 });
}

static void emit_return(struct assembler *a, int value)
{
	emit(a, (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = value });
	emit(a, (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT });
}

static int access_bits(const struct cgroup_device_rule *rule)
{
	return (rule->read ? BPF_DEVCG_ACC_READ : 0) | (rule->write ? BPF_DEVCG_ACC_WRITE : 0) |
	       (rule->mknod ? BPF_DEVCG_ACC_MKNOD : 0);
}

static void emit_rule(struct assembler *a, const struct cgroup_device_rule *rule)
{
	const uint8_t differs = BPF_JMP | BPF_JNE | BPF_K;
	size_t start = a->count;
	size_t end;

	if (rule->type != 'a')
		emit(a, (struct bpf_insn){ .code = differs,
					   .dst_reg = BPF_REG_2,
					   .imm = rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR });
	if (rule->major >= 0)
		emit(a, (struct bpf_insn){ .code = differs, .dst_reg = BPF_REG_4, .imm = (int32_t)rule->major });
	if (rule->minor >= 0)
		emit(a, (struct bpf_insn){ .code = differs, .dst_reg = BPF_REG_5, .imm = (int32_t)rule->minor });
	if (rule->allow) {
		emit(a, (struct bpf_insn){
				.code = BPF_ALU | BPF_AND | BPF_K, .dst_reg = BPF_REG_3, .imm = ~access_bits(rule) });
		emit(a, (struct bpf_insn){ .code = differs, .dst_reg = BPF_REG_3, .imm = 0 });
	} else {
		emit(a, (struct bpf_insn){
				.code = BPF_ALU | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_3 });
		emit(a, (struct bpf_insn){
				.code = BPF_ALU | BPF_AND | BPF_K, .dst_reg = BPF_REG_1, .imm = access_bits(rule) });
		emit(a, (struct bpf_insn){ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_1, .imm = 0 });
	}
	emit_return(a, rule->allow ? 1 : 0);
	end = a->count;
	for (size_t i = start; i < end; i++)
		if (BPF_CLASS(a->code[i].code) == BPF_JMP && BPF_OP(a->code[i].code) != BPF_EXIT)
			a->code[i].off = (int16_t)(end - i - 1);
}

static int check_rule(const struct cgroup_device_rule *rule, struct error *err)
{
	if (rule->type != 'a' && rule->type != 'b' && rule->type != 'c')
		return error_set(err, ERR_INVALID, "device rule: unknown type '%c'", rule->type);
	if (rule->major > INT32_MAX || rule->minor > INT32_MAX)
		return error_set(err, ERR_INVALID, "device rule: number out of range");
	return 0;
}

int device_bpf_assemble(struct bpf_insn **out_program, size_t *out_count, const struct cgroup_device_rule *rules,
			size_t rule_count, struct error *err)
{
	struct assembler assembler = { 0 };
	size_t start = 0;

	if (rule_count > RULES_MAX)
		return error_set(err, ERR_INVALID, "%zu device rules are more than %d", rule_count, RULES_MAX);
	for (size_t i = 0; i < rule_count; i++) {
		const struct cgroup_device_rule *rule = &rules[i];

		if (check_rule(rule, err) < 0)
			return -1;
		/* What a rule for everything covers needs no code. */
		if (rule->major < 0 && rule->minor < 0 && rule->type == 'a' && rule->read && rule->write && rule->mknod)
			start = i;
	}
	emit_prologue(&assembler);
	for (size_t i = rule_count; i > start; i--)
		if (access_bits(&rules[i - 1]))
			emit_rule(&assembler, &rules[i - 1]);
	emit_return(&assembler, 0);
	*out_program = assembler.code;
	*out_count = assembler.count;
	return 0;
}

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int load_program(const struct bpf_insn *program, size_t count, struct error *err)
{
	AUTO_FREE char *log = xcalloc(1, LOG_SIZE);
	union bpf_attr attr = { 0 };
	long fd;

	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uint64_t)(uintptr_t)program;
	attr.insn_cnt = (uint32_t)count;
	attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd >= 0) {
		/* bpf(2) descriptors are close-on-exec from birth. */
		return (int)fd;
	}
	if (errno == EPERM || errno == ENOSYS)
		return error_set_errno(err, ERR_UNSUPPORTED, errno, "load the device program");
	attr.log_level = 1;
	attr.log_buf = (uint64_t)(uintptr_t)log;
	attr.log_size = LOG_SIZE;
	bpf(BPF_PROG_LOAD, &attr);
	return error_set_errno(err, ERR_INTERNAL, errno, "load the device program: %.200s", log);
}

/* Programs that were attached before us; -errno. */
static int query_attached(int cgroup_fd, uint32_t ids[ATTACHED_MAX])
{
	union bpf_attr attr = { 0 };

	attr.query.target_fd = (uint32_t)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
	attr.query.prog_cnt = ATTACHED_MAX;
	return bpf(BPF_PROG_QUERY, &attr) < 0 ? -errno : (int)attr.query.prog_cnt;
}

static int program_of_id(uint32_t id)
{
	union bpf_attr attr = { 0 };
	long fd;

	attr.prog_id = id;
	fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
	return fd < 0 ? -errno : (int)fd;
}

static int attach(int cgroup_fd, int program_fd, uint32_t flags, int replaced_fd)
{
	union bpf_attr attr = { 0 };

	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = flags;
	attr.replace_bpf_fd = replaced_fd < 0 ? 0 : (uint32_t)replaced_fd;
	return bpf(BPF_PROG_ATTACH, &attr) < 0 ? -errno : 0;
}

static void detach(int cgroup_fd, int program_fd)
{
	union bpf_attr attr = { 0 };

	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	bpf(BPF_PROG_DETACH, &attr);
}

int device_bpf_attach(int cgroup_fd, const struct cgroup_device_rule *rules, size_t rule_count, struct error *err)
{
	AUTO_FREE struct bpf_insn *program = NULL;
	AUTO_CLOSE int program_fd = -1;
	uint32_t ids[ATTACHED_MAX];
	size_t count;
	int attached, failed;

	if (device_bpf_assemble(&program, &count, rules, rule_count, err) < 0)
		return -1;
	program_fd = load_program(program, count, err);
	if (program_fd < 0)
		return -1;
	attached = query_attached(cgroup_fd, ids);
	if (attached == 1) {
		AUTO_CLOSE int old_fd = program_of_id(ids[0]);

		if (old_fd >= 0 && attach(cgroup_fd, program_fd, BPF_F_ALLOW_MULTI | BPF_F_REPLACE, old_fd) == 0)
			return 0;
	}
	/* All attached programs must agree, so adding ours first and dropping the others then never opens a gap. */
	failed = attach(cgroup_fd, program_fd, BPF_F_ALLOW_MULTI, -1);
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "attach the device program");
	for (int i = 0; i < attached; i++) {
		AUTO_CLOSE int old_fd = program_of_id(ids[i]);

		if (old_fd >= 0)
			detach(cgroup_fd, old_fd);
	}
	return 0;
}
