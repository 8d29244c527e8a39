/* Whether a runner is there: the file DB.runner, which runners that stay hold locked (flock) while they live
 * and claim. The system releases the lock whatever a runner dies of.
 *
 * Runners started by hand share the lock; there may be several. Who wants to start one because none is
 * there takes it for itself alone and hands the open file on: the lock belongs to the open file, so at
 * no moment between the look and the new runner's end is it free, and two can never start one each.
 *
 * A task that was committed while the lock was held will be run: a runner that leaves because nothing is to
 * be done looks once more inside its last transaction, and gives the lock up before that ends. So who
 * commits a task first and looks at the lock then finds it free, or a runner that will see the task. */
#ifndef LEAT_STORE_RUNNER_LOCK_H
#define LEAT_STORE_RUNNER_LOCK_H

#include "base/error.h"
#include "store/db.h"

#include <stdbool.h>

/* Opens the file of the database at `db_path`, close-on-exec; *fd is for runner_lock_drop. ERR_IO. */
enum err runner_lock_open(const char *db_path, int *fd, struct error *e);

/* Shares the lock. False: somebody has it alone; try again some time. */
bool runner_lock_share(int fd);

/* Opens the file and takes the lock alone. *fd is -1 when a runner is there. ERR_IO. */
enum err runner_lock_take(const char *db_path, int *fd, struct error *e);

/* Whether `fd`, which another process handed on, is that file. */
bool runner_lock_is(int fd, const char *db_path);

/* Gives the lock up and closes. -1 is fine. */
void runner_lock_drop(int fd);

/* Whether a runner is needed: any task waits or runs, also one that is due much later. */
enum err runner_wanted(struct db *db, bool *wanted, struct error *e);

#endif
