/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/policy.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "engine/spec.h"
#include "http/uri.h"

#define POLICY_MAX ((size_t)1 << 20)

struct policy {
	char *address;
	char *access;
	struct text_list allow;
	struct text_list deny;
	struct text_list bind_sources;
	bool privileged;
};

struct policy_set {
	struct policy *items;
	size_t count;
};

static const struct json_field policy_fields[] = {
	JSON_KEY(struct policy, address),
	JSON_TEXT("access", struct policy, access, JSON_REQUIRED),
	JSON_TEXT_LIST("allow", struct policy, allow, 0),
	JSON_TEXT_LIST("deny", struct policy, deny, 0),
	JSON_TEXT_LIST("bind-sources", struct policy, bind_sources, 0),
	JSON_BOOL("privileged", struct policy, privileged, 0),
	JSON_END,
};

struct policy_document {
	JSON_ARRAY_OF(struct policy) sockets;
};

/* ---- reading ---- */

static void report_problem(void *context, const char *pointer, enum json_problem problem, const char *message)
{
	struct error *err = context;

	if (!error_is_set(err))
		error_set(err, ERR_INVALID, "%s: %s", pointer,
			  problem == JSON_PROBLEM_UNKNOWN ? "no such key in a socket policy" : message);
}

/* "GET,HEAD /containers/json" */
static int check_rule(const char *rule, struct error *err)
{
	const char *blank = strchr(rule, ' ');

	if (blank && blank > rule && blank[1] == '/' && !strchr(blank + 1, ' '))
		return 0;
	return error_set(err, ERR_INVALID, "rule \"%s\": \"METHOD[,METHOD...] /path\" is wanted", rule);
}

