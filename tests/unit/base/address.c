#include "base/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void an_address_is_read_with_or_without_its_port(void **state)
{
    static const struct {
        const char *text, *shown; /* NULL: none */
    } rows[] = {
        {"127.0.0.1", "127.0.0.1"},
        {"127.0.0.1:8080", "127.0.0.1"},
        {"::1", "::1"},
        {"[::1]", "::1"},
        {"[::1]:80", "::1"},
        {"::ffff:10.1.2.3", "10.1.2.3"},
        {"2001:DB8:0:0::1", "2001:db8::1"},
        {"unix:", "unix:"},
        {"unix:/run/x", "unix:"},
        {"", NULL},
        {"unknown", NULL},
        {"_hidden", NULL},
        {"127.0.0", NULL},
        {"127.0.0.1x", NULL},
        {"127.0.0.1:8x", NULL},
        {"1.2.3.4:5:6", NULL},
        {"[::1", NULL},
        {"[::1]x", NULL},
        {"[::1]:x", NULL},
        {"[]", NULL},
        {":80", NULL},
        {"fe80::1%eth0", NULL},
        {"11111111111111111111111111111111111111111111111111111111111111111111111111", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct address a;
        char text[ADDRESS_TEXT_SIZE];
        bool got = address_parse(rows[i].text, strlen(rows[i].text), &a);
        if (got != !!rows[i].shown) print_error("%s\n", rows[i].text);
        assert_int_equal(got, !!rows[i].shown);
        if (!got) continue;
        address_format(&a, text);
        assert_string_equal(text, rows[i].shown);
    }
}

static void a_network_holds_what_begins_alike(void **state)
{
    static const struct {
        const char *network, *address;
        bool holds;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.0.0.0/8", "::ffff:10.0.0.1", true},
        {"192.168.4.0/22", "192.168.7.255", true},
        {"192.168.4.0/22", "192.168.8.0", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"127.0.0.1/32", "127.0.0.1", true},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "1.2.3.4", true},
        {"::/0", "fe80::1", true},
        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1", "::1", true},
        {"unix:", "unix:/run/x.sock", true},
        {"unix:", "127.0.0.1", false},
        {"::/0", "unix:", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct network n;
        struct address a;
        bool network = network_parse(rows[i].network, strlen(rows[i].network), &n);
        assert_true(address_parse(rows[i].address, strlen(rows[i].address), &a));
        bool holds = network && network_holds(&n, &a);
        if (holds != rows[i].holds) print_error("%s %s\n", rows[i].network, rows[i].address);
        assert_int_equal(holds, rows[i].holds);
    }
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const rows[] = {
        "",           "10.0.0.0/", "10.0.0.0/33",  "10.0.0.0/8x", "10.0.0.0/-1", "10.0.0.0/0008",
        "::/129",     "localhost", "10.0.0.0/8/8", "10/8",        "[::1]",       "10.0.0.1:80",
        "unix:/run/x"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct network n;
        if (network_parse(rows[i], strlen(rows[i]), &n)) fail_msg("%s was taken", rows[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_read_with_or_without_its_port),
        cmocka_unit_test(a_network_holds_what_begins_alike),
        cmocka_unit_test(what_is_no_network_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
