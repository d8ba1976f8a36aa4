/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

static struct termios saved;
static int saved_fd = -1;

void terminal_restore(void)
{
	if (saved_fd >= 0)
		tcsetattr(saved_fd, TCSADRAIN, &saved);
	saved_fd = -1;
}

int terminal_raw(int fd)
{
	static bool registered;
	struct termios raw;

	if (tcgetattr(fd, &saved) < 0)
		return -1;
	raw = saved;
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(fd, TCSANOW, &raw) < 0)
		return -1;
	saved_fd = fd;
	if (!registered)
		atexit(terminal_restore);
	registered = true;
	return 0;
}

int terminal_size(int fd, unsigned *out_rows, unsigned *out_columns)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
		return -1;
	*out_rows = size.ws_row;
	*out_columns = size.ws_col;
	return 0;
}

char *terminal_read_line(const char *prompt)
{
	struct text line = { 0 };
	bool any = false;
	char c;

	fputs(prompt, stdout);
	fflush(stdout);
	/* Byte by byte: what follows the line belongs to somebody else. */
	while (read(STDIN_FILENO, &c, 1) == 1) {
		any = true;
		if (c == '\n')
			break;
		if (c != '\r')
			text_add_char(&line, c);
	}
	if (!any) {
		text_fini(&line);
		return NULL;
	}
	return text_take(&line);
}

char *terminal_read_secret(const char *prompt)
{
	struct termios quiet;
	bool hidden = tcgetattr(STDIN_FILENO, &saved) == 0;
	char *line;

	if (hidden) {
		quiet = saved;
		quiet.c_lflag &= (tcflag_t)~ECHO;
		tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
		saved_fd = STDIN_FILENO;
	}
	line = terminal_read_line(prompt);
	if (hidden) {
		terminal_restore();
		fputc('\n', stdout);
	}
	return line;
}

bool terminal_confirm(const char *question)
{
	AUTO_FREE char *prompt = xasprintf("%s [y/N] ", question);
	AUTO_FREE char *line = terminal_read_line(prompt);

	return line && (text_equal(text_trim(line), "y") || text_equal(text_trim(line), "Y"));
}
