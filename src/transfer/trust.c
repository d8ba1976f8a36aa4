/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"

#define PEM_MAX (4 * 1024 * 1024)
#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

static const char *const default_folders[] = { "/etc/containerd/certs.d", "/etc/docker/certs.d",
					       "/etc/containers/certs.d" };

static int read_pem(char **out_pem, const char *path, struct error *err)
{
	int r = file_read(out_pem, NULL, AT_FDCWD, path, PEM_MAX);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "read %s", path) : 0;
}

static int add_ca(struct text *cas, const char *path, struct error *err)
{
	AUTO_FREE char *pem = NULL;

	if (read_pem(&pem, path, err) < 0)
		return -1;
	text_add(cas, pem);
	text_add_char(cas, '\n');
	return 0;
}

static int load_pair(struct trust *trust, const char *cert_path, struct error *err)
{
	AUTO_FREE char *key_path = xasprintf("%.*s.key", (int)(strlen(cert_path) - strlen(".cert")), cert_path);

	if (trust->client_cert_pem)
		return 0;
	if (!file_exists(AT_FDCWD, key_path))
		return error_set(err, ERR_INVALID, "missing key %s for client certificate %s", key_path, cert_path);
	if (read_pem(&trust->client_cert_pem, cert_path, err) < 0)
		return -1;
	return read_pem(&trust->client_key_pem, key_path, err);
}

static int load_folder(struct trust *trust, struct text *cas, const char *path, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		AUTO_FREE char *file = xasprintf("%s/%s", path, entry->d_name);
		int r = 0;

		if (text_has_suffix(entry->d_name, ".crt"))
			r = add_ca(cas, file, err);
		else if (text_has_suffix(entry->d_name, ".cert"))
			r = load_pair(trust, file, err);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int load_folders(struct trust *trust, struct text *cas, const struct trust_options *options, struct error *err)
{
	const struct text_list *folders = options->folders;
	size_t count = folders->count ? folders->count : sizeof(default_folders) / sizeof(default_folders[0]);

	for (size_t i = 0; i < options->own->count; i++)
		if (load_folder(trust, cas, options->own->items[i], err) < 0)
			return -1;
	for (size_t i = 0; options->own->count == 0 && i < count; i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", folders->count ? folders->items[i] : default_folders[i],
						 options->host);

		if (load_folder(trust, cas, path, err) < 0)
			return -1;
	}
	return 0;
}

int trust_load(struct trust *out_trust, const struct trust_options *options, struct error *err)
{
	AUTO(trust_fini) struct trust trust = { 0 };
	AUTO(text_fini) struct text cas = { 0 };

	trust.client_cert_pem = xstrdup(options->client_cert_pem);
	trust.client_key_pem = xstrdup(options->client_key_pem);
	text_add(&cas, text_or_empty(options->ca_pem));
	if (load_folders(&trust, &cas, options, err) < 0)
		return -1;
	if (cas.size) {
		/* Ours come beside the system's, they do not replace them. */
		if (file_exists(AT_FDCWD, SYSTEM_BUNDLE) && add_ca(&cas, SYSTEM_BUNDLE, err) < 0)
			return -1;
		trust.ca_pem = text_take(&cas);
	}
	trust.remote = (struct remote_trust){ .insecure = options->insecure,
					      .ca_pem = trust.ca_pem,
					      .client_cert_pem = trust.client_cert_pem,
					      .client_key_pem = trust.client_key_pem };
	*out_trust = trust;
	trust = (struct trust){ 0 };
	return 0;
}

void trust_fini(struct trust *trust)
{
	free(trust->ca_pem);
	free(trust->client_cert_pem);
	free(trust->client_key_pem);
	*trust = (struct trust){ 0 };
}

/* An address without brackets and port. */
static char *bare_host(const char *host)
{
	const char *end = *host == '[' ? strchr(host, ']') : NULL;

	if (end)
		return xstrndup(host + 1, (size_t)(end - host - 1));
	return xstrndup(host, strcspn(host, ":"));
}

static int parse_address(uint8_t out[16], const char *text)
{
	if (inet_pton(AF_INET, text, out) == 1)
		return 32;
	if (inet_pton(AF_INET6, text, out) == 1)
		return 128;
	return 0;
}

static bool is_in_network(const char *network, const char *host)
{
	const char *slash = strchr(network, '/');
	AUTO_FREE char *base = xstrndup(network, slash ? (size_t)(slash - network) : 0);
	AUTO_FREE char *bare = bare_host(host);
	uint8_t want[16];
	uint8_t have[16];
	uint64_t bits;
	int width = slash ? parse_address(want, base) : 0;

	if (width == 0 || parse_address(have, bare) != width || text_parse_u64(&bits, slash + 1, (uint64_t)width) < 0)
		return false;
	for (uint64_t i = 0; i < bits; i++)
		if ((want[i / 8] ^ have[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

bool trust_is_insecure(const struct text_list *entries, const char *host)
{
	if (remote_is_loopback(host))
		return true;
	for (size_t i = 0; i < entries->count; i++) {
		const char *entry = entries->items[i];

		if (text_equal_ignoring_case(entry, host) || is_in_network(entry, host))
			return true;
	}
	return false;
}
