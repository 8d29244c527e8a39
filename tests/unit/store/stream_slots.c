/* The streams of all processes. Each open of the file is what a process has: the lock on a slot belongs to the
 * open file, so closing one leaves what a killed process leaves. */
#include "fixture.h"

#include "store/stream_slots.h"

/* The clock in place of base/clock: it goes when a test has it go. */
static int64_t now_ms = 1000000;

int64_t clock_wall_ms(void)
{
    return now_ms;
}

int64_t clock_monotonic_ms(void)
{
    return now_ms;
}

int64_t clock_monotonic_us(void)
{
    return now_ms * 1000;
}

static struct stream_slots *slots_of(struct room *r, int64_t cgi_most)
{
    struct stream_slots *s = NULL;
    OK(r, stream_slots_open(&s, r->path, cgi_most, &r->e));
    return s;
}

static bool counted(struct stream_slots *s, const char *account, int64_t most)
{
    return stream_slots_take(s, account, most) == SLOT_TAKEN;
}

static void an_account_has_as_many_as_it_may_in_all_processes_together(void **state)
{
    struct room *r = *state;
    struct stream_slots *a = slots_of(r, 0), *b = slots_of(r, 0);
    assert_true(counted(a, "ann", 3));
    assert_true(counted(b, "ann", 3));
    assert_true(counted(b, "ann", 3));
    assert_int_equal(stream_slots_take(a, "ann", 3), SLOT_ACCOUNT_FULL);
    assert_false(counted(b, "ann", 3));
    assert_true(counted(a, "bob", 3)); /* another account */
    assert_true(counted(a, "ann 127.0.0.1", 1));
    assert_true(counted(a, "ann", 0)); /* no limit; it counts all the same */
    stream_slots_give_back(a, "ann");
    assert_false(counted(a, "ann", 3));
    stream_slots_give_back(b, "ann");
    assert_true(counted(a, "ann", 3)); /* wherever it was given back */
    assert_false(counted(b, "ann", 3));
    stream_slots_close(a);
    stream_slots_close(b);
}

static void what_a_process_had_is_forgotten_with_it(void **state)
{
    struct room *r = *state;
    struct stream_slots *a = slots_of(r, 0), *b = slots_of(r, 0);
    for (int i = 0; i < 5; i++) assert_true(counted(a, "ann", 5));
    assert_false(counted(b, "ann", 5));
    stream_slots_close(a);
    for (int i = 0; i < 5; i++) assert_true(counted(b, "ann", 5));
    assert_false(counted(b, "ann", 5));
    a = slots_of(r, 0); /* the slot of the dead one is taken over, empty */
    assert_false(counted(a, "ann", 5));
    assert_true(counted(a, "bob", 1));
    stream_slots_close(b);
    for (int i = 0; i < 5; i++) assert_true(counted(a, "ann", 5));
    assert_false(counted(a, "ann", 5));
    stream_slots_close(a);
    stream_slots_close(NULL);
}

static void there_are_as_many_cgi_processes_with_streams_as_may(void **state)
{
    struct room *r = *state;
    struct stream_slots *cgi[4], *fcgi = slots_of(r, 0);
    for (int i = 0; i < 4; i++) cgi[i] = slots_of(r, 2);
    assert_true(counted(fcgi, "ann", 0)); /* is no CGI process */
    assert_true(counted(cgi[0], "ann", 0));
    assert_true(counted(cgi[1], "bob", 0));
    assert_int_equal(stream_slots_take(cgi[2], "ann", 0), SLOT_SITE_FULL);
    assert_true(counted(fcgi, "ann", 0));
    stream_slots_close(cgi[0]);
    /* one that was refused, and still answers that, takes nobody's place */
    assert_true(counted(cgi[3], "ann", 0));
    assert_false(counted(cgi[2], "ann", 0));
    stream_slots_give_back(cgi[1], "bob");
    assert_true(counted(cgi[2], "ann", 0));
    assert_false(counted(cgi[1], "ann", 0));
    for (int i = 1; i < 4; i++) stream_slots_close(cgi[i]);
    stream_slots_close(fcgi);
}

static void streams_are_shorter_the_fewer_places_are_left(void **state)
{
    enum { MOST = 6, LONG = 50000 };
    struct room *r = *state;
    struct stream_slots *cgi[MOST], *fcgi = slots_of(r, 0);
    int64_t before = LONG;
    for (int i = 0; i < MOST; i++) {
        cgi[i] = slots_of(r, MOST);
        assert_true(counted(cgi[i], "ann", 0));
        int64_t ms = stream_slots_length(cgi[i], LONG);
        if (i < MOST / 2)
            assert_int_equal(ms, LONG);
        else
            assert_true(ms < before);
        before = ms;
    }
    assert_int_equal(before, 2000);
    assert_int_equal(stream_slots_length(cgi[0], 700), 700); /* never longer than it shall be */
    assert_int_equal(stream_slots_length(fcgi, LONG), LONG);
    for (int i = 0; i < MOST; i++) stream_slots_close(cgi[i]);
    stream_slots_close(fcgi);
}

/* Whether the place of `s` is wanted by the time that somebody who tries again and again may have to wait. */
static bool wanted_by(struct stream_slots *s, struct stream_slots *waits)
{
    for (int i = 0; i < 2000; i++) {
        if (counted(waits, "bob", 0)) return false;
        if (stream_slots_wanted(s)) return true;
        now_ms += 10;
    }
    return false;
}

