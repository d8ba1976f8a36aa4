/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/ask.h"

const struct json_field message_ask_fields[] = {
	JSON_U64("id", struct message_ask, id, 0),
	JSON_TEXT("act", struct message_ask, act, JSON_REQUIRED),
	JSON_TEXT("what", struct message_ask, what, JSON_OMIT_EMPTY),
	JSON_TEXT("mediaType", struct message_ask, media_type, JSON_OMIT_EMPTY),
	JSON_TEXT("text", struct message_ask, text, JSON_OMIT_EMPTY),
	JSON_TEXT("digest", struct message_ask, digest, JSON_OMIT_EMPTY),
	JSON_U64("size", struct message_ask, size, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("mounts", struct message_ask, mounts, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("urls", struct message_ask, urls, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field message_answer_fields[] = {
	JSON_U64("id", struct message_answer, id, 0),
	JSON_BOOL("found", struct message_answer, found, JSON_OMIT_EMPTY),
	JSON_TEXT("mediaType", struct message_answer, media_type, JSON_OMIT_EMPTY),
	JSON_TEXT("digest", struct message_answer, digest, JSON_OMIT_EMPTY),
	JSON_U64("size", struct message_answer, size, JSON_OMIT_EMPTY),
	JSON_TEXT("text", struct message_answer, text, JSON_OMIT_EMPTY),
	JSON_TEXT("limit", struct message_answer, limit, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("names", struct message_answer, names, JSON_OMIT_EMPTY),
	JSON_TEXT("errorKind", struct message_answer, error_kind, JSON_OMIT_EMPTY),
	JSON_TEXT("errorMessage", struct message_answer, error_message, JSON_OMIT_EMPTY),
	JSON_I64("errorNumber", struct message_answer, error_number, JSON_OMIT_EMPTY),
	JSON_END,
};
