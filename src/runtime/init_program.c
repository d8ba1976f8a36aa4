/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: prepare() finds everything out while failing is still a failed
 * create; become() then gives up, in this order: descriptors, the bounding set,
 * (with privileges left: the system call filter,) the user, capabilities,
 * no_new_privs, (else: the filter now). exec() is the last step.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "runtime/init.h"
#include "runtime/init_listener.h"
#include "runtime/init_sched.h"
#include "runtime/trace.h"
#include "sys/capability.h"
#include "sys/in_root.h"
#include "sys/seccomp.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_UMASK 0022

/* ---- prepare ---- */

/* 0, or why it is none. */
static int check_candidate(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EACCES;
	return st.st_mode & 0111 ? 0 : -EACCES;
}

/*
 * As a shell finds it, but with the container's PATH. *out_seen is a file of that name that could not be used, with the
 * reason in *out_errnum; NULL if there was none.
 */
static char *search_path(const char *name, const struct spec_process *process, char **out_seen, int *out_errnum)
{
	const char *path = text_list_env(&process->env, "PATH");
	AUTO(text_list_fini) struct text_list folders = { 0 };

	text_list_split(&folders, path ? path : DEFAULT_PATH, ':');
	for (size_t i = 0; i < folders.count; i++) {
		AUTO_FREE char *full = xasprintf("%s/%s", *folders.items[i] ? folders.items[i] : ".", name);
		int r = check_candidate(full);

		if (r == 0)
			return take_ptr(full);
		if (r == -ENOENT || r == -ENOTDIR || *out_seen)
			continue;
		*out_seen = take_ptr(full);
		*out_errnum = -r;
	}
	return NULL;
}

static int refuse(struct error *err, enum error_kind kind, const char *path, int errnum, const char *what)
{
	char words[64];

	error_set(err, kind, "exec: \"%s\": %s%s", path, what, init_errno_text(words, errnum));
	err->errnum = errnum;
	return -1;
}

static int check_program(const char *path, struct error *err)
{
	AUTO_FREE char *looked_at = xasprintf("stat %s: ", path);
	AUTO_FREE char *mode = NULL;
	struct stat st;

	if (stat(path, &st) < 0)
		return refuse(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, path, errno, looked_at);
	if (S_ISDIR(st.st_mode))
		return refuse(err, ERR_INVALID, path, EISDIR, "");
	mode = xasprintf("the file is not executable (mode %04o): ", st.st_mode & 07777);
	return st.st_mode & 0111 ? 0 : refuse(err, ERR_FORBIDDEN, path, EACCES, mode);
}

/* runc and docker know these words; docker makes exit codes 126 and 127 of them. */
static int find_in_path(struct init_program *program, const struct spec_process *process, const char *name,
			struct error *err)
{
	AUTO_FREE char *seen = NULL;
	char words[64];
	int errnum = 0;

	program->path = search_path(name, process, &seen, &errnum);
	if (program->path)
		return 0;
	if (seen)
		return error_set(err, ERR_NOT_FOUND, "exec: \"%s\": executable file not found in $PATH (%s: %s)", name,
				 seen, init_errno_text(words, errnum));
	return error_set(err, ERR_NOT_FOUND, "exec: \"%s\": executable file not found in $PATH", name);
}

static int find_program(struct init_program *program, const struct spec_process *process, struct error *err)
{
	const char *name = process->args.items[0];

	if (!strchr(name, '/'))
		return find_in_path(program, process, name, err);
	program->path = xstrdup(name);
	return check_program(name, err);
}

static void add_env(struct init_program *program, char *entry)
{
	program->envp[program->env_count++] = entry;
	program->envp[program->env_count] = NULL;
}

/* Of several values of one variable the last counts, as in runc. */
static bool is_overridden(const struct text_list *env, size_t index)
{
	size_t size = strcspn(env->items[index], "=") + 1;

	for (size_t i = index + 1; i < env->count; i++)
		if (strncmp(env->items[i], env->items[index], size) == 0)
			return true;
	return false;
}

static const char *last_home(const struct text_list *env)
{
	const char *home = NULL;

	for (size_t i = 0; i < env->count; i++)
		if (text_has_prefix(env->items[i], "HOME="))
			home = text_after(env->items[i], "HOME=");
	return home;
}