static void who_is_refused_has_the_oldest_end(void **state)
{
    struct room *r = *state;
    struct stream_slots *a = slots_of(r, 2), *b = slots_of(r, 2), *c = slots_of(r, 2);
    struct stream_slots *fcgi = slots_of(r, 0);
    assert_true(counted(fcgi, "ann", 0));
    assert_true(counted(a, "ann", 0));
    assert_true(counted(b, "ann", 0));
    assert_false(counted(c, "bob", 0));
    assert_false(stream_slots_wanted(a)); /* both are young */
    assert_false(stream_slots_wanted(b));
    assert_true(wanted_by(a, c));
    assert_false(stream_slots_wanted(a)); /* once */
    assert_false(stream_slots_wanted(fcgi));
    stream_slots_give_back(a, "ann");
    assert_true(counted(c, "bob", 0));
    assert_false(
        stream_slots_wanted(c)); /* what was said of another stream is not said of this one */
    assert_false(counted(a, "ann", 0));
    assert_true(stream_slots_wanted(b));
    /* whom its own limit refuses waits for its own */
    assert_false(counted(a, "bob", 1));
    assert_false(stream_slots_wanted(b));
    stream_slots_close(a);
    stream_slots_close(b);
    stream_slots_close(c);
    stream_slots_close(fcgi);
}

static void a_cgi_process_that_its_account_does_not_let_in_takes_no_place(void **state)
{
    struct room *r = *state;
    struct stream_slots *a = slots_of(r, 2), *b = slots_of(r, 2), *c = slots_of(r, 2);
    assert_true(counted(a, "ann", 1));
    assert_false(counted(b, "ann", 1));
    assert_true(counted(c, "bob", 1));
    stream_slots_close(a);
    stream_slots_close(b);
    stream_slots_close(c);
}

static void name(char to[32], int i)
{
    snprintf(to, 32, "account %d", i);
}

static void many_accounts_come_and_go(void **state)
{
    enum { MANY = 3000, ROUNDS = 4 };
    struct room *r = *state;
    struct stream_slots *a = slots_of(r, 0), *b = slots_of(r, 0);
    char account[32];
    for (int round = 0; round < ROUNDS; round++) { /* others each time: more than a table holds */
        for (int i = 0; i < MANY; i++) {
            name(account, round * MANY + i);
            assert_true(counted(a, account, 1));
        }
        for (int i = 0; i < MANY; i += 97) {
            name(account, round * MANY + i);
            assert_false(counted(a, account, 1));
            assert_false(counted(b, account, 1));
        }
        for (int i = 0; i < MANY; i++) {
            name(account, round * MANY + i);
            stream_slots_give_back(a, account);
        }
        name(account, round * MANY);
        assert_true(counted(b, account, 1));
        assert_false(counted(a, account, 1));
        stream_slots_give_back(b, account);
    }
    stream_slots_close(a);
    stream_slots_close(b);
}

static void more_accounts_than_a_table_holds_are_let_in(void **state)
{
    enum { MANY = 5000 };
    struct room *r = *state;
    struct stream_slots *a = slots_of(r, 0);
    char account[32];
    for (int i = 0; i < MANY; i++) {
        name(account, i);
        assert_true(counted(a, account, 1));
    }
    for (int i = 0; i < MANY; i++) {
        name(account, i);
        stream_slots_give_back(a, account);
    }
    for (int i = 0; i < 100; i++) { /* and then all are counted again */
        name(account, i);
        assert_true(counted(a, account, 1));
        assert_false(counted(a, account, 1));
    }
    stream_slots_close(a);
}

static void a_file_that_cannot_be_is_an_error(void **state)
{
    struct room *r = *state;
    struct stream_slots *s = NULL;
    char path[64];
    snprintf(path, sizeof path, "%s.streams", r->path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(stream_slots_open(&s, r->path, 0, &r->e), ERR_IO);
    assert_non_null(strstr(r->e.text, ".streams"));
    assert_null(s);
}

static void one_process_is_the_first_until_it_may_not_be_or_ends(void **state)
{
    struct room *r = *state;
    struct stream_slots *a = slots_of(r, 0), *b = slots_of(r, 0);
    assert_true(stream_slots_first(b, false)); /* nobody is */
    assert_true(stream_slots_first(a, true));
    assert_true(stream_slots_first(a, true));
    assert_false(stream_slots_first(b, true));
    assert_false(stream_slots_first(b, false));
    assert_true(stream_slots_first(a, false)); /* gives it up */
    assert_true(stream_slots_first(b, true));
    assert_false(stream_slots_first(a, false));
    assert_false(stream_slots_first(a, true));
    stream_slots_close(b); /* as a killed one leaves it */
    assert_true(stream_slots_first(a, true));
    stream_slots_close(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_enter_closed, room_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_account_has_as_many_as_it_may_in_all_processes_together),
        TEST(what_a_process_had_is_forgotten_with_it),
        TEST(there_are_as_many_cgi_processes_with_streams_as_may),
        TEST(streams_are_shorter_the_fewer_places_are_left),
        TEST(who_is_refused_has_the_oldest_end),
        TEST(a_cgi_process_that_its_account_does_not_let_in_takes_no_place),
        TEST(many_accounts_come_and_go),
        TEST(more_accounts_than_a_table_holds_are_let_in),
        TEST(one_process_is_the_first_until_it_may_not_be_or_ends),
        TEST(a_file_that_cannot_be_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
