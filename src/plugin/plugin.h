/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin.h - docker's plugins, protocol v1: HTTP servers on sockets, found by name.
 *
 * Looked for in each of the folders, in order: NAME.sock or NAME/NAME.sock is the socket; the same with .spec is a file
 * with its address (unix:///path, tcp://host:port), with .json one with the address as "Addr". A call is a POST of JSON
 * to /METHOD. A plugin's first call is /Plugin.Activate, which tells what kinds of things it is for.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

#define PLUGIN_FOLDERS "/run/docker/plugins:/etc/docker/plugins:/usr/lib/docker/plugins"

struct plugins;

/* Folders separated by colons; NULL or "": docker's. */
struct plugins *plugins_new(const char *folders);
void plugins_free(struct plugins *plugins);
DEFINE_AUTO(struct plugins, plugins_free)

struct plugin_call {
	const char *name;
	const char *kind;   /* "VolumeDriver": it must implement that; NULL: it is not activated */
	const char *method; /* "VolumeDriver.Create" */
	const char *body;   /* JSON */
	int timeout_ms;	    /* for all of it */
	int patience_ms;    /* how long one that is not there, or does not listen yet, is tried again; 0: not */
	int cancel_fd;	    /* -1: none */
	int other_fd;	    /* the same */
};

enum plugin_result {
	PLUGIN_LOST = -1,   /* it could not be asked, or not be understood */
	PLUGIN_REFUSED = 0, /* it answered with an error, which `err` has */
	PLUGIN_DONE = 1
};

/*
 * *out_answer is the JSON object of its answer, yours. ERR_INVALID: a name that no plugin can have (empty, with a slash,
 * a dot first); ERR_NOT_FOUND: plugin "x" not found; ERR_CANCELED; else ERR_INTERNAL. An answer with status 200 may
 * still say "Err": PLUGIN_REFUSED, too.
 */
enum plugin_result plugin_call(char **out_answer, struct plugins *plugins, const struct plugin_call *call,
			       struct error *err);

/* Adds the names of all that are there, but for those that are known to be of other kinds; whether they answer is not known. */
void plugins_find(struct text_list *out_names, struct plugins *plugins, const char *kind);
/* Adds the names of those that were activated and are of that kind. */
void plugins_used(struct text_list *out_names, struct plugins *plugins, const char *kind);
/* It did not answer in time less than a minute ago. */
bool plugin_is_silent(struct plugins *plugins, const char *name);
