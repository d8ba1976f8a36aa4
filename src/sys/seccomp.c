/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"

void seccomp_filter_fini(struct seccomp_filter *filter)
{
	free(filter->program);
	*filter = (struct seccomp_filter){ 0 };
}

void seccomp_filter_ask_always(struct seccomp_filter *out_filter)
{
	struct sock_filter *program = xcalloc(1, sizeof(*program));

	*program = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	*out_filter = (struct seccomp_filter){
		.program = program, .count = 1, .flags = SECCOMP_FILTER_FLAG_NEW_LISTENER, .notify = true
	};
}

int seccomp_filter_load(const struct seccomp_filter *filter)
{
	struct sock_fprog program = { .len = (unsigned short)filter->count, .filter = filter->program };
	long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, &program);

	return result < 0 ? -errno : (int)result;
}

static const char *const actions[] = {
	"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO",  "SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
	"SCMP_ACT_LOG",	  "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
};

static const char *const operators[] = {
	"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
};

static const char *const architectures[] = {
	"SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",     "SCMP_ARCH_SH",	     "SCMP_ARCH_SHEB",
	"SCMP_ARCH_AARCH64",	 "SCMP_ARCH_ARM",      "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",
	"SCMP_ARCH_MIPS64N32",	 "SCMP_ARCH_MIPSEL",   "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
	"SCMP_ARCH_PARISC",	 "SCMP_ARCH_PARISC64", "SCMP_ARCH_PPC",	     "SCMP_ARCH_PPC64",
	"SCMP_ARCH_PPC64LE",	 "SCMP_ARCH_RISCV64",  "SCMP_ARCH_S390",     "SCMP_ARCH_S390X",
	"SCMP_ARCH_X32",	 "SCMP_ARCH_X86",      "SCMP_ARCH_X86_64",
};

static const char *const flags[] = {
	"SECCOMP_FILTER_FLAG_LOG",
	"SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	"SECCOMP_FILTER_FLAG_TSYNC",
	"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
};

#define ITEM(array, index) ((index) < sizeof(array) / sizeof((array)[0]) ? (array)[index] : NULL)

const char *seccomp_action_at(size_t index)
{
	return ITEM(actions, index);
}

const char *seccomp_operator_at(size_t index)
{
	return ITEM(operators, index);
}

const char *seccomp_architecture_at(size_t index)
{
	return ITEM(architectures, index);
}

const char *seccomp_flag_at(size_t index)
{
	return ITEM(flags, index);
}
