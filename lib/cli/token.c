/* leat token: the bearer tokens of a site. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"
#include "cli/table.h"
#include "store/credentials.h"
#include "task/access.h"
#include "task/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static int token_add(struct cli *cli, int argc, char **argv);
static int token_list(struct cli *cli, int argc, char **argv);
static int token_revoke(struct cli *cli, int argc, char **argv);

const struct command command_token_add = {
    .name = "token add",
    .arguments = "--owner OWNER [--scope SCOPE,...] [--name NAME] [--expires AGE] [--json]",
    .summary = "makes a token and prints it, this once: only its SHA-256 is kept",
    .help = "  --owner OWNER    whose tasks, groups and events it is for\n"
            "  --scope LIST     of create, read, publish, admin; create,read,publish if not given\n"
            "  --name NAME      for people, and for token revoke\n"
            "  --expires AGE    it ends after so long: 90d, 12h, 30m, 45s, 2w, 1y; else never\n"
            "  --json           as token list --json has it, with the token\n"
            "\n"
            "  Clients send it as Authorization: Bearer TOKEN.\n",
    .run = token_add,
};

const struct command command_token_list = {
    .name = "token list",
    .arguments = "[--json]",
    .summary = "lists the tokens, never what clients hold",
    .run = token_list,
};

const struct command command_token_revoke = {
    .name = "token revoke",
    .arguments = "ID|NAME [--json]",
    .summary = "ends a token at once, with the tickets of its owner",
    .help = "  Streams that it opened end at their next heartbeat. A NAME that several tokens in "
            "force have\n"
            "  is refused: say which ID.\n"
            "  --json  {\"id\",\"revoked_at\"}\n",
    .run = token_revoke,
};

/* ---- what all of them show ---- */

static const char *state_word(const struct credential *c, int64_t now)
{
    static const char *const words[] = {[CREDENTIAL_VALID] = "valid",
                                        [CREDENTIAL_UNKNOWN] = "unknown",
                                        [CREDENTIAL_EXPIRED] = "expired",
                                        [CREDENTIAL_REVOKED] = "revoked"};
    return words[credential_state(c, now)];
}

static void json_time(struct buf *out, const char *key, int64_t ms)
{
    json_key(out, key);
    if (ms == TASK_NONE)
        buf_str(out, "null");
    else
        buf_int(out, ms);
}

/* The members of its JSON object. */
static void write_members(struct buf *out, const struct credential *c, int64_t now)
{
    buf_fmt(out, "\"id\":%lld", (long long)c->id);
    json_key(out, "owner");
    json_text(out, c->owner);
    json_key(out, "scopes");
    buf_char(out, '[');
    for (unsigned s = 0, n = 0; scope_name(s); s++)
        if (c->scopes & 1U << s) buf_fmt(out, "%s\"%s\"", n++ ? "," : "", scope_name(s));
    buf_char(out, ']');
    json_key(out, "name");
    json_text(out, c->name);
    json_time(out, "created_at", c->created_at);
    json_time(out, "expires_at", c->expires_at);
    json_time(out, "revoked_at", c->revoked_at);
    json_key(out, "state");
    json_text(out, state_word(c, now));
}

/* ---- add ---- */

/* "90d" in milliseconds; a number alone is seconds. False: not such a thing, or not between a second and
 * a hundred years. */
static bool parse_age(const char *text, int64_t *ms)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1},
                 {'m', 60},
                 {'h', 3600},
                 {'d', 24 * 3600},
                 {'w', 7 * 24 * 3600},
                 {'y', (int64_t)365 * 24 * 3600}};
    enum { CENTURY = 100 };
    char number[24];
    size_t len = strlen(text);
    int64_t each = 1, most = CENTURY * units[5].seconds;
    for (size_t i = 0; len && i < sizeof units / sizeof *units; i++) {
        if (text[len - 1] != units[i].unit) continue;
        each = units[i].seconds;
        len--;
        break;
    }
    if (!len || len >= sizeof number || strspn(text, "0123456789.") < len) return false;
    memcpy(number, text, len);
    number[len] = '\0';
    return !conf_parse_seconds(number, 1, most / each * 1000, ms, NULL) && (*ms *= each) >= 1000;
}

/* Fills what the options say; `c` borrows. */
static int read_add(struct cli *cli, int argc, char **argv, struct credential *c, bool *json)
{
    const char *owner = NULL, *scope = NULL, *name = NULL, *expires = NULL;
    const struct cli_option options[] = {CLI_VALUE("owner", &owner), CLI_VALUE("scope", &scope),
                                         CLI_VALUE("name", &name), CLI_VALUE("expires", &expires),
                                         CLI_FLAG("json", json)};
    struct error e = {0};
    int status = cli_options(cli, options, sizeof options / sizeof *options, &argc, argv);
    if (status) return status;
    if (argc) return cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[0]);
    if (!owner) return cli_fail(cli, EX_USAGE, "--owner: missing");
    if (!owner_valid(owner))
        return cli_fail(cli, EX_USAGE,
                        "--owner: not 1 to %d bytes of UTF-8 text without control characters",
                        TASK_OWNER_MAX);
    if (name && (!owner_valid(name) || strspn(name, "0123456789") == strlen(name)))
        return cli_fail(cli, EX_USAGE,
                        "--name: not 1 to %d bytes of UTF-8 text without control characters, or a "
                        "number, which is an ID",
                        TASK_OWNER_MAX);
    c->scopes = AUTH_USUAL;
    if (scope && scopes_parse(scope, false, &c->scopes, &e))
        return cli_fail(cli, EX_USAGE, "--scope: %s", e.text);
    if (!c->scopes) return cli_fail(cli, EX_USAGE, "--scope: empty");
    int64_t age = 0;
    if (expires && !parse_age(expires, &age))
        return cli_fail(cli, EX_USAGE, "--expires: '%s' is not a time such as 90d, 12h or 30m",
                        expires);
    c->owner = (char *)owner;
    c->name = (char *)name;
    c->created_at = clock_wall_ms();
    c->expires_at = expires ? c->created_at + age : TASK_NONE;
    c->revoked_at = TASK_NONE;
    return EX_OK;
}

