/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/examine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/examine_host.h"
#include "runtime/host_check.h"
#include "runtime/host_seccomp.h"
#include "runtime/mount_option.h"
#include "sys/capability.h"
#include "sys/in_root.h"
#include "sys/namespace.h"
#include "sys/rlimit.h"

#define CONFIG_MAX (16 << 20)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct examination {
	struct findings *found;
	const struct runtime *runtime;
	const char *bundle;
	const struct spec *spec;
	int root_fd; /* -1: there is none */
};

/* Blocks of other systems, which are not ours to judge. */
static bool is_foreign(const char *pointer)
{
	static const char *const others[] = { "/windows", "/solaris", "/vm", "/zos", "/freebsd" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (text_equal(pointer, others[i]))
			return true;
	return false;
}

static void add_json_problem(void *context, const char *pointer, enum json_problem problem, const char *message)
{
	if (problem == JSON_PROBLEM_WRONG)
		finding_add(context, ERR_INVALID, pointer, "%s", message);
	else if (!is_foreign(pointer))
		finding_warn(context, pointer, "%s", message);
}

/* ---- root and program ---- */

static void look_at_root(struct examination *at)
{
	const char *path = at->spec->root ? text_or_empty(at->spec->root->path) : "";
	AUTO_FREE char *full = *path == '/' ? xstrdup(path) : path_join(at->bundle, path);

	if (!*path)
		return;
	at->root_fd = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at->root_fd < 0)
		finding_add(at->found, ERR_INVALID, "/root/path", "rootfs (%s): %s", full, strerrordesc_np(errno));
}

/* A mount over the program's folder would bring it: then nobody can tell yet. */
static bool is_mounted_over(const struct spec *spec, const char *path)
{
	for (size_t i = 0; i < spec->mounts.count; i++) {
		const char *rest = text_after(path, text_or_empty(spec->mounts.items[i].destination));

		if (rest && (*rest == '/' || *rest == '\0'))
			return true;
	}
	return false;
}

static bool is_program_in_root(const struct examination *at, const char *path)
{
	AUTO_CLOSE int fd = open_in_root(at->root_fd, path, O_PATH, 0);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & 0111;
}

static bool is_in_path(const struct examination *at, const char *name, const char *search)
{
	AUTO(text_list_fini) struct text_list folders = { 0 };

	text_list_split(&folders, search, ':');
	for (size_t i = 0; i < folders.count; i++) {
		AUTO_FREE char *path = path_join(folders.items[i], name);

		if (is_mounted_over(at->spec, folders.items[i]) || is_program_in_root(at, path))
			return true;
	}
	return false;
}

static void look_at_program(struct examination *at)
{
	const struct spec_process *process = at->spec->process;
	const char *name = process && process->args.count ? process->args.items[0] : "";
	const char *search = process ? text_list_env(&process->env, "PATH") : NULL;

	if (!*name || at->root_fd < 0)
		return;
	if (!strchr(name, '/')) {
		if (!is_in_path(at, name, search ? search : DEFAULT_PATH))
			finding_add(at->found, ERR_NOT_FOUND, "/process/args/0",
				    "\"%s\": executable file not found in $PATH of the rootfs", name);
	} else if (*name == '/' && !is_mounted_over(at->spec, name) && !is_program_in_root(at, name)) {
		finding_add(at->found, ERR_NOT_FOUND, "/process/args/0", "%s is no executable file in the rootfs",
			    name);
	}
}

/* ---- process ---- */

static void look_at_rlimits(struct examination *at)
{
	bool may_raise = capability_bounding() >> CAP_SYS_RESOURCE & 1 && geteuid() == 0;

	for (size_t i = 0; i < at->spec->process->rlimits.count; i++) {
		const struct spec_rlimit *wanted = &at->spec->process->rlimits.items[i];
		int number = rlimit_parse(wanted->type);
		struct rlimit ours;

		if (number < 0 || may_raise || getrlimit((unsigned)number, &ours) < 0 || wanted->hard <= ours.rlim_max)
			continue;
		finding_add(at->found, ERR_FORBIDDEN, finding_at("/process/rlimits/%zu/hard", i).text,
			    "%llu is above our own hard limit %llu, and raising it needs CAP_SYS_RESOURCE",
			    (unsigned long long)wanted->hard, (unsigned long long)ours.rlim_max);
	}
}

