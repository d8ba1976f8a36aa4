/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal.h - raw mode that is always undone, and the window's size.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Raw mode on fd (stdin), restored by terminal_restore() and at exit. 0, or -1 if it is no terminal. */
int terminal_raw(int fd);
void terminal_restore(void);
/* 0 and the size, or -1. */
int terminal_size(int fd, unsigned *out_rows, unsigned *out_columns);
/* A line without echo (a password), without its end; NULL at end of input. */
char *terminal_read_secret(const char *prompt);
/* A line with echo; NULL at end of input. */
char *terminal_read_line(const char *prompt);
/* docker's y/N question, on stdout; true for y or Y. */
bool terminal_confirm(const char *question);
