/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/command.h"
#include "sys/cgroup.h"

struct spec_options {
	const char *bundle;
	const char *file;
	bool rootless;
};

static const struct option_spec spec_table[] = {
	OPTION_TEXT("bundle", 'b', struct spec_options, bundle, "dir", "folder to write config.json to"),
	OPTION_TEXT("file", 'f', struct spec_options, file, "file", "another name for config.json"),
	OPTION_FLAG("rootless", 0, struct spec_options, rootless, "for a user without privileges"),
	OPTION_END,
};

#define CAPABILITIES "[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"]"

static const char base_spec[] =
	"{\"ociVersion\":\"" SPEC_VERSION "\",\"process\":{\"terminal\":true,\"user\":{\"uid\":0,\"gid\":0},"
	"\"args\":[\"sh\"],\"env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\","
	"\"TERM=xterm\"],\"cwd\":\"/\",\"capabilities\":{\"bounding\":" CAPABILITIES ",\"effective\":" CAPABILITIES
	",\"permitted\":" CAPABILITIES "},\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1024,\"soft\":1024}],"
	"\"noNewPrivileges\":true},\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"hostname\":\"kist\",\"mounts\":["
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"strictatime\","
	"\"mode=755\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"nosuid\",\"noexec\","
	"\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"
	"{\"destination\":\"/dev/"
	"shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"nosuid\",\"noexec\",\"nodev\","
	"\"mode=1777\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":[\"nosuid\",\"noexec\","
	"\"nodev\"]},"
	"{\"destination\":\"/"
	"sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\",\"nodev\","
	"\"ro\"]},"
	"{\"destination\":\"/sys/fs/"
	"cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\",\"options\":[\"nosuid\",\"noexec\","
	"\"nodev\",\"relatime\",\"ro\"]}],"
	"\"linux\":{\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]},\"namespaces\":[{\"type\":"
	"\"pid\"},"
	"{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"}],"
	"\"maskedPaths\":[\"/proc/acpi\",\"/proc/asound\",\"/proc/kcore\",\"/proc/keys\",\"/proc/latency_stats\","
	"\"/proc/timer_list\",\"/proc/timer_stats\",\"/proc/sched_debug\",\"/sys/firmware\",\"/proc/scsi\"],"
	"\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\",\"/proc/sysrq-trigger\"]}}";

static void add_mapping(spec_id_mappings *mappings, uint32_t host_id)
{
	struct spec_id_mapping *mapping = json_array_add(mappings, sizeof(*mapping));

	*mapping = (struct spec_id_mapping){ .container_id = 0, .host_id = host_id, .size = 1 };
}

static void replace_namespace(struct spec *spec, const char *old, const char *new)
{
	for (size_t i = 0; i < spec->linux_.namespaces.count; i++) {
		struct spec_namespace *namespace = &spec->linux_.namespaces.items[i];

		if (!text_equal(namespace->type, old))
			continue;
		free(namespace->type);
		namespace->type = xstrdup(new);
	}
}

/* Without privileges: no network of its own, no groups but one, no new sysfs, no limits. */
static void make_rootless(struct spec *spec)
{
	replace_namespace(spec, "network", "user");
	add_mapping(&spec->linux_.uid_mappings, geteuid());
	add_mapping(&spec->linux_.gid_mappings, getegid());
	for (size_t i = 0; i < spec->mounts.count; i++) {
		struct spec_mount *mount = &spec->mounts.items[i];

		if (text_equal(mount->destination, "/dev/pts"))
			text_list_remove(&mount->options, mount->options.count - 1);
		if (!text_equal(mount->destination, "/sys"))
			continue;
		free(mount->type);
		mount->type = xstrdup("none");
		free(mount->source);
		mount->source = xstrdup("/sys");
		text_list_add(&mount->options, "rbind");
	}
	json_free_fields(spec->linux_.resources, spec_resources_fields);
	free(take_ptr(spec->linux_.resources));
}

int command_spec(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO(spec_fini) struct spec spec = { 0 };
	struct spec_options options = { .bundle = "." };
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *text = NULL;
	int r = command_parse(spec_table, &options, argc, argv, 0, &operands, 0, 0, err);

	(void)runtime;
	if (r <= 0)
		return r;
	if (spec_parse(&spec, base_spec, sizeof(base_spec) - 1, err) < 0)
		return -1;
	/* As runc: where v1 hierarchies are, a container without the namespace sees its groups' real names. */
	if (cgroup_detect() == CGROUP_V2) {
		struct spec_namespace *namespace = json_array_add(&spec.linux_.namespaces, sizeof(*namespace));

		namespace->type = xstrdup("cgroup");
	}
	if (options.rootless)
		make_rootless(&spec);
	if (options.file && *options.file == '/')
		path = xstrdup(options.file);
	else
		path = path_join(options.bundle, options.file ? options.file : "config.json");
	if (file_exists(AT_FDCWD, path))
		return error_set(err, ERR_CONFLICT, "file %s exists. Remove it first", path);
	text = spec_format(&spec);
	r = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, FILE_NO_SYNC);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "write %s", path);
	return 0;
}
