#include "ops/type_list.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    const struct type_list_item *one = a, *two = b;
    return strcmp(one->conf.name, two->conf.name);
}

/* The item of that name among the first `sorted`, or one more, with the defaults. */
static struct type_list_item *item_of(struct type_list *l, size_t sorted, const char *name)
{
    struct type_list_item wanted = {0};
    jobtype_defaults(&wanted.conf, name);
    struct type_list_item *found =
        sorted ? bsearch(&wanted, l->items, sorted, sizeof *l->items, by_name) : NULL;
    for (size_t i = sorted; !found && i < l->count; i++)
        if (!by_name(&wanted, &l->items[i])) found = &l->items[i];
    if (found) return found;
    l->items = mem_grow(l->items, l->count + 1, sizeof *l->items);
    l->items[l->count] = (struct type_list_item){.conf = wanted.conf};
    return &l->items[l->count++];
}

/* Files tell what is wrong now; a runner tells what they do not. */
static void find_problem(struct type_list_item *item, const struct job_types *types)
{
    struct error why;
    struct buf text = {0};
    if (!job_types_problem(types, item->conf.name, &why)) return;
    job_types_hide_folder(types, &text, why.text);
    free(item->broken);
    item->broken = text.data;
}

void type_list_make(struct type_list *out, const struct job_types *types,
                    const struct type_rows *rows)
{
    *out = (struct type_list){0};
    const struct job_type *t;
    for (size_t at = 0; (t = job_types_next(types, &at));) {
        out->items = mem_grow(out->items, out->count + 1, sizeof *out->items);
        out->items[out->count++] = (struct type_list_item){.conf = t->conf};
    }
    size_t sorted = out->count;
    for (size_t i = 0; i < rows->paused_count; i++)
        item_of(out, sorted, rows->paused[i])->paused = true;
    for (size_t i = 0; i < rows->broken_count; i++)
        item_of(out, sorted, rows->broken[i].type)->broken = mem_str(rows->broken[i].why);
    if (out->count) qsort(out->items, out->count, sizeof *out->items, by_name);
    for (size_t i = 0; i < out->count; i++) find_problem(&out->items[i], types);
}

const struct type_list_item *type_list_find(const struct type_list *l, const char *name)
{
    struct type_list_item wanted = {0};
    jobtype_defaults(&wanted.conf, name);
    return l->count ? bsearch(&wanted, l->items, l->count, sizeof *l->items, by_name) : NULL;
}

const struct type_list_item *type_list_get(const struct type_list *l, const char *name,
                                           struct type_list_item *none)
{
    const struct type_list_item *found = type_list_find(l, name);
    *none = (struct type_list_item){0};
    jobtype_defaults(&none->conf, name);
    return found ? found : none;
}

int64_t type_list_input_max(const struct type_list_item *item, const struct conf *conf)
{
    int64_t site = conf_int(conf, CONF_HTTP_MAX_RAW_BYTES), own = item->conf.max_input_bytes;
    return own >= 0 && own < site ? own : site;
}

void type_list_free(struct type_list *l)
{
    for (size_t i = 0; i < l->count; i++) free(l->items[i].broken);
    free(l->items);
    *l = (struct type_list){0};
}
