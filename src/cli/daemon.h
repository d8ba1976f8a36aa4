/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.h - starting kistd when nobody answers on the default socket.
 *
 * The daemon gets a session of its own and outlives the command; its log goes
 * to /run/kist/kistd.log, whose new lines explain a start that failed.
 */
#pragma once

#include "base/error.h"
#include "http/local.h"

/* Starts kistd and waits until `http` can connect. */
int daemon_start(struct local_client *http, const char *host, struct error *err);
