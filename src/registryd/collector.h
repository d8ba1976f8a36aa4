/* SPDX-License-Identifier: Apache-2.0 */
/* collector.h - drops, from time to time, tags that rules let expire and what nothing needs. See routine.h. */
#pragma once

#include "registryd/api.h"
#include "registryd/routine.h"

/* Every two seconds: what the object storage need not have, and the folder before it need not keep. */
int tidy_start(struct routine **out_routine, struct api *api, struct error *err);
int collector_start(struct routine **out_routine, struct api *api, struct error *err);
