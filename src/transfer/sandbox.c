/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "sys/landlock.h"
#include "sys/seccomp.h"

#define NOBODY 65534

/* Certificates, the resolver and the libraries it loads by itself. */
static const char *const readable[] = {
	"/etc/ssl",
	"/etc/pki",
	"/usr/lib/ssl",
	"/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates",
	"/etc/resolv.conf",
	"/etc/hosts",
	"/etc/host.conf",
	"/etc/nsswitch.conf",
	"/etc/gai.conf",
	"/etc/services",
	"/etc/ld.so.cache",
	"/etc/localtime",
	"/run/systemd/resolve",
	"/run/resolvconf",
	"/usr/lib",
	"/usr/lib64",
	"/lib",
	"/lib64",
	"/usr/share/zoneinfo",
	"/dev/null",
	"/dev/urandom",
};

static const char *const allowed[] = {
	"access",
	"arch_prctl",
	"bind",
	"brk",
	"clock_getres",
	"clock_gettime",
	"clock_nanosleep",
	"close",
	"close_range",
	"connect",
	"dup",
	"dup2",
	"dup3",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_wait",
	"eventfd2",
	"exit",
	"exit_group",
	"faccessat",
	"faccessat2",
	"fadvise64",
	"fcntl",
	"fdatasync",
	"fstat",
	"fstatfs",
	"fsync",
	"ftruncate",
	"futex",
	"getcpu",
	"getcwd",
	"getdents64",
	"getegid",
	"geteuid",
	"getgid",
	"getpeername",
	"getpid",
	"getppid",
	"getrandom",
	"getrusage",
	"getsockname",
	"getsockopt",
	"gettid",
	"gettimeofday",
	"getuid",
	"ioctl",
	"lseek",
	"madvise",
	"membarrier",
	"mmap",
	"mprotect",
	"mremap",
	"munmap",
	"nanosleep",
	"newfstatat",
	"open",
	"openat",
	"pipe",
	"pipe2",
	"poll",
	"ppoll",
	"prctl",
	"pread64",
	"prlimit64",
	"pselect6",
	"pwrite64",
	"read",
	"readlink",
	"readlinkat",
	"readv",
	"recvfrom",
	"recvmmsg",
	"recvmsg",
	"restart_syscall",
	"rseq",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sched_getaffinity",
	"sched_yield",
	"select",
	"sendmmsg",
	"sendmsg",
	"sendto",
	"set_robust_list",
	"set_tid_address",
	"setsockopt",
	"shutdown",
	"sigaltstack",
	"socket",
	"socketpair",
	"stat",
	"statfs",
	"statx",
	"sync_file_range",
	"sysinfo",
	"tgkill",
	"time",
	"uname",
	"write",
	"writev",
};

static int add_readable(int ruleset, const char *path)
{
	AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .parent_fd = fd, .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE };
	int dir;

	if (fd < 0)
		return 0;
	dir = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0) {
		close(dir);
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
	}
	return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

/* All rights the kernel's version knows are taken, also those newer than our headers. */
static uint64_t rights_of(int version)
{
	unsigned bits = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;

	return (UINT64_C(1) << bits) - 1;
}

static int restrict_files(struct error *err)
{
	int version = landlock_version();
	struct landlock_ruleset_attr attributes = { .handled_access_fs = rights_of(version) };
	AUTO_CLOSE int ruleset = -1;

	/* Without it uid nobody and seccomp remain: GET /info and the log of kistd tell that. */
	if (version == 0)
		return 0;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	if (ruleset < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "sandbox: make a Landlock rule set");
	for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
		if (add_readable(ruleset, readable[i]) < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "sandbox: allow %s", readable[i]);
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "sandbox: restrict files");
	return 0;
}

static int become_nobody(struct error *err)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "sandbox: become nobody");
	return 0;
}

static int restrict_calls(struct error *err)
{
	/* Threads, but no processes. clone3 hides its flags from seccomp; libc then takes clone. */
	static const struct seccomp_arg thread_only = {
		.index = 0, .value = CLONE_THREAD, .value_two = CLONE_THREAD, .op = "SCMP_CMP_MASKED_EQ"
	};
	static const char *const clone_name[] = { "clone" };
	static const char *const clone3_name[] = { "clone3" };
	const struct seccomp_rule rules[] = {
		{ .names = (char *const *)(uintptr_t)allowed,
		  .name_count = sizeof(allowed) / sizeof(allowed[0]),
		  .action = "SCMP_ACT_ALLOW" },
		{ .names = (char *const *)(uintptr_t)clone_name,
		  .name_count = 1,
		  .action = "SCMP_ACT_ALLOW",
		  .args = &thread_only,
		  .arg_count = 1 },
		{ .names = (char *const *)(uintptr_t)clone3_name,
		  .name_count = 1,
		  .action = "SCMP_ACT_ERRNO",
		  .errno_ret = { .set = true, .value = ENOSYS } },
	};
	const struct seccomp_profile profile = {
		.default_action = "SCMP_ACT_ERRNO",
		.default_errno_ret = { .set = true, .value = EPERM },
		.rules = rules,
		.rule_count = sizeof(rules) / sizeof(rules[0]),
	};
	struct seccomp_filter filter = { 0 };
	int r;

	if (seccomp_filter_build(&filter, &profile, NULL, err) < 0)
		return error_prefix(err, "sandbox");
	r = seccomp_filter_load(&filter);
	seccomp_filter_fini(&filter);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "sandbox: restrict system calls") : 0;
}

int sandbox_enter(struct error *err)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "sandbox: set no_new_privs");
	if (restrict_files(err) < 0 || become_nobody(err) < 0)
		return -1;
	/* Changing the user clears it; the engine's death must end us at any time. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0);
	return restrict_calls(err);
}
