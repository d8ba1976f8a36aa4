/* SPDX-License-Identifier: Apache-2.0 */
/* runtimes.h - `runtimes` of daemon.json, --add-runtime and --default-runtime, judged as dockerd does. */
#pragma once

#include "base/error.h"
#include "daemon/config.h"

extern const struct json_field daemon_runtime_fields[];
/* "name=path", beside what the file says; there a runtimeType io.containerd.runc.v2 becomes the path its options name. */
int daemon_runtimes_add(struct daemon_config *config, const struct text_list *flags, struct error *err);
int daemon_runtimes_check(const struct daemon_config *config, struct error *err);
/* For the `daemon reload` event: "crun:/usr/bin/crun runc"; yours. */
char *daemon_runtimes_describe(const struct daemon_config *config);
