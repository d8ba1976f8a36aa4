/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/unit.h"

#include <string.h>

#include "base/cleanup.h"
#include "engine/spec.h"

static void build(struct spec *spec, struct container_document *document, const char *text)
{
	AUTO(error_clear) struct error err = { 0 };
	const struct spec_input input = {
		.document = document,
		.root_path = "/b/rootfs",
		.cgroups_path = "/kist/x",
		.hosts_path = "/c/hosts",
		.hostname_path = "/c/hostname",
		.resolv_conf_path = "/c/resolv.conf",
		.capabilities = UINT64_MAX,
		.shm_size_bytes = 67108864,
	};

	assert_no_error(json_decode(document, container_document_fields, text, strlen(text), &err), &err);
	assert_no_error(spec_build(spec, &input, &err), &err);
}

static const struct spec_mount *find_mount(const struct spec *spec, const char *destination)
{
	const struct spec_mount *found = NULL;

	for (size_t i = 0; i < spec->mounts.count; i++)
		if (text_equal(spec->mounts.items[i].destination, destination)) {
			assert_null(found);
			found = &spec->mounts.items[i];
		}
	return found;
}

#define PLAIN "\"id\":\"x\",\"name\":\"x\",\"path\":\"/bin/sh\",\"args\":[\"-c\",\"id\"],"

static void test_defaults(void **state)
{
	struct container_document document = { 0 };
	struct spec spec = { 0 };

	(void)state;
	build(&spec, &document,
	      "{" PLAIN
	      "\"config\":{\"Hostname\":\"h\",\"Env\":[\"A=1\",\"PATH=/x\"]},\"hostConfig\":{\"IpcMode\":\"private\","
	      "\"MaskedPaths\":[\"/proc/kcore\"],\"ReadonlyPaths\":[\"/proc/sys\"]}}");
	assert_int_equal(spec.process->args.count, 3);
	assert_string_equal(spec.process->cwd, "/");
	assert_string_equal(text_list_env(&spec.process->env, "PATH"), "/x");
	assert_string_equal(text_list_env(&spec.process->env, "HOSTNAME"), "h");
	assert_string_equal(text_list_env(&spec.process->env, "A"), "1");
	assert_null(text_list_env(&spec.process->env, "TERM"));
	assert_int_equal(spec.process->capabilities->bounding.count, 14);
	assert_int_equal(spec.process->capabilities->inheritable.count, 0);
	assert_non_null(spec_find_namespace(&spec, "network"));
	assert_null(spec_find_namespace(&spec, "cgroup"));
	assert_non_null(spec.linux_.seccomp);
	assert_string_equal(spec.linux_.seccomp->default_action, "SCMP_ACT_ERRNO");
	assert_string_equal(spec.linux_.masked_paths.items[0], "/proc/kcore");
	assert_string_equal(find_mount(&spec, "/etc/hosts")->source, "/c/hosts");
	assert_true(text_list_contains(&find_mount(&spec, "/sys")->options, "ro"));
	assert_true(text_list_contains(&find_mount(&spec, "/dev/shm")->options, "size=67108864"));
	assert_string_equal(text_map_get(&spec.linux_.sysctl, "net.ipv4.ip_unprivileged_port_start"), "0");
	assert_false(spec.linux_.resources->devices.items[0].allow);
	spec_fini(&spec);
	json_free_fields(&document, container_document_fields);
}

static void test_privileged(void **state)
{
	struct container_document document = { 0 };
	struct spec spec = { 0 };

	(void)state;
	build(&spec, &document, "{" PLAIN "\"hostConfig\":{\"Privileged\":true,\"NetworkMode\":\"host\"}}");
	assert_true(spec.process->capabilities->bounding.count > 30);
	assert_null(spec.linux_.seccomp);
	assert_null(spec_find_namespace(&spec, "network"));
	assert_true(text_list_contains(&find_mount(&spec, "/sys")->options, "rw"));
	assert_true(spec.linux_.resources->devices.items[0].allow);
	assert_int_equal(spec.linux_.masked_paths.count, 0);
	assert_null(text_map_get(&spec.linux_.sysctl, "net.ipv4.ip_unprivileged_port_start"));
	spec_fini(&spec);
	json_free_fields(&document, container_document_fields);
}

