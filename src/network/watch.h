/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h - a thread that sees our rules go and writes them again (network_watch). Inside of network.h. */
#pragma once

#include "network/state.h"

void watch_end(struct network *network);
