#include "cli/task_ref.h"

#include "base/clock.h"
#include "cli/table.h"
#include "store/task_find.h"
#include "store/tasks.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

const char *task_ref_short(const char *id)
{
    return id + (ID_SIZE - 1 - TASK_REF_SHOWN);
}

/* Says which tasks `text` may mean. */
static int ambiguous(struct cli *cli, const char *text, const struct task_found *found)
{
    static const struct table_column columns[] = {
        {"", NULL, 0, false},
        {"", NULL, 0, false},
        {"", NULL, 0, false},
        {"", NULL, 6, false},
    };
    int64_t now = clock_wall_ms();
    struct table *table = table_new(cli, TABLE_LINES, columns, 4);
    for (size_t i = 0; i < found->count; i++) {
        struct task t = {0};
        if (task_get(cli->db, found->ids[i], NULL, &t, NULL)) continue; /* gone meanwhile */
        table_row(table);
        table_text(table, t.id);
        table_text(table, task_status_name(t.status));
        table_age(table, t.created_at, now);
        table_text(table, t.type);
        task_free(&t);
    }
    struct buf out = {0};
    table_write(table, &out);
    table_free(table);
    cli_fail(cli, EX_DATAERR, "%s: more than one task has such an id; say more of it:", text);
    const char *lines = strchr(buf_text(&out), '\n'); /* without a heading */
    if (lines) fputs(lines + 1, stderr);
    if (found->more) fputs("and more\n", stderr);
    buf_free(&out);
    return EX_DATAERR;
}

int task_ref_read(struct cli *cli, const char *text, struct task *out)
{
    char part[ID_SIZE];
    size_t len = strlen(text);
    struct error e = {0};
    struct task_found found;
    for (size_t i = 0; i < len && i < sizeof part; i++)
        part[i] = (char)tolower((unsigned char)text[i]);
    if (len >= sizeof part || (part[len] = '\0', strspn(part, "0123456789abcdef-") != len))
        return cli_fail(cli, EX_DATAERR, "%.80s: not an id of a task; leat list shows them", text);
    if (len < TASK_REF_MIN)
        return cli_fail(cli, EX_DATAERR,
                        "%s: too short: at least %d characters of the beginning or end of an id",
                        text, TASK_REF_MIN);
    enum err rc = ERR_NOTFOUND;
    if (len == ID_SIZE - 1) {
        rc = task_get(cli->db, part, NULL, out, &e);
    } else if (!(rc = task_find(cli->db, part, &found, &e))) {
        if (found.count > 1) return ambiguous(cli, text, &found);
        rc = found.count ? task_get(cli->db, found.ids[0], NULL, out, &e) : ERR_NOTFOUND;
    }
    if (rc == ERR_NOTFOUND)
        return cli_fail(cli, EX_DATAERR, "%s: there is no such task; leat list shows them", text);
    return rc ? cli_error(cli, &e) : EX_OK;
}
