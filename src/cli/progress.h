/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - the engine's stream of JSON messages (pull, import, load,
 * push) on a terminal as moving bars, elsewhere as lines.
 */
#pragma once

#include <stdio.h>

#include "http/local.h"

/* Prints until the end. An error in the stream becomes err. quiet: only errors. */
int progress_show(struct local_response *response, FILE *out, bool quiet, struct error *err);
/* "[====>    ]  1.2MB/3.4MB" as docker draws it; "" for nothing known. */
char *progress_bar(long long current, long long total, unsigned columns);