static void look_at_capabilities(struct examination *at)
{
	const struct spec_capabilities *capabilities = at->spec->process->capabilities;
	uint64_t ours = capability_bounding();

	for (size_t i = 0; capabilities && i < capabilities->bounding.count; i++) {
		int bit = capability_parse(capabilities->bounding.items[i]);

		if (bit >= 0 && !(ours >> bit & 1))
			finding_warn(at->found, finding_at("/process/capabilities/bounding/%zu", i).text,
				     "%s cannot be granted: we do not have it ourselves",
				     capabilities->bounding.items[i]);
	}
}

static void look_at_process(struct examination *at)
{
	if (!at->spec->process)
		return;
	look_at_rlimits(at);
	look_at_capabilities(at);
	if (!text_empty(at->spec->process->apparmor_profile) &&
	    !text_equal(at->spec->process->apparmor_profile, "unconfined") && !examine_host_has_apparmor())
		finding_add(at->found, ERR_UNSUPPORTED, "/process/apparmorProfile", "AppArmor is not on on this host");
}

/* ---- mounts ---- */

static void look_at_bind(struct examination *at, const struct spec_mount *mount, const struct mount_options *options,
			 size_t i)
{
	const char *source = text_or_empty(mount->source);
	AUTO_FREE char *full = *source == '/' ? xstrdup(source) : path_join(at->bundle, source);

	if (options->data.size)
		finding_add(at->found, ERR_INVALID, finding_at("/mounts/%zu/options", i).text,
			    "unknown options for a bind mount: %s", options->data.data);
	if (access(full, F_OK) < 0)
		finding_add(at->found, ERR_NOT_FOUND, finding_at("/mounts/%zu/source", i).text, "%s: %s", full,
			    strerrordesc_np(errno));
}

static void look_at_mount(struct examination *at, const struct spec_mount *mount, size_t i)
{
	AUTO(mount_options_fini) struct mount_options options = { 0 };
	AUTO(error_clear) struct error problem = { 0 };

	if (mount_options_parse(&options, &mount->options, &problem) < 0) {
		finding_add_error(at->found, finding_at("/mounts/%zu/options", i).text, &problem);
		return;
	}
	if (options.bind || text_equal(mount->type, "bind"))
		look_at_bind(at, mount, &options, i);
	else if (text_empty(mount->type) || text_equal(mount->type, "none"))
		finding_add(at->found, ERR_INVALID, finding_at("/mounts/%zu/type", i).text,
			    "a mount that is no bind needs a file system type");
	else if (!text_equal(mount->type, "cgroup") && !examine_host_has_file_system(mount->type))
		finding_warn(at->found, finding_at("/mounts/%zu/type", i).text,
			     "file system %s is not in the kernel (a module may bring it)", mount->type);
}

/* ---- linux ---- */

static void look_at_namespaces(struct examination *at)
{
	for (size_t i = 0; i < at->spec->linux_.namespaces.count; i++) {
		const struct spec_namespace *wanted = &at->spec->linux_.namespaces.items[i];
		const struct namespace_kind *kind = namespace_kind_find(text_or_empty(wanted->type));
		AUTO_CLOSE int fd = -1;

		if (!kind)
			continue;
		if (!namespace_supported(kind))
			finding_add(at->found, ERR_UNSUPPORTED, finding_at("/linux/namespaces/%zu/type", i).text,
				    "this kernel has no %s namespaces", kind->name);
		if (text_empty(wanted->path) || *wanted->path != '/')
			continue;
		fd = open(wanted->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || namespace_type(fd) != kind->flag)
			finding_add(at->found, ERR_INVALID, finding_at("/linux/namespaces/%zu/path", i).text,
				    "%s is not a %s namespace", wanted->path, kind->name);
	}
}

