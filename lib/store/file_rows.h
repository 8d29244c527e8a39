/* What the database says of the files of tasks; the files themselves are store/files.h's. */
#ifndef LEAT_STORE_FILE_ROWS_H
#define LEAT_STORE_FILE_ROWS_H

#include "base/error.h"
#include "store/db.h"
#include "task/file.h"

#include <stdint.h>

/* The files of a task, by name; free with file_list_free. */
enum err files_read(struct db *db, int64_t n, struct file_list *out, struct error *e);

/* The one that has this name; free with file_free. ERR_NOTFOUND. */
enum err files_find(struct db *db, int64_t n, const char *name, struct task_file *out,
                    struct error *e);

#endif
