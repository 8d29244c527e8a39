/* Streams that answer other requests than those for events. */
#ifndef LEAT_STREAMS_H
#define LEAT_STREAMS_H

#include "server/exchange.h"
#include "task/cursor.h"
#include "task/task.h"

#include <stdbool.h>

/* Answers with the events of a task that the request has made or found, and says where they are
 * (Content-Location). `resume`: the request's own cursor counts, else it starts with the first event. */
void stream_of_task(struct exchange *x, const struct task *t, bool resume);

/* The last event that the client saw, by Last-Event-ID or a query parameter; CURSOR_NONE where it says none.
 * ERR_INVALID names the parameter. */
enum err stream_cursor(const struct exchange *x, struct cursor *out, struct error *e);

/* Whether an operation on which a stream depends was refused, and then answers: 200 with stream.end {overloaded} where
 * it may work later (a limit, a busy database), else as exchange_refused. */
bool stream_refused(struct exchange *x, const struct operation *op);

/* Answers a stream that is not open to its client at this moment: 200 with retry and stream.end
 * {overloaded}, because EventSource gives up for good on any other status. `epoch` of the log, or "". */
void stream_overloaded(struct request *request, const char *epoch);

#endif
