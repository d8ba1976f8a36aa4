/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/members.h"
#include "cli/spec.h"

bool spec_is_ip(const char *text)
{
	unsigned char address[16];

	return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

void port_bindings_fini(struct port_bindings *ports)
{
	for (size_t i = 0; i < ports->count; i++) {
		free(ports->items[i].port);
		free(ports->items[i].host_ip);
		free(ports->items[i].host_port);
	}
	free(ports->items);
	*ports = (struct port_bindings){ 0 };
}

/* "80" or "80-90"; false if it is neither. */
static bool parse_range(uint64_t *out_first, uint64_t *out_last, const char *text)
{
	const char *dash = strchr(text, '-');
	AUTO_FREE char *first = dash ? xstrndup(text, (size_t)(dash - text)) : xstrdup(text);

	if (text_parse_u64(out_first, first, 65535) < 0)
		return false;
	*out_last = *out_first;
	if (dash && text_parse_u64(out_last, dash + 1, 65535) < 0)
		return false;
	return *out_last >= *out_first;
}

/* Splits "80/udp": the port stays in text, the protocol is returned in lower case. */
static char *split_protocol(char *text)
{
	char *slash = strchr(text, '/');
	char *protocol;

	if (slash)
		*slash++ = '\0';
	protocol = xstrdup(text_empty(slash) ? "tcp" : slash);
	for (char *c = protocol; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return protocol;
}

static bool is_protocol(const char *protocol)
{
	return text_equal(protocol, "tcp") || text_equal(protocol, "udp") || text_equal(protocol, "sctp");
}

static void add_binding(struct port_bindings *ports, char *port, const char *ip, char *host_port)
{
	ports->items = xgrow(ports->items, &ports->capacity, ports->count + 1, sizeof(*ports->items));
	ports->items[ports->count++] =
		(struct port_binding){ .port = port, .host_ip = xstrdup(ip), .host_port = host_port };
}

static int add_range(struct port_bindings *ports, const char *ip, const char *host, const char *container,
		     const char *protocol, struct error *err)
{
	uint64_t first;
	uint64_t last;
	uint64_t host_first = 0;
	uint64_t host_last = 0;

	if (!parse_range(&first, &last, container))
		return error_set(err, ERR_INVALID, "invalid containerPort: %s", container);
	if (*host && !parse_range(&host_first, &host_last, host))
		return error_set(err, ERR_INVALID, "invalid hostPort: %s", host);
	if (*host && last - first != host_last - host_first && first != last)
		return error_set(err, ERR_INVALID, "invalid ranges specified for container and host Ports: %s and %s",
				 container, host);
	if (!is_protocol(protocol))
		return error_set(err, ERR_INVALID, "invalid proto: %s", protocol);
	for (uint64_t i = 0; i <= last - first; i++) {
		char *host_port = xstrdup("");

		if (*host) {
			free(host_port);
			/* One container port and many host ports: the engine takes a free one of them. */
			host_port = first == last && host_first != host_last
					    ? xasprintf("%u-%u", (unsigned)host_first, (unsigned)host_last)
					    : xasprintf("%u", (unsigned)(host_first + i));
		}
		add_binding(ports, xasprintf("%u/%s", (unsigned)(first + i), protocol), ip, host_port);
	}
	return 0;
}

/* [ip:][host:]container[/protocol] */
static int publish_short(struct port_bindings *ports, const char *value, struct error *err)
{
	AUTO_FREE char *text = xstrdup(value);
	AUTO_FREE char *protocol = NULL;
	char *container = strrchr(text, ':');
	const char *host = "";
	const char *ip = "";

	if (container) {
		char *before;

		*container++ = '\0';
		before = strrchr(text, ':');
		if (before)
			*before++ = '\0';
		host = before ? before : text;
		ip = before ? text : "";
	} else {
		container = text;
	}
	if (*ip == '[') {
		size_t size = strlen(ip);

		if (ip[size - 1] != ']')
			return error_set(err, ERR_INVALID, "invalid IP address %s: missing ']' in address", ip);
		text[size - 1] = '\0';
		ip++;
	}
	if (*ip && !spec_is_ip(ip))
		return error_set(err, ERR_INVALID, "invalid IP address: %s", ip);
	protocol = split_protocol(container);
	if (*container == '\0')
		return error_set(err, ERR_INVALID, "no port specified: %s<empty>", value);
	return add_range(ports, ip, host, container, protocol, err);
}

int spec_publish(struct port_bindings *ports, const char *value, struct error *err)
{
	AUTO(text_list_fini) struct text_list fields = { 0 };
	AUTO(text_map_fini) struct text_map params = { 0 };
	AUTO_FREE char *plain = NULL;

	if (!strchr(value, '='))
		return publish_short(ports, value, err);
	text_map_set(&params, "protocol", "tcp");
	text_list_split(&fields, value, ',');
	for (size_t i = 0; i < fields.count; i++) {
		const char *given;
		AUTO_FREE char *key = spec_cut(fields.items[i], &given);

		if (!given || *key == '\0')
			return error_set(err, ERR_INVALID,
					 "invalid publish opts format (should be name=value but got '%s')",
					 fields.items[i]);
		text_map_set(&params, key, given);
	}
	plain = xasprintf("%s:%s/%s", text_or_empty(text_map_get(&params, "published")),
			  text_or_empty(text_map_get(&params, "target")), text_map_get(&params, "protocol"));
	return publish_short(ports, plain, err);
}

int spec_expose(struct text_list *ports, const char *value, struct error *err)
{
	AUTO_FREE char *text = xstrdup(value);
	AUTO_FREE char *protocol = NULL;
	uint64_t first;
	uint64_t last;

	if (strchr(value, ':'))
		return error_set(err, ERR_INVALID, "invalid port format for --expose: %s", value);
	protocol = split_protocol(text);
	if (!parse_range(&first, &last, text))
		return error_set(err, ERR_INVALID, "invalid range format for --expose: %s", value);
	if (!is_protocol(protocol))
		return error_set(err, ERR_INVALID, "invalid proto: %s", protocol);
	for (uint64_t port = first; port <= last; port++)
		text_list_addf(ports, "%u/%s", (unsigned)port, protocol);
	return 0;
}

void spec_port_bindings_json(struct text *out, const struct port_bindings *ports)
{
	text_add_char(out, '{');
	for (size_t i = 0; i < ports->count; i++) {
		bool seen = false;

		for (size_t j = 0; j < i; j++)
			seen = seen || text_equal(ports->items[j].port, ports->items[i].port);
		if (seen)
			continue;
		members_key(out, ports->items[i].port);
		text_add_char(out, '[');
		for (size_t j = i; j < ports->count; j++) {
			if (!text_equal(ports->items[j].port, ports->items[i].port))
				continue;
			members_open_item(out);
			members_text(out, "HostIp", ports->items[j].host_ip);
			members_text(out, "HostPort", ports->items[j].host_port);
			text_add_char(out, '}');
		}
		text_add_char(out, ']');
	}
	text_add_char(out, '}');
}
