/* SPDX-License-Identifier: Apache-2.0 */
#include "logs/address.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

#define PORT_MAX 65535

static int split_port(struct log_address *address, const char *text, struct error *err)
{
	const char *bracket = text[0] == '[' ? strchr(text, ']') : NULL;
	const char *colon = bracket ? (bracket[1] == ':' ? bracket + 1 : NULL) : strchr(text, ':');
	uint64_t port;

	if (text[0] == '[' && (!bracket || (bracket[1] != '\0' && bracket[1] != ':')))
		return error_set(err, ERR_INVALID, "address %s: missing ']' in address", text);
	if (!bracket && colon && strchr(colon + 1, ':'))
		return error_set(err, ERR_INVALID, "address %s: too many colons in address", text);
	if (bracket)
		address->host = xstrndup(text + 1, (size_t)(bracket - text - 1));
	else
		address->host = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
	if (!colon)
		return 0;
	if (text_parse_u64(&port, colon + 1, PORT_MAX) < 0)
		return error_set(err, ERR_INVALID, "address %s: invalid port", text);
	address->port = xstrdup(colon + 1);
	return 0;
}

int log_address_parse(struct log_address *out_address, const char *text, const char *scheme, struct error *err)
{
	const char *rest = strstr(text, "://");
	struct log_address address = { .scheme = rest ? xstrndup(text, (size_t)(rest - text)) : xstrdup(scheme) };
	AUTO_FREE char *authority = NULL;
	int r = 0;

	rest = rest ? rest + 3 : text;
	if (text_equal(address.scheme, "unix") || text_equal(address.scheme, "unixgram")) {
		address.path = xstrdup(rest);
	} else {
		authority = xstrndup(rest, strcspn(rest, "/"));
		r = split_port(&address, authority, err);
	}
	if (r < 0)
		log_address_fini(&address);
	else
		*out_address = address;
	return r;
}

void log_address_fini(struct log_address *address)
{
	free(address->scheme);
	free(address->host);
	free(address->port);
	free(address->path);
	*address = (struct log_address){ 0 };
}
