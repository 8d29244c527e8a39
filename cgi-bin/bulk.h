/* Making many tasks by one request. */
#ifndef LEAT_BULK_H
#define LEAT_BULK_H

struct exchange;

/* POST /tasks of newline-delimited requests: 202 with all of the tasks, or none is made. */
void bulk_create(struct exchange *x);

#endif
