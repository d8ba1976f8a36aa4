/* SPDX-License-Identifier: Apache-2.0 */
/* collector.h - drops, from time to time, tags that rules let expire and what nothing needs. See routine.h. */
#pragma once

#include "registryd/api.h"
#include "registryd/routine.h"

int collector_start(struct routine **out_routine, struct api *api, struct error *err);
