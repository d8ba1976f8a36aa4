/* SPDX-License-Identifier: Apache-2.0 */
/* image_agent.h - a repository of a registry (transfer/agent.h), as the user whom the Docker API names. */
#pragma once

#include "transfer/agent.h"

struct image_agent_options {
	const char *reference;			 /* full form */
	const char *auth;			 /* JSON of X-Registry-Auth, decoded; NULL: nobody */
	const struct session_settings *registry; /* NULL: defaults */
	int cancel_fd;
};
int image_agent_open(struct agent **out_agent, const struct image_agent_options *options, struct error *err);
