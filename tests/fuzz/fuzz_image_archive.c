/* SPDX-License-Identifier: Apache-2.0 */
/* Any archive, read as docker's and as a layout: no crash, and a document has the digest it says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "image/place.h"
#include "oci/hasher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_place(const char *name)
{
	static const struct image_request request;
	static const struct image_access access;
	AUTO(error_clear) struct error err = { 0 };
	AUTO(place_freep) struct place *place = NULL;
	AUTO(document_fini) struct document document = { 0 };
	struct digest said;
	struct digest got;

	if (place_open(&place, name,
		       &(struct place_options){ .request = &request, .access = &access, .use = PLACE_READ },
		       &err) < 0 ||
	    place_document(place, &document, NULL, &err) < 0)
		return;
	if (digest_parse(&said, document.digest, &err) < 0)
		abort();
	digest_of(&got, said.algorithm, document.text, document.size);
	if (!digest_equal(&said, &got))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_CLOSE int fd = file_memory("archive", data, size);
	AUTO_FREE char *docker = xasprintf("docker-archive:/dev/fd/%d", fd);
	AUTO_FREE char *layout = xasprintf("oci-archive:/dev/fd/%d", fd);

	if (fd < 0)
		return 0;
	read_place(docker);
	read_place(layout);
	return 0;
}
