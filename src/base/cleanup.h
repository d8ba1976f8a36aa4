/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup.h - every owning local variable frees itself.
 *
 * AUTO(fn) runs fn on the variable's address when it leaves scope. Give
 * ownership away with take_ptr() or take_fd(), which leave NULL or -1 behind.
 * Never use goto in a function that has AUTO variables.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AUTO(fn) __attribute__((cleanup(fn)))
#define AUTO_FREE AUTO(auto_free)
#define AUTO_CLOSE AUTO(auto_close)
#define AUTO_FCLOSE AUTO(auto_fclose)
#define AUTO_CLOSEDIR AUTO(auto_closedir)

/* Defines fn##p(), which AUTO() wants, for a destructor fn(type *). */
#define DEFINE_AUTO(type, fn)                                                                                          \
	static inline void fn##p(type **pointer)                                                                       \
	{                                                                                                              \
		if (*pointer)                                                                                          \
			fn(*pointer);                                                                                  \
	}

/* Moves the pointer out of its variable. */
#define take_ptr(pointer)                                                                                              \
	__extension__({                                                                                                \
		__typeof__(pointer) taken_ = (pointer);                                                                \
		(pointer) = NULL;                                                                                      \
		taken_;                                                                                                \
	})

/* Not inlined: the analyzer then sees that what starts as NULL is freed as NULL. */
static __attribute__((noinline, unused)) void auto_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void auto_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void auto_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void auto_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* Moves the descriptor out of its variable. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}
