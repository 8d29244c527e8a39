/* What the tests of operations share: a database, a jobs folder, and callers. */
#ifndef TESTS_OPS_FIXTURE_H
#define TESTS_OPS_FIXTURE_H

#include "../store/fixture.h"

#include "ops/operation.h"

struct site {
    struct room *r;
    struct db *db; /* the room's */
    struct conf *base;
    struct conf *conf; /* with the settings of site_set */
    struct job_types *types;
};

static inline int site_enter(void **state)
{
    char jobs[48];
    if (room_enter(state)) return -1;
    struct site *s = mem_alloc(sizeof *s);
    s->r = *state;
    s->db = s->r->db;
    *state = s;
    snprintf(jobs, sizeof jobs, "%s/jobs", s->r->dir);
    s->types = job_types_open(jobs);
    return mkdir(jobs, 0755) || conf_load(&s->base, "/dev/null", NULL, NULL);
}

static inline int site_leave(void **state)
{
    struct site *s = *state;
    void *room = s->r;
    job_types_close(s->types);
    conf_free(s->conf);
    conf_free(s->base);
    free(s);
    return room_leave(&room);
}

#define site_test(name) cmocka_unit_test_setup_teardown(name, site_enter, site_leave)

/* Puts a file into the jobs folder; a job is executable. */
static inline void site_file(struct site *s, const char *name, const char *text, mode_t mode)
{
    char path[160];
    snprintf(path, sizeof path, "%s/jobs/%s", s->r->dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    job_types_refresh(s->types, NULL);
}

/* A type, and its conf where it has one. */
static inline void site_job(struct site *s, const char *name, const char *conf)
{
    char file[80];
    site_file(s, name, "#!/bin/sh\n", 0755);
    snprintf(file, sizeof file, "%s.conf", name);
    if (conf) site_file(s, file, conf, 0644);
}

/* One setting, "LEAT_SECTION_KEY=value", in place of the one before. */
static inline void site_set(struct site *s, const char *variable)
{
    char *variables[] = {(char *)variable, NULL};
    conf_free(s->conf);
    s->conf = NULL;
    assert_int_equal(conf_overlay(&s->conf, s->base, variables, &s->r->e), ERR_OK);
}

static inline struct caller site_caller(struct site *s, const char *owner)
{
    return (struct caller){.owner = owner,
                           .reader = owner,
                           .account = owner,
                           .request_id = "req-1",
                           .conf = s->conf ? s->conf : s->base,
                           .types = s->types};
}

#endif
