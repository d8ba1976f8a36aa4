/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sys/seccomp.h"

#define NOBODY 65534

static const char *const allowed[] = {
	"accept4",	"arch_prctl",	  "bind",
	"brk",		"clock_gettime",  "close",
	"connect",	"epoll_create1",  "epoll_ctl",
	"epoll_pwait",	"epoll_wait",	  "exit",
	"exit_group",	"fcntl",	  "fstat",
	"futex",	"getpid",	  "getrandom",
	"getsockname",	"getsockopt",	  "gettid",
	"ioctl",	"listen",	  "lseek",
	"madvise",	"mmap",		  "mprotect",
	"mremap",	"munmap",	  "newfstatat",
	"openat",	"poll",		  "ppoll",
	"pread64",	"read",		  "readlink",
	"recvfrom",	"recvmsg",	  "restart_syscall",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
	"sched_yield",	"sendmsg",	  "sendto",
	"setsockopt",	"sigaltstack",	  "socket",
	"stat",		"statx",	  "tgkill",
	"write",	"writev",
};

int sandbox_enter(struct error *err)
{
	const struct rlimit none = { 0, 0 };
	const struct seccomp_rule rule = { .names = (char *const *)(uintptr_t)allowed,
					   .name_count = sizeof(allowed) / sizeof(allowed[0]),
					   .action = "SCMP_ACT_ALLOW" };
	const struct seccomp_profile profile = { .default_action = "SCMP_ACT_ERRNO",
						 .default_errno_ret = { .set = true, .value = EPERM },
						 .rules = &rule,
						 .rule_count = 1 };
	struct seccomp_filter filter = { 0 };
	int r;

	setrlimit(RLIMIT_CORE, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "sandbox: set no_new_privs");
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return error_set_errno(err, ERR_INTERNAL, errno, "sandbox: become nobody");
	prctl(PR_SET_DUMPABLE, 0);
	if (seccomp_filter_build(&filter, &profile, NULL, err) < 0)
		return error_prefix(err, "sandbox");
	r = seccomp_filter_load(&filter);
	seccomp_filter_fini(&filter);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "sandbox: restrict system calls") : 0;
}
