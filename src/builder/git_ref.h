/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git_ref.h - what of which repository, as ADD and build contexts write it:
 * "https://host/x.git#branch:folder", "git@host:x.git?tag=v1&subdir=d",
 * "ssh://", "git://", and for contexts "github.com/o/r". Text only; reads what
 * strangers wrote. An http(s) URL is a repository if its path ends with ".git".
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum git_choice { GIT_UNSAID, GIT_YES, GIT_NO };

struct git_ref {
	char *remote;	  /* as git takes it, without query and fragment */
	char *scheme;	  /* "http", "https", "ssh", "git" */
	char *host;	  /* with its port */
	char *short_name; /* "x" */
	char *ref;	  /* branch, tag, commit or whole name; NULL: what HEAD is there */
	char *checksum;	  /* commit it must be; NULL */
	char *subdir;	  /* NULL: all */
	bool like_local;  /* "github.com/o/r": as a path it could be there too */
	bool unencrypted;
	enum git_choice keep_git_dir;
	enum git_choice submodules;
	bool mtime_commit; /* files have the commit's time */
	bool mtime_said;
	bool fetch_by_commit; /* the checksum says what is fetched, the ref is only its name */
};

/* 1: it is one; 0: something else; ERR_INVALID: it is one and wrong. */
int git_ref_parse(struct git_ref *out_ref, const char *text, struct error *err);
void git_ref_fini(struct git_ref *ref);
/* "https://host/x.git#ref[:subdir]", yours; NULL if it is none, or a wrong one. */
char *git_ref_short_form(const char *text, bool with_subdir);
/* 40 or 64 hex digits. */
bool git_is_commit(const char *text);

/* The last part of an http(s) URL's path, unescaped and fit for a file name, yours; NULL: it has none. */
char *url_file_name(const char *url);
/* Host without port, yours; "" if there is none. */
char *url_host_name(const char *url);
