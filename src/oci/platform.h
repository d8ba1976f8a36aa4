/* SPDX-License-Identifier: Apache-2.0 */
/*
 * platform.h - which machine an image is for: os/architecture[/variant].
 *
 * Texts are normalised as containerd's platforms package does (aarch64 ->
 * arm64, x86_64 -> amd64, armhf -> arm/v7). platform_rank() orders what a
 * wanted platform accepts. A plain value that owns its texts.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "json/json.h"

struct platform {
	char *architecture;
	char *os;
	char *os_version;
	struct text_list os_features;
	char *variant;
};

/* The OCI object, for tables that hold a platform. */
extern const struct json_field platform_fields[];

/* "linux/arm64/v8", "arm64", "linux", "linux/amd64". What is left out is the host's. */
int platform_parse(struct platform *out_platform, const char *text, struct error *err);
void platform_fini(struct platform *platform);
void platform_copy(struct platform *to, const struct platform *from);
void platform_normalize(struct platform *platform);
/* This machine, with its variant (amd64/v3, arm64/v8). */
void platform_host(struct platform *out_platform);
/* "linux/arm64/v8"; yours. */
char *platform_format(const struct platform *platform);

enum platform_match {
	PLATFORM_STRICT,  /* --platform: the same variant and nothing else */
	PLATFORM_RUNNABLE /* the host: older variants and 32-bit too */
};

/* 0 fits best, more fits worse, -1 does not fit. Neither side needs to be normalised. */
int platform_rank(const struct platform *wanted, const struct platform *offered, enum platform_match match);
