/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts.h - what the machine's owner says of a registry in containerd's
 * certs.d/HOST/hosts.toml (or _default/), else in containers' registries.conf(5):
 * mirrors, where it is served, who is trusted, what is blocked.
 *
 * Read before the sandbox closes. A file that is wrong is ERR_INVALID with its
 * name and line: to go on without it could ask somebody who must not be asked.
 */
#pragma once

#include "base/text.h"
#include "oci/reference.h"

struct host {
	char *address;	  /* "mirror.example:5000", with a path if there is one */
	char *repository; /* the path of the reference there */
	bool plain;	  /* http */
	bool insecure;	  /* certificates are not verified, plain http may be tried */
	bool verify_only; /* insecure does not mean that plain http may be tried */
	bool whole_path;  /* the address' path takes the place of /v2 */
	bool tags;
	bool digests;
	bool pushes;
	bool names_origin; /* ?ns=<registry> is added, so that one server can stand for many */
	char *ca_pem;	   /* NULL: none but the system's and certs.d's */
	char *client_cert_pem;
	char *client_key_pem;
	struct text_list headers; /* "Name: value" */
};

struct host_list {
	struct host *items;
	size_t count;
};

struct hosts_options {
	const struct text_list *folders; /* certs.d; none: containerd's, docker's and containers' own */
	const char *registries;		 /* registries.conf; NULL: the system's, or CONTAINERS_REGISTRIES_CONF */
	bool folders_only;		 /* only what `folders` names: none of the system's files */
};

/*
 * Whom to ask for a reference's repository, in that order, the registry itself
 * last. 0 with an empty list: no file speaks of it. ERR_FORBIDDEN: it is blocked.
 */
int hosts_find(struct host_list *out_list, const struct reference *reference, const struct hosts_options *options,
	       struct error *err);
void host_list_fini(struct host_list *list);

/* The same from the files' texts; `folder` is where relative names of certificates begin. */
int hosts_parse_toml(struct host_list *out_list, const struct reference *reference, const char *text, size_t size,
		     const char *folder, struct error *err);
int hosts_parse_registries(struct host_list *out_list, const struct reference *reference, const char *text, size_t size,
			   struct error *err);
