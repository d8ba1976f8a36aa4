/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/quote.h"
#include "runtime/command.h"
#include "runtime/self_seal.h"
#include "runtime/trace.h"

static const struct command commands[] = {
	{ "check", "[BUNDLE]", "list everything that is wrong with a bundle, on this host", command_check, SEAL_NOT },
	{ "checkpoint", "CONTAINER", "write a running container to files, by CRIU", command_checkpoint, SEAL_NOT },
	{ "create", "CONTAINER", "create a container", command_create, SEAL_LATE },
	{ "delete", "CONTAINER...", "delete what a container left behind", command_delete, SEAL_NOT },
	{ "events", "CONTAINER", "display statistics of a container", command_events, SEAL_NOT },
	{ "exec", "CONTAINER COMMAND [ARG...]", "run a process in a running container", command_exec, SEAL_FIRST },
	{ "features", "", "show the enabled features", command_features, SEAL_NOT },
	{ "kill", "CONTAINER [SIGNAL]", "send a signal to a container's init (default SIGTERM)", command_kill,
	  SEAL_NOT },
	{ "list", "", "list the containers below the root", command_list, SEAL_NOT },
	{ "mounts", "add|remove CONTAINER FILE", "change the mounts of a running container", command_mounts,
	  SEAL_FIRST },
	{ "pause", "CONTAINER", "suspend all processes of a container", command_pause, SEAL_NOT },
	{ "ps", "CONTAINER [PS OPTION...]", "list the processes of a container", command_ps, SEAL_NOT },
	{ "restore", "CONTAINER", "make a container of such files again", command_restore, SEAL_NOT },
	{ "resume", "CONTAINER", "resume all processes of a container", command_resume, SEAL_NOT },
	{ "run", "CONTAINER", "create and start a container", command_run, SEAL_LATE },
	{ "spec", "", "write a specification to begin with", command_spec, SEAL_NOT },
	{ "start", "CONTAINER", "start a created container", command_start, SEAL_NOT },
	{ "state", "CONTAINER", "print the state of a container", command_state, SEAL_NOT },
	{ "update", "CONTAINER", "change the limits of a container", command_update, SEAL_NOT },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

struct global_options {
	const char *root;
	const char *log_path;
	const char *log_format;
	const char *log_level;
	const char *cgroup_manager;
	const char *rootless;
	const char *criu; /* accepted as runc does: CRIU is searched in PATH */
	const char *trace;
	bool systemd_cgroup;
	bool debug;
	bool version;
	bool crun_version; /* crun's -V */
	bool usage;
	bool help;
};

static const struct option_spec global_table[] = {
	OPTION_TEXT("root", 0, struct global_options, root, "dir", "folder of the containers' state"),
	OPTION_TEXT("log", 0, struct global_options, log_path, "file", "write errors and warnings there too"),
	OPTION_TEXT("log-format", 0, struct global_options, log_format, "text|json", "form of the log"),
	OPTION_TEXT("log-level", 0, struct global_options, log_level, "level", "error, warn, info or debug"),
	OPTION_FLAG("debug", 0, struct global_options, debug, "log more"),
	OPTION_FLAG("systemd-cgroup", 0, struct global_options, systemd_cgroup, "cgroupsPath is slice:prefix:name"),
	OPTION_TEXT("cgroup-manager", 0, struct global_options, cgroup_manager, "name", "cgroupfs or disabled"),
	OPTION_TEXT("rootless", 0, struct global_options, rootless, "bool", "true, false or auto"),
	OPTION_TEXT("criu", 0, struct global_options, criu, "path", NULL),
	OPTION_TEXT("trace", 0, struct global_options, trace, "file", "write each step and its duration there"),
	OPTION_FLAG("version", 'v', struct global_options, version, "print the version"),
	OPTION_FLAG("crun-version", 'V', struct global_options, crun_version, NULL),
	OPTION_FLAG("usage", 0, struct global_options, usage, NULL),
	OPTION_FLAG("help", 'h', struct global_options, help, "print this help"),
	OPTION_END,
};

static void print_help(void)
{
	AUTO_FREE char *options = options_help(global_table);
	const char *name = command_program_name();

	printf("NAME:\n   %s - Open Container Initiative runtime (kist-runtime " KIST_VERSION ")\n\nUSAGE:\n"
	       "   %s [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARG...]\n\nCOMMANDS:\n",
	       name, name);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		printf("   %-11s %s\n", commands[i].name, commands[i].summary);
	printf("\nGLOBAL OPTIONS:\n%s", options);
}

/* Under a peer's name the version is the peer's whose command line we have; what follows "+" says who we are. */
static void print_version(void)
{
	static const char *const versions[] = { [PROGRAM_KIST] = KIST_VERSION,
						[PROGRAM_RUNC] = "1.3.0+kist." KIST_VERSION,
						[PROGRAM_CRUN] = "1.28.0+kist." KIST_VERSION };

	printf("%s version %s\ncommit: " KIST_COMMIT "\nspec: " SPEC_VERSION "\n", command_program_name(),
	       versions[command_program()]);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (text_equal(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static char *default_root(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		return xstrdup("/run/kist-runtime");
	if (dir && *dir == '/')
		return path_join(dir, "kist-runtime");
	return xasprintf("/tmp/kist-runtime-%u", geteuid());
}

/* crun's --log=syslog:NAME and journald:NAME: each line is a message for whoever listens on /dev/log. */
static int open_syslog(struct log *out_log, const char *name, struct error *err)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, errno, "--log: connect to /dev/log");
	out_log->fd = take_fd(&fd);
	out_log->syslog = *name ? name : command_program_name();
	return 0;
}

/* runc's form, which go-runc reads: the last object with level "error". Text form is one line. */
static int open_log(struct log *out_log, const struct global_options *options, struct error *err)
{
	const char *path = options->log_path;

	*out_log = (struct log){ .fd = STDERR_FILENO, .level = LOG_LEVEL_WARN, .logfmt = true };
	if (options->debug)
		out_log->level = LOG_LEVEL_DEBUG;
	if (options->log_level &&
	    log_level_parse(&out_log->level, text_equal(options->log_level, "warning") ? "warn" : options->log_level) <
		    0)
		return error_set(err, ERR_INVALID, "--log-level: unknown level \"%s\"", options->log_level);
	if (options->log_format && !text_equal(options->log_format, "text") && !text_equal(options->log_format, "json"))
		return error_set(err, ERR_INVALID, "invalid log format: \"%s\"", options->log_format);
	out_log->json = text_equal(options->log_format, "json");
	if (text_empty(path))
		return 0;
	if (text_after(path, "file:"))
		path = text_after(path, "file:");
	if (text_after(path, "syslog:"))
		return open_syslog(out_log, text_after(path, "syslog:"), err);
	if (text_after(path, "journald:"))
		return open_syslog(out_log, text_after(path, "journald:"), err);
	out_log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (out_log->fd < 0) {
		out_log->fd = STDERR_FILENO;
		return error_set_errno(err, ERR_INVALID, errno, "--log: open %s", path);
	}
	return 0;
}

/* As Go reads a bool. */
static int rootless_parse(enum runtime_rootless *out, const char *word)
{
	static const char *const yes[] = { "1", "t", "T", "true", "True", "TRUE" };
	static const char *const no[] = { "0", "f", "F", "false", "False", "FALSE" };

	*out = RUNTIME_ROOTLESS_AUTO;
	if (!word || text_equal(word, "auto"))
		return 0;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (text_equal(word, yes[i]))
			*out = RUNTIME_ROOTLESS_TRUE;
		else if (text_equal(word, no[i]))
			*out = RUNTIME_ROOTLESS_FALSE;
	}
	return *out == RUNTIME_ROOTLESS_AUTO ? -EINVAL : 0;
}

static int fill_runtime(struct runtime *runtime, const struct global_options *options, struct error *err)
{
	const char *manager = options->cgroup_manager;

	if (text_equal(options->root, "/"))
		return error_set(err, ERR_INVALID, "--root must not be /");
	if (manager && !text_equal(manager, "cgroupfs") && !text_equal(manager, "disabled") &&
	    !text_equal(manager, "systemd"))
		return error_set(err, ERR_INVALID, "--cgroup-manager: unknown manager \"%s\"", manager);
	if (rootless_parse(&runtime->rootless, options->rootless) < 0)
		return error_set(err, ERR_INVALID, "--rootless: \"%s\" is none of true, false and auto",
				 options->rootless);
	runtime->no_cgroups = text_equal(manager, "disabled");
	runtime->systemd_cgroup = options->systemd_cgroup || text_equal(manager, "systemd");
	return 0;
}

/* Standard descriptors must be there, or the first files we open would be taken for them. */
static void open_missing_stdio(void)
{
	struct pollfd fds[3] = { { .fd = 0 }, { .fd = 1 }, { .fd = 2 } };
	int fd;

	if (poll(fds, 3, 0) >= 0 && !((fds[0].revents | fds[1].revents | fds[2].revents) & POLLNVAL))
		return;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 3);
	if (fd >= 3)
		close(fd);
}

