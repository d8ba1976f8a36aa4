/* SPDX-License-Identifier: Apache-2.0 */
#include "network/files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sys/netlink.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLVED_CONF "/run/systemd/resolve/resolv.conf"
#define RESOLVED_STUB "127.0.0.53"

/* ---- hosts ---- */

/* "name:address" or "name=address"; an IPv6 address has colons of its own, so the first separator counts. */
static void add_extra(struct text *out, const char *entry, const char *host_gateway)
{
	size_t size = strcspn(entry, ":=");
	const char *address = entry[size] ? entry + size + 1 : "";
	size_t address_size;

	if (text_equal(address, "host-gateway")) {
		if (!host_gateway)
			return;
		address = host_gateway;
	}
	address_size = strlen(address);
	/* Also written as [::1]. */
	if (address[0] == '[' && address[address_size - 1] == ']') {
		address++;
		address_size -= 2;
	}
	if (address_size > 0)
		text_addf(out, "%.*s\t%.*s\n", (int)address_size, address, (int)size, entry);
}

char *network_hosts_text(const struct network_hosts *hosts)
{
	struct text out = { 0 };

	text_add(&out, "127.0.0.1\tlocalhost\n");
	if (!hosts->no_ipv6)
		text_add(&out, "::1\tlocalhost ip6-localhost ip6-loopback\n"
			       "fe00::\tip6-localnet\n"
			       "ff00::\tip6-mcastprefix\n"
			       "ff02::1\tip6-allnodes\n"
			       "ff02::2\tip6-allrouters\n");
	for (size_t i = 0; hosts->extra && i < hosts->extra->count; i++)
		add_extra(&out, hosts->extra->items[i], hosts->host_gateway);
	for (size_t i = 0; hosts->addresses && i < hosts->addresses->count; i++) {
		text_addf(&out, "%s\t", hosts->addresses->items[i]);
		if (!text_empty(hosts->domainname))
			text_addf(&out, "%s.%s ", hosts->hostname, hosts->domainname);
		text_addf(&out, "%s\n", hosts->hostname);
	}
	return text_take(&out);
}

char *network_hostname_text(const char *hostname)
{
	return xasprintf("%s\n", hostname);
}

/* ---- resolv.conf ---- */

struct resolv_conf {
	struct text_list servers;
	struct text_list search;
	struct text_list options;
	struct text_list other; /* lines kept as they are */
};

static void resolv_conf_fini(struct resolv_conf *conf)
{
	text_list_fini(&conf->servers);
	text_list_fini(&conf->search);
	text_list_fini(&conf->options);
	text_list_fini(&conf->other);
}

static void add_words(struct text_list *list, const char *words)
{
	AUTO_FREE char *copy = xstrdup(words);
	char *place = copy;

	while (*place) {
		size_t size;

		place += strspn(place, " \t");
		size = strcspn(place, " \t");
		if (size) {
			AUTO_FREE char *word = xstrndup(place, size);

			text_list_add(list, word);
		}
		place += size;
	}
}

static void read_line(struct resolv_conf *conf, char *line)
{
	char *rest;
	size_t size;

	line = text_trim(line);
	if (!*line || *line == '#' || *line == ';')
		return;
	size = strcspn(line, " \t");
	rest = line + size;
	if (*rest)
		*rest++ = '\0';
	rest = text_trim(rest);
	if (text_equal(line, "nameserver")) {
		rest[strcspn(rest, " \t#;")] = '\0';
		if (*rest)
			text_list_add(&conf->servers, rest);
	} else if (text_equal(line, "search") || text_equal(line, "domain")) {
		/* The last one counts, resolv.conf(5). */
		text_list_fini(&conf->search);
		add_words(&conf->search, rest);
	} else if (text_equal(line, "options")) {
		add_words(&conf->options, rest);
	} else {
		text_list_addf(&conf->other, "%s %s", line, rest);
	}
}

static void read_resolv_conf(struct resolv_conf *conf, const char *text)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };

	text_list_split(&lines, text_or_empty(text), '\n');
	for (size_t i = 0; i < lines.count; i++)
		read_line(conf, lines.items[i]);
}

static bool is_loopback(const char *server)
{
	struct net_address address;
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (net_address_parse(&address, server) < 0)
		return false;
	if (address.family == AF_INET)
		return address.bytes[0] == 127;
	return memcmp(address.bytes, loopback6, sizeof(loopback6)) == 0;
}

static bool has_items(const struct text_list *list)
{
	return list && list->count > 0;
}

static void replace(struct text_list *list, const struct text_list *by)
{
	text_list_fini(list);
	text_list_add_all(list, by);
}

/* A resolver on the host's loopback is out of the container's reach. */
static bool drop_loopback(struct text_list *servers)
{
	for (size_t i = 0; i < servers->count;) {
		if (is_loopback(servers->items[i]))
			text_list_remove(servers, i);
		else
			i++;
	}
	if (servers->count > 0)
		return false;
	text_list_add(servers, "8.8.8.8");
	text_list_add(servers, "8.8.4.4");
	return true;
}

