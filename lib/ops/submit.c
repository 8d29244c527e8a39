#include "ops/submit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "ops/limits.h"
#include "store/inputs.h"
#include "store/tasks.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static enum err apply_one(struct operation *op, struct db *db, struct error *e);
static enum err apply_many(struct operation *op, struct db *db, struct error *e);

void submit_init(struct submit *s, const struct caller *caller)
{
    *s = (struct submit){
        .op = {.apply = apply_one},
        .caller = *caller,
        .priority = TASK_NONE,
        .max_attempts = TASK_NONE,
        .timeout_ms = TASK_NONE,
        .run_at = TASK_NONE,
        .delay_ms = TASK_NONE,
        .join_ms = -1,
    };
}

void submit_free(struct submit *s)
{
    free(s->type);
    free(s->group);
    free(s->content_type);
    free(s->unique);
    free(s->input);
    free(s->key);
    task_free(&s->task);
}

void submit_fingerprint(unsigned char out[FINGERPRINT_BYTES], const char *const *parts,
                        const size_t *lengths, size_t count)
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < count; i++) {
        uint64_t length = lengths[i];
        crypto_hash_sha256_update(&state, (const unsigned char *)&length, sizeof length);
        crypto_hash_sha256_update(&state, (const unsigned char *)parts[i], length);
    }
    crypto_hash_sha256_final(&state, out);
}

/* ---- before the transaction ---- */

/* What a request may lower and not raise. */
static void lower(int64_t *wanted, int64_t most)
{
    if (*wanted == TASK_NONE || *wanted > most) *wanted = most;
}

static enum err refuse(struct submit *s, enum err rc, const char *code)
{
    s->op.code = code;
    return rc;
}

enum err submit_check(struct submit *s, struct error *e)
{
    const struct jobtype *type = NULL;
    if (!s->type) return refuse(s, error_set(e, ERR_INVALID, "type: missing"), "invalid_request");
    enum err rc = ERR_NOTFOUND;
    if (jobtype_name_valid(s->type)) {
        rc = s->fresh ? ERR_OK : job_types_refresh_one(s->caller.types, s->type, e);
        if (!rc) rc = job_types_find(s->caller.types, s->type, &type, e);
    }
    if (rc == ERR_NOTFOUND)
        return refuse(s, error_set(e, ERR_INVALID, "type: there is no job '%.64s'", s->type),
                      "unknown_type");
    if (rc == ERR_INVALID) {
        if (e) e->code = ERR_INTERNAL; /* the site's fault, not the caller's */
        return refuse(s, ERR_INTERNAL, "type_misconfigured");
    }
    if (rc) return rc;
    if (s->by_get && !type->get)
        return refuse(s,
                      error_set(e, ERR_STATE, "the conf of '%s' does not say get = yes", s->type),
                      "not_by_get");
    if (type->max_input_bytes >= 0 && s->input_bytes > (size_t)type->max_input_bytes)
        return refuse(s,
                      error_set(e, ERR_FULL, "input: '%s' takes at most %lld bytes", s->type,
                                (long long)type->max_input_bytes),
                      "body_too_large");
    lower(&s->max_attempts, type->attempts);
    if (s->timeout_ms != TASK_NONE) lower(&s->timeout_ms, type->timeout_ms);
    s->serialize = type->serialize;
    return ERR_OK;
}

/* ---- inside it ---- */

/* Whether the task that a key made is still the answer to it. One that ended later than now ended before the clock was
 * set back. */
static bool answers(const struct submit *s, int64_t now)
{
    if (s->join_ms < 0 || !task_status_terminal(s->task.status)) return true;
    int64_t ago = now - s->task.completed_at;
    return ago < s->join_ms && ago > -s->join_ms;
}

/* The task that the key made, if it is still there: *found. ERR_STATE: another request's key. */
static enum err find_by_key(struct submit *s, struct db *db, int64_t now, bool *found,
                            struct error *e)
{
    int64_t n = 0;
    bool joined = false;
    *found = false;
    if (!s->key) return ERR_OK;
    enum err rc =
        idempotency_find(db, s->caller.owner, s->key, s->fingerprint, now, &n, &joined, e);
    if (!n) return rc;
    enum err read = task_get_n(db, n, &s->task, rc ? NULL : e);
    if (read == ERR_NOTFOUND) return ERR_OK; /* deleted since: the key is free */
    if (!read && rc) task_free(&s->task);
    if (rc == ERR_STATE) s->op.code = "idempotency_key_reused";
    if (!rc) rc = read;
    if (rc) return rc;
    *found = answers(s, now);
    s->joined = *found && joined;
    if (!*found) task_free(&s->task);
    return ERR_OK;
}

