/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.h - which registries are insecure, and the certificates of the others:
 * certs.d/HOST/{*.crt: CAs, NAME.cert + NAME.key: our own}. Loaded before the
 * sandbox closes, because client keys are readable to root only.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "http/remote.h"

struct trust {
	struct remote_trust remote; /* borrows the texts below */
	char *ca_pem;
	char *client_cert_pem;
	char *client_key_pem;
};

struct trust_options {
	const char *host;
	const struct text_list *folders; /* with HOST/ in them; none means docker's and containers' own */
	const struct text_list *own;	 /* folders for this host alone, instead of those */
	bool insecure;
	const char *ca_pem;	     /* beside those of the folders; NULL: none */
	const char *client_cert_pem; /* instead of those of the folders; NULL: none */
	const char *client_key_pem;
};

/* ERR_INVALID for a .cert without .key. */
int trust_load(struct trust *out_trust, const struct trust_options *options, struct error *err);
void trust_fini(struct trust *trust);

/* Loopback, or named by an entry: "host", "host:port", "10.0.0.0/8". */
bool trust_is_insecure(const struct text_list *entries, const char *host);
