/* Making a task whose input is too large for one transaction: in portions, in a transaction each, before it. */
#ifndef LEAT_PORTIONS_H
#define LEAT_PORTIONS_H

#include "ops/submit.h"
#include "server/exchange.h"

/* Does what commit_group_add of &s->op does, for an input of any size, in `s` or in the exchange's spool; of a
 * failure no upload is left. */
void portions_submit(struct exchange *x, struct submit *s,
                     void (*done)(struct exchange *x, void *arg), void *arg);

/* Gives up what was stored for tasks that will not be, then calls done. What cannot be given up is left to
 * retention. */
void portions_drop(struct exchange *x, struct submit *items, size_t count,
                   void (*done)(struct exchange *x, void *arg), void *arg);

#endif
