/* SPDX-License-Identifier: Apache-2.0 */
/*
 * optional.h - values that may be absent (JSON null or no key), where absent
 * and zero mean different things. {0} is absent.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct optional_i64 {
	bool set;
	int64_t value;
};

struct optional_u64 {
	bool set;
	uint64_t value;
};

struct optional_bool {
	bool set;
	bool value;
};

static inline int64_t optional_i64_or(struct optional_i64 optional, int64_t otherwise)
{
	return optional.set ? optional.value : otherwise;
}

static inline uint64_t optional_u64_or(struct optional_u64 optional, uint64_t otherwise)
{
	return optional.set ? optional.value : otherwise;
}

static inline bool optional_bool_or(struct optional_bool optional, bool otherwise)
{
	return optional.set ? optional.value : otherwise;
}
