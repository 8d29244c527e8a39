/* Making tasks: one, or many in one transaction. */
#ifndef LEAT_OPS_SUBMIT_H
#define LEAT_OPS_SUBMIT_H

#include "ops/operation.h"
#include "store/idempotency.h"
#include "task/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUBMIT_KEY_FOR_EVER ((int64_t)1 << 53) /* as key_ms: the key goes with its task */

enum { SUBMIT_KEY_MAX = 255, SUBMIT_UNIQUE_MAX = 255 }; /* bytes */

/* A task that is asked for. Text is owned. */
struct submit {
    struct operation op;
    struct caller caller;

    char *type, *group, *content_type, *unique;
    char *input; /* NULL: none, or it is elsewhere: in a file, then in portions */
    size_t input_bytes;
    int64_t upload; /* the upload that it is stored in (store/inputs.h); 0: none */
    int64_t priority, max_attempts, timeout_ms, run_at, delay_ms; /* TASK_NONE: not given */
    bool by_get;    /* only types whose conf says get = yes */
    bool fresh;     /* its type was looked at for this request, submit_check need not look again */
    bool serialize; /* of its type, by submit_check */

    /* The same request with the same key gets the same task. */
    char *key; /* NULL: none */
    int64_t key_ms;
    unsigned char fingerprint[FINGERPRINT_BYTES];
    int64_t
        join_ms; /* such a key is free so long after its task's end; -1: it is not freed by that */

    /* the outcome */
    struct task task; /* as it is now */
    bool created;     /* else it was there before */
    bool joined;      /* ... by `unique` */
};

/* An empty one; *s is the caller's, `caller` is copied and borrows. Free with submit_free. */
void submit_init(struct submit *s, const struct caller *caller);
void submit_free(struct submit *s);

/* What tells one request from another: SHA-256 over parts and their lengths, so that no two lists of parts look alike. */
void submit_fingerprint(unsigned char out[FINGERPRINT_BYTES], const char *const *parts,
                        const size_t *lengths, size_t count);

/* Checks it against its type, before it is applied. ERR_INVALID with op.code: unknown_type, invalid_request;
 * ERR_FULL with body_too_large; ERR_STATE with not_by_get; ERR_INTERNAL with type_misconfigured: what is
 * wrong with the type's conf is the text. */
enum err submit_check(struct submit *s, struct error *e);

/* Many: all of them or none. `line` is where one failed, counted as it was read (lines[i]). Of the outcome of each, `task`
 * may have its id and number alone. */
struct submit_many {
    struct operation op;
    struct submit *items; /* owned, with `lines` */
    int64_t *lines;
    size_t count, cap;
    const char **types; /* that were looked at; the list is owned */
    size_t type_count;

    char *key; /* one key for all of them, owned; NULL: none */
    int64_t key_ms;
    unsigned char fingerprint[FINGERPRINT_BYTES];

    int64_t line; /* 0: none failed */
};
void submit_many_init(struct submit_many *m);
void submit_many_free(struct submit_many *m);

/* One more, empty; borrowed until the next call. */
struct submit *submit_many_add(struct submit_many *m, const struct caller *caller, int64_t line);

/* submit_check of the newest, which looks at each type once. */
enum err submit_many_check(struct submit_many *m, struct error *e);

/* ---- an input that is too large for one transaction: reserve, store in portions, then apply ---- */

/* Whether the limits allow it at present, as far as can be known without changing anything: for who would rather not
 * have its input sent. ERR_LIMIT, ERR_FULL: op.code and op.limit say more. */
enum err submit_may(struct submit *s, struct db *db, struct error *e);

/* From now on op.apply looks whether there is a task already (`task` is it then), whether the limits allow one more,
 * and begins the upload. */
void submit_reserve(struct submit *s);

/* From now on op.apply makes the task, of the upload; one that is not needed, for there is a task already, is given
 * up. */
void submit_uploaded(struct submit *s);

/* Stores what comes next of an upload. */
struct submit_portion {
    struct operation op;
    int64_t upload;
    const void *bytes; /* borrowed */
    size_t len;        /* at most INPUT_PORTION */
};
void submit_portion_init(struct submit_portion *p, int64_t upload, const void *bytes, size_t len);

/* Does what operation_run of &s->op does, for an input of any size in memory: in portions where it is large. */
enum err submit_run(struct submit *s, struct db *db, struct error *e);

/* Stores the inputs of many, each as an upload of its own, portion by portion: those from `from` on, which have
 * one in memory. */
struct submit_inputs {
    struct operation op;
    struct submit_many *many; /* borrowed; the items have their `upload` once it is done */
    size_t from;
};
void submit_inputs_init(struct submit_inputs *in, struct submit_many *many, size_t from);

/* Gives up the uploads of tasks that will not be. */
struct submit_drop {
    struct operation op;
    const struct submit *items; /* borrowed */
    size_t count;
};
void submit_drop_init(struct submit_drop *d, const struct submit *items, size_t count);

#endif
