/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.h - what kist-image can be asked for; each prints its result to stdout and returns 0, or fails. */
#pragma once

#include "image/place.h"

typedef int image_job(const struct image_request *request, struct error *err);

image_job job_append;
image_job job_catalog;
image_job job_config;
image_job job_copy;
image_job job_delete;
image_job job_digest;
image_job job_export;
image_job job_flatten;
image_job job_inspect;
image_job job_ls_tags;
image_job job_manifest;
image_job job_manifest_annotate;
image_job job_manifest_create;
image_job job_manifest_inspect;
image_job job_manifest_push;
image_job job_mutate;
image_job job_rebase;
image_job job_referrers;
image_job job_sync;
image_job job_validate;

/* An operand as a place to read, or to write. */
int job_source(struct place **out_place, const struct image_request *request, const char *name, struct error *err);
int job_destination(struct place **out_place, const struct image_request *request, const char *name, struct error *err);
/* The platform of an image's manifest, from its config; none if that is no image's. */
int job_fill_platform(struct descriptor *descriptor, struct place *place, const struct document *document,
		      struct error *err);
/* The image config of a manifest, decoded and as text (yours). */
int job_load_config(struct place *place, const struct manifest *manifest, char **out_text, struct error *err);
