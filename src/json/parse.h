/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h - inside json/ only: text to jansson's tree. */
#pragma once

#include <jansson.h>

#include "base/error.h"

int json_parse_text(json_t **out_root, const char *text, size_t size, struct error *err);
