/* Settings that are read again while a runner runs. */
#ifndef LEAT_RUNNER_RELOAD_H
#define LEAT_RUNNER_RELOAD_H

#include "base/conf.h"

/* Says in the log what is different: in `now` from `before`, the settings in force so far, and which keys
 * are other than at the `start` but need a restart to count. Keys of the other programs are theirs. */
void reload_tell(const struct conf *start, const struct conf *before, const struct conf *now);

#endif
