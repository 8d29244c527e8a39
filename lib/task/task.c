#include "task/task.h"

#include <stdlib.h>

void task_free(struct task *t)
{
    char *const text[] = {t->owner,  t->type,       t->group,      t->request_id,
                          t->phase,  t->message,    t->error_code, t->error_message,
                          t->result, t->result_type};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) free(text[i]);
    file_list_free(&t->files);
    *t = (struct task){0};
}

double task_elapsed_seconds(const struct task *t, int64_t now)
{
    if (t->started_at == TASK_NONE || t->status == TASK_PENDING) return -1;
    int64_t until = t->completed_at != TASK_NONE ? t->completed_at : now;
    return until > t->started_at ? (double)(until - t->started_at) / 1000 : 0;
}
