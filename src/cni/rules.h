/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.h - the nft table `kist_cni` of the plugins: fixed rules over sets and
 * maps, so that a container costs an element per address and port. Which
 * elements an attachment has is written down before they are added, in
 * /run/kist-cni/<network namespace>, which ends with the rules when the machine
 * does.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "cni/plugin.h"

/* Elements under construction: "ports4 { 10.0.0.1 . tcp . 80 : 10.1.0.2 . 8080 }". */
struct rule_elements {
	struct text_list lines;
};
void rule_elements_addf(struct rule_elements *elements, const char *set, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void rule_elements_fini(struct rule_elements *elements);

/* Makes the table whole and adds the elements, in one step; nothing is left of them if that fails. */
int rules_add(const struct plugin_call *call, const struct plugin_config *config, const char *plugin,
	      const struct rule_elements *elements, struct error *err);
/* Takes away what rules_add() added for this attachment; 0 if there is nothing. */
int rules_remove(const struct plugin_call *call, const char *plugin, struct error *err);
/* ERR_NOT_FOUND if one of them is gone. 0 if it has none. */
int rules_check(const struct plugin_call *call, const char *plugin, struct error *err);
/* Takes away those of the network's attachments that a GC does not name. */
int rules_collect(const struct plugin_config *config, const char *plugin, struct error *err);
/* Whether any attachment to the network has been through rules_add(). */
bool rules_has_record(const char *network, const char *plugin);
/* The container that has an element of the same key through this plugin: yours, NULL if none has. */
char *rules_owner(const struct rule_elements *elements, const char *plugin);
