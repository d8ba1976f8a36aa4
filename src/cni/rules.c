/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"

#define FOLDER "/run/kist-cni"
#define TABLE "inet kist_cni"
#define RECORD_MAX ((size_t)1 << 20)
#define OUTPUT_LIMIT 65536
#define SAVE_TRIES 10

/* Adding what is there changes nothing; the chains are emptied and filled in the same step. */
static const char table[] =
	"add table " TABLE "\n"
	"add map " TABLE " ports4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"add map " TABLE " ports4_any { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"add map " TABLE " ports6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"add map " TABLE " ports6_any { type inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"add set " TABLE " hidden4 { type ipv4_addr; }\n"
	"add set " TABLE " hidden6 { type ipv6_addr; }\n"
	"add set " TABLE " published4 { type ipv4_addr; }\n"
	"add set " TABLE " published6 { type ipv6_addr; }\n"
	"add set " TABLE " sealed4 { type ipv4_addr . ifname; }\n"
	"add set " TABLE " sealed6 { type ipv6_addr . ifname; }\n"
	"add set " TABLE " apart4 { type ipv4_addr; }\n"
	"add set " TABLE " apart6 { type ipv6_addr; }\n"
	"add chain " TABLE " publish\n"
	"add chain " TABLE " guard { type filter hook prerouting priority raw; policy accept; }\n"
	"add chain " TABLE " prerouting { type nat hook prerouting priority dstnat; policy accept; }\n"
	"add chain " TABLE " output { type nat hook output priority -100; policy accept; }\n"
	"add chain " TABLE " postrouting { type nat hook postrouting priority srcnat; policy accept; }\n"
	"add chain " TABLE " forward { type filter hook forward priority filter; policy accept; }\n"
	"flush table " TABLE "\n"
	"add rule " TABLE " publish meta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @ports4\n"
	"add rule " TABLE " publish meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports4_any\n"
	"add rule " TABLE " publish meta nfproto ipv6 dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6\n"
	"add rule " TABLE " publish meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @ports6_any\n"
	/* route_localnet lets 127.0.0.1 out to containers: nobody else may say that he is there. */
	"add rule " TABLE " guard iifname != lo ip daddr 127.0.0.0/8 drop\n"
	"add rule " TABLE " guard iifname != lo ip saddr 127.0.0.0/8 drop\n"
	"add rule " TABLE " prerouting fib daddr type local jump publish\n"
	"add rule " TABLE " output fib daddr type local jump publish\n"
	"add rule " TABLE " postrouting ip saddr 127.0.0.0/8 ip daddr @published4 ct status dnat masquerade\n"
	"add rule " TABLE " postrouting ip saddr @published4 ip daddr @published4 ct status dnat masquerade\n"
	"add rule " TABLE " postrouting ip6 saddr @published6 ip6 daddr @published6 ct status dnat masquerade\n"
	"add rule " TABLE " postrouting ip saddr @hidden4 ip daddr != @hidden4 ip daddr != 224.0.0.0/4 masquerade\n"
	"add rule " TABLE " postrouting ip6 saddr @hidden6 ip6 daddr != @hidden6 ip6 daddr != ff00::/8 masquerade\n"
	"add rule " TABLE " forward ct state established,related accept\n"
	"add rule " TABLE " forward ct status dnat accept\n"
	"add rule " TABLE " forward ip daddr . iifname @sealed4 accept\n"
	"add rule " TABLE " forward ip6 daddr . iifname @sealed6 accept\n"
	"add rule " TABLE " forward ip saddr @apart4 ip daddr @apart4 drop\n"
	"add rule " TABLE " forward ip6 saddr @apart6 ip6 daddr @apart6 drop\n";

void rule_elements_addf(struct rule_elements *elements, const char *set, const char *format, ...)
{
	AUTO_FREE char *element = NULL;
	va_list arguments;

	va_start(arguments, format);
	element = xvasprintf(format, arguments);
	va_end(arguments);
	text_list_addf(&elements->lines, "%s { %s }", set, element);
}

void rule_elements_fini(struct rule_elements *elements)
{
	text_list_fini(&elements->lines);
}

static int run_nft(const char *batch, struct error *err)
{
	char *const argv[] = { (char[]){ "nft" }, (char[]){ "-f" }, (char[]){ "-" }, NULL };

	return process_run(NULL, argv, batch, OUTPUT_LIMIT, err);
}

/* ---- what is whose: a file of lines, the network's name in the first ---- */

/* Rules are those of one network namespace, and so are the records of them. */
static char *folder_path(void)
{
	struct stat status = { 0 };

	if (stat("/proc/self/ns/net", &status) < 0)
		return xstrdup(FOLDER "/unknown");
	return xasprintf(FOLDER "/%llu", (unsigned long long)status.st_ino);
}

static char *record_name(const char *container, const char *interface, const char *plugin)
{
	AUTO_FREE char *folder = folder_path();

	return xasprintf("%s/%s,%s,%s", folder, container, interface, plugin);
}

static int load(struct text_list *out_lines, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	int failed = file_read(&text, NULL, AT_FDCWD, path, RECORD_MAX);

	if (failed == -ENOENT)
		return 0;
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "read %s", path);
	text_list_split(out_lines, text, '\n');
	return 1;
}

static int save(const char *path, const char *network, const struct rule_elements *elements, struct error *err)
{
	AUTO(text_fini) struct text text = { 0 };
	AUTO_FREE char *folder = folder_path();
	int failed = -ENOENT;

	text_add(&text, network);
	for (size_t i = 0; i < elements->lines.count; i++)
		text_addf(&text, "\n%s", elements->lines.items[i]);
	/* Somebody may remove the folder, which was empty, in between. */
	for (int i = 0; failed == -ENOENT && i < SAVE_TRIES; i++) {
		failed = mkdir_all(AT_FDCWD, folder, 0700);
		if (failed == 0)
			failed = file_write_atomic(AT_FDCWD, path, text.data, text.size, 0600, FILE_NO_SYNC);
	}
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "write %s", path) : 0;
}

