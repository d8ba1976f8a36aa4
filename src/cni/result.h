/* SPDX-License-Identifier: Apache-2.0 */
/*
 * result.h - what a CNI plugin prints (CNI spec 1.1, section 5): interfaces,
 * addresses, routes and name servers, or an error. Results come from foreign
 * programs: cni_result_parse() believes nothing.
 */
#pragma once

#include "base/error.h"
#include "base/optional.h"
#include "base/text.h"
#include "json/json.h"

/* The newest version spoken, and the oldest that has lists of plugins and results of this shape. */
#define CNI_VERSION "1.1.0"
#define CNI_VERSION_OLDEST "0.3.0"
#define CNI_RESULT_MAX ((size_t)1 << 20)

struct cni_interface {
	char *name;
	char *mac;
	char *sandbox; /* "" on the host */
};

struct cni_ip {
	char *version; /* "4", "6"; before 1.0.0 only */
	char *address; /* "10.1.0.5/16" */
	char *gateway;
	struct optional_i64 interface; /* index in interfaces */
};

struct cni_route {
	char *destination; /* "0.0.0.0/0" */
	char *gateway;	   /* "": the address's */
};

struct cni_dns {
	struct text_list servers;
	char *domain;
	struct text_list search;
	struct text_list options;
};

struct cni_result {
	char *version;
	JSON_ARRAY_OF(struct cni_interface) interfaces;
	JSON_ARRAY_OF(struct cni_ip) ips;
	JSON_ARRAY_OF(struct cni_route) routes;
	struct cni_dns dns;
};
extern const struct json_field cni_result_fields[];
extern const struct json_field cni_interface_fields[];
extern const struct json_field cni_route_fields[];
extern const struct json_field cni_dns_fields[];

/* What a plugin prints when it fails. */
struct cni_failure {
	char *version;
	int64_t code;
	char *message;
	char *details;
};
extern const struct json_field cni_failure_fields[];

void cni_result_fini(struct cni_result *result);
/* ERR_INVALID: no JSON, or an address, index or route that is none. An empty text is an empty result. */
int cni_result_parse(struct cni_result *out_result, const char *text, size_t size, struct error *err);
/* The same judgement of one that was part of something else. */
int cni_result_check(const struct cni_result *result, struct error *err);
/* The sentence in what a plugin printed as it failed; yours. NULL: there is none. */
char *cni_failure_text(const char *text, size_t size);
/* Whether this program speaks a version. */
bool cni_version_is_known(const char *version);
/* Whether results of this version name each address's family. */
bool cni_version_has_families(const char *version);
