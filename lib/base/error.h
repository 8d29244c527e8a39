/* Errors: a code that programs branch on, and a sentence that people read. */
#ifndef LEAT_BASE_ERROR_H
#define LEAT_BASE_ERROR_H

enum err {
    ERR_OK = 0,
    ERR_INVALID,   /* the caller's input is wrong; the text names the field, file or line */
    ERR_NOTFOUND,  /* no such thing, or not visible to the asker */
    ERR_STATE,     /* the thing exists but its state forbids this */
    ERR_LIMIT,     /* a limit of the asker's is reached; nothing was written */
    ERR_FENCED,    /* another runner owns the task now; drop what was to be written */
    ERR_BUSY,      /* the database stayed locked for busy_ms; nothing was written */
    ERR_FULL,      /* disk or quota full; nothing was written */
    ERR_IO,        /* the system refused: file, socket, permission */
    ERR_MALFORMED, /* the database file is damaged; nothing is written to it any more */
    ERR_NEWER,     /* the database was made by a newer program */
    ERR_UNSYNCED,  /* committed but the sync failed: the outcome is unknown, stop the process */
    ERR_INTERNAL,  /* a statement or an invariant failed: a fault of ours */
};

/* What went wrong. Every function that takes one accepts NULL. */
struct error {
    enum err code;
    char text[480];
};

/* Fills `e` (when not NULL) and returns `code`, so that a failing call is one line. */
enum err error_set(struct error *e, enum err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, with strerror(errno) behind the text. */
enum err error_errno(struct error *e, enum err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
