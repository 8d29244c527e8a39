/* What can be done to the database: an operation is data. Who asks for one fills a struct that begins with
 * a `struct operation`, checks it by the function that made it, and has it applied inside a transaction, alone
 * or among others (lib/server/commit_group). What came of it stands in the same struct. */
#ifndef LEAT_OPS_OPERATION_H
#define LEAT_OPS_OPERATION_H

#include "base/conf.h"
#include "base/error.h"
#include "ops/job_types.h"
#include "store/db.h"

#include <stdbool.h>
#include <stdint.h>

/* Who asks. Borrowed. */
struct caller {
    const char *owner;
    const char *reader;  /* whose tasks may be seen: the owner; NULL: everyone's, for an admin */
    const char *account; /* who is counted: the owner, of an anonymous caller also the address */
    bool anonymous;      /* many share the owner: what can be is counted by the account */
    const char *request_id;
    const struct conf *conf; /* of this request */
    struct job_types *types;
};

/* The limit that was reached. */
struct limit_hit {
    const char *name; /* NULL: none */
    int64_t limit;
    int64_t window_s; /* 0: not by time */
    int64_t retry_s;  /* when it may be otherwise */
};

struct operation {
    /* Does it, in the open transaction and in its own savepoint; may run again where that was undone. An
     * error undoes it. */
    enum err (*apply)(struct operation *op, struct db *db, struct error *e);
    bool terminal; /* it may end a task: nobody may see that before it is on disk */
    bool fleeting; /* losing it with the power does no harm */
    bool
        large; /* takes milliseconds: it has a transaction of its own, and others may go before it */
    bool
        again; /* set by apply: this was a portion, which stays; the next comes in a later transaction */

    /* the outcome */
    struct error error; /* .code ERR_OK: done */
    const char *code;   /* the contract's word for the refusal, where ERR_ is too coarse; or NULL */
    struct limit_hit limit; /* with ERR_LIMIT */
};

/* Applies one alone, in transactions of its own, waiting for the lock (command line, tests). The outcome is
 * also returned. */
enum err operation_run(struct operation *op, struct db *db, struct error *e);

#endif
