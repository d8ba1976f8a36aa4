/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - named moments at which a test kills us.
 *
 * fault_point("kistd create: row written") ends the process, as kill -9 does, if KIST_FAULT in the environment is that
 * name: once, when KIST_FAULT_MARK names a file, which is made then. A name says what is done already, begins with
 * the program, and occurs once: tests/e2e/test_96_faults.py finds all of them in the sources and goes through each.
 * Nothing of it is in a release build (-Dfault_points, meson_options.txt).
 */
#pragma once

#include "base/fault_config.h"

#ifdef KIST_FAULT_POINTS
void fault_point(const char *name);
#else
static inline void fault_point(const char *name)
{
	(void)name;
}
#endif
