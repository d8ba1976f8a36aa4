/* SPDX-License-Identifier: Apache-2.0 */
#include "logs/settings.h"

#define T struct log_settings
const struct json_field log_settings_fields[] = {
	JSON_TEXT("driver", T, driver, JSON_REQUIRED),
	JSON_TEXT_MAP("options", T, options, 0),
	JSON_TEXT("tag", T, tag, 0),
	JSON_TEXT_MAP("attributes", T, attributes, 0),
	JSON_TEXT("containerId", T, container_id, JSON_REQUIRED),
	JSON_TEXT("containerName", T, container_name, 0),
	JSON_TEXT("imageId", T, image_id, 0),
	JSON_TEXT("imageName", T, image_name, 0),
	JSON_TEXT("command", T, command, 0),
	JSON_TEXT("created", T, created, 0),
	JSON_END,
};
#undef T
