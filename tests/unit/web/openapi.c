#include "web/openapi.h"

#include "base/json.h"
#include "handlers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *document(const char *prefix)
{
    struct buf b = {0};
    struct error e = {0};
    openapi_document(&b, prefix);
    json_t *root = json_read(b.data, b.len, &e);
    if (!root) fail_msg("%s", e.text);
    buf_free(&b);
    return root;
}

static int setup(void **state)
{
    *state = document("/api");
    return 0;
}

static int teardown(void **state)
{
    json_decref(*state);
    return 0;
}

static const struct {
    const char *name;
    unsigned bit;
} methods[] = {
    {"get", METHOD_GET}, {"post", METHOD_POST}, {"put", METHOD_PUT}, {"delete", METHOD_DELETE}};
enum { METHODS = sizeof methods / sizeof *methods };

static void version_and_prefix_are_those_of_the_site(void **state)
{
    static const char *const prefixes[] = {"/api", "/a/b", "/with \"quotes\" and \\", ""};
    (void)state;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        json_t *root = document(prefixes[i]);
        json_t *server = json_array_get(json_object_get(root, "servers"), 0);
        assert_string_equal(json_string_value(json_object_get(server, "url")), prefixes[i]);
        json_t *info = json_object_get(root, "info");
        assert_string_equal(json_string_value(json_object_get(info, "version")), LEAT_VERSION);
        json_decref(root);
    }
}

static void the_tag_is_a_strong_one(void **state)
{
    (void)state;
    const char *etag = openapi_etag();
    size_t len = strlen(etag);
    assert_true(len > 2 && etag[0] == '"' && strchr(etag + 1, '"') == etag + len - 1);
}

static void every_route_is_documented(void **state)
{
    json_t *paths = json_object_get(*state, "paths");
    size_t missing = 0;
    for (size_t i = 0; i < site_route_count; i++) {
        const struct route *route = &site_routes[i];
        json_t *path = json_object_get(paths, route->pattern);
        unsigned left = route->methods;
        for (size_t j = 0; j < METHODS; j++) {
            if (!(route->methods & methods[j].bit)) continue;
            left &= ~methods[j].bit;
            if (json_object_get(path, methods[j].name)) continue;
            print_error("not in openapi.json: %s %s\n", methods[j].name, route->pattern);
            missing++;
        }
        assert_int_equal(left, 0);
    }
    assert_int_equal(missing, 0);
}

static const struct route *route_of(const char *pattern, unsigned method)
{
    for (size_t i = 0; i < site_route_count; i++)
        if (site_routes[i].methods & method && !strcmp(site_routes[i].pattern, pattern))
            return &site_routes[i];
    return NULL;
}

static unsigned scopes_of(const json_t *operation)
{
    unsigned scopes = 0;
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(operation, "x-leat-scopes"), i, name)
    {
        unsigned bit = 0;
        while (scope_name(bit) && strcmp(scope_name(bit), json_string_value(name))) bit++;
        assert_non_null(scope_name(bit));
        scopes |= 1U << bit;
    }
    return scopes;
}

static void everything_documented_is_a_route(void **state)
{
    const char *pattern, *name;
    json_t *path, *operation;
    json_object_foreach(json_object_get(*state, "paths"), pattern, path)
    {
        json_object_foreach(path, name, operation)
        {
            size_t i = 0;
            while (i < METHODS && strcmp(methods[i].name, name)) i++;
            if (i == METHODS) fail_msg("%s of %s is no method", name, pattern);
            const struct route *route = route_of(pattern, methods[i].bit);
            if (!route) fail_msg("no route: %s %s", name, pattern);
            if (scopes_of(operation) != route->scopes)
                fail_msg("other scopes: %s %s", name, pattern);
        }
    }
}

/* A $ref of the document; others are themselves. */
static json_t *resolve(json_t *root, json_t *value)
{
    const char *ref = json_string_value(json_object_get(value, "$ref"));
    if (!ref) return value;
    assert_int_equal(strncmp(ref, "#/", 2), 0);
    json_t *at = root;
    for (const char *p = ref + 2; *p;) {
        size_t len = strcspn(p, "/");
        char *key = mem_dup(p, len);
        at = json_object_get(at, key);
        free(key);
        p += len + (p[len] == '/');
    }
    if (!at) fail_msg("nothing is at %s", ref);
    return at;
}

static void every_part_of_a_path_is_a_parameter(void **state)
{
    const char *pattern, *name;
    json_t *path, *operation, *item;
    size_t i;
    json_object_foreach(json_object_get(*state, "paths"), pattern, path)
    {
        json_object_foreach(path, name, operation)
        {
            size_t given = 0, wanted = 0;
            for (const char *p = pattern; *p; p++) wanted += *p == '{';
            json_array_foreach(json_object_get(operation, "parameters"), i, item)
            {
                json_t *parameter = resolve(*state, item);
                if (strcmp(json_string_value(json_object_get(parameter, "in")), "path")) continue;
                struct buf part = {0};
                buf_fmt(&part, "{%s}", json_string_value(json_object_get(parameter, "name")));
                assert_non_null(strstr(pattern, part.data));
                buf_free(&part);
                given++;
            }
            assert_int_equal(given, wanted);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_and_prefix_are_those_of_the_site),
        cmocka_unit_test(the_tag_is_a_strong_one),
        cmocka_unit_test(every_route_is_documented),
        cmocka_unit_test(everything_documented_is_a_route),
        cmocka_unit_test(every_part_of_a_path_is_a_parameter),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
