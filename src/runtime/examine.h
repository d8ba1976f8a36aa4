/* SPDX-License-Identifier: Apache-2.0 */
/*
 * examine.h - a bundle looked at as a whole, without making anything: the form
 * of config.json, the rules of the specification, and what this host has.
 */
#pragma once

#include "runtime/finding.h"
#include "runtime/runtime.h"

/* Adds all findings; found->err must be NULL. Fails only if there is nothing to look at. */
int examine_bundle(struct findings *found, const struct runtime *runtime, const char *bundle, struct error *err);
