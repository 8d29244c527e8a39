#include "base/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/leat-conf-XXXXXX";
static char path[64]; /* of the settings in it */

static int make_folder(void **state)
{
    (void)state;
    const char *output = getenv("CMOCKA_MESSAGE_OUTPUT"); /* how the tests report stays */
    char kept[16] = "";
    if (output) snprintf(kept, sizeof kept, "%s", output);
    clearenv();
    if (output) setenv("CMOCKA_MESSAGE_OUTPUT", kept, 1);
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/leat.conf", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "/bin/rm -rf %s", folder);
    return system(command); /* NOLINT(cert-env33-c) */
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static struct conf *loaded(const char *text)
{
    struct conf *c = NULL;
    struct error e = {0};
    write_file(path, text);
    if (conf_load(&c, path, NULL, &e)) fail_msg("%s", e.text);
    return c;
}

static void an_empty_file_leaves_the_defaults_of_the_contract(void **state)
{
    (void)state;
    struct conf *c = loaded("");
    assert_null(conf_text(c, CONF_DATABASE_PATH));
    assert_int_equal(conf_int(c, CONF_DATABASE_BUSY_MS), 5000);
    assert_int_equal(conf_int(c, CONF_HTTP_MAX_BODY_BYTES), 1048576);
    assert_int_equal(conf_int(c, CONF_HTTP_MAX_RAW_BYTES), 67108864);
    assert_int_equal(conf_int(c, CONF_HTTP_INLINE_RESULT_BYTES), 65536);
    assert_int_equal(conf_int(c, CONF_HTTP_MAX_RESULT_BYTES), 8388608);
    assert_int_equal(conf_ms(c, CONF_HTTP_WAIT_SECONDS_MAX), 25000);
    assert_int_equal(conf_int(c, CONF_HTTP_PAGE_SIZE_MAX), 200);
    assert_string_equal(conf_text(c, CONF_HTTP_PREFIX), "/api");
    assert_null(conf_text(c, CONF_AUTH_ANONYMOUS));
    assert_string_equal(conf_text(c, CONF_AUTH_ANONYMOUS_SCOPE), "create,read,publish");
    assert_false(conf_bool(c, CONF_AUTH_REMOTE_USER));
    assert_int_equal(conf_ms(c, CONF_STREAM_STREAM_SECONDS), 3600 * 1000);
    assert_int_equal(conf_ms(c, CONF_STREAM_HEARTBEAT), 15000);
    assert_int_equal(conf_int(c, CONF_STREAM_RETRY_MS), 2000);
    assert_int_equal(conf_int(c, CONF_STREAM_MAX_STREAMS), 8000);
    assert_int_equal(conf_int(c, CONF_RUNNER_WORKERS), 2 * sysconf(_SC_NPROCESSORS_ONLN));
    assert_int_equal(conf_ms(c, CONF_RUNNER_LEASE_SECONDS), 30000);
    assert_int_equal(conf_ms(c, CONF_RUNNER_DRAIN_SECONDS), 20000);
    assert_int_equal(conf_ms(c, CONF_RUNNER_RETAIN_HOURS), 24 * 3600 * 1000);
    assert_false(conf_bool(c, CONF_RUNNER_AUTOSTART));
    assert_int_equal(conf_int(c, CONF_RUNNER_PROGRESS_PER_SECOND), 10);
    assert_null(conf_text(c, CONF_RUNNER_IDLE_EXIT));
    assert_string_equal(conf_text(c, CONF_LOG_LEVEL), "info");
    assert_string_equal(conf_text(c, CONF_LOG_TARGET), "stderr");
    assert_string_equal(conf_file(c), path);
    conf_free(c);
}

static void the_file_overrides_the_defaults(void **state)
{
    (void)state;
    struct conf *c = loaded("# a comment\n[database]\npath = /tmp/x y.db ; behind\nbusy_ms=7\n"
                            "[stream]\nheartbeat = 0.5\n[auth]\nremote_user = Yes\n");
    assert_string_equal(conf_text(c, CONF_DATABASE_PATH), "/tmp/x y.db");
    assert_int_equal(conf_int(c, CONF_DATABASE_BUSY_MS), 7);
    assert_int_equal(conf_ms(c, CONF_STREAM_HEARTBEAT), 500);
    assert_true(conf_bool(c, CONF_AUTH_REMOTE_USER));
    conf_free(c);
}

static void a_relative_path_counts_from_the_folder_of_the_file(void **state)
{
    (void)state;
    char expected[128];
    struct conf *c = loaded("[database]\npath = data/x.db\n[runner]\njobs = /jobs\nwork = w\n"
                            "[log]\ntarget = file x.log\n");
    snprintf(expected, sizeof expected, "%s/data/x.db", folder);
    assert_string_equal(conf_text(c, CONF_DATABASE_PATH), expected);
    snprintf(expected, sizeof expected, "%s/w", folder);
    assert_string_equal(conf_text(c, CONF_RUNNER_WORK), expected);
    snprintf(expected, sizeof expected, "file %s/x.log", folder);
    assert_string_equal(conf_text(c, CONF_LOG_TARGET), expected);
    assert_string_equal(conf_text(c, CONF_RUNNER_JOBS), "/jobs");
    conf_free(c);
    setenv("LEAT_DATABASE_PATH", "y.db", 1);
    c = loaded("[database]\npath = data/x.db\n[runner]\nwork =\n[log]\ntarget = syslog\n");
    assert_string_equal(conf_text(c, CONF_DATABASE_PATH), "y.db"); /* as the environment has it */
    assert_null(conf_text(c, CONF_RUNNER_WORK));
    assert_string_equal(conf_text(c, CONF_LOG_TARGET), "syslog");
    conf_free(c);
}

static void the_environment_overrides_the_file(void **state)
{
    (void)state;
    setenv("LEAT_DATABASE_BUSY_MS", "9", 1);
    setenv("LEAT_UNKNOWN_THING", "x", 1);
    struct conf *c = loaded("[database]\nbusy_ms = 7\n");
    assert_int_equal(conf_int(c, CONF_DATABASE_BUSY_MS), 9);
    conf_free(c);
}

static void an_empty_value_unsets(void **state)
{
    (void)state;
    setenv("LEAT_LOG_LEVEL", "", 1);
    struct conf *c = loaded("[http]\nprefix = /x\nprefix =\n[log]\nlevel = warn\n[auth]\n"
                            "anonymous = a\nanonymous =\n[runner]\nworkers =\n");
    assert_string_equal(conf_text(c, CONF_HTTP_PREFIX), "/api");
    assert_string_equal(conf_text(c, CONF_LOG_LEVEL), "info");
    assert_null(conf_text(c, CONF_AUTH_ANONYMOUS));
    assert_true(conf_int(c, CONF_RUNNER_WORKERS) >= 2);
    conf_free(c);
}

static void the_last_of_two_lines_counts(void **state)
{
    (void)state;
    struct conf *c =
        loaded("[database]\nbusy_ms = 7\n[log]\nlevel = warn\n[database]\nbusy_ms = 8\n");
    assert_int_equal(conf_int(c, CONF_DATABASE_BUSY_MS), 8);
    conf_free(c);
}

static void a_fault_is_named_by_file_and_line(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"[runner]\nworkers = 0\n", ":2: [runner] workers: '0' is not"},
        {"[runner]\nworkers = many\n", ":2: [runner] workers: 'many' is not"},
        {"[runner]\n\nworkerz = 3\n", ":3: unknown key 'workerz' in [runner]"},
        {"[run]\nworkers = 3\n", ":2: unknown section [run]"},
        {"workers = 3\n", ":1: unknown section []"},
        {"[http]\nhosts = a, b_c:80x\n", ":2: [http] hosts: 'b_c:80x' is not the name or address"},
        {"[http]\nhosts = http://a\n", ":2: [http] hosts: 'http://a' is not the name or address"},
        {"[http]\nhosts = *.a\n", ":2: [http] hosts: '*.a' is not the name or address"},
        {"[http]\nurl = example.org\n", ":2: [http] url: 'example.org' is not http(s)://HOST"},
        {"[http]\nurl = https://a/\n", ":2: [http] url: 'https://a/' is not http(s)://HOST"},
        {"[http]\nurl = https://a?b\n", ":2: [http] url: 'https://a?b' is not http(s)://HOST"},
        {"[http]\ntrusted_proxies = 10.0.0.0/33\n", ":2: [http] trusted_proxies: '10.0.0.0/33' is"},
        {"[http]\ntrusted_proxies = proxy\n", ":2: [http] trusted_proxies: 'proxy' is not an"},
        {"[http]\nprocesses = 0\n", ":2: [http] processes: '0' is not"},
        {"[http]\naccel_redirect = /x\n", ":2: unknown key 'accel_redirect' in [http]"},
        {"[auth]\ntoken_cookie = a b\n", ":2: [auth] token_cookie: 'a b' cannot be"},
        {"[stream]\nheartbeat = 0\n", ":2: [stream] heartbeat: '0' is not"},
        {"[auth]\nremote_user = perhaps\n", ":2: [auth] remote_user: 'perhaps' is not yes or no"},
        {"[auth]\nnonsense\n", ":2: not a [section]"},
        {"[auth\n", ":1: not a [section]"},
        {"[dialect]\nrepo_status = ready\n", ":2: [dialect] repo_status: 'ready' is not NAME=WORD"},
        {"[dialect]\nrepo_status = idle=\n", ":2: [dialect] repo_status: 'idle=' is not NAME=WORD"},
        {"[dialect]\nrepo_status = idle=a,\t,failed=b\n", ":2: [dialect] repo_status: 'idle=a,"},
        {"[dialect]\nrepo_status = done=x\n", ":2: [dialect] repo_status: 'done' is not one of "
                                              "idle, pending, running, completed, failed, "
                                              "cancelled, pending/TYPE, running/TYPE, "
                                              "completed/TYPE"},
        {"[dialect]\nrepo_status = failed/clone=x\n",
         ":2: [dialect] repo_status: 'failed/clone' is not"},
        {"[dialect]\nrepo_status = running/=x\n",
         ":2: [dialect] repo_status: 'running/' is not one of"},
        {"[dialect]\nrepo_status = running/Clone=x\n",
         ":2: [dialect] repo_status: 'running/Clone' is"},
        {"[dialect]\nrepo_status = /clone=x\n",
         ":2: [dialect] repo_status: '/clone' is not one of"},
        {"[dialect]\nrepo_status = running/a=x, running/a=y\n", "has running/a twice"},
        {"[dialect]\nrepo_status = idle=a, idle = b\n", "[dialect] repo_status: 'idle=a, idle = b' "
                                                        "has idle twice"},
        {"[log]\nlevel = loud\n", ":2: [log] level: 'loud' is not debug, info, warn or error"},
        {"[log]\ntarget = bogus\n", ":2: [log] target: 'bogus' is not stderr, syslog or file PATH"},
        {"[log]\ntarget = file\n", ":2: [log] target: 'file' is not"},
        {"[auth]\nanonymous = a\tb\n", ":2: [auth] anonymous: not 1 to 200 bytes of UTF-8 text"},
        {"[auth]\nanonymous = \xff\n", ":2: [auth] anonymous: not 1 to 200"},
        {"[auth]\n\nanonymous_scope = read, foo\n",
         ":3: [auth] anonymous_scope: 'foo' is not create, read, publish or admin"},
        {"[auth]\nanonymous_scope = reads\n", ":2: [auth] anonymous_scope: 'reads' is not"},
        {"[http]\nallowed_origins = https://a.example, foo\n",
         ":2: [http] allowed_origins: 'foo' is not scheme://host[:port] or *"},
        {"[http]\nidempotency_hours = 0\n", ":2: [http] idempotency_hours: '0' is not a number of "
                                            "hours from 0.001 to 8760"},
        {"[auth]\nticket_seconds_max = 0\n", ":2: [auth] ticket_seconds_max: '0' is not a number"},
        {"nonsense\n[run]\nx = 1\n", ":1: not a [section]"},
        {"[run]\nx = 1\nnonsense\n", ":2: unknown section"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct conf *c = NULL;
        struct error e = {0};
        write_file(path, rows[i][0]);
        assert_int_equal(conf_load(&c, path, NULL, &e), ERR_INVALID);
        assert_null(c);
        if (strncmp(e.text, path, strlen(path)) || !strstr(e.text, rows[i][1]))
            fail_msg("'%s' does not say '%s'", e.text, rows[i][1]);
    }
}