/* The unfinished task of this owner, type and `unique`. */
static enum err find_unique(struct submit *s, struct db *db, bool *found, struct error *e)
{
    int64_t n = 0;
    *found = false;
    if (!s->unique) return ERR_OK;
    enum err rc = task_find_unique(db, s->caller.owner, s->type, s->unique, &n, e);
    if (rc || !n) return rc;
    rc = task_get_n(db, n, &s->task, e);
    *found = s->joined = !rc;
    return rc;
}

/* From now on the key stands for the task, made or joined. */
static enum err keep_key(struct submit *s, struct db *db, int64_t now, struct error *e)
{
    if (!s->key) return ERR_OK;
    return idempotency_keep(db, s->caller.owner, s->key, s->fingerprint, s->task.n, s->joined, now,
                            now + s->key_ms, e);
}

/* When it is to run; TASK_NONE: at once. A delay counts from when the task is created. */
static int64_t run_at(const struct submit *s, int64_t now)
{
    return s->delay_ms > 0 ? now + s->delay_ms : s->run_at;
}

/* The task to be, which borrows from *s and `id`. */
static struct task_new new_task(const struct submit *s, const char *id, int64_t now)
{
    return (struct task_new){
        .id = id,
        .owner = s->caller.owner,
        .type = s->type,
        .group = s->group,
        .request_id = s->caller.request_id,
        .unique = s->unique,
        .priority = s->priority == TASK_NONE ? 0 : s->priority,
        .max_attempts = s->max_attempts,
        .timeout_ms = s->timeout_ms,
        .run_at = run_at(s, now),
        .serialize = s->serialize,
        .content_type = s->content_type,
        .input = s->input,
        .input_bytes = s->input_bytes,
        .upload = s->upload,
        .now = now,
    };
}

static enum err insert(struct submit *s, struct db *db, int64_t now, struct error *e)
{
    int64_t n = 0;
    char id[ID_SIZE];
    id_new(id, now);
    const struct task_new new = new_task(s, id, now);
    enum err rc = task_create(db, &new, &n, e);
    if (!rc) rc = task_get_n(db, n, &s->task, e);
    if (!rc) rc = limits_note_created(db, &s->caller, 1, now, e);
    s->created = !rc;
    return rc;
}

/* The task that there is already for this request, if any. */
static enum err find(struct submit *s, struct db *db, int64_t now, bool *found, bool *by_key,
                     struct error *e)
{
    task_free(&s->task);
    s->created = s->joined = false;
    enum err rc = find_by_key(s, db, now, found, e);
    *by_key = *found;
    return rc || *found ? rc : find_unique(s, db, found, e);
}

/* Whether its owner may have one more task, and so many bytes. */
static enum err may_have(struct submit *s, struct db *db, int64_t bytes, int64_t now,
                         struct error *e)
{
    enum err rc = limits_create(db, &s->caller, run_at(s, now), now, &s->op.limit, e);
    return rc ? rc : limits_bytes(db, s->caller.conf, s->caller.owner, bytes, &s->op, e);
}

static enum err apply_one(struct operation *op, struct db *db, struct error *e)
{
    struct submit *s = (struct submit *)op;
    int64_t now = clock_wall_ms(), bytes = s->upload ? 1 : (int64_t)s->input_bytes + 1;
    bool found, by_key;
    enum err rc = find(s, db, now, &found, &by_key, e);
    if (!rc && found && s->upload) rc = upload_drop(db, s->upload, e);
    if (!rc && !found) rc = may_have(s, db, bytes, now, e);
    if (!rc && !found) rc = insert(s, db, now, e);
    return rc || by_key ? rc : keep_key(s, db, now, e);
}

/* ---- an input in portions ---- */

enum err submit_may(struct submit *s, struct db *db, struct error *e)
{
    return may_have(s, db, (int64_t)s->input_bytes + 1, clock_wall_ms(), e);
}

static enum err apply_reserve(struct operation *op, struct db *db, struct error *e)
{
    struct submit *s = (struct submit *)op;
    int64_t now = clock_wall_ms();
    bool found, by_key;
    enum err rc = find(s, db, now, &found, &by_key, e);
    if (!rc && found) return by_key ? rc : keep_key(s, db, now, e);
    if (!rc) rc = may_have(s, db, (int64_t)s->input_bytes + 1, now, e);
    if (!rc) rc = upload_begin(db, s->caller.owner, (int64_t)s->input_bytes, now, &s->upload, e);
    return rc;
}

