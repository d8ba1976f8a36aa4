/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script.h - kist build --script: a list of steps in place of a Dockerfile, a
 * step a line. A line that begins with the name of an instruction, in any case
 * ("from debian:12", "copy src /src", "env A=1"), is that; every other one is a
 * command ("run" before it lets a command have such a name). A line that ends in
 * a backslash goes on in the next.
 */
#pragma once

#include "base/error.h"

/* The same as the text of a Dockerfile, line for line (yours): what the engine says of a line is right here too. */
char *script_dockerfile(const char *script, struct error *err);
