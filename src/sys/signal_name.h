/* SPDX-License-Identifier: Apache-2.0 */
/* signal_name.h - names of signals. */
#pragma once

/* "SIGTERM", "TERM", "15", "RTMIN+3", "SIGRTMAX-1", any case: its number 1..64, or -EINVAL. */
int signal_parse(const char *text);
/* "SIGTERM", "SIGRTMIN+3"; NULL for a number that is none. */
const char *signal_name(int number);