static int check_policy(const struct policy *policy, struct error *err)
{
	const char *access = policy->access;

	if (!text_equal(access, "all") && !text_equal(access, "read-only") && !text_equal(access, "none"))
		return error_set(err, ERR_INVALID, "access \"%s\": expected all, read-only or none", access);
	for (size_t i = 0; i < policy->allow.count; i++)
		if (check_rule(policy->allow.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < policy->deny.count; i++)
		if (check_rule(policy->deny.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < policy->bind_sources.count; i++)
		if (!path_is_absolute(policy->bind_sources.items[i]))
			return error_set(err, ERR_INVALID, "bind-sources: \"%s\" is not an absolute path",
					 policy->bind_sources.items[i]);
	return 0;
}

static int check_all(const struct policy_set *set, struct error *err)
{
	for (size_t i = 0; i < set->count; i++)
		if (check_policy(&set->items[i], err) < 0)
			return error_prefix(err, "%s", set->items[i].address);
	return 0;
}

int policy_set_parse(struct policy_set **out_set, const char *text, size_t size, struct error *err)
{
	static const struct json_field fields[] = {
		JSON_MAP("sockets", struct policy_document, sockets, policy_fields, JSON_REQUIRED),
		JSON_END,
	};
	AUTO(policy_set_freep) struct policy_set *set = xcalloc(1, sizeof(*set));
	AUTO_FREE char *document = xasprintf("{\"sockets\":%.*s}", (int)size, text);
	struct policy_document sockets = { 0 };
	AUTO(error_clear) struct error problem = { 0 };

	if (json_check(fields, document, strlen(document), report_problem, &problem, err) < 0)
		return -1;
	if (error_is_set(&problem)) {
		error_move(err, &problem);
		return -1;
	}
	if (json_decode(&sockets, fields, document, strlen(document), err) < 0)
		return -1;
	set->items = sockets.sockets.items;
	set->count = sockets.sockets.count;
	if (check_all(set, err) < 0)
		return -1;
	*out_set = take_ptr(set);
	return 0;
}

int policy_set_load(struct policy_set **out_set, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, POLICY_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read socket policy %s", path);
	if (policy_set_parse(out_set, text, size, err) < 0)
		return error_prefix(err, "socket policy %s", path);
	return 0;
}

void policy_set_free(struct policy_set *set)
{
	if (!set)
		return;
	json_free_array(set, policy_fields, sizeof(*set->items));
	free(set);
}

void policy_set_addresses(struct text_list *out_addresses, const struct policy_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		text_list_add(out_addresses, set->items[i].address);
}

const struct policy *policy_find(const struct policy_set *set, const char *address)
{
	for (size_t i = 0; set && i < set->count; i++)
		if (text_equal(set->items[i].address, address))
			return &set->items[i];
	return NULL;
}

/* ---- requests ---- */

static bool names_method(const char *rule, const char *method)
{
	AUTO_FREE char *methods = xstrndup(rule, strcspn(rule, " "));
	AUTO(text_list_fini) struct text_list list = { 0 };

	text_list_split(&list, methods, ',');
	return text_equal(methods, "*") || text_list_contains(&list, method);
}

/* The rule that fits, or NULL. */
static const char *find_rule(const struct text_list *rules, const char *method, const char *path)
{
	for (size_t i = 0; i < rules->count; i++) {
		AUTO(text_map_fini) struct text_map params = { 0 };
		const char *rule = rules->items[i];

		if (names_method(rule, method) && http_route_match(strchr(rule, ' ') + 1, path, &params))
			return rule;
	}
	return NULL;
}

/* A websocket is asked for by GET and writes. */
static bool is_read(const char *method, const char *path)
{
	return (text_equal(method, "GET") || text_equal(method, "HEAD")) && !text_has_suffix(path, "/attach/ws");
}

int policy_check_request(const struct policy *policy, const char *method, const char *given, struct error *err)
{
	/* "/networks/" is the same list as "/networks". */
	AUTO_FREE char *path = xstrndup(given, strlen(given) - (given[0] && given[1] && text_has_suffix(given, "/")));
	const char *denied = find_rule(&policy->deny, method, path);

	if (denied)
		return error_set(err, ERR_FORBIDDEN, "%s %s: the policy of this socket denies \"%s\"", method, path,
				 denied);
	if (text_equal(path, "/_ping") || find_rule(&policy->allow, method, path) || text_equal(policy->access, "all"))
		return 0;
	if (text_equal(policy->access, "read-only") && is_read(method, path))
		return 0;
	return error_set(err, ERR_FORBIDDEN, "%s %s: the policy of this socket does not allow it (access %s)", method,
			 path, policy->access);
}

/* ---- containers ---- */

bool policy_is_privileged(const struct policy *policy)
{
	return policy->privileged;
}

static int refuse(struct error *err, const char *what)
{
	return error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow %s", what);
}

/* Listed itself, or below a listed folder, and really there: no link leads out of it. */
static bool is_listed(const struct policy *policy, const char *source)
{
	AUTO_FREE char *clean = path_clean(source);
	char real[PATH_MAX];

	for (size_t i = 0; i < policy->bind_sources.count; i++) {
		const char *entry = policy->bind_sources.items[i];
		AUTO_FREE char *folder = path_clean(entry);

		if (text_equal(clean, folder))
			return true;
		if (text_has_suffix(entry, "/") && text_has_prefix(clean, entry) && realpath(clean, real) &&
		    text_equal(real, clean))
			return true;
	}
	return false;
}

const struct text_list *policy_bind_sources(const struct policy *policy)
{
	return &policy->bind_sources;
}

int policy_check_source(const struct policy *policy, const char *source, struct error *err)
{
	if (is_listed(policy, source))
		return 0;
	return error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow to mount %s", source);
}

int policy_check_volume_driver(const char *driver, struct error *err)
{
	if (text_empty(driver) || text_equal(driver, "local"))
		return 0;
	return refuse(err, "volumes of plugins");
}

/* Of a volume that is made with the container. */
static int check_driver(const struct volume_driver_config *driver, struct error *err)
{
	if (driver->options.count)
		return refuse(err, "volumes with driver options");
	return policy_check_volume_driver(driver->name, err);
}

static int check_mounts(const struct policy *policy, const struct host_config *host, struct error *err)
{
	for (size_t i = 0; i < host->binds.count; i++) {
		const char *bind = host->binds.items[i];
		AUTO_FREE char *source = xstrndup(bind, strcspn(bind, ":"));

		if (strchr(bind, ':') && strchr(source, '/') && policy_check_source(policy, source, err) < 0)
			return -1;
	}
	if (policy_check_volume_driver(host->volume_driver, err) < 0)
		return -1;
	for (size_t i = 0; i < host->mounts.count; i++) {
		const struct mount_request *mount = &host->mounts.items[i];

		if (text_equal(mount->type, "bind") &&
		    policy_check_source(policy, text_or_empty(mount->source), err) < 0)
			return -1;
		if (text_equal(mount->type, "volume") && mount->volume && mount->volume->driver &&
		    check_driver(mount->volume->driver, err) < 0)
			return -1;
	}
	return host->volumes_from.count ? refuse(err, "the volumes of other containers") : 0;
}

static bool is_own(const char *mode)
{
	return !text_equal(mode, "host") && !text_has_prefix(text_or_empty(mode), "container:");
}

/* Security options that only take something away. */
static bool is_harmless(const char *option)
{
	return text_equal(option, "no-new-privileges") || text_equal(option, "no-new-privileges:true") ||
	       text_equal(option, "no-new-privileges=true");
}

static bool weakens_security(const struct host_config *host)
{
	for (size_t i = 0; i < host->security_opt.count; i++)
		if (!is_harmless(host->security_opt.items[i]))
			return true;
	return false;
}

/* A list that lacks what is masked by default. */
static bool is_uncovered(const struct text_list *paths, void (*defaults)(struct text_list *))
{
	AUTO(text_list_fini) struct text_list wanted = { 0 };

	defaults(&wanted);
	for (size_t i = 0; i < wanted.count; i++)
		if (!text_list_contains(paths, wanted.items[i]))
			return true;
	return false;
}

static bool uncovers_paths(const struct host_config *host, bool stored)
{
	if ((stored || host->masked_paths_given) && is_uncovered(&host->masked_paths, spec_default_masked_paths))
		return true;
	return (stored || host->readonly_paths_given) &&
	       is_uncovered(&host->readonly_paths, spec_default_readonly_paths);
}

/* Those that runtimes take for orders: files that CRIU reads, properties of systemd's units. */
static bool steers_runtime(const struct text_map *annotations)
{
	static const char *const prefixes[] = { "org.criu.", "org.systemd.", "run.kist.", "run.oci.", "cdi." };

	for (size_t i = 0; i < annotations->count; i++)
		for (size_t j = 0; j < sizeof(prefixes) / sizeof(prefixes[0]); j++)
			if (text_has_prefix(annotations->items[i].key, prefixes[j]))
				return true;
	return false;
}

/* Sockets of the host that the daemon would write to. */
static bool logs_to_sockets(const struct text_map *options)
{
	for (size_t i = 0; i < options->count; i++)
		if (text_has_prefix(options->items[i].value, "unix"))
			return true;
	return false;
}

static bool has_own_runtime(const struct host_config *host)
{
	return text_empty(host->runtime) || text_equal(host->runtime, "runc") || text_equal(host->runtime, "kist");
}

int policy_check_container(const struct policy *policy, const struct host_config *host, bool stored, struct error *err)
{
	const struct {
		bool wanted;
		const char *what;
	} rules[] = {
		{ host->privileged, "privileged containers" },
		{ host->cap_add.count > 0, "more capabilities" },
		{ host->devices.count || host->device_cgroup_rules.count || host->device_requests.count, "devices" },
		{ weakens_security(host), "security options" },
		{ !is_own(host->pid_mode), "another PID namespace" },
		{ !is_own(host->ipc_mode), "another IPC namespace" },
		{ !is_own(host->uts_mode), "the host's UTS namespace" },
		{ !is_own(host->network_mode), "another network namespace" },
		{ !is_own(host->userns_mode), "the host's user namespace" },
		{ !stored && !is_own(host->cgroupns_mode), "the host's cgroup namespace" },
		{ !text_empty(host->cgroup_parent), "another parent cgroup" },
		{ !has_own_runtime(host), "another runtime" },
		{ host->oom_score_adj < 0, "a lower OOM score" },
		{ steers_runtime(&host->annotations), "annotations for the runtime" },
		{ logs_to_sockets(&host->log_config.options), "logs to a socket of the host" },
		{ !host->privileged && uncovers_paths(host, stored),
		  "paths of /proc and /sys that are hidden otherwise" },
	};

	if (policy->privileged)
		return 0;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].wanted)
			return refuse(err, rules[i].what);
	return check_mounts(policy, host, err);
}
