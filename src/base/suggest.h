/* SPDX-License-Identifier: Apache-2.0 */
/* suggest.h - "did you mean ...?": which known word comes near to one that is not known. */
#pragma once

/* Steps from one word to the other: inserted, dropped, changed or swapped letters. Words beyond 32 bytes are never near. */
unsigned suggest_distance(const char *a, const char *b);

struct suggestion {
	const char *word; /* borrowed from the candidates; NULL: none is near */
	unsigned away;
};

/* Takes the candidate if it is at most two steps from the word and nearer than what was offered before. */
void suggest_offer(struct suggestion *best, const char *word, const char *candidate);
