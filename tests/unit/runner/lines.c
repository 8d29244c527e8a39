#include "runner/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void feed(struct lines *l, const char *text)
{
    lines_feed(l, text, strlen(text));
}

static void assert_line(const struct line *line, const char *text, size_t cut)
{
    assert_int_equal(line->len, strlen(text));
    assert_memory_equal(line->text, text, line->len);
    assert_int_equal(line->cut, cut);
}

static void assert_next(struct lines *l, const char *text, size_t cut)
{
    struct line line;
    assert_true(lines_next(l, &line));
    assert_line(&line, text, cut);
}

static void assert_none(struct lines *l)
{
    struct line line;
    assert_false(lines_waiting(l));
    assert_false(lines_next(l, &line));
}

static void lines_come_in_order_without_their_newlines(void **state)
{
    (void)state;
    struct lines l = {.max = 100};
    feed(&l, "one\ntwo\n\nthree\n");
    assert_next(&l, "one", 0);
    assert_next(&l, "two", 0);
    assert_next(&l, "", 0);
    assert_true(lines_waiting(&l));
    assert_next(&l, "three", 0);
    assert_none(&l);
    lines_free(&l);
}

static void a_line_may_come_in_any_pieces(void **state)
{
    (void)state;
    const char text[] = "alpha\nbeta\n";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct lines l = {.max = 100};
        size_t found = 0;
        struct line line;
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t left = sizeof text - 1 - at;
            lines_feed(&l, text + at, left < piece ? left : piece);
            while (lines_next(&l, &line)) assert_line(&line, found++ ? "beta" : "alpha", 0);
        }
        assert_int_equal(found, 2);
        lines_free(&l);
    }
}

static void what_has_no_newline_comes_at_the_end_only(void **state)
{
    (void)state;
    struct lines l = {.max = 100};
    struct line line;
    feed(&l, "one\ntw");
    assert_next(&l, "one", 0);
    assert_none(&l);
    feed(&l, "o");
    assert_true(lines_last(&l, &line));
    assert_line(&line, "two", 0);
    assert_false(lines_last(&l, &line));
    lines_free(&l);
}

static void a_line_as_long_as_the_bound_is_whole(void **state)
{
    (void)state;
    struct lines l = {.max = 5};
    feed(&l, "12345\n123456\n");
    assert_next(&l, "12345", 0);
    assert_next(&l, "12345", 1);
    lines_free(&l);
}

static void a_cut_counts_every_byte_that_is_missing(void **state)
{
    (void)state;
    struct lines l = {.max = 5};
    for (int i = 0; i < 10; i++) feed(&l, "1234567890");
    assert_none(&l);
    feed(&l, "xyz\nnext\n");
    assert_next(&l, "12345", 98);
    assert_next(&l, "next", 0);
    lines_free(&l);
}

static void a_cut_line_without_an_end_says_so_too(void **state)
{
    (void)state;
    struct lines l = {.max = 5};
    struct line line;
    feed(&l, "1234567890");
    feed(&l, "1234567890");
    assert_true(lines_last(&l, &line));
    assert_line(&line, "12345", 15);
    lines_free(&l);
}

static void a_cut_falls_between_characters(void **state)
{
    (void)state;
    struct lines l = {.max = 5};
    feed(&l, "1234\xc3\xa9x\n");
    assert_next(&l, "1234", 3);
    feed(&l, "1234\xc3\xa9");
    feed(&l, "more");
    feed(&l, "\n");
    assert_next(&l, "1234", 6);
    lines_free(&l);
}

static void an_endless_line_takes_bounded_memory(void **state)
{
    (void)state;
    static char piece[65536];
    memset(piece, 'x', sizeof piece);
    struct lines l = {.max = 1000};
    for (int i = 0; i < 200; i++) lines_feed(&l, piece, sizeof piece);
    assert_true(l.held.cap <= 4 * sizeof piece);
    feed(&l, "\n");
    struct line line;
    assert_true(lines_next(&l, &line));
    assert_int_equal(line.len, 1000);
    assert_int_equal(line.cut, 200 * sizeof piece - 1000);
    lines_free(&l);
}

