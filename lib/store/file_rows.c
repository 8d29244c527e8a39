#include "store/file_rows.h"

#include "base/buf.h"
#include "gen/query.h"

enum err files_read(struct db *db, int64_t n, struct file_list *out, struct error *e)
{
    *out = (struct file_list){0};
    struct q_files_of_task_row row;
    struct q_files_of_task_cursor c = q_files_of_task(db, n, e);
    size_t cap = 0;
    while (q_files_of_task_next(&c, &row)) {
        if (out->count == cap)
            out->items = mem_grow(out->items, cap = cap ? cap * 2 : 4, sizeof *out->items);
        out->items[out->count++] = (struct task_file){.name = mem_str(row.name),
                                                      .bytes = row.bytes,
                                                      .content_type = mem_str(row.content_type)};
    }
    enum err rc = q_files_of_task_close(&c);
    if (rc) file_list_free(out);
    return rc;
}

enum err files_find(struct db *db, int64_t n, const char *name, struct task_file *out,
                    struct error *e)
{
    struct q_file_find_row row;
    bool found;
    enum err rc = q_file_find(db, n, name, &row, &found, e);
    if (rc) return rc;
    if (!found) return error_set(e, ERR_NOTFOUND, "the task has no such file");
    *out = (struct task_file){
        .name = mem_str(name), .bytes = row.bytes, .content_type = row.content_type};
    return ERR_OK;
}
