/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_changes.h - Dockerfile instructions that only change a config, as
 * `import --change` and `commit --change` take them: CMD ENTRYPOINT ENV EXPOSE
 * HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR. Inside engine/ only.
 */
#pragma once

#include "oci/image_config.h"

/* One instruction per item. ERR_INVALID names the one that is wrong. */
int image_changes_apply(struct image_run *run, const struct text_list *changes, struct error *err);
/* Whether they can be applied: told before the work, not after. */
int image_changes_check(const struct text_list *changes, struct error *err);
