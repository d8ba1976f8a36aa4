/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_claim.h - two pulls never receive the same layer at once: the second
 * waits and then finds it there. Inside engine/ only.
 *
 * A pull claims all its layers together, before it asks for the first, so that
 * two pulls cannot wait for each other.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"

/* Waits until nobody holds any of them; ERR_CANCELED when cancel_fd (or -1) becomes readable. `owner` tells stores apart. */
int image_claim(const void *owner, const struct text_list *digests, int cancel_fd, struct error *err);
void image_claim_release(const void *owner, const struct text_list *digests);
