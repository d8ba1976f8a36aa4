/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec.h - the grammars of run's and create's option values. Each reads one
 * value and adds JSON of the engine's API, or fails with docker's words.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

/* One line of comma separated values, with "quoted, fields". */
int spec_csv(struct text_list *out_fields, const char *line, struct error *err);
/* "key=value" to its two parts; the value is NULL without "=". key is yours, value borrowed. */
char *spec_cut(const char *field, const char **out_value);
bool spec_is_ip(const char *text);

/* -p: what was asked for, one per container port. */
struct port_binding {
	char *port;	 /* "80/tcp" */
	char *host_ip;	 /* "" for any */
	char *host_port; /* "", "8080" or "8000-8010" */
};

struct port_bindings {
	struct port_binding *items;
	size_t count;
	size_t capacity;
};

int spec_publish(struct port_bindings *ports, const char *value, struct error *err);
/* --expose: adds "80/tcp" for each port. */
int spec_expose(struct text_list *ports, const char *value, struct error *err);
/* {"80/tcp":[{"HostIp":"","HostPort":"8080"}]} */
void spec_port_bindings_json(struct text *out, const struct port_bindings *ports);
void port_bindings_fini(struct port_bindings *ports);

/* --mount: adds one object to a JSON array under construction. */
int spec_mount(struct text *mounts, const char *value, struct error *err);
/* -v: adds to binds, or to volumes if it has no source. */
int spec_volume(struct text_list *binds, struct text_list *volumes, const char *value, struct error *err);

/* --network, and the old flags that go to the first one. */
struct network_option {
	char *target;
	struct text_list aliases;
	struct text_list links;
	struct text_list link_local_ips;
	struct text_map driver_options;
	char *ip;
	char *ip6;
	char *mac_address;
	int64_t gateway_priority;
};

struct network_options {
	struct network_option *items;
	size_t count;
	size_t capacity;
};

int spec_network(struct network_options *networks, const char *value, struct error *err);
bool spec_network_is_user_defined(const char *name);
/* The endpoint's settings, or nothing if all are defaults. */
int spec_endpoint_json(struct text *out, const struct network_option *network, struct error *err);
void network_options_fini(struct network_options *networks);

int spec_ulimit(struct text *ulimits, const char *value, struct error *err);
int spec_gpus(struct text *requests, const char *value, struct error *err);
/* --device; CDI names go to cdi. */
int spec_device(struct text *devices, struct text_list *cdi, const char *value, struct error *err);
int spec_throttle(struct text *throttles, const char *value, bool bytes, struct error *err);
int spec_weight(struct text *weights, const char *value, struct error *err);
int spec_restart(struct text *policy, const char *value, struct error *err);
int spec_cpus(int64_t *out_nano_cpus, const char *value, struct error *err);
int spec_duration(int64_t *out_ns, const char *value, struct error *err);
int spec_add_host(struct text_list *hosts, const char *value, struct error *err);
/* "KEY" takes its value from our environment, or is left out. */
void spec_env(struct text_list *env, const char *value);
/* --env-file, --label-file. */
int spec_env_file(struct text_list *env, const char *path, bool from_environment, struct error *err);
/* --security-opt: a seccomp file becomes its content. */
int spec_security(struct text_list *options, const char *value, struct error *err);
