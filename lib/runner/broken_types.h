/* Types that cannot run for a reason that is the site's to mend: the job file is missing, busy or not
 * executable, or TYPE.conf is wrong, or names a user that cannot be. Their tasks wait, and the type is tried again, less and less often, for
 * `broken_type_seconds`; only then its tasks fail. Who asks claims nothing of a type that is held. */
#ifndef LEAT_RUNNER_BROKEN_TYPES_H
#define LEAT_RUNNER_BROKEN_TYPES_H

#include "base/loop.h"
#include "ops/job_types.h"
#include "store/type_rows.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called when a type that was held may be tried again. */
typedef void broken_types_release(void *arg, const char *type);

struct broken_type;

/* Start with broken_types_open, end with broken_types_close, before the loop is closed. */
struct broken_types {
    struct loop *loop;
    struct job_types *types;
    int64_t patience_ms; /* how long tasks wait; 0: not at all */
    broken_types_release *release;
    void *arg;
    struct broken_type **items;
    size_t count;
    bool changed; /* since the caller last said otherwise: broken_types_rows gives something else */
};

/* All are borrowed. */
void broken_types_open(struct broken_types *b, struct loop *loop, struct job_types *types,
                       broken_types_release *release, void *arg);
void broken_types_close(struct broken_types *b);

/* Whether tasks of the type wait, as of the last refresh of the registry: it is held, or found broken now.
 * Touches no file. */
bool broken_types_hold(struct broken_types *b, const char *type);

/* A job of the type could not be started, because of `why`. Whether its tasks wait; else they fail. */
bool broken_types_report(struct broken_types *b, const char *type, const char *why);

/* What is known to be wrong now, for the database: their number, and an array that the caller frees. Its texts are
 * borrowed until the next call or turn of the loop; they name no folder. At most TYPE_ROWS_MAX. */
size_t broken_types_rows(const struct broken_types *b, struct broken_row **out);

/* A job of the type was started: what was wrong is mended. */
void broken_types_mended(struct broken_types *b, const char *type);

#endif