static void a_line_that_is_too_long_is_refused_not_split(void **state)
{
    (void)state;
    static char text[10000] = "[log]\ntarget = file /";
    size_t n = strlen(text);
    memset(text + n, 'x', sizeof text - n - 2);
    text[sizeof text - 2] = '\n';
    struct conf *c = NULL;
    struct error e = {0};
    write_file(path, text);
    assert_int_equal(conf_load(&c, path, NULL, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, ":2: the line is longer"));
}

static void a_bad_variable_is_named(void **state)
{
    (void)state;
    setenv("LEAT_RUNNER_WORKERS", "x", 1);
    struct conf *c = NULL;
    struct error e = {0};
    write_file(path, "");
    assert_int_equal(conf_load(&c, path, NULL, &e), ERR_INVALID);
    assert_int_equal(strncmp(e.text, "LEAT_RUNNER_WORKERS: ", 21), 0);
}

static void assert_blamed(const struct conf *c, enum conf_key key, const char *expected)
{
    struct error e = {ERR_IO, "no"};
    assert_int_equal(conf_blame(c, key, &e), ERR_IO);
    assert_int_equal(e.code, ERR_IO);
    assert_string_equal(e.text, expected);
}

static void what_is_found_out_later_is_named_in_the_same_way(void **state)
{
    (void)state;
    char expected[128];
    setenv("LEAT_AUTH_JWT_SECRET", "x", 1);
    struct conf *c = loaded("[auth]\njwt_secret = y\n\njwt_key_file = /no\n[log]\n"
                            "level = warn\nlevel =\n[auth]\n"),
                *over = NULL;
    snprintf(expected, sizeof expected, "%s:4: [auth] jwt_key_file: no", path);
    assert_blamed(c, CONF_AUTH_JWT_KEY_FILE, expected);
    assert_blamed(c, CONF_AUTH_JWT_SECRET, "LEAT_AUTH_JWT_SECRET: no");
    assert_blamed(c, CONF_LOG_LEVEL, "[log] level: no");
    assert_blamed(c, CONF_RUNNER_JOBS, "[runner] jobs: no");
    char *const envp[] = {(char *)"LEAT_RUNNER_JOBS=/x", NULL};
    assert_int_equal(conf_overlay(&over, c, envp, NULL), ERR_OK);
    assert_blamed(over, CONF_AUTH_JWT_KEY_FILE, expected);
    assert_blamed(over, CONF_RUNNER_JOBS, "LEAT_RUNNER_JOBS: no");
    conf_free(over);
    conf_free(c);
}

