/* What the settings of a process are: the table's defaults (base/settings.h), an INI file over them, and
 * LEAT_SECTION_KEY variables over that. */
#ifndef LEAT_BASE_CONF_H
#define LEAT_BASE_CONF_H

#include "base/error.h"
#include "base/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;

/* The settings of a process: defaults, then the file, then the environment. `file` NULL looks at
 * $LEAT_CONF, then etc/leat.conf beside the parent folder of `program` (argv[0] or its resolved
 * path), then /etc/leat/leat.conf; none of them is fine, a named one that is missing is not.
 * The caller frees with conf_free. ERR_INVALID names file and line, or the variable; ERR_IO. Every value
 * is judged here, alike for all programs; what only shows when it is used is told by conf_blame. */
enum err conf_load(struct conf **out, const char *file, const char *program, struct error *e);

/* Settings of one request over those of the process: a copy of `base` with each LEAT_SECTION_KEY of
 * `envp` (NULL-terminated, "NAME=value") applied; *out is NULL when there is none. Free with conf_free.
 * ERR_INVALID names the variable. */
enum err conf_overlay(struct conf **out, const struct conf *base, char *const *envp,
                      struct error *e);

void conf_free(struct conf *c);

/* Text, or NULL when unset. Borrowed from `c`. A map is "name=word,name=word", with every name that
 * there is and without blanks, however it was written; then come the names STATUS/TYPE that narrow one. */
const char *conf_text(const struct conf *c, enum conf_key key);
int64_t conf_int(const struct conf *c, enum conf_key key);
bool conf_bool(const struct conf *c, enum conf_key key);
int64_t conf_ms(const struct conf *c, enum conf_key key); /* of a key in seconds or hours */

/* The word of a map (the text of such a key, or NULL) for a name of `len` bytes: *word_len bytes that
 * are borrowed from `map`, or NULL when it has none. */
const char *conf_word(const char *map, const char *name, size_t len, size_t *word_len);

/* The next item of a list (the text of such a key) whose items are separated by commas or blanks, of *len
 * bytes borrowed from the list; NULL at its end. */
const char *conf_item(const char **rest, size_t *len);

/* Puts before the text of `e` where `key` was set: "FILE:LINE: [section] key: ", "LEAT_SECTION_KEY: ", or
 * "[section] key: " where nobody did. Returns its code. */
enum err conf_blame(const struct conf *c, enum conf_key key, struct error *e);

enum { CONF_ROUTES_MAX = 500 };

/* Row `i` of [routes] in the order of the file, "METHOD PATH = TARGET" as it was written, or NULL behind the
 * last. No variable adds to them, and an overlay has none. Nobody has judged it yet. Borrowed. */
const char *conf_route(const struct conf *c, size_t i);

/* Puts "FILE:LINE: [routes] " of row `i` before the text of `e`. Returns its code. */
enum err conf_blame_route(const struct conf *c, size_t i, struct error *e);

/* Where the settings were read from, or NULL. Borrowed. */
const char *conf_file(const struct conf *c);

/* Whether a key is set alike in both. */
bool conf_same(const struct conf *a, const struct conf *b, enum conf_key key);

/* Whether the file or a variable sets the key; an empty value does not. */
bool conf_is_set(const struct conf *c, enum conf_key key);

/* Replaces the defaults of `c` by those of a program that is started for one request (CGI); what is set
 * stays. Overlays of `c` have them too. */
void conf_as_cgi(struct conf *c);

/* Writes "[section] key". */
void conf_name(enum conf_key key, char *to, size_t size);

/* What of this process's environment another program of the project needs to find the same settings:
 * "NAME=value", NULL-terminated, for conf_environment_free. */
char **conf_environment(void);
void conf_environment_free(char **env);

/* Generic reader, also for TYPE.conf: calls `take` for each key of an INI file (section "" before
 * the first). `take` returns ERR_OK or fills the error, which then gets "FILE:LINE: " before it.
 * ERR_IO when the file cannot be read (errno kept), ERR_INVALID for a line that is no INI. */
typedef enum err conf_take(void *arg, const char *section, const char *key, const char *value,
                           struct error *e);
enum err conf_read_ini(const char *file, conf_take *take, void *arg, struct error *e);

/* Values, for conf and TYPE.conf alike. ERR_INVALID says what was expected. */
enum err conf_parse_int(const char *text, int64_t min, int64_t max, int64_t *out, struct error *e);
enum err conf_parse_bool(const char *text, bool *out, struct error *e);
enum err conf_parse_seconds(const char *text, int64_t min_ms, int64_t max_ms, int64_t *out_ms,
                            struct error *e);

enum err conf_parse_hours(const char *text, int64_t min_ms, int64_t max_ms, int64_t *out_ms,
                          struct error *e);

#endif
