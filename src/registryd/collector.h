/* SPDX-License-Identifier: Apache-2.0 */
/* collector.h - a thread that drops, from time to time, what nothing needs. Beside everything else. */
#pragma once

#include "registryd/api.h"

struct collector;

/* *out_collector stays NULL when the configuration switches it off, or is read-only. */
int collector_start(struct collector **out_collector, struct api *api, struct error *err);
/* Waits until the thread has ended. */
void collector_free(struct collector *collector);
DEFINE_AUTO(struct collector, collector_free)