static void every_time_takes_fractions(void **state)
{
    (void)state;
    struct conf *c = loaded("[http]\nidempotency_hours = 0.001\nwait_seconds_max = 0.5\n[auth]\n"
                            "ticket_seconds_max = 0.5\n[stream]\nstream_seconds = 0.3\n"
                            "heartbeat = 0.25\n[runner]\nlease_seconds = 1.5\n"
                            "drain_seconds = 0.1\nretain_hours = 0.001\nidle_exit = 0.7\n");
    assert_int_equal(conf_ms(c, CONF_HTTP_IDEMPOTENCY_HOURS), 3600);
    assert_int_equal(conf_ms(c, CONF_HTTP_WAIT_SECONDS_MAX), 500);
    assert_int_equal(conf_ms(c, CONF_AUTH_TICKET_SECONDS_MAX), 500);
    assert_int_equal(conf_ms(c, CONF_STREAM_STREAM_SECONDS), 300);
    assert_int_equal(conf_ms(c, CONF_STREAM_HEARTBEAT), 250);
    assert_int_equal(conf_ms(c, CONF_RUNNER_LEASE_SECONDS), 1500);
    assert_int_equal(conf_ms(c, CONF_RUNNER_DRAIN_SECONDS), 100);
    assert_int_equal(conf_ms(c, CONF_RUNNER_RETAIN_HOURS), 3600);
    assert_int_equal(conf_ms(c, CONF_RUNNER_IDLE_EXIT), 700);
    conf_free(c);
}

