/* SPDX-License-Identifier: Apache-2.0 */
/* place_registry.h - the registry behind a place, for what only registries can do. */
#pragma once

#include "image/place.h"
#include "transfer/agent.h"

/* Borrowed; NULL with ERR_INVALID for other places. *out_what (may be NULL; borrowed): the tag or digest it names. */
struct agent *place_registry_agent(struct place *place, const char **out_what, struct error *err);
