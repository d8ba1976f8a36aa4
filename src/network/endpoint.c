/* SPDX-License-Identifier: Apache-2.0 */
#include "network/endpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

#define RECORD_LIMIT (1 << 20)

const struct json_field binding_record_fields[] = {
	JSON_TEXT("protocol", struct binding_record, protocol, JSON_REQUIRED),
	JSON_TEXT("hostIp", struct binding_record, host_ip, JSON_REQUIRED),
	JSON_U32("hostPort", struct binding_record, host_port, 0),
	JSON_U32("containerPort", struct binding_record, container_port, 0),
	JSON_END,
};

const struct json_field endpoint_record_fields[] = {
	JSON_TEXT("id", struct endpoint_record, id, JSON_REQUIRED),
	JSON_TEXT("bridge", struct endpoint_record, bridge, JSON_REQUIRED),
	JSON_TEXT("address", struct endpoint_record, address, JSON_REQUIRED),
	JSON_TEXT("address6", struct endpoint_record, address6, 0),
	JSON_TEXT("mac", struct endpoint_record, mac, JSON_REQUIRED),
	JSON_TEXT("link", struct endpoint_record, link, JSON_REQUIRED),
	JSON_TEXT("interface", struct endpoint_record, interface, 0),
	JSON_TEXT("gateway", struct endpoint_record, gateway, JSON_OMIT_EMPTY),
	JSON_TEXT("gateway6", struct endpoint_record, gateway6, JSON_OMIT_EMPTY),
	JSON_U64("ingressBits", struct endpoint_record, rates.ingress_bits, JSON_OMIT_EMPTY),
	JSON_U64("ingressBurstBits", struct endpoint_record, rates.ingress_burst_bits, JSON_OMIT_EMPTY),
	JSON_U64("egressBits", struct endpoint_record, rates.egress_bits, JSON_OMIT_EMPTY),
	JSON_U64("egressBurstBits", struct endpoint_record, rates.egress_burst_bits, JSON_OMIT_EMPTY),
	JSON_BOOL("connected", struct endpoint_record, connected, 0),
	JSON_ARRAY("bindings", struct endpoint_record, bindings, binding_record_fields, 0),
	JSON_END,
};

const struct json_field bridge_record_fields[] = {
	JSON_TEXT("name", struct bridge_record, name, JSON_REQUIRED),
	JSON_TEXT("subnet", struct bridge_record, subnet, JSON_REQUIRED),
	JSON_TEXT("gateway", struct bridge_record, gateway, JSON_REQUIRED),
	JSON_TEXT("subnet6", struct bridge_record, subnet6, 0),
	JSON_TEXT("gateway6", struct bridge_record, gateway6, 0),
	JSON_TEXT("parent", struct bridge_record, parent, 0),
	JSON_BOOL("made", struct bridge_record, made, 0),
	JSON_END,
};

void endpoint_record_fini(struct endpoint_record *record)
{
	json_free_fields(record, endpoint_record_fields);
}

void bridge_record_fini(struct bridge_record *record)
{
	json_free_fields(record, bridge_record_fields);
}

int record_save(const char *dir, const char *name, const void *record, const struct json_field *fields,
		struct error *err)
{
	AUTO_FREE char *path = path_join(dir, name);
	AUTO_FREE char *text = json_encode(record, fields);
	int failed = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FILE_NO_SYNC);

	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "write %s", path) : 0;
}

int record_load(void *out_record, const struct json_field *fields, const char *dir, const char *name, struct error *err)
{
	AUTO_FREE char *path = path_join(dir, name);
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	int failed = file_read(&text, &size, AT_FDCWD, path, RECORD_LIMIT);

	if (failed == -ENOENT)
		return 0;
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "read %s", path);
	if (json_decode(out_record, fields, text, size, err) < 0)
		return error_prefix(err, "%s", path);
	return 1;
}

void record_remove(const char *dir, const char *name)
{
	AUTO_FREE char *path = path_join(dir, name);

	unlink(path);
}

int record_names(struct text_list *out_names, const char *dir, struct error *err)
{
	AUTO_CLOSEDIR DIR *entries = opendir(dir);
	const struct dirent *entry;

	if (!entries)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", dir);
	while ((entry = readdir(entries)))
		if (record_name_is_valid(entry->d_name))
			text_list_add(out_names, entry->d_name);
	return 0;
}

bool record_name_is_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t size = strlen(name);

	return size > 0 && size <= 200 && name[0] != '.' && strspn(name, allowed) == size;
}
