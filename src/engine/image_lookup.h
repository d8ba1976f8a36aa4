/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_lookup.h - what the image verbs share: from what a user wrote to a
 * record, its names and its config. Inside engine/ only.
 */
#pragma once

#include "engine/image.h"
#include "oci/reference.h"
#include "store/image_name.h"
#include "store/image_record.h"
#include "transfer/session.h"

struct image_hit {
	struct image_record record;
	bool by_id;		    /* the name was an id or the start of one */
	struct reference reference; /* with a tag or digest, unless by_id */
};

/* Docker's order: full id, reference, start of an id. ERR_NOT_FOUND "No such image: debian:latest". */
int image_lookup(struct image_hit *out_hit, struct engine *engine, const char *name, struct error *err);
void image_hit_fini(struct image_hit *hit);

int image_load_config(struct image_config *out_config, struct engine *engine, const struct digest *id,
		      struct error *err);
/* The names of one image as docker shows them ("debian:12", "debian@sha256:..."). */
int image_load_names(struct text_list *out_tags, struct text_list *out_digests, struct engine *engine,
		     const struct digest *id, struct error *err);
/* "debian:12" for "docker.io/library/debian:12"; yours. */
char *image_familiar(const char *name);
/* Publishes an image event with the labels of the config and `name`. */
void image_event(struct engine *engine, const char *action, const char *actor_id, const struct digest *id,
		 const char *name);
/* "image[:tag]" or "image@digest" and a separate tag or digest, as API parameters come; tag "latest" if there is none. */
int image_parse_reference(struct reference *out_reference, const char *image, const char *tag, struct error *err);
/* 12 hex digits. */
#define IMAGE_SHORT_ID_MAX 13
const char *image_short_id(char out[IMAGE_SHORT_ID_MAX], const struct digest *id);
/* What a reference means in its registry now; auth as in image_pull_options. */
int image_look(struct session_looked *out_looked, const struct reference *reference, const char *auth,
	       const struct session_settings *registry, int cancel_fd, struct error *err);
