/* LEAT_TOKEN: what a job shows to the site that it is run by. It has the scopes create, read and publish as the owner
 * of its task, while the attempt lives: the transaction that ends that revokes it, and so does the end of its runner's
 * lease (sql/schema/015_job_tokens.sql). */
#ifndef LEAT_RUNNER_JOB_TOKEN_H
#define LEAT_RUNNER_JOB_TOKEN_H

#include "base/error.h"
#include "base/secret.h"
#include "store/db.h"
#include "task/task.h"

#include <stdint.h>

/* Makes one for the attempt of `t` that the open transaction claims, which ends at the latest in `longest_ms`. The
 * caller wipes `secret`. Errors of the store. */
enum err job_token_make(struct db *db, const struct task *t, int64_t longest_ms,
                        char secret[SECRET_SIZE], struct error *e);

#endif
