#include "runner/reload.h"

#include "base/buf.h"
#include "base/log.h"

/* The names of the settings that differ among those that a reload treats in this way, "" when none does;
 * the caller frees. */
static struct buf changed(const struct conf *a, const struct conf *b, enum setting_reload how)
{
    struct buf out = {0};
    char name[64];
    for (enum conf_key k = 0; k < CONF_KEYS; k++) {
        if (conf_settings[k].reload != how || conf_same(a, b, k)) continue;
        conf_name(k, name, sizeof name);
        buf_fmt(&out, "%s%s", out.len ? ", " : "", name);
    }
    return out;
}

void reload_tell(const struct conf *start, const struct conf *before, const struct conf *now)
{
    struct buf new = changed(before, now, RELOAD_TAKEN);
    struct buf later = changed(start, now, RELOAD_RESTART);
    log_info("settings reread", " signal=SIGHUP changed=\"%s\"", buf_text(&new));
    if (later.len) log_warn("settings that need a restart", " keys=\"%s\"", later.data);
    buf_free(&new);
    buf_free(&later);
}