static void print_words(struct text *out, const char *key, const struct text_list *words)
{
	AUTO_FREE char *joined = text_list_join(words, " ");

	if (words->count)
		text_addf(out, "%s %s\n", key, joined);
}

/* "[host(127.0.0.53) 10.0.0.1]": who answers what our resolver does not know. */
static void print_external(struct text *out, const struct network_resolver *resolver, const struct text_list *host)
{
	bool own = has_items(resolver->servers);
	const struct text_list *servers = own ? resolver->servers : host;

	for (size_t i = 0; i < servers->count; i++)
		text_addf(out, own ? "%s%s" : "%shost(%s)", i ? " " : "", servers->items[i]);
}

/* One try for each name as it is: a container's has no dot (docker's ndots:0). */
static void use_internal(struct resolv_conf *conf)
{
	bool has_dots = false;

	text_list_fini(&conf->servers);
	text_list_add(&conf->servers, NETWORK_RESOLVER);
	for (size_t i = 0; i < conf->options.count; i++)
		has_dots |= text_has_prefix(conf->options.items[i], "ndots:");
	if (!has_dots)
		text_list_add(&conf->options, "ndots:0");
}

static void print_source(struct text *out, const struct network_resolver *resolver, const char *external,
			 bool used_defaults)
{
	AUTO(text_list_fini) struct text_list overrides = { 0 };
	AUTO_FREE char *joined = NULL;

	if (has_items(resolver->servers))
		text_list_add(&overrides, "nameservers");
	if (has_items(resolver->search))
		text_list_add(&overrides, "search");
	if (has_items(resolver->options))
		text_list_add(&overrides, "options");
	joined = text_list_join(&overrides, " ");
	text_addf(out, "\n# Based on host file: '%s'%s\n", resolver->host_path ? resolver->host_path : RESOLV_CONF,
		  resolver->internal	     ? " (internal resolver)"
		  : resolver->host_namespace ? ""
					     : " (legacy)");
	if (resolver->internal)
		text_addf(out, "# ExtServers: [%s]\n", text_or_empty(external));
	if (used_defaults)
		text_add(out, "# Used default nameservers.\n");
	text_addf(out, "# Overrides: [%s]\n", joined);
}

char *network_resolv_conf_text(const struct network_resolver *resolver)
{
	AUTO(resolv_conf_fini) struct resolv_conf conf = { 0 };
	struct text out = { 0 };
	AUTO(text_fini) struct text external = { 0 };
	bool used_defaults = false;

	read_resolv_conf(&conf, resolver->host_text);
	if (resolver->internal)
		print_external(&external, resolver, &conf.servers);
	else if (has_items(resolver->servers))
		replace(&conf.servers, resolver->servers);
	else if (!resolver->host_namespace)
		used_defaults = drop_loopback(&conf.servers);
	if (has_items(resolver->search))
		replace(&conf.search, resolver->search);
	if (conf.search.count == 1 && text_equal(conf.search.items[0], "."))
		text_list_fini(&conf.search);
	if (has_items(resolver->options))
		replace(&conf.options, resolver->options);

	if (resolver->internal)
		use_internal(&conf);
	text_add(&out, "# Generated by kist.\n"
		       "# This file can be edited; kist will not make further changes once it\n"
		       "# has been modified.\n\n");
	for (size_t i = 0; i < conf.servers.count; i++)
		text_addf(&out, "nameserver %s\n", conf.servers.items[i]);
	print_words(&out, "search", &conf.search);
	print_words(&out, "options", &conf.options);
	for (size_t i = 0; i < conf.other.count; i++)
		text_addf(&out, "%s\n", conf.other.items[i]);
	print_source(&out, resolver, external.data, used_defaults);
	return text_take(&out);
}

const char *network_host_resolv_conf(void)
{
	AUTO(resolv_conf_fini) struct resolv_conf conf = { 0 };
	AUTO_FREE char *text = NULL;

	if (file_read(&text, NULL, AT_FDCWD, RESOLV_CONF, 1 << 16) < 0)
		return RESOLV_CONF;
	read_resolv_conf(&conf, text);
	if (conf.servers.count == 1 && text_equal(conf.servers.items[0], RESOLVED_STUB) &&
	    file_exists(AT_FDCWD, RESOLVED_CONF))
		return RESOLVED_CONF;
	return RESOLV_CONF;
}

void network_nameservers(struct text_list *out_servers, const char *path)
{
	AUTO(resolv_conf_fini) struct resolv_conf conf = { 0 };
	AUTO_FREE char *text = NULL;

	if (file_read(&text, NULL, AT_FDCWD, path, 1 << 16) < 0)
		return;
	read_resolv_conf(&conf, text);
	text_list_add_all(out_servers, &conf.servers);
}
