/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handlers.h - every handler of the Docker API, for the table in routes.c.
 */
#pragma once

#include "http/server.h"

#define DOCKER_HANDLER(name)                                                                                           \
	int name(void *context, struct http_request *request, struct http_response *response, struct error *err)

/* system.c */
DOCKER_HANDLER(docker_ping);
DOCKER_HANDLER(docker_version);
DOCKER_HANDLER(docker_info);
DOCKER_HANDLER(docker_auth);
DOCKER_HANDLER(docker_events);
DOCKER_HANDLER(docker_disk_usage);

/* container.c */
DOCKER_HANDLER(docker_container_create);
DOCKER_HANDLER(docker_container_start);
DOCKER_HANDLER(docker_container_stop);
DOCKER_HANDLER(docker_container_restart);
DOCKER_HANDLER(docker_container_kill);
DOCKER_HANDLER(docker_container_pause);
DOCKER_HANDLER(docker_container_unpause);
DOCKER_HANDLER(docker_container_rename);
DOCKER_HANDLER(docker_container_update);
DOCKER_HANDLER(docker_container_resize);
DOCKER_HANDLER(docker_container_remove);
DOCKER_HANDLER(docker_container_wait);
DOCKER_HANDLER(docker_container_prune);

/* container_look.c */
DOCKER_HANDLER(docker_container_list);
DOCKER_HANDLER(docker_container_inspect);
DOCKER_HANDLER(docker_container_top);
DOCKER_HANDLER(docker_container_logs);

/* archive.c */
DOCKER_HANDLER(docker_archive_stat);
DOCKER_HANDLER(docker_archive_get);
DOCKER_HANDLER(docker_archive_put);
DOCKER_HANDLER(docker_container_export);

/* stats.c */
DOCKER_HANDLER(docker_container_stats);

/* attach.c */
DOCKER_HANDLER(docker_container_attach);
DOCKER_HANDLER(docker_container_attach_ws);

/* exec.c */
DOCKER_HANDLER(docker_exec_create);
DOCKER_HANDLER(docker_exec_start);
DOCKER_HANDLER(docker_exec_resize);
DOCKER_HANDLER(docker_exec_inspect);

/* image.c */
DOCKER_HANDLER(docker_image_list);
DOCKER_HANDLER(docker_image_inspect);
DOCKER_HANDLER(docker_image_history);
DOCKER_HANDLER(docker_image_tag);
DOCKER_HANDLER(docker_image_remove);
DOCKER_HANDLER(docker_image_prune);

/* image_create.c */
DOCKER_HANDLER(docker_image_create);

/* image_archive.c */
DOCKER_HANDLER(docker_image_save);
DOCKER_HANDLER(docker_image_save_all);
DOCKER_HANDLER(docker_image_load);

/* store.c */
DOCKER_HANDLER(docker_store_check);

/* image_push.c */
DOCKER_HANDLER(docker_image_push);
DOCKER_HANDLER(docker_distribution);

/* volume.c */
DOCKER_HANDLER(docker_volume_list);
DOCKER_HANDLER(docker_volume_create);
DOCKER_HANDLER(docker_volume_inspect);
DOCKER_HANDLER(docker_volume_remove);
DOCKER_HANDLER(docker_volume_prune);

/* network.c */
DOCKER_HANDLER(docker_network_list);
DOCKER_HANDLER(docker_network_inspect);
DOCKER_HANDLER(docker_network_create);
DOCKER_HANDLER(docker_network_connect);
DOCKER_HANDLER(docker_network_disconnect);
DOCKER_HANDLER(docker_network_remove);
DOCKER_HANDLER(docker_network_doctor);
DOCKER_HANDLER(docker_network_prune);

/* build.c, commit.c */
DOCKER_HANDLER(docker_build);
DOCKER_HANDLER(docker_build_history);
DOCKER_HANDLER(docker_build_look);
DOCKER_HANDLER(docker_build_prune);
DOCKER_HANDLER(docker_build_cancel);
DOCKER_HANDLER(docker_grpc);
DOCKER_HANDLER(docker_session);
DOCKER_HANDLER(docker_commit);
DOCKER_HANDLER(docker_container_changes);

/* debug.c */
DOCKER_HANDLER(docker_debug_vars);
DOCKER_HANDLER(docker_debug_threads);

/* absent.c */
DOCKER_HANDLER(docker_volume_update);
DOCKER_HANDLER(docker_swarm);
DOCKER_HANDLER(docker_swarm_leave);
DOCKER_HANDLER(docker_unsupported);
DOCKER_HANDLER(docker_image_search);
DOCKER_HANDLER(docker_checkpoint_create);
DOCKER_HANDLER(docker_checkpoint_list);
DOCKER_HANDLER(docker_checkpoint_remove);
DOCKER_HANDLER(docker_plugin_list);
DOCKER_HANDLER(docker_plugin_none);