/* A command that was done is not undone by a trace that cannot be written. */
static void close_trace(struct trace *trace, const struct log *log)
{
	AUTO(error_clear) struct error err = { 0 };

	if (trace_close(trace, &err) < 0)
		log_warn(log, err.message);
}

/* After the global options: argv[0] of the command is its name. */
static int run_command(const struct text_list *words, const struct global_options *options, char *const *argv,
		       struct log *log, struct error *err)
{
	const struct command *command = find_command(words->items[0]);
	AUTO_FREE char *root = options->root ? path_absolute(options->root) : default_root();
	struct runtime runtime = { .root = root, .log = log };
	int result;

	if (!command)
		return error_set(err, ERR_INVALID, "No help topic for '%s': unknown command; see %s --help",
				 words->items[0], command_program_name());
	command_begin(command);
	command_set_root_given(options->root != NULL);
	if (options->trace && trace_open(&runtime.trace, options->trace, err) < 0)
		return -1;
	if (command->seal != SEAL_NOT)
		self_seal(argv, command->seal == SEAL_LATE);
	trace_mark(runtime.trace, "seal");
	if (open_log(log, options, err) < 0 || fill_runtime(&runtime, options, err) < 0)
		result = -1;
	else
		result = command->run(&runtime, (int)words->count, text_list_argv(words), err);
	close_trace(runtime.trace, log);
	return result < 0 && command->run == command_exec ? -EXEC_FAILED : result;
}