static void lists_are_separated_by_commas_or_blanks(void **state)
{
    (void)state;
    struct conf *c = loaded("[auth]\nanonymous = Ann \xc3\xa4\nanonymous_scope = read,, publish ,\n"
                            "[http]\nallowed_origins = https://a.example,http://[::1]:8080 *\n"
                            "[log]\ntarget = file /x y\n");
    assert_string_equal(conf_text(c, CONF_AUTH_ANONYMOUS), "Ann \xc3\xa4");
    assert_string_equal(conf_text(c, CONF_LOG_TARGET), "file /x y");
    conf_free(c);
}

static void a_named_file_must_be_there(void **state)
{
    (void)state;
    struct conf *c = NULL;
    struct error e = {0};
    assert_int_equal(conf_load(&c, "/nowhere/leat.conf", NULL, &e), ERR_IO);
    assert_non_null(strstr(e.text, "/nowhere/leat.conf"));
}

static void a_variable_names_the_file_too(void **state)
{
    (void)state;
    struct conf *c = NULL;
    write_file(path, "[database]\nbusy_ms = 7\n");
    setenv("LEAT_CONF", path, 1);
    assert_int_equal(conf_load(&c, NULL, NULL, NULL), ERR_OK);
    assert_int_equal(conf_int(c, CONF_DATABASE_BUSY_MS), 7);
    conf_free(c);
}

