/* A task that a request wishes for: read, checked, and made, once. */
#ifndef LEAT_WISH_H
#define LEAT_WISH_H

#include "site.h"
#include "store/idempotency.h"
#include "task/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WISH_KEY_MAX = 255 }; /* bytes of an Idempotency-Key */

/* Text is owned. */
struct wish {
    char *type, *group, *content_type;
    char *input; /* NULL: none */
    size_t input_bytes;
    int64_t priority, max_attempts, timeout_ms, run_at, delay_ms; /* TASK_NONE: not given */
    bool serialize, get;                                          /* of its type */

    /* The same request with the same key gets the same task. */
    char *key; /* NULL: none */
    int64_t key_ms;
    unsigned char fingerprint[FINGERPRINT_BYTES];
    bool only_unfinished; /* a finished task frees its key */
};

#define WISH_EMPTY                                                                                 \
    {                                                                                              \
        .priority = TASK_NONE, .max_attempts = TASK_NONE, .timeout_ms = TASK_NONE,                 \
        .run_at = TASK_NONE, .delay_ms = TASK_NONE                                                 \
    }

void wish_free(struct wish *w);

/* Those that return bool have answered the request when they return false. */

/* Reads a POST: a JSON request, or with ?type= a raw input. */
bool wish_read(struct wish *w, struct request *request);

/* Reads GET /run/{type}?group=&input=&key=. Without a key the request itself is one, for a minute.
 * ERR_INVALID names the field. */
enum err wish_from_run(struct wish *w, const struct request *request, const char *type,
                       struct error *e);

/* Checks that the jobs folder has the type and that it takes the input. */
bool wish_check(struct wish *w, struct site *site, struct request *request);

/* Writes the task, or finds the one that its key has made; *out is the task as it is now. */
bool wish_store(const struct wish *w, struct site *site, struct request *request, struct task *out);

#endif
