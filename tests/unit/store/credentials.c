/* Tokens and tickets: what is found by a hash, and what it is worth when. */
#include "fixture.h"

#include "store/credentials.h"

enum { HOUR = 3600 * 1000 };

static const unsigned char *hash_of(const char *secret)
{
    static unsigned char hashes[4][SECRET_HASH_BYTES];
    static unsigned turn;
    unsigned char *hash = hashes[turn++ % 4];
    secret_hash(hash, secret, strlen(secret));
    return hash;
}

/* Adds one in a transaction of its own; created_at 0 is T0, expires_at 0 never. */
static int64_t add(struct room *r, const char *secret, struct credential c)
{
    int64_t id = 0;
    if (!c.owner) c.owner = (char *)"alice";
    if (!c.scopes) c.scopes = AUTH_READ;
    if (!c.created_at) c.created_at = T0;
    if (!c.expires_at) c.expires_at = TASK_NONE;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, credential_add(r->db, &c, hash_of(secret), &id, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    return id;
}

static int64_t add_ticket(struct room *r, const char *secret, const char *owner, int64_t from,
                          int64_t to)
{
    return add(
        r, secret,
        (struct credential){
            .owner = (char *)owner, .ticket = TICKET_ALL, .created_at = from, .expires_at = to});
}

static enum credential_state state_of(struct room *r, const char *secret, int64_t now)
{
    struct credential c;
    enum credential_state state;
    OK(r, credential_find(r->db, hash_of(secret), now, &state, &c, &r->e));
    assert_int_equal(c.owner != NULL, state == CREDENTIAL_VALID);
    credential_free(&c);
    return state;
}

static enum err take_back(struct room *r, const char *which, int64_t now, int64_t *id)
{
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    enum err rc = credential_revoke(r->db, which, now, id, &r->e);
    if (rc)
        txn_rollback(r->db);
    else
        OK(r, txn_commit(r->db, &r->e));
    return rc;
}

static void what_was_added_is_found(void **state)
{
    struct room *r = *state;
    struct credential c;
    enum credential_state is;
    int64_t token = add(r, "one",
                        (struct credential){.owner = (char *)"ann",
                                            .scopes = AUTH_CREATE | AUTH_ADMIN,
                                            .name = (char *)"phone"});
    int64_t ticket = add(r, "two",
                         (struct credential){.owner = (char *)"bob",
                                             .ticket = TICKET_GROUP,
                                             .subject = (char *)"repo-7",
                                             .expires_at = T0 + HOUR});
    assert_true(token > 0 && ticket > token);

    OK(r, credential_find(r->db, hash_of("one"), T0, &is, &c, &r->e));
    assert_int_equal(is, CREDENTIAL_VALID);
    assert_int_equal(c.id, token);
    assert_string_equal(c.owner, "ann");
    assert_int_equal(c.scopes, AUTH_ADMIN | AUTH_USUAL); /* admin brings the others */
    assert_string_equal(c.name, "phone");
    assert_int_equal(c.ticket, TICKET_NONE);
    assert_null(c.subject);
    assert_int_equal(c.created_at, T0);
    assert_int_equal(c.expires_at, TASK_NONE);
    credential_free(&c);

    OK(r, credential_find(r->db, hash_of("two"), T0, &is, &c, &r->e));
    assert_int_equal(is, CREDENTIAL_VALID);
    assert_string_equal(c.owner, "bob");
    assert_int_equal(c.ticket, TICKET_GROUP);
    assert_string_equal(c.subject, "repo-7");
    assert_int_equal(c.expires_at, T0 + HOUR);
    assert_null(c.name);
    credential_free(&c);
}

static void unknown_expired_and_revoked_are_told_apart(void **state)
{
    struct room *r = *state;
    int64_t id = 0;
    add(r, "short", (struct credential){.expires_at = T0 + 1000});
    add(r, "long", (struct credential){.name = (char *)"l"});
    assert_int_equal(state_of(r, "nobody's", T0), CREDENTIAL_UNKNOWN);
    assert_int_equal(state_of(r, "short", T0 + 999), CREDENTIAL_VALID);
    assert_int_equal(state_of(r, "short", T0 + 1000), CREDENTIAL_EXPIRED);
    assert_int_equal(state_of(r, "long", T0 + 1000 * (int64_t)HOUR), CREDENTIAL_VALID);
    assert_int_equal(take_back(r, "l", T0, &id), ERR_OK);
    assert_int_equal(state_of(r, "long", T0), CREDENTIAL_REVOKED);
}

static void what_an_id_is_worth_can_be_asked(void **state)
{
    struct room *r = *state;
    enum credential_state is;
    int64_t id = add(r, "one", (struct credential){.expires_at = T0 + 1000, .name = (char *)"n"});
    OK(r, credential_check(r->db, id, T0, &is, &r->e));
    assert_int_equal(is, CREDENTIAL_VALID);
    OK(r, credential_check(r->db, id, T0 + 1000, &is, &r->e));
    assert_int_equal(is, CREDENTIAL_EXPIRED);
    OK(r, credential_check(r->db, id + 1, T0, &is, &r->e));
    assert_int_equal(is, CREDENTIAL_UNKNOWN);
    assert_int_equal(take_back(r, "n", T0, &id), ERR_OK);
    OK(r, credential_check(r->db, id, T0, &is, &r->e));
    assert_int_equal(is, CREDENTIAL_REVOKED);
}

static void the_database_holds_no_secret(void **state)
{
    struct room *r = *state;
    char secret[SECRET_SIZE];
    secret_new(secret);
    add(r, secret, (struct credential){.name = (char *)"n"});
    assert_int_equal(sql_number(r->db,
                                "SELECT count(*) FROM credentials WHERE instr(hash, %Q)"
                                " OR length(hash) <> 32",
                                secret),
                     0);
    room_close(r);
    char path[64], *bytes = NULL;
    snprintf(path, sizeof path, "%s-wal", r->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = lseek(fd, 0, SEEK_END);
    assert_true(size > 0);
    bytes = mem_alloc((size_t)size);
    assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
    assert_null(memmem(bytes, (size_t)size, secret, strlen(secret)));
    free(bytes);
    close(fd);
}

static void tokens_are_listed_without_tickets(void **state)
{
    struct room *r = *state;
    struct credential_list l;
    OK(r, credential_tokens(r->db, &l, &r->e));
    assert_int_equal(l.count, 0);
    credential_list_free(&l);
    int64_t id = 0;
    for (int i = 0; i < 40; i++) {
        char secret[16];
        snprintf(secret, sizeof secret, "s%d", i);
        if (i % 2)
            add_ticket(r, secret, "alice", T0, T0 + HOUR);
        else
            id = add(r, secret, (struct credential){.expires_at = i ? T0 + i : 0});
    }
    OK(r, credential_tokens(r->db, &l, &r->e));
    assert_int_equal(l.count, 20);
    assert_int_equal(l.items[19].id, id);
    for (size_t i = 1; i < l.count; i++) assert_true(l.items[i - 1].id < l.items[i].id);
    assert_int_equal(credential_state(&l.items[0], T0 + HOUR), CREDENTIAL_VALID);
    assert_int_equal(credential_state(&l.items[1], T0 + HOUR), CREDENTIAL_EXPIRED);
    credential_list_free(&l);
}

static void revoking_takes_an_id_or_a_name_that_is_one_token(void **state)
{
    struct room *r = *state;
    int64_t id = 0, first = add(r, "a", (struct credential){.name = (char *)"phone"});
    int64_t second = add(r, "b", (struct credential){.name = (char *)"phone"});
    add(r, "c", (struct credential){.name = (char *)"gone", .expires_at = T0 + 1});
    add_ticket(r, "d", "bob", T0, T0 + HOUR);
    char text[24];

    assert_int_equal(take_back(r, "phone", T0 + 5, &id), ERR_STATE);
    snprintf(text, sizeof text, "%lld, %lld", (long long)first, (long long)second);
    assert_non_null(strstr(r->e.text, text));
    assert_int_equal(take_back(r, "gone", T0 + 5, &id), ERR_NOTFOUND);
    assert_int_equal(take_back(r, "nobody", T0 + 5, &id), ERR_NOTFOUND);
    assert_int_equal(take_back(r, "", T0 + 5, &id), ERR_NOTFOUND);
    assert_int_equal(take_back(r, "99", T0 + 5, &id), ERR_NOTFOUND);
    assert_int_equal(take_back(r, "4", T0 + 5, &id), ERR_NOTFOUND); /* a ticket */
    assert_int_equal(id, 0);

    snprintf(text, sizeof text, "%lld", (long long)first);
    assert_int_equal(take_back(r, text, T0 + 5, &id), ERR_OK);
    assert_int_equal(id, first);
    assert_int_equal(take_back(r, text, T0 + 6, &id), ERR_STATE);
    assert_int_equal(sql_number(r->db, "SELECT revoked_at FROM credentials WHERE id = %s", text),
                     T0 + 5);
    assert_int_equal(take_back(r, "phone", T0 + 7, &id), ERR_OK); /* now it is one */
    assert_int_equal(id, second);
}

static void revoking_a_token_takes_its_owners_tickets_along(void **state)
{
    struct room *r = *state;
    int64_t id = 0;
    add(r, "token", (struct credential){.owner = (char *)"ann", .name = (char *)"t"});
    add(r, "other", (struct credential){.owner = (char *)"ann"});
    add_ticket(r, "live", "ann", T0, T0 + HOUR);
    add_ticket(r, "past", "ann", T0, T0 + 1);
    add_ticket(r, "bob's", "bob", T0, T0 + HOUR);
    assert_int_equal(take_back(r, "t", T0 + 5, &id), ERR_OK);
    assert_int_equal(state_of(r, "token", T0 + 5), CREDENTIAL_REVOKED);
    assert_int_equal(state_of(r, "live", T0 + 5), CREDENTIAL_REVOKED);
    assert_int_equal(state_of(r, "past", T0 + 5), CREDENTIAL_EXPIRED);
    assert_int_equal(state_of(r, "bob's", T0 + 5), CREDENTIAL_VALID);
    assert_int_equal(state_of(r, "other", T0 + 5), CREDENTIAL_VALID);
}

static void old_tickets_go_a_few_at_a_time_when_one_is_made(void **state)
{
    struct room *r = *state;
    add(r, "token", (struct credential){.expires_at = T0 + 1}); /* people look at these */
    for (int i = 0; i < 50; i++) {
        char secret[16];
        snprintf(secret, sizeof secret, "s%d", i);
        add_ticket(r, secret, "ann", T0, T0 + i + 1);
    }
    const char *count = "SELECT count(*) FROM credentials WHERE kind = 'ticket'";
    assert_int_equal(sql_number(r->db, "%s", count), 50);
    /* within the hour nothing goes, so that "expired" can be said */
    add_ticket(r, "a", "ann", T0 + HOUR, T0 + 3 * HOUR);
    assert_int_equal(state_of(r, "s0", T0 + HOUR), CREDENTIAL_EXPIRED);
    assert_int_equal(sql_number(r->db, "%s", count), 51);
    add_ticket(r, "b", "ann", T0 + 2 * HOUR, T0 + 3 * HOUR);
    assert_int_equal(sql_number(r->db, "%s", count), 32);
    add_ticket(r, "c", "ann", T0 + 2 * HOUR, T0 + 3 * HOUR);
    add_ticket(r, "d", "ann", T0 + 2 * HOUR, T0 + 3 * HOUR);
    assert_int_equal(sql_number(r->db, "%s", count), 4);
    assert_int_equal(state_of(r, "s0", T0 + HOUR), CREDENTIAL_UNKNOWN);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM credentials"), 5);
}

static void a_ticket_for_something_unknown_opens_nothing(void **state)
{
    struct room *r = *state;
    add_ticket(r, "s", "ann", T0, T0 + HOUR);
    add(r, "t", (struct credential){0});
    assert_int_equal(
        sql_try(r->db, "UPDATE credentials SET subject_kind = 'world' WHERE kind = 'ticket'"), 0);
    assert_int_equal(
        sql_try(r->db, "UPDATE credentials SET scopes = 'read,fly' WHERE kind = 'token'"), 0);
    assert_int_equal(state_of(r, "s", T0), CREDENTIAL_UNKNOWN);
    assert_int_equal(state_of(r, "t", T0), CREDENTIAL_VALID);
}

static void a_jobs_token_is_worth_something_while_its_attempt_lives(void **state)
{
    static const enum task_status ends[] = {TASK_COMPLETED, TASK_FAILED, TASK_CANCELLED,
                                            TASK_PENDING};
    struct room *r = *state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char secret[] = "job0";
        secret[3] = (char)('0' + i);
        make(r, (struct sketch){0});
        struct claim c = take(r, 1, T0); /* for 30 s */
        int64_t id = add(r, secret, (struct credential){.task = c.n});
        enum credential_state is;
        assert_int_equal(state_of(r, secret, T0 + 1), CREDENTIAL_VALID);
        assert_int_equal(state_of(r, secret, T0 + 31000), CREDENTIAL_REVOKED);
        OK(r, credential_check(r->db, id, T0 + 31000, &is, &r->e));
        assert_int_equal(is, CREDENTIAL_REVOKED);
        OK(r, finish(r, &c,
                     &(struct claim_end){.status = ends[i], .run_at = TASK_NONE, .now = T0 + 10}));
        assert_int_equal(state_of(r, secret, T0 + 11), CREDENTIAL_REVOKED);
        if (ends[i] == TASK_PENDING) { /* the next attempt does not revive it */
            assert_int_equal(take(r, 1, T0 + 12).n, c.n);
            assert_int_equal(state_of(r, secret, T0 + 13), CREDENTIAL_REVOKED);
        }
    }
    struct credential_list l;
    OK(r, credential_tokens(r->db, &l, &r->e));
    assert_int_equal(l.count, 0); /* they are nobody's to look after */
    credential_list_free(&l);
    assert_int_equal(sql_try(r->db, "DELETE FROM tasks WHERE status <> 'running'"), SQLITE_OK);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM credentials"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(what_was_added_is_found),
        room_test(unknown_expired_and_revoked_are_told_apart),
        room_test(what_an_id_is_worth_can_be_asked),
        room_test(the_database_holds_no_secret),
        room_test(tokens_are_listed_without_tickets),
        room_test(revoking_takes_an_id_or_a_name_that_is_one_token),
        room_test(revoking_a_token_takes_its_owners_tickets_along),
        room_test(old_tickets_go_a_few_at_a_time_when_one_is_made),
        room_test(a_ticket_for_something_unknown_opens_nothing),
        room_test(a_jobs_token_is_worth_something_while_its_attempt_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
