/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - what a daemon needs to start but not to wait. */
#pragma once

/* Gives back the pages of programs and libraries that only starting touched, and free heap. */
void memory_shrink(void);
