#include "task/group.h"

#include "task/task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void group_free(struct group *g)
{
    free(g->owner);
    free(g->name);
    free(g->type);
    free(g->error);
    free(g->context);
    *g = (struct group){0};
}

/* Whether a segment between slashes is "." or "..", which web servers take for a place in the path. */
static bool has_dot_segment(const char *name, size_t len)
{
    for (size_t at = 0; at <= len;) {
        size_t n = 0;
        while (at + n < len && name[at + n] != '/') n++;
        if ((n == 1 || n == 2) && !strncmp(name + at, "..", n)) return true;
        at += n + 1;
    }
    return false;
}

bool group_name_valid(const char *name, size_t len)
{
    static_assert(TASK_GROUP_MAX == 200, "GROUP_NAME_RULE says so");
    if (len < 1 || len > TASK_GROUP_MAX || has_dot_segment(name, len)) return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i],
                      next = i + 1 < len ? (unsigned char)name[i + 1] : 0;
        /* U+0080 to U+009F are controls too */
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0)) return false;
    }
    return len != 1 || *name != '-'; /* "-" stands for the name in a query */
}
