/* Answers about one task, at once or when something has happened to it. */
#ifndef LEAT_ANSWERS_H
#define LEAT_ANSWERS_H

#include "site.h"
#include "task/task.h"

#include <stdbool.h>
#include <stdint.h>

/* Tasks are answered in the dialect that the request asks for. Who answers one has looked before, by
 * site_dialect, whether there is such a dialect: here it is too late to say so. */

/* The task document with its ETag. */
void answer_task(struct site *site, struct request *request, const struct task *t, int status);

/* 304 with `etag`. `waited_ms` -1: nobody asked to wait. */
void answer_not_modified(struct request *request, const char *etag, int64_t waited_ms);

/* The answer to a create: 202; 200 when the task is finished and was waited for. `waited_ms` -1: nobody
 * asked to wait. */
void answer_created(struct site *site, struct request *request, const struct task *t,
                    int64_t waited_ms);

/* Keeps the current request, and answers it as created when the task is finished or the time is over. */
void answer_when_finished(struct site *site, const struct task *t, int64_t wait_ms);

/* Keeps the current request, and answers it with the task when that no longer has an `etag` of the list;
 * when the time is over, with 304 (`not_modified`) or the task. */
void answer_when_changed(struct site *site, const struct task *t, const char *etag,
                         bool not_modified, int64_t wait_ms);

#endif