static void test_resources(void **state)
{
	struct container_document document = { 0 };
	struct spec spec = { 0 };

	(void)state;
	build(&spec, &document,
	      "{" PLAIN "\"hostConfig\":{\"Memory\":67108864,\"MemorySwap\":134217728,\"NanoCpus\":500000000,"
	      "\"PidsLimit\":50,\"CpuShares\":512,\"CapAdd\":[\"net_admin\"],\"CapDrop\":[\"ALL\"],"
	      "\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":100,\"Hard\":200}],\"DeviceCgroupRules\":[\"c 7:* rw\"]}}");
	assert_int_equal(spec.linux_.resources->memory->limit.value, 67108864);
	assert_int_equal(spec.linux_.resources->memory->swap.value, 134217728);
	assert_int_equal(spec.linux_.resources->cpu->quota.value, 50000);
	assert_int_equal(spec.linux_.resources->cpu->period.value, 100000);
	assert_int_equal(spec.linux_.resources->pids->limit.value, 50);
	assert_int_equal(spec.process->capabilities->bounding.count, 1);
	assert_string_equal(spec.process->capabilities->bounding.items[0], "CAP_NET_ADMIN");
	assert_string_equal(spec.process->rlimits.items[0].type, "RLIMIT_NOFILE");
	assert_string_equal(spec.linux_.resources->devices.items[spec.linux_.resources->devices.count - 1].access,
			    "rw");
	spec_fini(&spec);
	json_free_fields(&document, container_document_fields);
}

static void test_mounts(void **state)
{
	struct container_document document = { 0 };
	struct spec spec = { 0 };
	const struct spec_mount *mount;

	(void)state;
	build(&spec, &document,
	      "{" PLAIN "\"mounts\":[{\"type\":\"bind\",\"source\":\"/h\",\"destination\":\"/a/b/c\",\"rw\":false},"
	      "{\"type\":\"volume\",\"source\":\"/v\",\"destination\":\"/a\",\"rw\":true},"
	      "{\"type\":\"tmpfs\",\"destination\":\"/t\",\"rw\":true,\"options\":[\"exec\",\"size=1m\"]},"
	      "{\"type\":\"bind\",\"source\":\"/s\",\"destination\":\"/dev/shm\",\"rw\":true}]}");
	mount = find_mount(&spec, "/a/b/c");
	assert_true(text_list_contains(&mount->options, "ro"));
	assert_true(text_list_contains(&mount->options, "rbind"));
	/* what lies deeper comes later */
	assert_true(find_mount(&spec, "/a") < mount);
	mount = find_mount(&spec, "/t");
	assert_true(text_list_contains(&mount->options, "exec"));
	assert_false(text_list_contains(&mount->options, "noexec"));
	assert_true(text_list_contains(&mount->options, "nosuid"));
	assert_string_equal(find_mount(&spec, "/dev/shm")->source, "/s");
	spec_fini(&spec);
	json_free_fields(&document, container_document_fields);
}

static bool allows(const struct spec_seccomp *seccomp, const char *name)
{
	for (size_t i = 0; i < seccomp->syscalls.count; i++)
		if (text_equal(seccomp->syscalls.items[i].action, "SCMP_ACT_ALLOW") &&
		    seccomp->syscalls.items[i].args.count == 0 &&
		    text_list_contains(&seccomp->syscalls.items[i].names, name))
			return true;
	return false;
}

static void test_seccomp_conditions(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list capabilities = { 0 };
	struct spec with = { 0 };
	struct spec without = { 0 };

	(void)state;
	assert_no_error(spec_seccomp_profile(&without.linux_.seccomp, NULL, &capabilities, &err), &err);
	text_list_add(&capabilities, "CAP_SYS_ADMIN");
	assert_no_error(spec_seccomp_profile(&with.linux_.seccomp, NULL, &capabilities, &err), &err);
	assert_true(allows(with.linux_.seccomp, "mount"));
	assert_false(allows(without.linux_.seccomp, "mount"));
	assert_true(allows(without.linux_.seccomp, "read"));
	assert_false(allows(without.linux_.seccomp, "reboot"));
	assert_int_equal(without.linux_.seccomp->syscalls.items[0].names.count, 361);
	spec_fini(&with);
	spec_fini(&without);
	assert_int_equal(spec_seccomp_profile(&with.linux_.seccomp, "{", &capabilities, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),	   cmocka_unit_test(test_privileged),
		cmocka_unit_test(test_resources),	   cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_seccomp_conditions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
