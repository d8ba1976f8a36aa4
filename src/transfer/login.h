/* SPDX-License-Identifier: Apache-2.0 */
/* login.h - inside kist-transfer: are these credentials good at this registry? Open before the sandbox, run in it. */
#pragma once

#include "base/cleanup.h"
#include "transfer/message.h"

struct login;

int login_open(struct login **out_login, const struct message_request *request, struct error *err);
/* Fills the identity token of *out_end, "" if the registry gave none. */
int login_run(struct login *login, struct message_event *out_end, struct error *err);
void login_free(struct login *login);
DEFINE_AUTO(struct login, login_free)
