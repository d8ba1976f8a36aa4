/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate.h - how fast a container on a bridge may speak. Towards it the host's end
 * of its pair is slowed; from it what that end receives goes through an ifb link
 * that is: the container's own end is left alone, so whoever rules inside cannot
 * lift it. Inside of network.h.
 */
#pragma once

#include "network/state.h"

/* Nothing if there is no limit. ERR_UNSUPPORTED: the kernel has no such queue. */
int rate_apply(const struct endpoint_record *record, int socket_fd, struct error *err);
/* Removes the ifb link that goes with the host's end of a pair, if there is one. */
void rate_remove(const char *link, int socket_fd);
/* Whether this is such a link; *out_name is the end it goes with. */
bool rate_is_ours(const struct link_info *link, char out_name[16]);