void submit_reserve(struct submit *s)
{
    s->op.apply = apply_reserve;
}

void submit_uploaded(struct submit *s)
{
    s->op.apply = apply_one;
}

static enum err apply_portion(struct operation *op, struct db *db, struct error *e)
{
    struct submit_portion *p = (struct submit_portion *)op;
    return upload_add(db, p->upload, p->bytes, p->len, clock_wall_ms(), e);
}

void submit_portion_init(struct submit_portion *p, int64_t upload, const void *bytes, size_t len)
{
    *p = (struct submit_portion){
        .op = {.apply = apply_portion}, .upload = upload, .bytes = bytes, .len = len};
}

/* Stores the whole input, which is in memory, of one that was reserved. */
static enum err store_portions(struct submit *s, struct db *db, struct error *e)
{
    enum err rc = ERR_OK;
    for (size_t at = 0; !rc && at < s->input_bytes; at += INPUT_PORTION) {
        struct submit_portion p;
        size_t left = s->input_bytes - at;
        submit_portion_init(&p, s->upload, s->input + at,
                            left < INPUT_PORTION ? left : INPUT_PORTION);
        rc = operation_run(&p.op, db, e);
        s->op.error = p.op.error;
    }
    return rc;
}

enum err submit_run(struct submit *s, struct db *db, struct error *e)
{
    if (s->input_bytes <= INPUT_PORTION) return operation_run(&s->op, db, e);
    submit_reserve(s);
    enum err rc = operation_run(&s->op, db, e);
    if (rc) s->upload = 0; /* it was undone */
    if (!rc && !s->upload) return rc;
    if (!rc) rc = store_portions(s, db, e);
    submit_uploaded(s);
    if (!rc) rc = operation_run(&s->op, db, e);
    if (!rc || !s->upload) return rc;
    struct submit_drop drop;
    submit_drop_init(&drop, s, 1);
    operation_run(&drop.op, db, NULL); /* else retention does it */
    return rc;
}

/* The input of one of many. */
static enum err store_input(struct submit *s, struct db *db, struct error *e)
{
    int64_t now = clock_wall_ms();
    enum err rc =
        limits_bytes(db, s->caller.conf, s->caller.owner, (int64_t)s->input_bytes, &s->op, e);
    if (!rc) rc = upload_begin(db, s->caller.owner, (int64_t)s->input_bytes, now, &s->upload, e);
    for (size_t at = 0; !rc && at < s->input_bytes; at += INPUT_PORTION) {
        size_t left = s->input_bytes - at;
        rc = upload_add(db, s->upload, s->input + at, left < INPUT_PORTION ? left : INPUT_PORTION,
                        now, e);
    }
    return rc;
}

static enum err apply_inputs(struct operation *op, struct db *db, struct error *e)
{
    struct submit_inputs *in = (struct submit_inputs *)op;
    struct submit_many *m = in->many;
    enum err rc = ERR_OK;
    for (size_t i = in->from; !rc && i < m->count; i++) {
        struct submit *s = &m->items[i];
        if (s->input) rc = store_input(s, db, e);
        if (!rc) continue;
        m->line = m->lines[i];
        op->code = s->op.code;
    }
    return rc;
}

void submit_inputs_init(struct submit_inputs *in, struct submit_many *many, size_t from)
{
    *in = (struct submit_inputs){.op = {.apply = apply_inputs}, .many = many, .from = from};
}

static enum err apply_drop(struct operation *op, struct db *db, struct error *e)
{
    struct submit_drop *d = (struct submit_drop *)op;
    enum err rc = ERR_OK;
    for (size_t i = 0; !rc && i < d->count; i++)
        if (d->items[i].upload) rc = upload_drop(db, d->items[i].upload, e);
    return rc;
}

void submit_drop_init(struct submit_drop *d, const struct submit *items, size_t count)
{
    *d = (struct submit_drop){
        .op = {.apply = apply_drop, .fleeting = true}, .items = items, .count = count};
}

/* ---- many ---- */

void submit_many_init(struct submit_many *m)
{
    *m = (struct submit_many){.op = {.apply = apply_many}};
}