/* The new token: alone, or beside what else there is to it. */
static void print_new(const struct credential *c, const char *secret, bool json)
{
    struct buf out = {0};
    if (json) {
        buf_str(&out, "{\"token\":");
        json_text(&out, secret);
        buf_char(&out, ',');
        write_members(&out, c, c->created_at);
        buf_char(&out, '}');
    } else {
        buf_str(&out, secret);
    }
    buf_char(&out, '\n');
    fwrite(out.data, 1, out.len, stdout);
    secret_wipe(out.data, out.len);
    buf_free(&out);
}

static int token_add(struct cli *cli, int argc, char **argv)
{
    struct credential c = {0};
    struct error e = {0};
    bool json = false;
    int status = read_add(cli, argc, argv, &c, &json);
    if (!status) status = cli_database(cli);
    if (status) return status;

    char secret[SECRET_SIZE];
    unsigned char hash[SECRET_HASH_BYTES];
    secret_new(secret);
    secret_hash(hash, secret, strlen(secret));
    enum err rc = txn_begin(cli->db, TXN_SYNC_AFTER, &e);
    if (!rc) {
        rc = credential_add(cli->db, &c, hash, &c.id, &e);
        rc = txn_end(cli->db, rc, &e);
    }
    if (!rc) print_new(&c, secret, json);
    secret_wipe(secret, sizeof secret);
    return rc ? cli_error(cli, &e) : cli_flush(cli);
}

/* ---- list ---- */

static void list_json(struct buf *out, const struct credential_list *l, int64_t now)
{
    buf_str(out, "{\"tokens\":[");
    for (size_t i = 0; i < l->count; i++) {
        buf_str(out, i ? ",{" : "{");
        write_members(out, &l->items[i], now);
        buf_char(out, '}');
    }
    buf_str(out, "]}\n");
}

static void list_text(const struct cli *cli, struct buf *out, const struct credential_list *l,
                      int64_t now)
{
    enum { WIDE = 110 };
    bool wide = terminal_of(cli, STDOUT_FILENO).columns >= WIDE;
    const struct table_column columns[] = {{"ID", NULL, 0, true},
                                           {"STATE", NULL, 0, false},
                                           {"OWNER", NULL, 8, false},
                                           {"NAME", NULL, 8, false},
                                           {"SCOPES", NULL, 0, false},
                                           {"EXPIRES", NULL, 0, false},
                                           {wide ? "CREATED" : NULL, NULL, 0, false}};
    struct table *table = table_new(cli, TABLE_LINES, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < l->count; i++) {
        const struct credential *c = &l->items[i];
        struct buf scopes = {0};
        scopes_write(&scopes, c->scopes);
        table_row(table);
        table_int(table, c->id);
        table_text(table, state_word(c, now));
        table_text(table, c->owner);
        table_text(table, c->name);
        table_text(table, buf_text(&scopes));
        table_moment(table, c->expires_at);
        table_moment(table, c->created_at);
        buf_free(&scopes);
    }
    table_write(table, out);
    table_free(table);
}

static int token_list(struct cli *cli, int argc, char **argv)
{
    bool json = false;
    const struct cli_option options[] = {CLI_FLAG("json", &json)};
    struct error e = {0};
    struct credential_list tokens = {0};
    int status = cli_options(cli, options, 1, &argc, argv);
    if (!status && argc) status = cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[0]);
    if (!status) status = cli_database(cli);
    if (status) return status;
    if (credential_tokens(cli->db, &tokens, &e)) return cli_error(cli, &e);
    struct buf out = {0};
    if (json)
        list_json(&out, &tokens, clock_wall_ms());
    else
        list_text(cli, &out, &tokens, clock_wall_ms());
    cli_put(&out);
    credential_list_free(&tokens);
    return cli_flush(cli);
}

/* ---- revoke ---- */

static int token_revoke(struct cli *cli, int argc, char **argv)
{
    struct error e = {0};
    bool json = false;
    const struct cli_option options[] = {CLI_FLAG("json", &json)};
    int64_t id = 0, now = clock_wall_ms();
    int status = cli_options(cli, options, 1, &argc, argv);
    if (!status && argc != 1) status = cli_fail(cli, EX_USAGE, "one ID or NAME is expected");
    if (!status && secret_valid(argv[0]))
        status = cli_fail(cli, EX_USAGE,
                          "this is a token: its ID or NAME is expected, as token list shows");
    if (!status) status = cli_database(cli);
    if (status) return status;
    enum err rc = txn_begin(cli->db, TXN_SYNC_AFTER, &e);
    if (!rc) {
        rc = credential_revoke(cli->db, argv[0], now, &id, &e);
        rc = txn_end(cli->db, rc, &e);
    }
    if (rc) return cli_error(cli, &e);
    if (json)
        printf("{\"id\":%lld,\"revoked_at\":%lld}\n", (long long)id, (long long)now);
    else
        printf("token %lld is revoked\n", (long long)id);
    return cli_flush(cli);
}
