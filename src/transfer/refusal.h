/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal.h - a registry's error answer, {"errors":[{"code","message"}]}, as an
 * error in docker's words: "manifest unknown: manifest unknown".
 */
#pragma once

#include "base/error.h"
#include "http/remote.h"

/* Fills err from a status that is no success; *out_code (may be NULL; yours) gets the code, "" if there was none. */
int refusal_error(struct remote_response *response, char **out_code, struct error *err);