void submit_many_free(struct submit_many *m)
{
    for (size_t i = 0; i < m->count; i++) submit_free(&m->items[i]);
    free(m->items);
    free(m->lines);
    free(m->types);
    free(m->key);
}

struct submit *submit_many_add(struct submit_many *m, const struct caller *caller, int64_t line)
{
    enum { FEW = 32 }; /* they take no longer than what others do meanwhile */
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->items = mem_grow(m->items, m->cap, sizeof *m->items);
        m->lines = mem_grow(m->lines, m->cap, sizeof *m->lines);
    }
    submit_init(&m->items[m->count], caller);
    m->lines[m->count] = line;
    m->op.large = m->count >= FEW;
    return &m->items[m->count++];
}

enum err submit_many_check(struct submit_many *m, struct error *e)
{
    struct submit *s = &m->items[m->count - 1];
    for (size_t i = 0; s->type && !s->fresh && i < m->type_count; i++)
        s->fresh = !strcmp(s->type, m->types[i]);
    enum err rc = submit_check(s, e);
    if (rc || s->fresh) return rc;
    m->types = mem_grow(m->types, m->type_count + 1, sizeof *m->types);
    m->types[m->type_count++] = s->type;
    return ERR_OK;
}

/* One key covers the request: it is kept with the number of each line's task, "KEY" for the first and
 * "KEY<tab>N" for the others, which no client can send as a key. */
static void share_key(struct submit_many *m)
{
    for (size_t i = 0; m->key && i < m->count; i++) {
        struct submit *s = &m->items[i];
        struct buf name = {0};
        if (s->key) continue; /* it runs again */
        buf_str(&name, m->key);
        if (i) buf_fmt(&name, "\t%zu", i);
        s->key = name.data;
        s->key_ms = m->key_ms;
        memcpy(s->fingerprint, m->fingerprint, sizeof s->fingerprint);
    }
}

/* Whether they can be made all at once: none may be there already, and no limit be near. */
static enum err may_batch(const struct submit_many *m, struct db *db, int64_t now, bool *may,
                          struct error *e)
{
    enum {
        EVENT_BYTES = 300
    }; /* task.created of the longest type, as limits.bytes_per_owner counts it */
    struct limits_batch batch = {0};
    *may = m->count > 1 && !m->key;
    for (size_t i = 0; *may && i < m->count; i++) {
        const struct submit *s = &m->items[i];
        *may = !s->unique && !s->upload;
        batch.bytes += (int64_t)s->input_bytes + EVENT_BYTES;
        *(run_at(s, now) > now ? &batch.delayed : &batch.due) += 1;
    }
    return *may ? limits_batch(db, &m->items[0].caller, &batch, now, may, e) : ERR_OK;
}

/* Makes them all at once. */
static enum err insert_batch(struct submit_many *m, struct db *db, int64_t now, struct error *e)
{
    int64_t first = 0;
    struct task_new *all = mem_alloc(m->count * sizeof *all);
    char(*ids)[ID_SIZE] = mem_alloc(m->count * sizeof *ids);
    id_new_many(ids, m->count, now);
    for (size_t i = 0; i < m->count; i++) {
        struct submit *s = &m->items[i];
        task_free(&s->task); /* it runs again */
        memcpy(s->task.id, ids[i], ID_SIZE);
        all[i] = new_task(s, s->task.id, now);
    }
    enum err rc = task_create_batch(db, all, m->count, &first, e);
    if (!rc) rc = limits_note_created(db, &m->items[0].caller, (int64_t)m->count, now, e);
    for (size_t i = 0; !rc && i < m->count; i++) {
        m->items[i].task.n = first + (int64_t)i;
        m->items[i].created = true;
    }
    free(ids);
    free(all);
    return rc;
}

static enum err apply_many(struct operation *op, struct db *db, struct error *e)
{
    struct submit_many *m = (struct submit_many *)op;
    int64_t now = clock_wall_ms();
    bool at_once = false;
    m->line = 0;
    enum err rc = may_batch(m, db, now, &at_once, e);
    if (!rc && at_once) rc = insert_batch(m, db, now, e);
    if (rc || at_once) return rc;
    share_key(m);
    for (size_t i = 0; !rc && i < m->count; i++) {
        struct submit *s = &m->items[i];
        s->op.limit = (struct limit_hit){0};
        rc = apply_one(&s->op, db, e);
        if (!rc) continue;
        m->line = m->lines[i];
        op->code = s->op.code;
        op->limit = s->op.limit;
    }
    return rc;
}