static int run(int argc, char *const *argv, struct log *log, struct error *err)
{
	struct global_options options = { 0 };
	AUTO(text_list_fini) struct text_list words = { 0 };

	if (options_parse(global_table, &options, argc, argv, OPTIONS_STOP_AT_OPERAND, &words, err) < 0)
		return -1;
	if (options.version || options.crun_version) {
		print_version();
		return 0;
	}
	if (options.help || options.usage || words.count == 0 || text_equal(words.items[0], "help")) {
		print_help();
		return options.help || options.usage || words.count ? 0 : 1;
	}
	return run_command(&words, &options, argv, log, err);
}

/* runc writes its log's form also to stderr, if that is where its log goes. */
static void tell_error(const struct log *log, const struct error *err)
{
	bool to_stderr = log->fd == STDERR_FILENO;

	if (!to_stderr || log->json || command_program() == PROGRAM_RUNC)
		log_error(log, err->message);
	if (!to_stderr && command_program() == PROGRAM_RUNC)
		fprintf(stderr, "%s\n", err->message);
	else if (!to_stderr || (!log->json && command_program() != PROGRAM_RUNC))
		fprintf(stderr, "%s: %s\n", command_program_name(), err->message);
}

int main(int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	struct log log = { .fd = STDERR_FILENO, .level = LOG_LEVEL_WARN, .logfmt = true };
	int result;

	/* Memory in one piece, and nothing given back: this program lives for milliseconds. */
	mallopt(M_TOP_PAD, 512 * 1024);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	mallopt(M_MMAP_THRESHOLD, 16 << 20);
	open_missing_stdio();
	command_set_program(argc > 0 ? argv[0] : NULL);
	result = run(argc, argv, &log, &err);
	if (!error_is_set(&err))
		return result;
	tell_error(&log, &err);
	return result < -1 ? -result : 1;
}
