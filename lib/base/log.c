#include "base/log.h"

#include "base/clock.h"
#include "base/json.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};

/* The log is the one thing that is rightly global: a process has one. */
static struct {
    const char *program;
    enum log_level level;
    int fd;
    bool to_syslog;
    time_t stamp_at; /* the second that `stamp` is of; -1: none yet */
    char stamp[32];  /* "2026-01-31T12:00:00" */
    bool gathering;
    size_t held; /* bytes of lines that are still to be written */
    char lines
        [4096]; /* PIPE_BUF: what is written at once does not mix with other processes' lines */
} out = {.program = "leat", .level = LOG_LEVEL_INFO, .fd = STDERR_FILENO, .stamp_at = -1};

static const char to_file[] = "file ";

static enum err parse_level(const char *level, enum log_level *at, struct error *e)
{
    for (*at = LOG_LEVEL_DEBUG; *at <= LOG_LEVEL_ERROR; ++*at)
        if (!strcmp(level_names[*at], level)) return ERR_OK;
    return error_set(e, ERR_INVALID, "'%s' is not debug, info, warn or error", level);
}

enum err log_level_check(const char *level, struct error *e)
{
    enum log_level at;
    return parse_level(level, &at, e);
}

enum err log_target_check(const char *target, struct error *e)
{
    size_t len = strlen(to_file);
    bool file = !strncmp(target, to_file, len) && target[len];
    if (file || !strcmp(target, "syslog") || !strcmp(target, "stderr")) return ERR_OK;
    return error_set(e, ERR_INVALID, "'%s' is not stderr, syslog or file PATH", target);
}

enum err log_open(const char *program, const char *level, const char *target, struct error *e)
{
    enum log_level at;
    enum err rc = parse_level(level, &at, e);
    if (!rc) rc = log_target_check(target, e);
    if (rc) return rc;
    int fd = STDERR_FILENO;
    bool to_syslog = !strcmp(target, "syslog");
    if (!strncmp(target, to_file, strlen(to_file))) {
        const char *path = target + strlen(to_file);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (fd < 0) return error_errno(e, ERR_IO, "cannot open %s", path);
    } else if (to_syslog) {
        openlog(program, LOG_PID, LOG_DAEMON);
    }
    if (out.fd != STDERR_FILENO) close(out.fd);
    out.fd = fd;
    out.to_syslog = to_syslog;
    out.program = program;
    out.level = at;
    return ERR_OK;
}

/* What stands in a log for a character of one byte. */
static char harmless(char c)
{
    bool control = (unsigned char)c < 0x20 || c == 0x7f;
    return control ? ' ' : c == '"' ? '\'' : c == '\\' ? '/' : c;
}

/* Puts the character that `*from` begins with, of more bytes than one, behind what is in `to`, and steps over it; C1 becomes
 * a blank, what is none a '?'. False: there is no room. */
static bool put_character(char *to, size_t *n, size_t size, const char **from)
{
    const char *p = *from;
    size_t bytes = utf8_length(p, strnlen(p, UTF8_BYTES_MAX));
    bool control = bytes == 2 && (unsigned char)*p == 0xc2 && (unsigned char)p[1] < 0xa0;
    size_t kept = bytes && !control ? bytes : 1;
    if (*n + kept >= size) return false;
    if (bytes && !control)
        memcpy(to + *n, p, kept);
    else
        to[*n] = control ? ' ' : '?';
    *n += kept;
    *from += bytes ? bytes : 1;
    return true;
}

const char *log_quote(char *to, size_t size, const char *text)
{
    size_t n = 0;
    for (const char *p = text ? text : ""; *p && n + 1 < size;) {
        if ((unsigned char)*p < 0x80)
            to[n++] = harmless(*p++);
        else if (!put_character(to, &n, size, &p))
            break;
    }
    to[n] = '\0';
    return to;
}

bool log_writes(enum log_level level)
{
    return level >= out.level;
}

static void write_held(void)
{
    /* A log that cannot be written is nobody's reason to fail. */
    ssize_t ignored = out.held ? write(out.fd, out.lines, out.held) : 0;
    (void)ignored;
    out.held = 0;
}

void log_gather(bool on)
{
    out.gathering = on;
    if (!on) write_held();
}

/* Most lines are of the same second as the one before. */
static void set_stamp(time_t seconds)
{
    struct tm utc;
    if (seconds == out.stamp_at) return;
    gmtime_r(&seconds, &utc);
    strftime(out.stamp, sizeof out.stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    out.stamp_at = seconds;
}

void log_write(enum log_level level, const char *msg, const char *fields, ...)
{
    static const int priorities[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
    if (level < out.level) return;

    char line[2048];
    int64_t now = clock_wall_ms();
    set_stamp((time_t)(now / 1000));
    int n =
        snprintf(line, sizeof line, "ts=%s.%03dZ level=%s program=%s pid=%d msg=\"%s\"", out.stamp,
                 (int)(now % 1000), level_names[level], out.program, (int)getpid(), msg);
    if (n < 0) return;
    size_t len = (size_t)n < sizeof line - 2 ? (size_t)n : sizeof line - 2;
    va_list args;
    va_start(args, fields);
    n = vsnprintf(line + len, sizeof line - 1 - len, fields, args);
    va_end(args);
    if (n > 0) len = len + (size_t)n < sizeof line - 2 ? len + (size_t)n : sizeof line - 2;

    if (out.to_syslog) {
        line[len] = '\0';
        syslog(priorities[level], "%s", line);
        return;
    }
    line[len++] = '\n';
    if (len > sizeof out.lines - out.held) write_held();
    memcpy(out.lines + out.held, line, len);
    out.held += len;
    if (!out.gathering) write_held();
}

void log_failure(enum log_level level, const char *msg, const struct error *e)
{
    char text[sizeof e->text];
    log_write(level, msg, " error=\"%s\"", log_quote(text, sizeof text, e->text));
}
