/* Who may do what: names of owners, scopes, and what a ticket names. Pure. */
#ifndef LEAT_TASK_ACCESS_H
#define LEAT_TASK_ACCESS_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>

enum auth_scope {
    AUTH_CREATE = 1,
    AUTH_READ = 2,
    AUTH_PUBLISH = 4,
    AUTH_ADMIN = 8,

    AUTH_USUAL = AUTH_CREATE | AUTH_READ | AUTH_PUBLISH, /* of a credential that names none */
};

/* What a ticket is for. */
enum ticket_kind {
    TICKET_NONE, /* not a ticket */
    TICKET_TASK,
    TICKET_GROUP,
    TICKET_ALL,
    TICKET_RUN, /* a job type that a GET may start */
    TICKET_KINDS
};

/* Whether `name` can be an owner: 1 to TASK_OWNER_MAX bytes of UTF-8 without control characters. */
bool owner_valid(const char *name);

/* Reads names separated by commas or blanks; NULL is an empty list. Who may do what an admin does may do
 * everything: admin brings the others. ERR_INVALID says which is no scope; with `lenient` such are passed
 * over. */
enum err scopes_parse(const char *text, bool lenient, unsigned *out, struct error *e);

/* Appends the names, separated by commas: "create,read". */
void scopes_write(struct buf *out, unsigned scopes);

/* The name of one scope, from the lowest bit on; NULL past the last. */
const char *scope_name(unsigned index);

/* The word for a kind of ticket: task, group, all, run; NULL for TICKET_NONE. */
const char *ticket_kind_name(enum ticket_kind kind);

/* TICKET_NONE for NULL and for words that are none. */
enum ticket_kind ticket_kind_parse(const char *name);

#endif