static void bytes_of_any_kind_pass(void **state)
{
    (void)state;
    struct lines l = {.max = 100};
    struct line line;
    lines_feed(&l, "a\0b\xff\n", 5);
    assert_true(lines_next(&l, &line));
    assert_int_equal(line.len, 4);
    assert_memory_equal(line.text, "a\0b\xff", 4);
    lines_free(&l);
}

static const struct lines SCREEN = {.max = 40, .tail = 10, .returns = true};

static void assert_ends(struct lines *l, const char *text, enum line_end end)
{
    struct line line;
    assert_true(lines_next(l, &line));
    assert_line(&line, text, 0);
    assert_int_equal(line.end, end);
}

static void a_carriage_return_ends_a_line_that_is_drawn_over(void **state)
{
    (void)state;
    struct lines l = SCREEN;
    feed(&l, "10%\r20%\r\rdone\nnext\r\n");
    assert_ends(&l, "10%", LINE_RETURN);
    assert_ends(&l, "20%", LINE_RETURN);
    assert_ends(&l, "", LINE_RETURN);
    assert_ends(&l, "done", LINE_FEED);
    assert_ends(&l, "next", LINE_FEED); /* the line ends of Windows */
    assert_none(&l);
    lines_free(&l);
}

static void a_return_is_not_waited_for_and_a_feed_may_follow(void **state)
{
    (void)state;
    struct lines l = SCREEN;
    feed(&l, "50%\r");
    assert_ends(&l, "50%", LINE_RETURN);
    assert_none(&l);
    feed(&l, "\n\nx\r");
    assert_ends(&l, "", LINE_RETURN_FEED);
    assert_ends(&l, "", LINE_FEED);
    assert_ends(&l, "x", LINE_RETURN);
    feed(&l, "y\n");
    assert_ends(&l, "y", LINE_FEED);
    lines_free(&l);
}

static void returns_count_only_where_they_are_asked_for(void **state)
{
    (void)state;
    struct lines l = {.max = 40};
    feed(&l, "{}\r\n");
    assert_ends(&l, "{}\r", LINE_FEED);
    lines_free(&l);
}

static void the_end_of_a_line_that_is_too_long_is_kept_too(void **state)
{
    (void)state;
    struct lines l = SCREEN;
    for (int i = 0; i < 20; i++) feed(&l, "0123456789");
    feed(&l, "the reason\nnext\n");
    assert_next(&l, "0123456789012345678901234[...]the reason", 210 - 35);
    assert_next(&l, "next", 0);
    feed(&l, "begins here and goes on for quite a while, then ends\n");
    assert_next(&l, "begins here and goes on f[...] then ends", 52 - 35);
    lines_free(&l);
}

static void a_middle_is_cut_out_between_characters(void **state)
{
    (void)state;
    struct lines l = {.max = 16, .tail = 4, .returns = true};
    /* head: 7 bytes, of which the last begins a character; tail: 4, of which the first ends one */
    feed(&l, "123456\xc3\xa9 in the middle \xc3\xa9xyz\n");
    struct line line;
    assert_true(lines_next(&l, &line));
    assert_int_equal(line.len, 6 + 5 + 3);
    assert_memory_equal(line.text, "123456[...]xyz", line.len);
    lines_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_in_order_without_their_newlines),
        cmocka_unit_test(a_line_may_come_in_any_pieces),
        cmocka_unit_test(what_has_no_newline_comes_at_the_end_only),
        cmocka_unit_test(a_line_as_long_as_the_bound_is_whole),
        cmocka_unit_test(a_cut_counts_every_byte_that_is_missing),
        cmocka_unit_test(a_cut_line_without_an_end_says_so_too),
        cmocka_unit_test(a_cut_falls_between_characters),
        cmocka_unit_test(an_endless_line_takes_bounded_memory),
        cmocka_unit_test(bytes_of_any_kind_pass),
        cmocka_unit_test(a_carriage_return_ends_a_line_that_is_drawn_over),
        cmocka_unit_test(a_return_is_not_waited_for_and_a_feed_may_follow),
        cmocka_unit_test(returns_count_only_where_they_are_asked_for),
        cmocka_unit_test(the_end_of_a_line_that_is_too_long_is_kept_too),
        cmocka_unit_test(a_middle_is_cut_out_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
