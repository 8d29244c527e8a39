#include "task/file.h"

#include "base/json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a browser does with a file of a type. */
enum manner {
    SHOW,    /* inert: text, in a sandbox all the same */
    DISPLAY, /* inert: pictures, sound, PDF */
    SAVE,
};

/* Not here: types of scripts and style sheets. A page could load them, and with nosniff it cannot load
 * text/plain instead. */
static const struct {
    const char *extension, *type;
    enum manner manner;
} types[] = {
    {"txt", "text/plain; charset=utf-8", SHOW},
    {"log", "text/plain; charset=utf-8", SHOW},
    {"md", "text/plain; charset=utf-8", SHOW},
    {"js", "text/plain; charset=utf-8", SHOW},
    {"mjs", "text/plain; charset=utf-8", SHOW},
    {"css", "text/plain; charset=utf-8", SHOW},
    {"csv", "text/csv; charset=utf-8", SHOW},
    {"tsv", "text/tab-separated-values; charset=utf-8", SHOW},
    {"json", "application/json", SHOW},
    {"ndjson", "application/x-ndjson", SAVE},
    {"html", "text/html; charset=utf-8", SAVE},
    {"htm", "text/html; charset=utf-8", SAVE},
    {"xhtml", "application/xhtml+xml", SAVE},
    {"xml", "application/xml", SAVE},
    {"svg", "image/svg+xml", SAVE}, /* <img> shows it, and runs nothing in it */
    {"png", "image/png", DISPLAY},
    {"jpg", "image/jpeg", DISPLAY},
    {"jpeg", "image/jpeg", DISPLAY},
    {"gif", "image/gif", DISPLAY},
    {"webp", "image/webp", DISPLAY},
    {"avif", "image/avif", DISPLAY},
    {"mp3", "audio/mpeg", DISPLAY},
    {"ogg", "audio/ogg", DISPLAY},
    {"wav", "audio/wav", DISPLAY},
    {"mp4", "video/mp4", DISPLAY},
    {"webm", "video/webm", DISPLAY},
    {"pdf", "application/pdf", DISPLAY},
    {"zip", "application/zip", SAVE},
    {"gz", "application/gzip", SAVE},
    {"tar", "application/x-tar", SAVE},
    {"zst", "application/zstd", SAVE},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", SAVE},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", SAVE},
    {"epub", "application/epub+zip", SAVE},
};

void file_free(struct task_file *f)
{
    free(f->name);
    free(f->content_type);
    *f = (struct task_file){0};
}

void file_list_free(struct file_list *l)
{
    for (size_t i = 0; i < l->count; i++) file_free(&l->items[i]);
    free(l->items);
    *l = (struct file_list){0};
}

void file_list_add(struct file_list *l, const char *name, int64_t bytes)
{
    /* room for a power of two */
    if (!(l->count & (l->count - 1)))
        l->items = mem_grow(l->items, l->count ? l->count * 2 : 1, sizeof *l->items);
    l->items[l->count++] = (struct task_file){
        .name = mem_str(name), .bytes = bytes, .content_type = mem_str(file_content_type(name))};
}

const char *file_name_refused(const char *name)
{
    size_t len = strlen(name);
    if (!len) return "it has no name";
    if (len > FILE_NAME_MAX) return "its name is longer than 200 bytes";
    if (*name == '.') return "its name begins with a dot";
    if (!utf8_valid(name, len)) return "its name is not UTF-8";
    for (const char *p = name; *p; p++) {
        unsigned char c = (unsigned char)*p;
        /* U+0080 to U+009F are controls too */
        bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)p[1] < 0xa0);
        if (control) return "its name has a control character";
        if (c == '/' || c == '\\') return "its name has a slash or backslash";
        if (c == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]))
            return "its name has what looks like a percent-encoding";
    }
    return NULL;
}

const char *file_content_type(const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (!strcasecmp(types[i].extension, dot + 1)) return types[i].type;
    return "application/octet-stream";
}

static enum manner manner_of(const char *content_type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].type, content_type)) return types[i].manner;
    return SAVE;
}

bool file_shown(const char *content_type)
{
    return manner_of(content_type) != SAVE;
}

bool file_sandboxed(const char *content_type)
{
    return manner_of(content_type) != DISPLAY;
}

void file_escape(struct buf *out, const char *text, bool slashes)
{
    static const char unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++) {
        if (strchr(unreserved, *text) || (slashes && *text == '/'))
            buf_char(out, *text);
        else
            buf_fmt(out, "%%%02X", (unsigned char)*text);
    }
}

void file_path(struct buf *out, const char *prefix, const char *task_id, const char *name)
{
    buf_fmt(out, "%s/tasks/%s/files/", prefix, task_id);
    file_escape(out, name, false);
}

void file_disposition(struct buf *out, const struct task_file *f)
{
    buf_fmt(out, "%s; filename=\"", file_shown(f->content_type) ? "inline" : "attachment");
    for (const char *p = f->name; *p; p++) {
        /* '%' is a letter here, but some browsers decode it */
        bool plain = *p >= 0x20 && *p < 0x7f && !strchr("\"\\%", *p);
        buf_char(out, plain ? *p : '_');
    }
    buf_str(out, "\"; filename*=UTF-8''");
    file_escape(out, f->name, false);
}

void file_document(struct buf *out, const struct task_file *f, const char *prefix,
                   const char *task_id)
{
    struct buf url = {0};
    file_path(&url, prefix, task_id, f->name);
    buf_char(out, '{');
    json_key(out, "name");
    json_text(out, f->name);
    json_key(out, "bytes");
    buf_int(out, f->bytes);
    json_key(out, "content_type");
    json_text(out, f->content_type);
    json_key(out, "url");
    json_text(out, url.data);
    buf_char(out, '}');
    buf_free(&url);
}