static void without_a_name_it_is_found_beside_the_program(void **state)
{
    (void)state;
    char name[128];
    snprintf(name, sizeof name, "%s/etc", folder);
    assert_int_equal(mkdir(name, 0755), 0);
    snprintf(name, sizeof name, "%s/bin", folder);
    assert_int_equal(mkdir(name, 0755), 0);
    snprintf(name, sizeof name, "%s/etc/leat.conf", folder);
    write_file(name, "[database]\nbusy_ms = 7\n");
    snprintf(name, sizeof name, "%s/bin/leatd", folder);
    write_file(name, "");
    struct conf *c = NULL;
    assert_int_equal(conf_load(&c, NULL, name, NULL), ERR_OK);
    assert_int_equal(conf_int(c, CONF_DATABASE_BUSY_MS), 7);
    conf_free(c);
}

static void assert_word(const char *map, const char *name, const char *expected)
{
    size_t len = 0;
    const char *word = conf_word(map, name, strlen(name), &len);
    if (!expected) {
        assert_null(word);
        return;
    }
    assert_non_null(word);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(word, expected, len);
}

static void a_map_keeps_the_words_that_are_not_given(void **state)
{
    (void)state;
    static const char initial[] = "idle=ready,pending=analyzing,running=analyzing,"
                                  "completed=completed,failed=error,cancelled=error";
    struct conf *c = loaded("");
    assert_string_equal(conf_text(c, CONF_DIALECT_REPO_STATUS), initial);
    conf_free(c);
    c = loaded("[dialect]\nrepo_status = failed = gone wrong , idle=\xc3\xa9\n");
    const char *map = conf_text(c, CONF_DIALECT_REPO_STATUS);
    assert_string_equal(map, "idle=\xc3\xa9,pending=analyzing,running=analyzing,"
                             "completed=completed,failed=gone wrong,cancelled=error");
    assert_word(map, "failed", "gone wrong");
    assert_word(map, "cancelled", "error");
    assert_word(map, "fail", NULL);
    assert_word(map, "ready", NULL);
    assert_word(NULL, "idle", NULL);
    conf_free(c);
    c = loaded(
        "[dialect]\nrepo_status = running/clone = cloning, idle = new,completed/a-1_b=ready\n");
    map = conf_text(c, CONF_DIALECT_REPO_STATUS);
    assert_string_equal(map, "idle=new,pending=analyzing,running=analyzing,completed=completed,"
                             "failed=error,cancelled=error,running/clone=cloning,"
                             "completed/a-1_b=ready");
    conf_free(c);
}

static void an_overlay_changes_its_copy_alone(void **state)
{
    (void)state;
    struct conf *base = loaded("[database]\npath = /a\nbusy_ms = 7\n"), *c = NULL;
    char *const envp[] = {(char *)"PATH=/bin", (char *)"LEAT_DATABASE_BUSY_MS=9", NULL};
    assert_int_equal(conf_overlay(&c, base, envp, NULL), ERR_OK);
    assert_int_equal(conf_int(c, CONF_DATABASE_BUSY_MS), 9);
    assert_string_equal(conf_text(c, CONF_DATABASE_PATH), "/a");
    assert_int_equal(conf_int(base, CONF_DATABASE_BUSY_MS), 7);
    conf_free(base);
    assert_string_equal(conf_text(c, CONF_DATABASE_PATH), "/a");
    conf_free(c);
}

