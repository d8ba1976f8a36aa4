/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "cni/invoke.h"
#include "cni/list.h"
#include "json/update.h"

#define RECORD_MAX ((size_t)4 << 20)

/* What is written down of an attachment. */
struct record {
	char *list; /* its file's text when it was used */
	char *container;
	char *interface;
	char *runtime; /* runtimeConfig of all capabilities */
	char *result;  /* NULL: the ADD was not over */
	int64_t timeout_s;
};

static const struct json_field record_fields[] = {
	JSON_TEXT("list", struct record, list, JSON_REQUIRED),
	JSON_TEXT("container", struct record, container, JSON_REQUIRED),
	JSON_TEXT("interface", struct record, interface, JSON_REQUIRED),
	JSON_RAW("runtime", struct record, runtime, JSON_OMIT_EMPTY),
	JSON_RAW("result", struct record, result, JSON_OMIT_EMPTY),
	JSON_I64("timeout", struct record, timeout_s, 0),
	JSON_END,
};

/* What a plugin's own configuration is completed with. */
struct addition {
	char *version;
	char *name;
	char *runtime;
	char *previous;
	char *valid;
};

static const struct json_field addition_fields[] = {
	JSON_TEXT("cniVersion", struct addition, version, 0),
	JSON_TEXT("name", struct addition, name, 0),
	JSON_RAW("runtimeConfig", struct addition, runtime, JSON_OMIT_EMPTY),
	JSON_RAW("prevResult", struct addition, previous, JSON_OMIT_EMPTY),
	JSON_RAW("cni.dev/valid-attachments", struct addition, valid, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field port_fields[] = {
	JSON_U32("hostPort", struct cni_port, host_port, 0),
	JSON_U32("containerPort", struct cni_port, container_port, 0),
	JSON_TEXT("protocol", struct cni_port, protocol, 0),
	JSON_TEXT("hostIP", struct cni_port, host_ip, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field bandwidth_fields[] = {
	JSON_U64("ingressRate", struct cni_bandwidth, ingress_rate, JSON_OMIT_EMPTY),
	JSON_U64("ingressBurst", struct cni_bandwidth, ingress_burst, JSON_OMIT_EMPTY),
	JSON_U64("egressRate", struct cni_bandwidth, egress_rate, JSON_OMIT_EMPTY),
	JSON_U64("egressBurst", struct cni_bandwidth, egress_burst, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field request_fields[] = {
	JSON_ARRAY("portMappings", struct cni_request, ports, port_fields, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("ips", struct cni_request, ips, JSON_OMIT_EMPTY),
	JSON_TEXT("mac", struct cni_request, mac, JSON_OMIT_EMPTY),
	JSON_POINTER("bandwidth", struct cni_request, bandwidth, bandwidth_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

static const char *const capabilities[] = { "portMappings", "ips", "mac", "bandwidth", NULL };

/* ---- one plugin ---- */

/* The capabilities' values that the plugin wants: yours, NULL if there are none. */
static char *filter_runtime(const struct json_value *plugin, const char *runtime)
{
	AUTO(json_value_freep) struct json_value *all = NULL;
	AUTO(error_clear) struct error ignored = { 0 };
	struct text out = { 0 };

	if (!runtime || json_value_parse(&all, runtime, strlen(runtime), &ignored) < 0)
		return NULL;
	for (size_t i = 0; capabilities[i]; i++) {
		const struct json_value *value = json_value_get(all, capabilities[i]);

		if (!value || !cni_plugin_can(plugin, capabilities[i]))
			continue;
		text_addf(&out, "%s\"%s\":", out.size ? "," : "{", capabilities[i]);
		json_value_encode(&out, value, NULL);
	}
	if (out.size == 0)
		return NULL;
	text_add_char(&out, '}');
	return text_take(&out);
}

struct run {
	const struct cni_host *host;
	const struct cni_list *list;
	const struct record *record; /* NULL: about no attachment */
	const char *command;
	const char *netns;
	char *valid; /* borrowed */
	int timeout_s;
};

static int run_plugin(char **out_output, const struct run *run, size_t index, char *previous, struct error *err)
{
	const struct json_value *plugin = cni_list_plugin(run->list, index);
	AUTO_FREE char *runtime = run->record ? filter_runtime(plugin, run->record->runtime) : NULL;
	AUTO(text_fini) struct text original = { 0 };
	AUTO_FREE char *config = NULL;
	struct addition addition = { run->list->version, run->list->name, runtime, previous, run->valid };
	struct cni_call call = { .command = run->command,
				 .container = run->record ? run->record->container : NULL,
				 .netns = run->netns,
				 .interface = run->record ? run->record->interface : NULL,
				 .path = run->host->plugin_path,
				 .timeout_ms = (run->timeout_s ? run->timeout_s : CNI_TIMEOUT_S) * 1000 };

	json_value_encode(&original, plugin, NULL);
	config = json_update(original.data, original.size, &addition, addition_fields, err);
	return config ? cni_invoke(out_output, cni_list_type(run->list, index), config, &call, err) : -1;
}

/* ---- records ---- */

static char *record_path(const struct cni_host *host, const char *container, const char *interface)
{
	return xasprintf("%s/%s,%s", host->state_dir, container, interface);
}

static int save(const struct cni_host *host, const struct record *record, struct error *err)
{
	AUTO_FREE char *path = record_path(host, record->container, record->interface);
	AUTO_FREE char *text = json_encode(record, record_fields);
	int failed = mkdir_all(AT_FDCWD, host->state_dir, 0700);

	if (failed == 0)
		failed = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FILE_NO_SYNC);
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "write %s", path) : 0;
}

/* 1 read, 0 there is none. */
static int load(struct record *out_record, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int failed = file_read(&text, &size, AT_FDCWD, path, RECORD_MAX);

	if (failed == -ENOENT)
		return 0;
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "read %s", path);
	return json_decode(out_record, record_fields, text, size, err) < 0 ? error_prefix(err, "%s", path) : 1;
}

static void record_fini(struct record *record)
{
	json_free_fields(record, record_fields);
}

/* ---- ADD ---- */

static int check_capabilities(const struct cni_list *list, const char *runtime, struct error *err)
{
	static const char *const words[] = { "publish ports", "give a chosen address", "give a chosen MAC address",
					     "limit bandwidth" };
	AUTO(json_value_freep) struct json_value *wanted = NULL;

	if (json_value_parse(&wanted, runtime, strlen(runtime), err) < 0)
		return -1;
	for (size_t i = 0; capabilities[i]; i++)
		if (json_value_get(wanted, capabilities[i]) && !cni_list_can(list, capabilities[i]))
			return error_set(err, ERR_UNSUPPORTED,
					 "the plugins of CNI list %s cannot %s: none has the capability \"%s\"",
					 list->name, words[i], capabilities[i]);
	return 0;
}

static int add_all(const struct run *run, struct record *record, struct cni_result *out_result, struct error *err)
{
	for (size_t i = 0; i < cni_list_count(run->list); i++) {
		AUTO_FREE char *output = NULL;
		struct cni_result result = { 0 };

		if (run_plugin(&output, run, i, record->result, err) < 0)
			return -1;
		if (cni_result_parse(&result, output, strlen(output), err) < 0)
			return error_prefix(err, "what CNI plugin %s printed is no result",
					    cni_list_type(run->list, i));
		cni_result_fini(out_result);
		*out_result = result;
		if (!*output)
			free(take_ptr(output));
		free(record->result);
		record->result = take_ptr(output);
	}
	return 0;
}

/* From the last to the first; all are run, the first failure is told. */
static int delete_all(const struct run *run, struct error *err)
{
	for (size_t i = cni_list_count(run->list); i-- > 0;) {
		AUTO(error_clear) struct error problem = { 0 };

		if (run_plugin(NULL, run, i, run->record->result, &problem) < 0 && !error_is_set(err))
			error_move(err, &problem);
	}
	return error_is_set(err) ? -1 : 0;
}

int cni_add(const struct cni_host *host, const struct cni_request *request, struct cni_result *out_result,
	    struct error *err)
{
	AUTO(cni_list_fini) struct cni_list list = { 0 };
	AUTO(record_fini) struct record record = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *path = record_path(host, request->container, request->interface);
	struct run run = { .host = host,
			   .list = &list,
			   .record = &record,
			   .command = "ADD",
			   .netns = request->netns,
			   .timeout_s = request->timeout_s };

	if (cni_list_find(&list, host->config_dir, request->list, err) < 0)
		return -1;
	record.list = xstrdup(list.text);
	record.container = xstrdup(request->container);
	record.interface = xstrdup(request->interface);
	record.timeout_s = request->timeout_s;
	record.runtime = json_encode(request, request_fields);
	if (check_capabilities(&list, record.runtime, err) < 0 || save(host, &record, err) < 0)
		return -1;
	if (add_all(&run, &record, out_result, err) == 0 && save(host, &record, err) == 0)
		return 0;
	run.command = "DEL";
	delete_all(&run, &ignored);
	unlink(path);
	cni_result_fini(out_result);
	return -1;
}

/* ---- of what is written down ---- */

static int delete_record(const struct cni_host *host, const char *path, const char *netns, struct error *err)
{
	AUTO(cni_list_fini) struct cni_list list = { 0 };
	AUTO(record_fini) struct record record = { 0 };
	struct run run = { .host = host, .list = &list, .record = &record, .command = "DEL", .netns = netns };
	int r = load(&record, path, err);

	if (r <= 0)
		return r;
	run.timeout_s = (int)record.timeout_s;
	r = cni_list_parse(&list, record.list, err);
	if (r == 0)
		r = delete_all(&run, err);
	unlink(path);
	return r;
}

int cni_delete(const struct cni_host *host, const char *container, const char *interface, const char *netns,
	       struct error *err)
{
	AUTO_FREE char *path = record_path(host, container, interface);

	return delete_record(host, path, netns, err);
}

bool cni_has(const struct cni_host *host, const char *container, const char *interface)
{
	AUTO_FREE char *path = record_path(host, container, interface);

	return file_exists(AT_FDCWD, path);
}

int cni_check(const struct cni_host *host, const char *container, const char *interface, const char *netns,
	      struct error *err)
{
	AUTO_FREE char *path = record_path(host, container, interface);
	AUTO(cni_list_fini) struct cni_list list = { 0 };
	AUTO(record_fini) struct record record = { 0 };
	struct run run = { .host = host, .list = &list, .record = &record, .command = "CHECK", .netns = netns };
	int r = load(&record, path, err);

	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "nothing is written down of %s of container %s", interface,
				 container);
	if (r < 0 || cni_list_parse(&list, record.list, err) < 0)
		return -1;
	run.timeout_s = (int)record.timeout_s;
	/* CHECK came with 0.4.0. */
	if (list.no_check || text_has_prefix(list.version, "0.3"))
		return 0;
	for (size_t i = 0; i < cni_list_count(&list); i++)
		if (run_plugin(NULL, &run, i, record.result, err) < 0)
			return -1;
	return 0;
}

static bool is_alive(const char *file, char *const *alive, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *rest = text_after(file, alive[i]);

		if (rest && (*rest == ',' || *rest == '.'))
			return true;
	}
	return false;
}

void cni_restore(const struct cni_host *host, char *const *alive, size_t alive_count)
{
	AUTO_CLOSEDIR DIR *folder = opendir(host->state_dir);
	const struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		AUTO_FREE char *path = path_join(host->state_dir, entry->d_name);
		AUTO(error_clear) struct error ignored = { 0 };

		if (entry->d_name[0] != '.' && !is_alive(entry->d_name, alive, alive_count))
			delete_record(host, path, "", &ignored);
	}
}

/* ---- of lists ---- */

static bool is_of_1_1(const struct cni_list *list)
{
	return text_equal(list->version, CNI_VERSION);
}

static int run_all(const struct run *run, struct error *err)
{
	for (size_t i = 0; i < cni_list_count(run->list); i++)
		if (run_plugin(NULL, run, i, NULL, err) < 0)
			return -1;
	return 0;
}

int cni_list_check(const struct cni_host *host, const char *name, int timeout_s, struct error *err)
{
	AUTO(cni_list_fini) struct cni_list list = { 0 };
	struct run run = { .host = host, .list = &list, .command = "STATUS", .timeout_s = timeout_s };

	if (cni_list_find(&list, host->config_dir, name, err) < 0)
		return -1;
	for (size_t i = 0; i < cni_list_count(&list); i++) {
		AUTO_FREE char *program = cni_find_plugin(cni_list_type(&list, i), host->plugin_path, err);

		if (!program)
			return error_prefix(err, "CNI list %s", name);
	}
	return is_of_1_1(&list) ? run_all(&run, err) : 0;
}

/* [{"containerID":"x","ifname":"eth0"}]: yours. */
static char *list_attachments(const struct cni_host *host)
{
	AUTO_CLOSEDIR DIR *folder = opendir(host->state_dir);
	const struct dirent *entry;
	struct text out = { 0 };

	text_add_char(&out, '[');
	while (folder && (entry = readdir(folder))) {
		const char *comma = strchr(entry->d_name, ',');

		if (comma && entry->d_name[0] != '.')
			text_addf(&out, "%s{\"containerID\":\"%.*s\",\"ifname\":\"%s\"}", out.size > 1 ? "," : "",
				  (int)(comma - entry->d_name), entry->d_name, comma + 1);
	}
	text_add_char(&out, ']');
	return text_take(&out);
}

int cni_collect(const struct cni_host *host, const char *name, int timeout_s, struct error *err)
{
	AUTO(cni_list_fini) struct cni_list list = { 0 };
	AUTO_FREE char *valid = list_attachments(host);
	struct run run = { .host = host, .list = &list, .command = "GC", .valid = valid, .timeout_s = timeout_s };

	if (cni_list_find(&list, host->config_dir, name, err) < 0)
		return -1;
	if (!is_of_1_1(&list) || list.no_collect)
		return error_set(err, ERR_UNSUPPORTED, "CNI list %s is of version %s%s: nothing is collected", name,
				 list.version, list.no_collect ? " with disableGC" : "");
	return run_all(&run, err);
}
