/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authorization.h - docker's authorization plugins (--authorization-plugin NAME; see plugin/plugin.h).
 *
 * One is asked before a request (/AuthZPlugin.AuthZReq), in the order of the list, and
 * about a whole answer (/AuthZPlugin.AuthZRes), in the opposite order. One that cannot be asked refuses. Bodies are
 * shown if they are JSON; credentials never are.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "http/server.h"
#include "plugin/plugin.h"

/* ERR_FORBIDDEN "authorization denied by plugin NAME: MESSAGE", ERR_INTERNAL if one does not answer as it should. */
int authorization_ask(struct plugins *plugins, const struct text_list *names, struct http_request *request,
		      struct error *err);
int authorization_review(struct plugins *plugins, const struct text_list *names, struct http_request *request,
			 const struct http_answer *answer, struct error *err);
