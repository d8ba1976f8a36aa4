/* SPDX-License-Identifier: Apache-2.0 */
/* list.h - one list of plugins as its file says it. Inside of chain.h. */
#pragma once

#include "cni/chain.h"
#include "json/value.h"

struct cni_list {
	char *text; /* of its file: kept with what was made by it */
	char *name;
	char *version;
	struct json_value *root;
	const struct json_value *plugins; /* NULL: root is the only one */
	bool no_check;			  /* disableCheck */
	bool no_collect;		  /* disableGC */
};

void cni_list_fini(struct cni_list *list);
int cni_list_parse(struct cni_list *out_list, const char *text, struct error *err);
int cni_list_find(struct cni_list *out_list, const char *folder, const char *name, struct error *err);
size_t cni_list_count(const struct cni_list *list);
const struct json_value *cni_list_plugin(const struct cni_list *list, size_t index);
const char *cni_list_type(const struct cni_list *list, size_t index);
/* Whether a plugin of it, or this one, has a capability. */
bool cni_plugin_can(const struct json_value *plugin, const char *capability);
bool cni_list_can(const struct cni_list *list, const char *capability);
