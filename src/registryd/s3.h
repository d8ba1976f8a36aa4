/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3.h - URLs of an S3-compatible storage that say by themselves who sends them:
 * AWS Signature Version 4 in the query, for a while. So the secret stays in this
 * program, whoever uses the URL: kist-transfer, or a client that is sent there.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "json/json.h"

struct s3_config {
	char *endpoint; /* "https://s3.eu-central-1.amazonaws.com" */
	char *bucket;
	char *region;		   /* "us-east-1" */
	char *prefix;		   /* of the objects' names, "" or NULL: none */
	char *access_key;	   /* its name */
	char *secret_file;	   /* holds the secret */
	bool virtual_host;	   /* https://bucket.host/ instead of https://host/bucket/ */
	bool redirect;		   /* clients get blobs from there, instead of through us */
	bool insecure;		   /* its certificate is not verified */
	struct optional_i64 cache; /* bytes kept here; 1 GiB */
};

extern const struct json_field s3_fields[];

/* NULL if it can be used, else what is wrong with it (yours). */
char *s3_problem(const struct s3_config *config);

struct s3_request {
	const char *method;
	const char *name;  /* of the object, behind the prefix; "" for the bucket */
	const char *query; /* "partNumber=1&uploadId=x": sorted, encoded, names in lower case; NULL: none */
	int64_t wall_ns;
	int64_t life_s;
};

/* The URL, yours. */
char *s3_url(const struct s3_config *config, const char *secret, const struct s3_request *request);
/* A text as it must be in a query, yours. */
char *s3_encode(const char *text);
