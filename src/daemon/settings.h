/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h - one configuration as the engine sees it while it runs. A reload
 * makes another; all stay until the end, because somebody may still read them.
 */
#pragma once

#include "api/docker/policy.h"
#include "builder/collector.h"
#include "daemon/config.h"
#include "engine/settings.h"
#include "network/network.h"

struct daemon_settings {
	struct daemon_config config; /* owned */
	struct engine_settings engine;
	struct collector_settings collector;
	struct policy_set *policies;   /* owned; NULL: none */
	struct daemon_settings *older; /* owned */
};

/* After config was loaded: reads the socket policy, too. */
int daemon_settings_fill(struct daemon_settings *settings, struct error *err);
void daemon_settings_free(struct daemon_settings *settings);
/* The default bridge as the configuration has it; borrows from it. */
struct network_bridge daemon_settings_bridge(const struct daemon_config *config);
/* What dockerd tells with a `daemon reload` event. */
void daemon_settings_describe(struct text_map *out_attributes, const struct daemon_config *config);
/* What a reload of dockerd cannot change, and neither can ours, but differs: their names. */
void daemon_settings_unchanged(struct text_list *out_names, const struct daemon_config *before,
			       const struct daemon_config *after);
