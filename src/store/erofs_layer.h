/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_layer.h - layers that are one EROFS image each, mounted on their folder
 * while somebody needs it. Inside store/ only.
 *
 * A layer's mount goes again some time after nothing (snapshot, lease) stands on
 * it, at the store's end, and at the next start after a kill; overlays that were
 * made of it keep the image. Unmounted, there is no folder: nobody takes an empty
 * one for the layer.
 *
 * On disk:  <root>/snapshots/<n>/layer.erofs, mounted on <root>/snapshots/<n>/fs
 * Threads:  share the store freely.
 */
#pragma once

#include "store/layer.h"

struct erofs_layers;

struct erofs_layers *erofs_layers_new(struct store *store);
/* Unmounts all. */
void erofs_layers_free(struct erofs_layers *layers);
/* What a killed process left mounted. */
int erofs_layers_recover(struct store *store, struct error *err);

/* Can this host do it? ERR_UNSUPPORTED with the reason. */
int erofs_layers_check(struct store *store, struct error *err);
/* Makes the image of snapshots/new-<n>/fs, which goes. */
int erofs_layer_make(struct store *store, int64_t directory, struct error *err);
/* The folder is there when this returns; nothing to do if the layer is a folder anyway. */
int erofs_layer_use(struct store *store, int64_t directory, struct error *err);
/* Before its folder goes. */
void erofs_layer_forget(struct store *store, int64_t directory);
/* Unmounts what nothing needs. True: something else may be unmounted later. */
bool erofs_layers_tidy(struct store *store);
/* The image by itself, whatever is remembered of it: a descriptor, yours; -1 with err clean if the layer is a folder. */
int erofs_layer_open_again(struct store *store, int64_t directory, struct error *err);
