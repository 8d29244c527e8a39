/* [runner] autostart: starting a runner where none may be installed as a service. */
#ifndef LEAT_OPS_AUTOSTART_H
#define LEAT_OPS_AUTOSTART_H

#include "base/conf.h"

/* After the commit of a task that waits: starts leatd when the setting says so and no runner is there. Takes
 * microseconds when one is, some milliseconds when not; failures are logged, because the task is safe and
 * the next request tries again. */
void autostart(const struct conf *conf);

#endif
