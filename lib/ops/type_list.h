/* The job types of a site as they stand now: what their files say, whether they are paused, and what holds them
 * back. For documents, health and the command line. */
#ifndef LEAT_OPS_TYPE_LIST_H
#define LEAT_OPS_TYPE_LIST_H

#include "base/conf.h"
#include "ops/job_types.h"
#include "store/db.h"
#include "store/type_rows.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct type_list_item {
    struct jobtype conf; /* the defaults where TYPE.conf is wrong or not there */
    bool paused;
    char *broken; /* why its tasks cannot be run, for people; names no folder; NULL: they can */
};

/* By name. Free with type_list_free. */
struct type_list {
    struct type_list_item *items;
    size_t count;
};

/* All types that there are, in the registry, as of its last refresh, or in `rows`, where a runner may know more
 * of them than their files tell. */
void type_list_make(struct type_list *out, const struct job_types *types,
                    const struct type_rows *rows);
void type_list_free(struct type_list *l);

/* The one of that name; NULL: there is none. */
const struct type_list_item *type_list_find(const struct type_list *l, const char *name);

/* The same; where there is none, *none, made to be it with the defaults. */
const struct type_list_item *type_list_get(const struct type_list *l, const char *name,
                                           struct type_list_item *none);

/* Bytes that the input of a task of it may have, on a site with these settings. */
int64_t type_list_input_max(const struct type_list_item *item, const struct conf *conf);

#endif