static void an_overlay_is_that_of_the_variables_it_is_asked_for(void **state)
{
    (void)state;
    struct conf *base = loaded("[database]\nbusy_ms = 7\n"), *c[5] = {NULL};
    char *const nine[] = {(char *)"LEAT_DATABASE_BUSY_MS=9", NULL};
    char *const nine_again[] = {(char *)"A=b", (char *)"LEAT_DATABASE_BUSY_MS=9", NULL};
    char *const ninety[] = {(char *)"LEAT_DATABASE_BUSY_MS=90", NULL};
    char *const wrong[] = {(char *)"LEAT_DATABASE_BUSY_MS=x", NULL};
    char *const *const asked[] = {nine, nine_again, ninety, wrong, nine};
    static const int64_t given[] = {9, 9, 90, 0, 9};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(conf_overlay(&c[i], base, asked[i], NULL),
                         given[i] ? ERR_OK : ERR_INVALID);
    assert_int_equal(conf_overlay(&c[3], base, wrong, NULL), ERR_INVALID); /* it was not kept */
    conf_free(base);
    for (size_t i = 0; i < 5; i++) {
        if (given[i]) assert_int_equal(conf_int(c[i], CONF_DATABASE_BUSY_MS), given[i]);
        conf_free(c[i]);
    }
}

static void an_overlay_of_nothing_is_none(void **state)
{
    (void)state;
    struct conf *base = loaded(""), *c = base;
    char *const envp[] = {(char *)"PATH=/bin", NULL};
    assert_int_equal(conf_overlay(&c, base, envp, NULL), ERR_OK);
    assert_null(c);
    conf_free(base);
}

static void lists_of_hosts_and_proxies_are_taken_as_they_are(void **state)
{
    (void)state;
    struct conf *c = loaded("[http]\nhosts = localhost 127.0.0.1, [::1]:80 a-b.example.org:8080\n"
                            "trusted_proxies = 10.0.0.0/8, ::1 unix:\nurl = https://[::1]:8/x\n"
                            "[auth]\ntoken_query = access_token\n");
    assert_string_equal(conf_text(c, CONF_HTTP_HOSTS),
                        "localhost 127.0.0.1, [::1]:80 a-b.example.org:8080");
    assert_string_equal(conf_text(c, CONF_HTTP_TRUSTED_PROXIES), "10.0.0.0/8, ::1 unix:");
    assert_string_equal(conf_text(c, CONF_HTTP_URL), "https://[::1]:8/x");
    assert_string_equal(conf_text(c, CONF_AUTH_TOKEN_QUERY), "access_token");
    conf_free(c);
}

/* What every row of the table has, so that what is made of it is whole. */
static void every_setting_says_what_it_is(void **state)
{
    (void)state;
    for (enum conf_key k = 0; k < CONF_KEYS; k++) {
        const struct setting *s = &conf_settings[k];
        bool bounded = s->type == SETTING_INT || s->type == SETTING_SECONDS ||
                       s->type == SETTING_HOURS || s->type == SETTING_NAME;
        size_t ticks = 0, len = strlen(s->help);
        for (const char *p = s->help; *p; p++) ticks += *p == '`';
        if (!len || s->help[len - 1] != '.' || ticks % 2) fail_msg("%s: %s", s->key, s->help);
        assert_true(bounded == (s->max > 0));
        assert_true(s->min <= s->max);
        assert_true(!s->unit || s->type == SETTING_INT);
        if (k && strcmp(s->section, conf_settings[k - 1].section))
            for (enum conf_key other = 0; other < k; other++)
                assert_string_not_equal(s->section, conf_settings[other].section);
    }
}

static void seconds_take_fractions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {{"0", 0}, {"1", 1000}, {"0.0005", 1}, {"1.5", 1500}, {"3600", 3600000}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = -1;
        assert_int_equal(conf_parse_seconds(rows[i].text, 0, 3600000, &ms, NULL), ERR_OK);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void what_is_no_number_of_seconds_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "x", "1s", "-1", "nan", "inf", "3601", "1e300"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t ms = -7;
        assert_int_equal(conf_parse_seconds(texts[i], 0, 3600000, &ms, NULL), ERR_INVALID);
        assert_int_equal(ms, -7);
    }
}

