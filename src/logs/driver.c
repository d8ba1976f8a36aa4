/* SPDX-License-Identifier: Apache-2.0 */
#include "logs/driver.h"

const struct log_driver *log_driver_find(const char *name)
{
	static const struct log_driver *const drivers[] = { &syslog_driver, &journald_driver, &gelf_driver,
							    &fluentd_driver };

	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (text_equal(drivers[i]->name, name))
			return drivers[i];
	return NULL;
}
