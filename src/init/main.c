/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-init -- COMMAND [ARG...]
 *
 * How it works: all signals are blocked and taken one by one with
 * rt_sigtimedwait(), so there are no handlers. The command runs in a process
 * group of its own, in the foreground of the terminal if there is one. Its exit
 * code becomes ours; 127: there is no such command, 126: it cannot be run.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define EXIT_USAGE 1
#define EXIT_CANNOT_RUN 126
#define EXIT_NO_COMMAND 127
#define EXIT_SIGNAL_BASE 128
#define PATH_SIZE 4096
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SIGNAL_BIT(number) (1UL << ((number)-1))
#define SIGNAL_SET_BYTES 8

struct kernel_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};

/* No C library: what it would do for us. */
#if defined(__x86_64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call init_main\n");

static long call(long number, long a, long b, long c, long d)
{
	register long fourth __asm__("r10") = d;
	register long fifth __asm__("r8") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, #0\n"
	"	mov x0, sp\n"
	"	bl init_main\n");

static long call(long number, long a, long b, long c, long d)
{
	register long id __asm__("x8") = number;
	register long first __asm__("x0") = a;
	register long second __asm__("x1") = b;
	register long third __asm__("x2") = c;
	register long fourth __asm__("x3") = d;
	register long fifth __asm__("x4") = 0;

	__asm__ volatile("svc 0" : "+r"(first) : "r"(id), "r"(second), "r"(third), "r"(fourth), "r"(fifth) : "memory");
	return first;
}
#else
#error "kist-init knows x86-64 and arm64"
#endif

_Noreturn void init_main(const long *stack);

static _Noreturn void end(int code)
{
	for (;;)
		call(SYS_exit_group, code, 0, 0, 0);
}

static size_t length(const char *text)
{
	size_t size = 0;

	while (text[size])
		size++;
	return size;
}

static void say(const char *text)
{
	call(SYS_write, 2, (long)text, (long)length(text), 0);
}

/* The value of NAME=... in the environment, or NULL. `prefix` ends with "=". */
static const char *environment(char *const *envp, const char *prefix)
{
	size_t size = length(prefix);

	for (; *envp; envp++) {
		size_t i = 0;

		while (i < size && (*envp)[i] == prefix[i])
			i++;
		if (i == size)
			return *envp + size;
	}
	return NULL;
}

static _Bool has_slash(const char *text)
{
	for (; *text; text++)
		if (*text == '/')
			return 1;
	return 0;
}

/* The first folder of a PATH-like list and the name, as one path: 0 if it is too long. Moves *list on. */
static _Bool next_candidate(char out[PATH_SIZE], const char **list, const char *name)
{
	const char *at = *list;
	size_t size = 0;

	while (*at && *at != ':' && size < PATH_SIZE - 2)
		out[size++] = *at++;
	while (*at && *at != ':')
		at++;
	*list = *at ? at + 1 : NULL;
	if (size == 0)
		out[size++] = '.';
	out[size++] = '/';
	for (; *name && size < PATH_SIZE - 1; name++)
		out[size++] = *name;
	out[size] = '\0';
	return *name == '\0';
}

/* execvp(3): returns the errno that tells best why not. */
static long execute(char *const *argv, char *const *envp)
{
	const char *list = environment(envp, "PATH=");
	long worst = -ENOENT;
	char path[PATH_SIZE];

	if (has_slash(argv[0]))
		return call(SYS_execve, (long)argv[0], (long)argv, (long)envp, 0);
	if (!list)
		list = DEFAULT_PATH;
	while (list) {
		long r;

		if (!next_candidate(path, &list, argv[0]))
			continue;
		r = call(SYS_execve, (long)path, (long)argv, (long)envp, 0);
		if (r != -ENOENT && r != -ENOTDIR)
			worst = r;
		if (r != -ENOENT && r != -ENOTDIR && r != -EACCES)
			break;
	}
	return worst;
}

static void set_action(int number, void (*handler)(int))
{
	const struct kernel_sigaction action = { .handler = handler };

	call(SYS_rt_sigaction, number, (long)&action, 0, SIGNAL_SET_BYTES);
}

static _Noreturn void run_command(char *const *argv, char *const *envp, unsigned long old_mask)
{
	long pid;
	long r;

	call(SYS_setpgid, 0, 0, 0, 0);
	pid = call(SYS_getpid, 0, 0, 0, 0);
	/* Without a terminal this fails, and nothing is lost. SIGTTOU is still ignored here. */
	call(SYS_ioctl, 0, TIOCSPGRP, (long)&(int){ (int)pid }, 0);
	set_action(SIGTTIN, SIG_DFL);
	set_action(SIGTTOU, SIG_DFL);
	call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old_mask, 0, SIGNAL_SET_BYTES);
	r = execute(argv, envp);
	say("kist-init: ");
	say(argv[0]);
	say(r == -ENOENT   ? ": no such file or directory\n"
	    : r == -EACCES ? ": permission denied\n"
			   : ": cannot be executed\n");
	end(r == -ENOENT ? EXIT_NO_COMMAND : EXIT_CANNOT_RUN);
}

/* Everybody who has ended; the command's end is ours. */
static void reap(long command, int *exit_code)
{
	for (;;) {
		int status = 0;
		long pid = call(SYS_wait4, -1, (long)&status, WNOHANG, 0);

		if (pid <= 0)
			return;
		if (pid == command)
			*exit_code = WIFSIGNALED(status) ? EXIT_SIGNAL_BASE + WTERMSIG(status) : WEXITSTATUS(status);
	}
}

static int serve(long command, unsigned long mask)
{
	int exit_code = -1;

	while (exit_code < 0) {
		long number = call(SYS_rt_sigtimedwait, (long)&mask, 0, 0, SIGNAL_SET_BYTES);

		if (number == SIGCHLD)
			reap(command, &exit_code);
		else if (number > 0)
			call(SYS_kill, command, number, 0, 0);
	}
	return exit_code;
}

_Noreturn void init_main(const long *stack)
{
	/* Faults of our own must kill us. */
	const unsigned long mask = ~(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) |
				     SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGABRT) | SIGNAL_BIT(SIGTRAP) |
				     SIGNAL_BIT(SIGSYS) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU));
	long argc = stack[0];
	char *const *argv = (char *const *)(stack + 1);
	char *const *envp = argv + argc + 1;
	unsigned long old_mask = 0;
	long command;

	argv += argc > 0;
	if (*argv && (*argv)[0] == '-' && (*argv)[1] == '-' && (*argv)[2] == '\0')
		argv++;
	if (!*argv) {
		say("usage: kist-init -- COMMAND [ARG...]\n");
		end(EXIT_USAGE);
	}
	call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&mask, (long)&old_mask, SIGNAL_SET_BYTES);
	set_action(SIGTTIN, SIG_IGN);
	set_action(SIGTTOU, SIG_IGN);
	command = call(SYS_clone, SIGCHLD, 0, 0, 0);
	if (command < 0) {
		say("kist-init: no process for the command\n");
		end(EXIT_CANNOT_RUN);
	}
	if (command == 0)
		run_command(argv, envp, old_mask);
	end(serve(command, mask));
}