static void whole_numbers_have_bounds(void **state)
{
    (void)state;
    int64_t n;
    assert_int_equal(conf_parse_int("10", 1, 10, &n, NULL), ERR_OK);
    assert_int_equal(n, 10);
    static const char *const texts[] = {"0", "11", "", "1.5", "5x", "99999999999999999999", "five"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(conf_parse_int(texts[i], 1, 10, &n, NULL), ERR_INVALID);
}

static void yes_and_no_have_four_spellings(void **state)
{
    (void)state;
    static const char *const words[][2] = {
        {"yes", "no"}, {"TRUE", "False"}, {"on", "off"}, {"1", "0"}};
    for (size_t i = 0; i < 4; i++) {
        bool flag = false;
        assert_int_equal(conf_parse_bool(words[i][0], &flag, NULL), ERR_OK);
        assert_true(flag);
        assert_int_equal(conf_parse_bool(words[i][1], &flag, NULL), ERR_OK);
        assert_false(flag);
    }
    bool flag;
    assert_int_equal(conf_parse_bool("y", &flag, NULL), ERR_INVALID);
}

static void a_program_for_one_request_has_defaults_of_its_own(void **state)
{
    (void)state;
    struct conf *c = loaded("[stream]\nstream_seconds = 7\n"), *over = NULL;
    assert_true(conf_is_set(c, CONF_STREAM_STREAM_SECONDS));
    conf_as_cgi(c);
    assert_int_equal(conf_ms(c, CONF_STREAM_STREAM_SECONDS), 7000);
    conf_free(c);

    c = loaded("[stream]\nstream_seconds =\n");
    assert_false(conf_is_set(c, CONF_STREAM_STREAM_SECONDS));
    conf_as_cgi(c);
    assert_int_equal(conf_ms(c, CONF_STREAM_STREAM_SECONDS), 55000);
    assert_false(conf_is_set(c, CONF_STREAM_STREAM_SECONDS));
    assert_int_equal(conf_ms(c, CONF_STREAM_HEARTBEAT), 15000);
    char *const unset[] = {"LEAT_STREAM_STREAM_SECONDS=", NULL};
    assert_int_equal(conf_overlay(&over, c, unset, NULL), ERR_OK);
    assert_int_equal(conf_ms(over, CONF_STREAM_STREAM_SECONDS), 55000);
    conf_free(over);
    conf_free(c);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(an_empty_file_leaves_the_defaults_of_the_contract),
        IN_FOLDER(the_file_overrides_the_defaults),
        IN_FOLDER(a_relative_path_counts_from_the_folder_of_the_file),
        IN_FOLDER(the_environment_overrides_the_file),
        IN_FOLDER(an_empty_value_unsets),
        IN_FOLDER(the_last_of_two_lines_counts),
        IN_FOLDER(a_fault_is_named_by_file_and_line),
        IN_FOLDER(a_line_that_is_too_long_is_refused_not_split),
        IN_FOLDER(a_bad_variable_is_named),
        IN_FOLDER(what_is_found_out_later_is_named_in_the_same_way),
        IN_FOLDER(every_time_takes_fractions),
        IN_FOLDER(lists_are_separated_by_commas_or_blanks),
        IN_FOLDER(a_named_file_must_be_there),
        IN_FOLDER(a_variable_names_the_file_too),
        IN_FOLDER(without_a_name_it_is_found_beside_the_program),
        IN_FOLDER(a_map_keeps_the_words_that_are_not_given),
        IN_FOLDER(an_overlay_changes_its_copy_alone),
        IN_FOLDER(an_overlay_is_that_of_the_variables_it_is_asked_for),
        IN_FOLDER(an_overlay_of_nothing_is_none),
        IN_FOLDER(a_program_for_one_request_has_defaults_of_its_own),
        IN_FOLDER(lists_of_hosts_and_proxies_are_taken_as_they_are),
        cmocka_unit_test(every_setting_says_what_it_is),
        cmocka_unit_test(seconds_take_fractions),
        cmocka_unit_test(what_is_no_number_of_seconds_is_refused),
        cmocka_unit_test(whole_numbers_have_bounds),
        cmocka_unit_test(yes_and_no_have_four_spellings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
