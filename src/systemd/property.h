/* SPDX-License-Identifier: Apache-2.0 */
/*
 * property.h - properties of a systemd unit as lines of text: NAME TYPE VALUE.
 *
 * TYPE is the D-Bus signature: b (true, false), i, u, t (numbers), s (the rest of the
 * line), ay (bytes in hexadecimal), as (words), a(ss) (pairs of words), au (numbers).
 */
#pragma once

#include <systemd/sd-bus.h>

#include "base/error.h"

/* Appends every line of text as one (sv) to an array that is open in message. ERR_INVALID names the line. */
int property_append_all(sd_bus_message *message, const char *text, struct error *err);
