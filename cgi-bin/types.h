/* The job types of the site, as requests name them. */
#ifndef LEAT_TYPES_H
#define LEAT_TYPES_H

#include "site.h"
#include "task/jobtype.h"

#include <stdbool.h>

/* Loads the type that `field` of a request names. False: refused, and answered: 422 unknown_type when there
 * is none, 500 type_misconfigured when its conf is wrong. */
bool types_find(struct site *site, struct request *request, const char *field, const char *name,
                struct jobtype *out);

#endif
