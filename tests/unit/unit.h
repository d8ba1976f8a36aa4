/* SPDX-License-Identifier: Apache-2.0 */
/* unit.h - what every unit test includes: cmocka, in the order it wants. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

/* Fails with the error's own words. */
static inline void assert_no_error(int result, struct error *err)
{
	if (result < 0)
		fail_msg("unexpected error: %s", err->message ? err->message : "(none)");
}