/* The last one takes the folder with it. */
static int forget(const char *path)
{
	AUTO_FREE char *folder = folder_path();

	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	rmdir(folder);
	return 0;
}

/* Each is added before it is deleted: one that is gone must not keep the others. */
static int delete_lines(const struct text_list *lines, struct error *err)
{
	AUTO(text_fini) struct text batch = { 0 };

	text_add(&batch, table);
	for (size_t i = 1; i < lines->count; i++)
		text_addf(&batch, "add element " TABLE " %s\ndelete element " TABLE " %s\n", lines->items[i],
			  lines->items[i]);
	return run_nft(batch.data, err);
}

static int remove_record(const char *path, struct error *err)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	int r = load(&lines, path, err);

	if (r <= 0)
		return r;
	if (lines.count > 1 && delete_lines(&lines, err) < 0)
		return -1;
	r = forget(path);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "remove %s", path) : 0;
}

/* ---- the commands ---- */

int rules_add(const struct plugin_call *call, const struct plugin_config *config, const char *plugin,
	      const struct rule_elements *elements, struct error *err)
{
	AUTO_FREE char *path = record_name(call->container, call->interface, plugin);
	AUTO(text_fini) struct text batch = { 0 };

	text_add(&batch, table);
	for (size_t i = 0; i < elements->lines.count; i++)
		text_addf(&batch, "add element " TABLE " %s\n", elements->lines.items[i]);
	if (remove_record(path, err) < 0 || save(path, config->name, elements, err) < 0)
		return -1;
	if (elements->lines.count && run_nft(batch.data, err) < 0) {
		forget(path);
		return -1;
	}
	return 0;
}

int rules_remove(const struct plugin_call *call, const char *plugin, struct error *err)
{
	AUTO_FREE char *path = record_name(call->container, call->interface, plugin);

	return remove_record(path, err);
}

int rules_check(const struct plugin_call *call, const char *plugin, struct error *err)
{
	AUTO_FREE char *path = record_name(call->container, call->interface, plugin);
	AUTO(text_list_fini) struct text_list lines = { 0 };

	if (load(&lines, path, err) < 0)
		return -1;
	for (size_t i = 1; i < lines.count; i++) {
		AUTO_FREE char *batch = xasprintf("get element " TABLE " %s\n", lines.items[i]);
		AUTO(error_clear) struct error gone = { 0 };

		if (run_nft(batch, &gone) < 0)
			return error_set(err, ERR_NOT_FOUND, "%s of nft table " TABLE " is gone", lines.items[i]);
	}
	return 0;
}

/* "container,interface,plugin" of a record that is not among those that a GC names. */
static bool is_stale(const struct plugin_config *config, const char *plugin, const char *path)
{
	const char *file = path_base(path);
	AUTO(text_list_fini) struct text_list parts = { 0 };
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };

	text_list_split(&parts, file, ',');
	return parts.count == 3 && text_equal(parts.items[2], plugin) && load(&lines, path, &ignored) > 0 &&
	       lines.count && text_equal(lines.items[0], config->name) &&
	       !attachment_is_valid(config, parts.items[0], parts.items[1]);
}

int rules_collect(const struct plugin_config *config, const char *plugin, struct error *err)
{
	AUTO_FREE char *name = folder_path();
	AUTO_CLOSEDIR DIR *folder = opendir(name);
	const struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		AUTO_FREE char *path = path_join(name, entry->d_name);

		if (is_stale(config, plugin, path) && remove_record(path, err) < 0)
			return -1;
	}
	return 0;
}

/* Whether a record has an element with the same key, which stands before the " : ". */
static bool has_key(const struct text_list *record, const char *line)
{
	const char *end = strstr(line, " : ");

	for (size_t i = 1; end && i < record->count; i++)
		if (strncmp(record->items[i], line, (size_t)(end - line) + 3) == 0)
			return true;
	return false;
}

char *rules_owner(const struct rule_elements *elements, const char *plugin)
{
	AUTO_FREE char *name = folder_path();
	AUTO_CLOSEDIR DIR *folder = opendir(name);
	AUTO_FREE char *suffix = xasprintf(",%s", plugin);
	const struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		AUTO_FREE char *path = path_join(name, entry->d_name);
		AUTO(text_list_fini) struct text_list lines = { 0 };
		AUTO(error_clear) struct error ignored = { 0 };

		if (!text_has_suffix(entry->d_name, suffix) || load(&lines, path, &ignored) <= 0)
			continue;
		for (size_t i = 0; i < elements->lines.count; i++)
			if (has_key(&lines, elements->lines.items[i]))
				return xstrndup(entry->d_name, strcspn(entry->d_name, ","));
	}
	return NULL;
}

bool rules_has_record(const char *network, const char *plugin)
{
	AUTO_FREE char *name = folder_path();
	AUTO_CLOSEDIR DIR *folder = opendir(name);
	AUTO_FREE char *suffix = xasprintf(",%s", plugin);
	const struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		AUTO_FREE char *path = path_join(name, entry->d_name);
		AUTO(text_list_fini) struct text_list lines = { 0 };
		AUTO(error_clear) struct error ignored = { 0 };

		if (text_has_suffix(entry->d_name, suffix) && load(&lines, path, &ignored) > 0 && lines.count &&
		    text_equal(lines.items[0], network))
			return true;
	}
	return false;
}
