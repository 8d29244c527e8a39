/* Names of owners, lists of scopes, kinds of tickets. */
#include "task/access.h"

#include "base/conf.h"
#include "task/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void an_owner_is_short_printable_text(void **state)
{
    static const struct {
        const char *name;
        bool valid;
    } rows[] = {
        {"alice", true},    {"Ann Example <ann@example.org>", true},
        {"\xc3\xa4", true}, {"0", true},
        {"", false},        {"a\tb", false},
        {"a\n", false},     {"\x7f", false},
        {"\xff", false},    {"\xed\xa0\x80", false},
    };
    char longest[TASK_OWNER_MAX + 2];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(owner_valid(rows[i].name), rows[i].valid);
    memset(longest, 'x', sizeof longest);
    longest[TASK_OWNER_MAX + 1] = '\0';
    assert_false(owner_valid(longest));
    longest[TASK_OWNER_MAX] = '\0';
    assert_true(owner_valid(longest));
}

static void scopes_are_read_and_written(void **state)
{
    static const struct {
        const char *text;
        unsigned scopes;
        const char *written;
    } rows[] = {
        {NULL, 0, ""},
        {"", 0, ""},
        {"read", AUTH_READ, "read"},
        {"admin publish read create", 15, "create,read,publish,admin"},
        {" read,,create ,\tread", AUTH_READ | AUTH_CREATE, "create,read"},
        {"admin", 15, "create,read,publish,admin"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned scopes = 99;
        struct buf b = {0};
        assert_int_equal(scopes_parse(rows[i].text, false, &scopes, NULL), ERR_OK);
        assert_int_equal(scopes, rows[i].scopes);
        scopes_write(&b, scopes);
        assert_string_equal(buf_text(&b), rows[i].written);
        buf_free(&b);
    }
}

static void unknown_scopes_are_refused_or_passed_over(void **state)
{
    struct error e = {0};
    unsigned scopes;
    (void)state;
    assert_int_equal(scopes_parse("read,writ", false, &scopes, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "'writ'"));
    assert_int_equal(scopes_parse("read writ READ reads rea openid", true, &scopes, NULL), ERR_OK);
    assert_int_equal(scopes, AUTH_READ);
}

static void the_settings_know_every_scope(void **state)
{
    (void)state;
    struct conf *base = NULL;
    assert_int_equal(conf_load(&base, "/dev/null", NULL, NULL), ERR_OK);
    for (unsigned i = 0; scope_name(i); i++) {
        struct conf *c = NULL;
        struct buf b = {0};
        buf_fmt(&b, "LEAT_AUTH_ANONYMOUS_SCOPE=%s", scope_name(i));
        assert_int_equal(conf_overlay(&c, base, (char *[]){b.data, NULL}, NULL), ERR_OK);
        conf_free(c);
        buf_free(&b);
    }
    conf_free(base);
}

static void scope_names_follow_the_bits(void **state)
{
    (void)state;
    assert_string_equal(scope_name(0), "create");
    assert_string_equal(scope_name(3), "admin");
    assert_null(scope_name(4));
}

static void kinds_of_tickets_have_words(void **state)
{
    (void)state;
    for (enum ticket_kind k = TICKET_TASK; k < TICKET_KINDS; k++)
        assert_int_equal(ticket_kind_parse(ticket_kind_name(k)), k);
    assert_null(ticket_kind_name(TICKET_NONE));
    assert_int_equal(ticket_kind_parse(NULL), TICKET_NONE);
    assert_int_equal(ticket_kind_parse("tasks"), TICKET_NONE);
    assert_int_equal(ticket_kind_parse(""), TICKET_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_is_short_printable_text),
        cmocka_unit_test(scopes_are_read_and_written),
        cmocka_unit_test(unknown_scopes_are_refused_or_passed_over),
        cmocka_unit_test(the_settings_know_every_scope),
        cmocka_unit_test(scope_names_follow_the_bits),
        cmocka_unit_test(kinds_of_tickets_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
