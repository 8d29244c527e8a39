/* The dialect repo: the envelope, with the site's words for the status of a group. */
#include "base/conf.h"
#include "base/json.h"
#include "render/dialect_row.h"
#include "render/member.h"

#include <string.h>

enum { NAME_MAX_BYTES = 96 }; /* of a name in the map: a status, "/", a type of 64 bytes at most */

static const char group_types[] = "repo.";

/* ---- words for the status of a group ---- */

/* The text of a JSON string that has no escapes, as statuses and names of types have none; {NULL, 0} for null
 * and for none. */
static struct json_span text_of(struct json_span quoted)
{
    if (!quoted.at || *quoted.at != '"') return (struct json_span){0};
    return (struct json_span){quoted.at + 1, quoted.len - 2};
}

/* What the site calls a group of this status whose tasks in it are all of this type: the word of "status/type",
 * else of "status", else the status itself. */
static struct json_span word_of(const struct dialect *d, struct json_span status,
                                struct json_span type)
{
    char name[NAME_MAX_BYTES];
    struct json_span word = {0};
    if (type.at && status.len + 1 + type.len <= sizeof name) {
        memcpy(name, status.at, status.len);
        name[status.len] = '/';
        memcpy(name + status.len + 1, type.at, type.len);
        word.at = conf_word(d->repo_status, name, status.len + 1 + type.len, &word.len);
    }
    if (!word.at) word.at = conf_word(d->repo_status, status.at, status.len, &word.len);
    return word.at ? word : status;
}

/* The members of a group's document or event that hold a status, and those that hold the type of the tasks in
 * it. */
static const struct {
    const char *status, *type;
} states[] = {{"status", "type"}, {"from", "from_type"}, {"to", "type"}};

/* The word for the member `m` of `object`, quoted; false when it holds no status. */
static bool put_word(struct buf *out, const struct dialect *d, const char *object,
                     const struct json_member *m)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct json_span status = text_of(m->value);
        if (!status.at || !json_named(m, states[i].status)) continue;
        struct json_span word = word_of(d, status, text_of(json_find(object, states[i].type)));
        json_quote(out, word.at, word.len);
        return true;
    }
    return false;
}

/* ---- objects ---- */

/* The words of an error: its message, else its code. */
static void put_error_msg(struct buf *out, const char *error)
{
    struct json_span words = text_of(json_find(error, "message"));
    member_json(out, "error_msg", json_find(error, words.at ? "message" : "code"));
}

/* An object with group_id as repo_id and error_msg beside error; with `group`, that of a group, whose statuses
 * are in the site's words. */
static void put_object(struct buf *out, const struct dialect *d, const char *object, bool group)
{
    const char *at = object;
    buf_char(out, '{');
    for (struct json_member m; json_next(&at, &m);) {
        if (json_named(&m, "group_id")) {
            member_json(out, "repo_id", m.value);
            continue;
        }
        if (out->data[out->len - 1] != '{') buf_char(out, ',');
        buf_add(out, m.name.at - 1, m.name.len + 2);
        buf_char(out, ':');
        if (!group || !put_word(out, d, object, &m)) buf_add(out, m.value.at, m.value.len);
        if (json_named(&m, "error")) put_error_msg(out, m.value.at);
    }
    buf_char(out, '}');
}

/* ---- the dialect ---- */

/* A group's change of status whose word stays the same is no event. */
static bool shows_event(const struct dialect *d, const struct event *ev)
{
    if (strcmp(ev->type, "group.status_changed")) return true;
    struct json_span from = text_of(json_find(ev->payload, "from"));
    struct json_span to = text_of(json_find(ev->payload, "to"));
    if (!from.at || !to.at) return true;
    struct json_span a = word_of(d, from, text_of(json_find(ev->payload, "from_type")));
    struct json_span b = word_of(d, to, text_of(json_find(ev->payload, "type")));
    return a.len != b.len || memcmp(a.at, b.at, a.len) != 0;
}

static void event(struct buf *out, const struct dialect *d, const struct event *ev,
                  const char *epoch)
{
    struct event shown = *ev;
    struct buf type = {0}, payload = {0}, envelope = {0};
    bool group = !strncmp(ev->type, "group.", strlen("group."));
    if (group) {
        buf_fmt(&type, "%s%s", group_types, ev->type + strlen("group."));
        shown.type = type.data;
    }
    if (group || !strcmp(ev->type, "task.status_changed")) {
        put_object(&payload, d, ev->payload, group);
        shown.payload = payload.data;
    }
    event_envelope(&envelope, &shown, epoch);
    put_object(out, d, envelope.data, false);
    buf_free(&type);
    buf_free(&payload);
    buf_free(&envelope);
}

static void task(struct buf *out, const struct dialect *d, const struct task *t,
                 const struct task_view *view)
{
    struct buf document = {0};
    task_document(&document, t, view);
    put_object(out, d, document.data, false);
    buf_free(&document);
}

static void group(struct buf *out, const struct dialect *d, const struct group *g,
                  const struct task_view *view, enum group_part part)
{
    struct buf document = {0};
    group_document_part(&document, g, view, part);
    put_object(out, d, document.data, true);
    buf_free(&document);
}

const struct dialect_row dialect_row_repo = {
    .name = "repo",
    .shows_event = shows_event,
    .event = event,
    .notice = envelope_notice,
    .task = task,
    .group = group,
    .stats = envelope_stats,
    .page_key = "events",
    .group_types = group_types,
    .beside = true,
};
