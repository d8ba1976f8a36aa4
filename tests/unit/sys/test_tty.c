/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "unit/unit.h"

static void test_pair(void **state)
{
	AUTO_CLOSE int master = -1;
	AUTO_CLOSE int slave = -1;
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned short rows = 0, columns = 0;
	struct termios saved, now;
	char text[4];

	(void)state;
	assert_int_equal(tty_open_pair(AT_FDCWD, "/dev/ptmx", &master, &slave), 0);
	assert_true(tty_number(master) >= 0);
	assert_int_equal(tty_verify_slave(slave), 0);
	assert_int_equal(tty_verify_slave(null), -ENOTTY);
	assert_int_equal(tty_set_size(master, 40, 132), 0);
	assert_int_equal(tty_get_size(slave, &rows, &columns), 0);
	assert_true(rows == 40 && columns == 132);
	assert_int_equal(tty_set_raw(slave, &saved), 0);
	assert_int_equal(tcgetattr(slave, &now), 0);
	assert_false(now.c_lflag & (ICANON | ECHO));
	/* Raw: a single byte comes through without a line end. */
	assert_int_equal(write(master, "q", 1), 1);
	assert_int_equal(read(slave, text, sizeof(text)), 1);
	assert_int_equal(tty_restore(slave, &saved), 0);
	assert_int_equal(tcgetattr(slave, &now), 0);
	assert_true(now.c_lflag & ICANON);
	assert_int_equal(tty_get_size(null, &rows, &columns), -ENOTTY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