static void make_environment(struct init_program *program, const struct init *init)
{
	const struct text_list *env = &init->plan->process->env;
	int listen_fds = init->plan->options->listen_fds;

	program->envp = xcalloc(env->count + 4, sizeof(char *));
	for (size_t i = 0; i < env->count; i++)
		if (!is_overridden(env, i) && !text_equal(env->items[i], "HOME="))
			add_env(program, xstrdup(env->items[i]));
	if (text_empty(last_home(env)))
		add_env(program, xasprintf("HOME=%s", program->user.home ? program->user.home : "/"));
	if (listen_fds > 0) {
		add_env(program, xasprintf("LISTEN_FDS=%d", listen_fds));
		add_env(program, xstrdup("LISTEN_PID=1"));
	}
}

/*
 * After chdir, getcwd says "(unreachable)" if the directory is not below our root (CVE-2024-21626). The raw call: the
 * libc's then looks for a path by itself.
 */
static int verify_cwd(const char *wanted, struct error *err)
{
	char cwd[4096];

	if (syscall(SYS_getcwd, cwd, sizeof(cwd)) < 0)
		return error_set_errno(err, ERR_FORBIDDEN, errno, "process.cwd: %s", wanted);
	if (cwd[0] != '/')
		return error_set(err, ERR_FORBIDDEN,
				 "process.cwd: %s: current working directory is outside of container mount namespace "
				 "root -- possible container breakout detected",
				 wanted);
	return 0;
}

static int enter_cwd(const struct init *init, const struct init_user *user, struct error *err)
{
	const char *cwd = init->plan->process->cwd;
	AUTO_CLOSE int root = -1;
	AUTO_CLOSE int made = -1;

	if (chdir(cwd) == 0)
		return verify_cwd(cwd, err);
	if (errno == ENOENT) {
		root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		made = mkdir_in_root(root, cwd, 0755, user->uid, user->gid);
		if (made < 0)
			return error_set_errno(err, ERR_INVALID, made, "process.cwd: mkdir %s", cwd);
		if (fchdir(made) == 0 || chdir(cwd) == 0)
			return verify_cwd(cwd, err);
	}
	/* The user may be allowed where its creator is not (FUSE, NFS): tried again as the user, just before execve. */
	if (errno == EACCES && user->uid != 0)
		return 0;
	return error_set_errno(err, ERR_INVALID, errno, "process.cwd: chdir to cwd (\"%s\") set in config.json failed",
			       cwd);
}

/* A user that is not root must be able to reopen its stdio through /proc/self/fd. */
static void give_stdio(const struct init_user *user)
{
	struct stat st;

	if (user->uid == 0)
		return;
	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &st) == 0 && st.st_uid != user->uid &&
		    !(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) && fchown(fd, user->uid, (gid_t)-1) < 0)
			continue; /* not ours to give, or a read-only file system: it stays as it is */
}

int init_program_prepare(struct init_program *out_program, const struct init *init, struct error *err)
{
	const struct spec_process *process = init->plan->process;

	if (init_user_find(&out_program->user, init->plan, err) < 0)
		return -1;
	make_environment(out_program, init);
	if (enter_cwd(init, &out_program->user, err) < 0 || find_program(out_program, process, err) < 0)
		return -1;
	give_stdio(&out_program->user);
	return init_sched_apply(init->plan, err);
}

void init_program_fini(struct init_program *program)
{
	init_user_fini(&program->user);
	free(program->path);
	for (size_t i = 0; i < program->env_count; i++)
		free(program->envp[i]);
	free(program->envp);
}

/* ---- exec ---- */

static uint64_t mask_of(const struct text_list *names)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < names->count; i++) {
		int bit = capability_parse(names->items[i]);

		if (bit >= 0)
			mask |= UINT64_C(1) << bit;
	}
	return mask;
}

static struct capability_sets sets_of(const struct spec_capabilities *capabilities)
{
	if (!capabilities)
		return (struct capability_sets){ 0 };
	return (struct capability_sets){ .bounding = mask_of(&capabilities->bounding),
					 .effective = mask_of(&capabilities->effective),
					 .permitted = mask_of(&capabilities->permitted),
					 .inheritable = mask_of(&capabilities->inheritable),
					 .ambient = mask_of(&capabilities->ambient) };
}