static void look_at_seccomp(struct examination *at)
{
	const struct spec_seccomp *seccomp = at->spec->linux_.seccomp;
	AUTO(seccomp_filter_fini) struct seccomp_filter filter = { 0 };
	AUTO(error_clear) struct error problem = { 0 };
	struct runtime no_cache = *at->runtime;

	if (!seccomp)
		return;
	no_cache.log = NULL;
	if (host_seccomp_build(&filter, &no_cache, seccomp, &problem) < 0)
		finding_add_error(at->found, "/linux/seccomp", &problem);
	else if (filter.notify && text_empty(seccomp->listener_path))
		finding_add(at->found, ERR_INVALID, "/linux/seccomp/listenerPath",
			    "must be set: a rule has SCMP_ACT_NOTIFY");
	else if (filter.notify && access(seccomp->listener_path, F_OK) < 0)
		finding_add(at->found, ERR_NOT_FOUND, "/linux/seccomp/listenerPath", "no agent is at %s",
			    seccomp->listener_path);
}

static void look_at_devices(struct examination *at)
{
	for (size_t i = 0; i < at->spec->linux_.devices.count; i++) {
		const struct spec_device *device = &at->spec->linux_.devices.items[i];

		if (text_empty(device->path) || *device->path != '/')
			finding_add(at->found, ERR_INVALID, finding_at("/linux/devices/%zu/path", i).text,
				    "%s is not absolute", text_or_empty(device->path));
		if (text_empty(device->type) || device->type[1] || !strchr("cbup", device->type[0]))
			finding_add(at->found, ERR_INVALID, finding_at("/linux/devices/%zu/type", i).text,
				    "\"%s\" is none of c, b, u, p", text_or_empty(device->type));
	}
}

static void look_at_hooks(struct examination *at, const spec_hook_list *hooks, const char *kind, bool on_host)
{
	for (size_t i = 0; i < hooks->count; i++) {
		const struct finding_place place = finding_at("/hooks/%s/%zu/path", kind, i);
		const char *path = text_or_empty(hooks->items[i].path);

		if (*path != '/')
			finding_add(at->found, ERR_INVALID, place.text, "\"%s\" is not absolute", path);
		else if (on_host && access(path, X_OK) < 0)
			finding_add(at->found, ERR_NOT_FOUND, place.text, "%s: %s", path, strerrordesc_np(errno));
		if (hooks->items[i].timeout.set && hooks->items[i].timeout.value <= 0)
			finding_add(at->found, ERR_INVALID, finding_at("/hooks/%s/%zu/timeout", kind, i).text,
				    "must be greater than 0");
	}
}

static void look_at_all_hooks(struct examination *at)
{
	const struct spec_hooks *hooks = &at->spec->hooks;

	look_at_hooks(at, &hooks->prestart, "prestart", true);
	look_at_hooks(at, &hooks->create_runtime, "createRuntime", true);
	look_at_hooks(at, &hooks->create_container, "createContainer", true);
	look_at_hooks(at, &hooks->start_container, "startContainer", false);
	look_at_hooks(at, &hooks->poststart, "poststart", true);
	look_at_hooks(at, &hooks->poststop, "poststop", true);
}

static void look_at_host(struct examination *at)
{
	look_at_root(at);
	look_at_program(at);
	look_at_process(at);
	for (size_t i = 0; i < at->spec->mounts.count; i++)
		look_at_mount(at, &at->spec->mounts.items[i], i);
	look_at_namespaces(at);
	look_at_devices(at);
	look_at_seccomp(at);
	look_at_all_hooks(at);
	examine_host_resources(at->found, at->runtime, at->spec);
	if (at->root_fd >= 0)
		close(at->root_fd);
}

int examine_bundle(struct findings *found, const struct runtime *runtime, const char *bundle, struct error *err)
{
	AUTO_FREE char *folder = path_absolute(bundle);
	AUTO_FREE char *path = path_join(folder, "config.json");
	AUTO_FREE char *text = NULL;
	AUTO(spec_fini) struct spec spec = { 0 };
	AUTO(error_clear) struct error problem = { 0 };
	struct examination at = { .found = found, .runtime = runtime, .bundle = folder, .spec = &spec, .root_fd = -1 };
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, CONFIG_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_NOT_FOUND, r, "read %s", path);
	if (json_check(spec_fields, text, size, add_json_problem, found, err) < 0)
		return error_prefix(err, "%s", path);
	/* What does not fit the tables cannot be looked at further; its places are told already. */
	if (spec_parse(&spec, text, size, &problem) < 0)
		return 0;
	host_check_all(&spec, found);
	look_at_host(&at);
	return 0;
}
