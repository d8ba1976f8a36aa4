/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.h - which system calls a container may make.
 *
 * A profile is compiled in the host process (seccomp_filter_build, linked from
 * sys_seccomp_dep with libseccomp); init only loads the finished program
 * (seccomp_filter_load, in sys_dep). Compiled programs are cached by content:
 * the file's name is a hash, the file holds the whole profile too, and is used
 * only if that is equal byte for byte.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/optional.h"

/* All text in the words of the OCI spec; all pointers borrowed. */
struct seccomp_arg {
	uint32_t index;
	uint64_t value;
	uint64_t value_two;
	const char *op; /* "SCMP_CMP_EQ" */
};

struct seccomp_rule {
	char *const *names; /* system calls; unknown ones are skipped */
	size_t name_count;
	const char *action; /* "SCMP_ACT_ALLOW" */
	struct optional_u64 errno_ret;
	const struct seccomp_arg *args;
	size_t arg_count;
};

struct seccomp_profile {
	const char *default_action;
	struct optional_u64 default_errno_ret;
	char *const *architectures; /* "SCMP_ARCH_X86_64"; none: the native one */
	size_t architecture_count;
	char *const *flags; /* "SECCOMP_FILTER_FLAG_LOG"; NULL: not given, which means SPEC_ALLOW, as in runc */
	size_t flag_count;
	const struct seccomp_rule *rules;
	size_t rule_count;
};

struct seccomp_filter {
	struct sock_filter *program; /* owned */
	size_t count;
	unsigned flags; /* SECCOMP_FILTER_FLAG_* for seccomp(2) */
	bool notify;	/* loading gives a listener descriptor */
};

/*
 * Compiles a profile, or takes it from cache_dir (NULL: no cache; it is made if
 * missing). System calls newer than any the profile names answer ENOSYS instead
 * of the default errno, so that a libc falls back. ERR_INVALID names the bad word.
 */
int seccomp_filter_build(struct seccomp_filter *out_filter, const struct seccomp_profile *profile,
			 const char *cache_dir, struct error *err);
void seccomp_filter_fini(struct seccomp_filter *filter);

/*
 * Loads the program into this process. Returns the listener descriptor if
 * filter->notify, else 0; -errno. Needs no_new_privs or CAP_SYS_ADMIN. Makes
 * one system call, touches no memory of others: fit for just before execve.
 */
int seccomp_filter_load(const struct seccomp_filter *filter);

/* A filter that asks a listener about every call. */
void seccomp_filter_ask_always(struct seccomp_filter *out_filter);
/* "openat" of an AUDIT_ARCH_ and a number, yours, or NULL (in sys_seccomp_dep). */
char *seccomp_call_name(uint32_t architecture, int number);
/* "SCMP_ARCH_X86_64" of an AUDIT_ARCH_, or NULL (in sys_seccomp_dep). */
const char *seccomp_architecture_name(uint32_t architecture);

/* What the kernel and libseccomp know, for `features`: the words in order, NULL behind the last (in sys_dep). */
const char *seccomp_action_at(size_t index);
const char *seccomp_operator_at(size_t index);
const char *seccomp_architecture_at(size_t index);
const char *seccomp_flag_at(size_t index);
