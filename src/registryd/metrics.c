/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/metrics.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/text.h"
#include "registryd/api.h"

static const char *const methods[] = { "GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "other" };
#define METHOD_COUNT (sizeof(methods) / sizeof(methods[0]))
#define CLASS_COUNT 6 /* 0: none; 1xx to 5xx */
/* Upper bounds in microseconds; behind the last: everything. */
static const int64_t buckets[] = { 1000, 5000, 25000, 100000, 500000, 2500000, 10000000 };
#define BUCKET_COUNT (sizeof(buckets) / sizeof(buckets[0]))

struct metrics {
	_Atomic uint64_t requests[METHOD_COUNT][CLASS_COUNT];
	_Atomic uint64_t bytes;
	_Atomic uint64_t took[BUCKET_COUNT + 1];
	_Atomic uint64_t took_us;
	_Atomic uint64_t collections;
	_Atomic uint64_t collected_blobs;
	_Atomic uint64_t collected_bytes;
	_Atomic uint64_t scrubbed_blobs;
	_Atomic uint64_t damaged_blobs;
	_Atomic uint64_t events_taken;
	_Atomic uint64_t events_lost;
};

struct metrics *metrics_new(void)
{
	return xcalloc(1, sizeof(struct metrics));
}

void metrics_free(struct metrics *metrics)
{
	free(metrics);
}

void metrics_add(struct metrics *metrics, const char *method, int status, uint64_t bytes, int64_t took_us)
{
	size_t row = 0;
	size_t bucket = 0;

	while (row < METHOD_COUNT - 1 && !text_equal(methods[row], method))
		row++;
	while (bucket < BUCKET_COUNT && took_us > buckets[bucket])
		bucket++;
	metrics->requests[row][status >= 100 && status < 600 ? status / 100 : 0]++;
	metrics->bytes += bytes;
	metrics->took[bucket]++;
	metrics->took_us += (uint64_t)took_us;
}

void metrics_add_garbage(struct metrics *metrics, uint64_t blobs, uint64_t bytes)
{
	metrics->collections++;
	metrics->collected_blobs += blobs;
	metrics->collected_bytes += bytes;
}

void metrics_add_scrub(struct metrics *metrics, uint64_t blobs, uint64_t damaged)
{
	metrics->scrubbed_blobs += blobs;
	metrics->damaged_blobs += damaged;
}

void metrics_add_event(struct metrics *metrics, bool taken)
{
	if (taken)
		metrics->events_taken++;
	else
		metrics->events_lost++;
}

/* ---- GET /metrics ---- */

static void add_head(struct text *out, const char *name, const char *kind, const char *help)
{
	text_addf(out, "# HELP kist_registry_%s %s\n# TYPE kist_registry_%s %s\n", name, help, name, kind);
}

static void add_number(struct text *out, const char *name, const char *kind, const char *help, uint64_t value)
{
	add_head(out, name, kind, help);
	text_addf(out, "kist_registry_%s %llu\n", name, (unsigned long long)value);
}

static void add_requests(struct text *out, const struct metrics *metrics)
{
	uint64_t sum = 0;

	add_head(out, "requests_total", "counter", "Requests by method and class of status.");
	for (size_t row = 0; row < METHOD_COUNT; row++)
		for (int class = 1; class < CLASS_COUNT; class ++)
			if (metrics->requests[row][class])
				text_addf(out, "kist_registry_requests_total{method=\"%s\",status=\"%dxx\"} %llu\n",
					  methods[row], class, (unsigned long long)metrics->requests[row][class]);
	add_head(out, "request_seconds", "histogram", "Time from a request's headers to its answer.");
	for (size_t i = 0; i <= BUCKET_COUNT; i++) {
		sum += metrics->took[i];
		if (i < BUCKET_COUNT)
			text_addf(out, "kist_registry_request_seconds_bucket{le=\"%g\"} %llu\n",
				  (double)buckets[i] / 1e6, (unsigned long long)sum);
		else
			text_addf(out, "kist_registry_request_seconds_bucket{le=\"+Inf\"} %llu\n",
				  (unsigned long long)sum);
	}
	text_addf(out, "kist_registry_request_seconds_sum %.6f\nkist_registry_request_seconds_count %llu\n",
		  (double)metrics->took_us / 1e6, (unsigned long long)sum);
}

int api_metrics(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	const struct metrics *metrics = api->metrics;
	struct catalog_counts counts;
	struct text out = { 0 };

	if (!api_config(api)->metrics)
		return api_not_found(context, request, response, err);
	if (catalog_count(&counts, api->catalog, err) < 0)
		return -1;
	add_requests(&out, metrics);
	add_number(&out, "answer_bytes_total", "counter", "Bytes of answers.", metrics->bytes);
	add_number(&out, "collections_total", "counter", "Garbage collections.", metrics->collections);
	add_number(&out, "collected_blobs_total", "counter", "Blobs they removed.", metrics->collected_blobs);
	add_number(&out, "collected_bytes_total", "counter", "Bytes they freed.", metrics->collected_bytes);
	add_number(&out, "scrubbed_blobs_total", "counter", "Blobs that were read again.", metrics->scrubbed_blobs);
	add_number(&out, "damaged_blobs_total", "counter", "Of them, put aside.", metrics->damaged_blobs);
	add_number(&out, "events_sent_total", "counter", "Events that webhooks took.", metrics->events_taken);
	add_number(&out, "events_lost_total", "counter", "Events that full queues lost.", metrics->events_lost);
	add_number(&out, "stored_bytes", "gauge", "Bytes of blobs and manifests, each once.", (uint64_t)counts.bytes);
	add_number(&out, "repositories", "gauge", "Repositories.", (uint64_t)counts.repositories);
	add_number(&out, "manifests", "gauge", "Manifests.", (uint64_t)counts.manifests);
	add_number(&out, "tags", "gauge", "Tags.", (uint64_t)counts.tags);
	add_number(&out, "blobs", "gauge", "Different blobs, manifests not counted.", (uint64_t)counts.blobs);
	http_reply_take(response, 200, "text/plain; version=0.0.4; charset=utf-8", text_take(&out));
	return 0;
}
