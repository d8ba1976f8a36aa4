/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.h - dockerd's options that kistd has no switch for.
 *
 * A command line or daemon.json written for dockerd shall start kistd, or say
 * which of its wishes cannot be had and why. An option of this table either
 * asks for what kistd does anyway (`accepted`), or wants a part that kistd does
 * not have and works without ("*": taken, with a line in the log), or is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

struct known_option {
	const char *flag;     /* "storage-driver"; NULL: only in the file */
	const char *key;      /* of daemon.json; NULL: only on the command line */
	bool is_bool;	      /* the flag takes no value */
	const char *accepted; /* "overlay2|overlay": what kistd does; "*": all, but in vain; NULL: nothing */
	const char *reason;   /* why not otherwise */
};

#define KNOWN_OPTIONS_MAX 64
extern const struct known_option known_options[];
size_t known_option_count(void);
/* By the key of daemon.json, or NULL. */
const struct known_option *known_option_find(const char *key);
/* 0, perhaps with a warning; ERR_INVALID with the reason. `name` is how the user wrote it. */
int known_option_judge(const struct known_option *option, const char *name, const char *value,
		       struct text_list *warnings, struct error *err);
