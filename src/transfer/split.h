/* SPDX-License-Identifier: Apache-2.0 */
/*
 * split.h - a range of a blob over several connections at a time: what one
 * connection is slow to carry, more carry faster.
 *
 * Pieces are held in memory until it is their turn, so bytes arrive in order and
 * whoever is killed loses SPLIT_WINDOW of them at most.
 */
#pragma once

#include "transfer/source.h"

#define SPLIT_CONNECTIONS 4
#define SPLIT_PIECE (3 * 1024 * 1024)
#define SPLIT_WINDOW (SPLIT_CONNECTIONS * SPLIT_PIECE)

struct split {
	const struct source *source;
	const char *digest;
	uint64_t start;
	uint64_t end; /* behind the last byte */
	const atomic_bool *stop;
	/* In order, one at a time. */
	int (*append)(void *arg, const void *data, size_t size, struct error *err);
	void *arg;
};

/* Negative if any piece could not be had: all before it has been appended. */
int split_fetch(const struct split *split, struct error *err);
