#include "ops/operation.h"

enum err operation_run(struct operation *op, struct db *db, struct error *e)
{
    enum err rc;
    do {
        op->again = false;
        op->error.code = ERR_OK;
        rc = txn_begin(db,
                       op->terminal   ? TXN_SYNC_BEFORE
                       : op->fleeting ? TXN_SYNC_NONE
                                      : TXN_SYNC_AFTER,
                       &op->error);
        if (!rc) rc = txn_end(db, op->apply(op, db, &op->error), &op->error);
    } while (!rc && op->again);
    if (rc && e) *e = op->error;
    return rc;
}
