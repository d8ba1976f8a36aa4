/* SPDX-License-Identifier: Apache-2.0 */
/*
 * endpoint.h - what is written down about a container's place on a bridge, and
 * about a bridge: one small JSON file each, replaced in one step. Inside of
 * network.h.
 */
#pragma once

#include "base/error.h"
#include "network/network.h"
#include "json/json.h"

struct binding_record {
	char *protocol;	    /* "tcp" */
	char *host_ip;	    /* "0.0.0.0" */
	uint32_t host_port; /* 0: routed */
	uint32_t container_port;
};

struct endpoint_record {
	char *id;
	char *bridge;
	char *address;	/* "172.17.0.2", or "" */
	char *address6; /* "fd00::2", or "" */
	char *mac;
	char *link;    /* host side of the veth pair; "" for macvlan */
	char *gateway; /* of an external one */
	char *gateway6;
	char *interface; /* the container's side, once connected */
	struct network_rates rates;
	bool connected;
	JSON_ARRAY_OF(struct binding_record) bindings;
};

struct bridge_record {
	char *name;
	char *subnet;  /* "172.17.0.0/16", or "" */
	char *gateway; /* "172.17.0.1" */
	char *subnet6;
	char *gateway6;
	char *parent; /* macvlan: the link below */
	bool made;    /* by us: removed with the network */
};

extern const struct json_field endpoint_record_fields[];
extern const struct json_field bridge_record_fields[];

extern const struct json_field binding_record_fields[];

void endpoint_record_fini(struct endpoint_record *record);
void bridge_record_fini(struct bridge_record *record);

/* dir is "<state_dir>/endpoints" or "<state_dir>/bridges", the file's name is the record's. */
int record_save(const char *dir, const char *name, const void *record, const struct json_field *fields,
		struct error *err);
/* 1 read, 0 no such file. */
int record_load(void *out_record, const struct json_field *fields, const char *dir, const char *name,
		struct error *err);
void record_remove(const char *dir, const char *name);
/* Names of all records in a folder. */
int record_names(struct text_list *out_names, const char *dir, struct error *err);
/* Whether a text may be a record's name: [a-zA-Z0-9_.-], no leading dot, at most 200 bytes. */
bool record_name_is_valid(const char *name);
