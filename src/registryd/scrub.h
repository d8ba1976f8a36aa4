/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub.h - reads every blob again, slowly, and puts those aside whose bytes are
 * no longer what their digest says: they are missing then, so that the next push
 * or pull through brings them again. See routine.h.
 */
#pragma once

#include "registryd/api.h"
#include "registryd/routine.h"

int scrub_start(struct routine **out_routine, struct api *api, struct error *err);
