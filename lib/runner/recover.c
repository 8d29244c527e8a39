#include "runner/recover.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "runner/workdir.h"
#include "spawn/process.h"
#include "store/claims.h"
#include "store/tasks.h"
#include "task/jobtype.h"

#include <string.h>

/* Whether the runner of `r` can no longer be relied on to finish it. */
static bool abandoned(const struct rescuer *who, const struct running *r, int64_t now)
{
    return (r->lease_until <= now && !who->doubtful) ||
           process_look(&r->runner, r->runner_boot, who->scope) == PROCESS_GONE;
}

/* Whether nothing of its job runs any more; ends what does. */
static bool job_gone(const struct rescuer *who, const struct running *r)
{
    if (r->child.pid <= 0) return true; /* nothing is executed before its pid is on disk */
    /* Of another boot, or of another container, where no hand of ours reaches: its lease has ended, and
     * whatever it may still write is fenced. */
    if (strcmp(r->runner_boot, who->scope)) return true;
    return process_group_gone(&r->child, r->id);
}

/* What becomes of a task whose runner is lost. */
static struct claim_end decide(const struct rescuer *who, const struct running *r,
                               const struct claim_asked *asked, int64_t now)
{
    struct jobtype defaults;
    const struct jobtype *type = &defaults;
    jobtype_defaults(&defaults, r->type);
    job_types_find(who->types, r->type, &type, NULL); /* else it stays */
    struct claim_end end = {
        .run_at = TASK_NONE,
        .lost = true,
        .error_code = "runner_lost",
        .error_message = "the runner was lost",
        .error_retryable = true,
        .now = now,
    };
    if (asked->restart) {
        end.status = TASK_PENDING;
        end.error_code = end.error_message = NULL;
    } else if (asked->cancel) {
        end.status = TASK_CANCELLED;
        end.error_code = end.error_message = "cancelled";
        end.error_retryable = false;
    } else if (r->lost + 1 >= type->lost_attempts) {
        end.status = TASK_FAILED;
    } else {
        end.status = TASK_PENDING;
        end.run_at = now + jobtype_backoff(type, r->lost + 1, id_random(1000) / 1000.0);
    }
    return end;
}

/* *again: its job is another one than was looked at. Its runner may have lived until after that. */
static enum err write_lost(const struct rescuer *who, const struct running *r, int64_t now,
                           bool *again, struct error *e)
{
    struct claim_asked asked = {0};
    struct process_id child;
    enum err rc = txn_begin(who->db, TXN_SYNC_BEFORE, e);
    if (rc) return rc;
    rc = claim_child(who->db, &r->claim, &child, e);
    if (!rc && (child.pid != r->child.pid || child.start != r->child.start)) {
        txn_rollback(who->db);
        *again = true;
        return ERR_OK;
    }
    if (!rc) rc = claim_asked(who->db, r->claim.n, &asked, e);
    struct claim_end end = decide(who, r, &asked, now);
    if (!rc) rc = claim_finish(who->db, &r->claim, &end, e);
    rc = txn_end(who->db, rc, e);

    char id[ID_SIZE];
    if (!rc) {
        log_warn("task_lost", " task_id=%s status=%s lost=%lld", log_quote(id, sizeof id, r->id),
                 task_status_name(end.status), (long long)r->lost + 1);
        /* Not before: if its runner put the task back after all, which spends no attempt, another may have claimed
         * it under the same number, and be at work there. */
        workdir_remove(who->work, r->id, r->claim.attempt, WORKDIR_ALL);
    }
    /* Somebody else was faster, or it ended after all. */
    return rc == ERR_FENCED || rc == ERR_NOTFOUND ? ERR_OK : rc;
}

enum err recover_lost(const struct rescuer *who, bool *again, struct error *e)
{
    struct running_list list = {0};
    int64_t now = clock_wall_ms();
    *again = false;
    enum err rc = claims_abandoned(who->db, who->runner, now, true, &list, e);
    for (size_t i = 0; !rc && i < list.count; i++) {
        const struct running *r = &list.items[i];
        if (!abandoned(who, r, now)) continue;
        if (!job_gone(who, r)) {
            *again = true;
            continue;
        }
        rc = write_lost(who, r, now, again, e);
    }
    running_list_free(&list);
    return rc;
}

/* Whether that attempt of a task is the one that runs now. */
static bool runs(void *arg, const char *id, int64_t attempt)
{
    const struct rescuer *who = arg;
    struct task t = {0};
    enum err rc = task_get(who->db, id, NULL, &t, NULL);
    bool keep = rc ? rc != ERR_NOTFOUND : t.status == TASK_RUNNING && t.attempt == attempt;
    task_free(&t);
    return keep;
}

void recover_folders(const struct rescuer *who)
{
    workdir_remove_orphans(who->work, runs, (void *)who);
}
