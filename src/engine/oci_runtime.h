/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_runtime.h - which program makes a container: kist's own runtime, inside
 * its shim, or an OCI runtime that the machine's owner gave a name (`runtimes` of
 * daemon.json, --add-runtime). A container keeps the name; what it means is
 * looked up at every start.
 */
#pragma once

#include "base/error.h"
#include "engine/settings.h"

struct container;
struct host_config;

/* Names of our own: "runc", as everybody's default is called, "kist", "io.containerd.runc.v2". */
bool oci_runtime_is_own(const char *name);
/* Borrowed; NULL if the name is ours or nobody's. */
const struct engine_runtime *oci_runtime_find(const struct engine_settings *settings, const char *name);
/* Fills the default in; ERR_INVALID for a name that nobody has, ERR_UNSUPPORTED for what only ours can do. */
int oci_runtime_check(const struct engine *engine, struct host_config *host, struct error *err);
/* Tells the shim by a file in the bundle. */
int oci_runtime_note(const struct container *container, struct error *err);
