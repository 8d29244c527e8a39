#include "runner/jobenv.h"

#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 20 };

static void add(char **env, const char *name, const char *value)
{
    size_t n = 0;
    while (env[n]) n++;
    assert(n < ENTRIES_MAX);
    struct buf entry = {0};
    buf_str(&entry, name);
    buf_char(&entry, '=');
    buf_str(&entry, value ? value : "");
    env[n] = entry.data;
}

static void add_number(char **env, const char *name, int64_t value)
{
    struct buf digits = {0};
    buf_int(&digits, value);
    add(env, name, digits.data);
    buf_free(&digits);
}

char **jobenv_make(const struct jobenv *what)
{
    const struct jobenv_own *own = what->own;
    const struct task *t = what->task;
    char **env = mem_alloc((ENTRIES_MAX + 1) * sizeof *env);
    add(env, "PATH", own->path ? own->path : "/usr/local/bin:/usr/bin:/bin");
    add(env, "LANG", own->lang ? own->lang : "C.UTF-8");
    add(env, "HOME", own->home ? own->home : what->folder);
    if (own->tz) add(env, "TZ", own->tz);
    /* Always set, so that a script under `set -u` may ask. */
    add(env, "LEAT_TASK_ID", t->id);
    add(env, "LEAT_TYPE", t->type);
    add_number(env, "LEAT_ATTEMPT", t->attempt);
    add_number(env, "LEAT_MAX_ATTEMPTS", t->max_attempts);
    add(env, "LEAT_GROUP", t->group);
    add(env, "LEAT_OWNER", t->owner);
    add(env, "LEAT_REQUEST_ID", t->request_id);
    add(env, "LEAT_CONTENT_TYPE", what->content_type);
    add_number(env, "LEAT_DEADLINE", what->deadline);
    add(env, "LEAT_EVENTS", what->events);
    add(env, "LEAT_FILES", what->files);
    add(env, "LEAT_CHECKPOINT_FILE", what->checkpoint);
    if (what->context) add(env, "LEAT_CONTEXT_FILE", what->context);
    if (what->url) add(env, "LEAT_URL", what->url);
    if (what->token) add(env, "LEAT_TOKEN", what->token);
    return env;
}

void jobenv_free(char **env)
{
    if (!env) return;
    for (char **p = env; *p; p++) {
        secret_wipe(*p, strlen(*p)); /* one of them may be a token */
        free(*p);
    }
    free(env);
}
