#include "spawn/escaped.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

void escaped_open(struct escaped *x, bool (*ours)(void *arg, int64_t pid), void *arg)
{
    bool adopts = !prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    *x = (struct escaped){
        .children = adopts ? open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC) : -1,
        .ours = ours,
        .arg = arg,
    };
}

void escaped_close(struct escaped *x)
{
    if (x->children >= 0) close(x->children);
    x->children = -1;
}

/* Whether the child lives and is none of ours. */
static bool has_escaped(const struct escaped *x, int64_t pid)
{
    return !x->ours(x->arg, pid) && waitpid((pid_t)pid, NULL, WNOHANG) == 0;
}

bool escaped_any(const struct escaped *x)
{
    char list[16384]; /* more than 2000 children are not told apart */
    ssize_t n = x->children < 0 ? -1 : pread(x->children, list, sizeof list - 1, 0);
    if (n < 0 || n == sizeof list - 1) return true;
    list[n] = '\0';
    bool any = false;
    for (char *at = list, *end;; at = end) {
        int64_t pid = strtoll(at, &end, 10);
        if (end == at) return any;
        any |= has_escaped(x, pid);
    }
}
