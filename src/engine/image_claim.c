/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_claim.h"

#include <poll.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/thread.h"

#define LOOK_AT_CANCEL_NS (100 * CLOCK_MS)

/* Process-wide: layers are claimed for minutes at most, by a handful of pulls. */
static struct {
	pthread_once_t once;
	struct mutex mutex;
	struct condition released;
	struct map held; /* "<owner> <digest>" -> itself */
} claims = { .once = PTHREAD_ONCE_INIT };

static void claims_init(void)
{
	mutex_init(&claims.mutex);
	condition_init(&claims.released);
	map_init(&claims.held, NULL);
}

static char *claim_key(const void *owner, const char *digest)
{
	return xasprintf("%p %s", owner, digest);
}

static bool any_held_locked(const void *owner, const struct text_list *digests)
{
	mutex_assert_held(&claims.mutex);
	for (size_t i = 0; i < digests->count; i++) {
		AUTO_FREE char *key = claim_key(owner, digests->items[i]);

		if (map_get(&claims.held, key))
			return true;
	}
	return false;
}

static bool is_canceled(int cancel_fd)
{
	struct pollfd polled = { .fd = cancel_fd, .events = POLLIN };

	return cancel_fd >= 0 && poll(&polled, 1, 0) > 0;
}

int image_claim(const void *owner, const struct text_list *digests, int cancel_fd, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = NULL;

	pthread_once(&claims.once, claims_init);
	held = mutex_hold(&claims.mutex);
	while (any_held_locked(owner, digests)) {
		condition_wait_until(&claims.released, &claims.mutex, clock_monotonic_ns() + LOOK_AT_CANCEL_NS);
		if (is_canceled(cancel_fd))
			return error_set(err, ERR_CANCELED, "canceled");
	}
	for (size_t i = 0; i < digests->count; i++) {
		AUTO_FREE char *key = claim_key(owner, digests->items[i]);

		map_set(&claims.held, key, &claims);
	}
	return 0;
}

void image_claim_release(const void *owner, const struct text_list *digests)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&claims.mutex);

	(void)held;
	for (size_t i = 0; i < digests->count; i++) {
		AUTO_FREE char *key = claim_key(owner, digests->items[i]);

		map_remove(&claims.held, key);
	}
	condition_broadcast(&claims.released);
}
