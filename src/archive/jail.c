/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "sys/capability.h"
#include "sys/mount_api.h"
#include "sys/seccomp.h"

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "kist-unpack needs its system call table for this architecture"
#endif

/* A zstd window of 128 MiB and the libraries fit; a leak does not go far. */
#define FILES_MAX 1024 /* one for each of 500 lower layers */
#define MEMORY_MAX (UINT64_C(1) << 30)

static const int allowed_calls[] = {
	/* memory and the end */
	SYS_brk,
	SYS_mmap,
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_mprotect,
	SYS_futex,
	SYS_exit,
	SYS_exit_group,
	SYS_rt_sigreturn,
	SYS_rt_sigprocmask,
	SYS_rt_sigaction,
	SYS_getrandom,
	SYS_clock_gettime,
	SYS_gettid,
	SYS_getpid,
	SYS_tgkill,
	SYS_restart_syscall,
	/* reading and writing */
	SYS_read,
	SYS_write,
	SYS_readv,
	SYS_writev,
	SYS_pwrite64,
	SYS_pread64,
	SYS_lseek,
	SYS_close,
	SYS_ftruncate,
	SYS_copy_file_range,
	SYS_sync_file_range,
	SYS_fcntl,
	SYS_fstat,
	SYS_ppoll,
	/* entries */
	SYS_openat,
	SYS_openat2,
	SYS_newfstatat,
	SYS_statx,
	SYS_mkdirat,
	SYS_mknodat,
	SYS_symlinkat,
	SYS_linkat,
	SYS_unlinkat,
	SYS_readlinkat,
	SYS_getdents64,
	SYS_fchdir,
	SYS_fchmod,
	SYS_fchmodat,
	SYS_fchown,
	SYS_fchownat,
	SYS_utimensat,
	SYS_fsetxattr,
	SYS_lsetxattr,
	SYS_fgetxattr,
	SYS_flistxattr,
};

/* A sanitizer reserves terabytes and makes calls of its own: it replaces these two limits. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define CALL_COUNT (sizeof(allowed_calls) / sizeof(*allowed_calls))

/* What chown, chmod, mknod and setxattr of a tar's entries need; trusted.* attributes want CAP_SYS_ADMIN. */
static const uint64_t kept_capabilities = UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_DAC_OVERRIDE |
					  UINT64_C(1) << CAP_FOWNER | UINT64_C(1) << CAP_FSETID |
					  UINT64_C(1) << CAP_MKNOD | UINT64_C(1) << CAP_SETFCAP |
					  UINT64_C(1) << CAP_SYS_ADMIN;

/* The copy's root is the directory itself: ".." cannot leave it. */
int jail_lock_directory(int *fd, bool read_only, struct error *err)
{
	uint64_t attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC |
			      (read_only ? MOUNT_ATTR_RDONLY : 0);
	int copy = mount_clone(*fd, "", 0); /* O_PATH; closing it would unmount the copy */
	int r;

	if (copy < 0)
		return error_set_errno(err, ERR_INTERNAL, copy, "copy the mount of the layer's directory");
	r = mount_change(copy, 0, attributes, 0, 0);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "restrict the mount of the layer's directory");
	close(*fd);
	*fd = copy;
	return 0;
}

/* A second descriptor, for more than paths; the O_PATH one keeps the copy mounted. */
static int enter_root(int *target_fd, struct error *err)
{
	int opened = openat(*target_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (opened < 0 || fchdir(opened) < 0 || chroot(".") < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "enter the layer's directory");
	*target_fd = opened;
	return 0;
}

static int set_limits(struct error *err)
{
	const struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };
	const struct rlimit files = { FILES_MAX, FILES_MAX };
	const struct rlimit none = { 0, 0 };

	if ((!SANITIZED && setrlimit(RLIMIT_AS, &memory) < 0) || setrlimit(RLIMIT_NOFILE, &files) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "set limits");
	umask(0);
	return 0;
}

static int drop_capabilities(struct error *err)
{
	const struct capability_sets sets = { .bounding = kept_capabilities,
					      .effective = kept_capabilities,
					      .permitted = kept_capabilities };
	int r = capability_apply_bounding(sets.bounding);

	if (r == 0)
		r = capability_apply(&sets);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "drop privileges") : 0;
}

/* arch must be ours; then one comparison per allowed call; everything else answers EPERM. */
static int allow_calls(struct error *err)
{
	AUTO_FREE struct sock_filter *program = xcalloc(CALL_COUNT + 6, sizeof(*program));
	struct seccomp_filter filter = { .program = program };
	size_t at = 0;
	int r;

	program[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	program[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0);
	program[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	program[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < CALL_COUNT; i++)
		program[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed_calls[i],
							     (uint8_t)(CALL_COUNT - i), 0);
	program[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	program[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter.count = at;
	r = seccomp_filter_load(&filter);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "restrict system calls") : 0;
}

int jail_confine(int *root_fd, struct error *err)
{
	if (enter_root(root_fd, err) < 0 || set_limits(err) < 0 || drop_capabilities(err) < 0)
		return -1;
	return SANITIZED ? 0 : allow_calls(err);
}

int jail_enter(int *target_fd, int *lower_fds, size_t lower_count, struct error *err)
{
	if (jail_lock_directory(target_fd, false, err) < 0)
		return -1;
	for (size_t i = 0; i < lower_count; i++)
		if (jail_lock_directory(&lower_fds[i], true, err) < 0)
			return -1;
	return jail_confine(target_fd, err);
}
