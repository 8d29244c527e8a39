#include "spawn/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#ifdef LEAT_STATIC

/* Users are looked up by libraries that fit the host's C library, which a static program does not have. */
enum err job_user_find(struct job_user *out, const char *name, struct error *e)
{
    *out = (struct job_user){0};
    if (!*name) return ERR_OK;
    return error_set(e, ERR_INVALID, "user: this program is a static build, which knows no users");
}

#else

enum { GROUPS_MAX = sizeof((struct job_user *)0)->groups / sizeof(gid_t) };

enum err job_user_find(struct job_user *out, const char *name, struct error *e)
{
    *out = (struct job_user){0};
    if (!*name) return ERR_OK;

    char text[16384];
    struct passwd entry, *found = NULL;
    int failed = getpwnam_r(name, &entry, text, sizeof text, &found);
    if (failed) {
        errno = failed;
        return error_errno(e, ERR_IO, "cannot look for the user '%s'", name);
    }
    if (!found) return error_set(e, ERR_INVALID, "user: there is no user '%s' here", name);
    if (found->pw_uid == geteuid()) return ERR_OK;
    if (geteuid())
        return error_set(e, ERR_INVALID, "user: only a runner started by root can be '%s'", name);

    out->uid = found->pw_uid;
    out->gid = found->pw_gid;
    out->group_count = GROUPS_MAX;
    strncat(out->home, found->pw_dir, sizeof out->home - 1);
    if (getgrouplist(name, found->pw_gid, out->groups, &out->group_count) < 0)
        return error_set(e, ERR_INVALID, "user: '%s' is in more than %d groups", name, GROUPS_MAX);
    out->set = true;
    return ERR_OK;
}

#endif
