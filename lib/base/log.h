/* The program's own log: one `key=value` line an entry (logfmt), to stderr, syslog or a file.
 * Never pass a secret, a body or a token. */
#ifndef LEAT_BASE_LOG_H
#define LEAT_BASE_LOG_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* Starts logging for `program` (borrowed for the life of the process). `level` is debug, info, warn
 * or error; `target` is "stderr", "syslog" or "file PATH". Again: with these from now on, the file opened
 * anew. ERR_INVALID, ERR_IO (file not openable): all is as it was. */
enum err log_open(const char *program, const char *level, const char *target, struct error *e);

/* ERR_INVALID: not a level, not a target. */
enum err log_level_check(const char *level, struct error *e);
enum err log_target_check(const char *target, struct error *e);

/* Whether a line of this level would be written. */
bool log_writes(enum log_level level);

/* Writes one line `ts=… level=… program=… msg="…"` followed by `fields`, a printf format that gives
 * further ` key=value` pairs (quote values with log_quote where they are not the program's own), or "". */
void log_write(enum log_level level, const char *msg, const char *fields, ...)
    __attribute__((format(printf, 3, 4)));

/* While `on`, lines are kept and written together, a few KB at a time; off writes what was kept. For a few lines in
 * a row: none is written while whoever gathers waits for something. */
void log_gather(bool on);

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

/* Writes a line ` error="…"` with what an error says. */
void log_failure(enum log_level level, const char *msg, const struct error *e);

/* `text` with quotes, backslashes, control characters (C1 too) and what is no UTF-8 made harmless, cut to fit `to`
 * between two characters; returns `to`, without the surrounding quotes. */
const char *log_quote(char *to, size_t size, const char *text);

#endif