/* From here on nothing but stdio and what was asked for crosses execve (CVE-2024-21626). */
static int close_descriptors(const struct plan *plan, struct error *err)
{
	int keep = plan->options->preserve_fds + plan->options->listen_fds;

	if (syscall(SYS_close_range, 3 + keep, ~0U, CLOSE_RANGE_CLOEXEC) < 0 && errno != ENOSYS && errno != EINVAL)
		return error_set_errno(err, ERR_INTERNAL, errno, "close descriptors");
	return 0;
}

static int load_filter(const struct plan *plan, struct error *err)
{
	int r;

	if (plan->filter && plan->listener_fd >= 0)
		return init_listener_load(plan, err);
	r = plan->filter ? seccomp_filter_load(plan->filter) : 0;
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "load the system call filter (linux.seccomp)");
	return 0;
}

/* The raw calls: the libc's would signal threads, and we are one. */
static int change_user(const struct init_user *user, struct error *err)
{
	/* EPERM with no groups wanted: an unprivileged user namespace denies setgroups. */
	if (syscall(SYS_setgroups, user->group_count, user->groups) < 0 && (errno != EPERM || user->group_count > 0))
		return error_set_errno(err, ERR_INVALID, errno, "process.user.additionalGids: setgroups");
	if (syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "process.user.gid: setgid %u%s", user->gid,
				       errno == EINVAL ? " (not mapped in the user namespace)" : "");
	if (syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "process.user.uid: setuid %u%s", user->uid,
				       errno == EINVAL ? " (not mapped in the user namespace)" : "");
	return 0;
}

int init_program_bound(struct init *init, struct error *err)
{
	const struct spec_capabilities *capabilities = init->plan->process->capabilities;
	int r = init->bounded ? 0 : capability_apply_bounding(capabilities ? mask_of(&capabilities->bounding) : 0);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "process.capabilities: bounding set");
	init->bounded = true;
	return 0;
}

static int change_privileges(const struct init_program *program, const struct plan *plan, struct error *err)
{
	const struct spec_process *process = plan->process;
	const struct capability_sets sets = sets_of(process->capabilities);
	int r;

	if (!process->no_new_privileges && load_filter(plan, err) < 0)
		return -1;
	umask((mode_t)optional_u64_or(process->user.umask, DEFAULT_UMASK));
	if (program->user.uid != 0)
		capability_keep(1);
	if (change_user(&program->user, err) < 0)
		return -1;
	if (program->user.uid != 0)
		capability_keep(0);
	r = capability_apply(&sets);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "process.capabilities");
	if (!process->no_new_privileges)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "process.noNewPrivileges");
	return 0;
}

/* Whatever the path leads to must not be the runtime itself: it would run with the container's arguments. */
static int refuse_self(const struct plan *plan, const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && st.st_ino != 0 && st.st_dev == plan->own_exe.st_dev &&
	    st.st_ino == plan->own_exe.st_ino)
		return error_set_errno(err, ERR_FORBIDDEN, EACCES, "exec: \"%s\" leads to the container runtime itself",
				       path);
	return 0;
}

int init_program_become(const struct init_program *program, struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;
	const struct spec_process *process = plan->process;

	if (refuse_self(plan, program->path, err) < 0 || close_descriptors(plan, err) < 0 ||
	    init_sched_labels(plan, err) < 0 || init_program_bound(init, err) < 0 ||
	    change_privileges(program, plan, err) < 0)
		return -1;
	/* Again, as the user who will be there. */
	if (program->user.uid != 0 && chdir(process->cwd) < 0)
		return error_set_errno(err, ERR_INVALID, errno,
				       "process.cwd: chdir to cwd (\"%s\") set in config.json failed", process->cwd);
	if (process->no_new_privileges && load_filter(plan, err) < 0)
		return -1;
	trace_mark(plan->runtime->trace, "privileges, filter");
	return 0;
}

int init_program_exec(const struct init_program *program, const struct init *init, struct error *err)
{
	trace_mark(init->plan->runtime->trace, "hooks of the start");
	execve(program->path, text_list_argv(&init->plan->process->args), program->envp);
	return init_explain_exec(program->path, errno, err);
}
