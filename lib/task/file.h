/* Files that jobs make: which names they may have, what they are, and how a browser gets them. Pure.
 *
 * They are served from the site's own origin, and jobs work on what strangers sent. So what a browser would
 * run as a page is downloaded and sandboxed, and nothing has a type that a page could load as a script or
 * a style sheet: a site that trusts its own origin ("script-src 'self'") does not thereby trust them. */
#ifndef LEAT_TASK_FILE_H
#define LEAT_TASK_FILE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FILE_NAME_MAX = 200 }; /* bytes; a path segment of a request is no longer */

/* Text is owned. */
struct task_file {
    char *name;
    int64_t bytes;
    char *content_type;
};

struct file_list {
    struct task_file *items;
    size_t count;
};

void file_free(struct task_file *f); /* the members */
void file_list_free(struct file_list *l);

/* Adds a file; its type follows from its name. */
void file_list_add(struct file_list *l, const char *name, int64_t bytes);

/* Why a file must not have this name, or NULL when it may. Static. */
const char *file_name_refused(const char *name);

/* The media type, by the extension. Static. */
const char *file_content_type(const char *name);

/* Whether a browser may show this type instead of saving it. */
bool file_shown(const char *content_type);

/* Whether its answers need a Content-Security-Policy that lets nothing of it run. Pictures, sound and PDF do
 * without: their viewers would break. */
bool file_sandboxed(const char *content_type);

/* Appends `text` for one segment of a path: RFC 3986 unreserved characters stay, the rest is %XX; with
 * `slashes` for a whole path. */
void file_escape(struct buf *out, const char *text, bool slashes);

/* Appends where it is fetched: PREFIX/tasks/ID/files/NAME. */
void file_path(struct buf *out, const char *prefix, const char *task_id, const char *name);

/* Appends the value of Content-Disposition (RFC 6266): the name in ASCII and in UTF-8. */
void file_disposition(struct buf *out, const struct task_file *f);

/* Appends {"name","bytes","content_type","url"} as one JSON object on one line. */
void file_document(struct buf *out, const struct task_file *f, const char *prefix,
                   const char *task_id);

#endif
