#include "runner/workdir.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/leat-workdir-XXXXXX";
static struct workroot root;

/* folder/NAME; of the last call. */
static const char *in_folder(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    return mkdtemp(folder) && !workroot_make(&root, NULL, in_folder("leat.db"), NULL) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    workroot_free(&root);
    return system(command); /* NOLINT(cert-env33-c) */
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    if (lstat(path, &st)) return 0;
    return st.st_mode;
}

static const struct job_user same; /* the runner itself */

static void the_root_is_a_private_folder_beside_the_database(void **state)
{
    (void)state;
    assert_string_equal(root.path, in_folder("work"));
    assert_string_equal(root.kept, root.path);
    assert_int_equal(mode_of(root.path),
                     S_IFDIR | (geteuid() ? 0700 : 0711)); /* root: for `user` */
}

static void an_open_root_is_made_private(void **state)
{
    (void)state;
    struct workroot again;
    assert_int_equal(chmod(root.path, 0777), 0);
    assert_int_equal(workroot_make(&again, NULL, in_folder("leat.db"), NULL), ERR_OK);
    assert_int_equal(mode_of(root.path) & 0777, geteuid() ? 0700 : 0711);
    workroot_free(&again);
}

static void a_link_is_no_root(void **state)
{
    (void)state;
    struct workroot again;
    assert_int_equal(rmdir(root.path), 0);
    assert_int_equal(symlink("/tmp", root.path), 0);
    assert_int_equal(workroot_make(&again, NULL, in_folder("leat.db"), NULL), ERR_IO);
    assert_null(again.path);
}

static void a_site_may_choose_the_folder_of_the_root(void **state)
{
    (void)state;
    struct workroot one, two, none;
    struct workdir w;
    char place[200], expected[220];
    struct error e = {0};
    snprintf(place, sizeof place, "%s", in_folder("tmp"));
    assert_int_equal(workroot_make(&none, place, in_folder("leat.db"), &e), ERR_IO);
    assert_non_null(strstr(e.text, "[runner] work: "));
    assert_int_equal(mkdir(place, 0700), 0);
    assert_int_equal(workroot_make(&one, place, in_folder("leat.db"), NULL), ERR_OK);
    assert_int_equal(workroot_make(&two, place, in_folder("other.db"), NULL), ERR_OK);
    snprintf(expected, sizeof expected, "%s/leat-", place);
    assert_memory_equal(one.path, expected, strlen(expected));
    assert_string_not_equal(one.path, two.path); /* databases may share it */
    assert_string_equal(one.kept, in_folder("work"));

    workdir_make(&w, &one, "t1", 1, &same, NULL);
    assert_memory_equal(w.files, one.path, strlen(one.path));
    assert_memory_equal(w.kept, one.kept, strlen(one.kept));
    assert_int_equal(mkdir(w.kept, 0700), 0);
    workdir_remove(&one, "t1", 1, WORKDIR_ALL);
    assert_int_equal(mode_of(w.folder), 0);
    assert_int_equal(mode_of(w.kept), 0);
    workdir_free(&w);
    workroot_free(&one);
    workroot_free(&two);
}

static void an_attempt_has_a_folder_and_a_pipe(void **state)
{
    (void)state;
    struct workdir w;
    assert_int_equal(workdir_make(&w, &root, "t1", 2, &same, NULL), ERR_OK);
    assert_string_equal(w.folder, in_folder("work/t1.2"));
    assert_int_equal(mode_of(w.folder), S_IFDIR | 0700);
    assert_string_equal(w.files, in_folder("work/t1.2.files"));
    assert_int_equal(mode_of(w.files), S_IFDIR | 0700);
    assert_string_equal(w.events, in_folder("work/t1.2.events"));
    assert_int_equal(mode_of(w.events), S_IFIFO | 0600);
    workdir_free(&w);
}

static void a_folder_is_always_fresh(void **state)
{
    (void)state;
    struct workdir w;
    workdir_make(&w, &root, "t1", 1, &same, NULL);
    touch(in_folder("work/t1.1/left"));
    workdir_free(&w);
    assert_int_equal(workdir_make(&w, &root, "t1", 1, &same, NULL), ERR_OK);
    assert_int_equal(mode_of(in_folder("work/t1.1/left")), 0);
    workdir_free(&w);
}

static ino_t inode_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) ? 0 : st.st_ino;
}

static void what_a_job_left_as_it_was_is_taken_for_another(void **state)
{
    (void)state;
    struct workdir one, two, three;
    assert_int_equal(workdir_make(&one, &root, "t1", 1, &same, NULL), ERR_OK);
    ino_t folders[] = {inode_of(one.folder), inode_of(one.files), inode_of(one.events)};
    assert_int_equal(workdir_put(one.context, "{}", &same, NULL), ERR_OK);
    assert_true(workdir_spare(&root, &one));
    assert_int_equal(
        mode_of(one.folder) | mode_of(one.files) | mode_of(one.events) | mode_of(one.context), 0);
    workdir_free(&one);
    assert_int_equal(workdir_make(&two, &root, "t2", 3, &same, NULL), ERR_OK);
    assert_string_equal(two.folder, in_folder("work/t2.3"));
    assert_int_equal(inode_of(two.folder), folders[0]);
    assert_int_equal(inode_of(two.files), folders[1]);
    assert_int_equal(inode_of(two.events), folders[2]);
    assert_int_equal(workdir_make(&three, &root, "t3", 1, &same, NULL), ERR_OK);
    assert_int_not_equal(inode_of(three.folder), folders[0]);
    /* twice the same */
    assert_true(workdir_spare(&root, &two) && workdir_spare(&root, &three));
    workdir_drop_spares(&root);
    workdir_free(&two);
    workdir_free(&three);
    assert_int_equal(rmdir(root.path), 0);
}

static void write_in(const char *path)
{
    char name[300];
    snprintf(name, sizeof name, "%s/file", path);
    touch(name);
}

static void write_and_remove_in(const char *path)
{
    char name[300];
    write_in(path);
    snprintf(name, sizeof name, "%s/file", path);
    unlink(name);
}

static void open_to_all(const char *path)
{
    chmod(path, 0755);
}

static void mark(const char *path)
{
    assert_int_equal(setxattr(path, "user.mark", "x", 1, 0), 0);
}

static void what_a_job_has_changed_is_no_others(void **state)
{
    (void)state;
    static const struct {
        void (*act)(const char *path);
        bool events;
    } changes[] = {
        {write_in, false}, {write_and_remove_in, false}, {open_to_all, true}, {mark, false}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        for (int what = 0; what < (changes[i].events ? 3 : 2); what++) {
            struct workdir w;
            assert_int_equal(workdir_make(&w, &root, "t1", 1, &same, NULL), ERR_OK);
            nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL); /* a tick */
            changes[i].act(what == 0 ? w.folder : what == 1 ? w.files : w.events);
            assert_false(workdir_spare(&root, &w));
            workdir_remove(&root, "t1", 1, WORKDIR_ALL);
            workdir_free(&w);
        }
    assert_int_equal(rmdir(root.path), 0);
}

static void what_is_spare_may_have_gone_or_be_in_the_way(void **state)
{
    (void)state;
    struct workdir w, again;
    assert_int_equal(workdir_make(&w, &root, "t1", 1, &same, NULL), ERR_OK);
    assert_true(workdir_spare(&root, &w));
    workdir_remove_orphans(&root, NULL, NULL); /* by another runner that starts */
    assert_int_equal(rmdir(root.path), 0);
    assert_int_equal(workdir_make(&again, &root, "t2", 1, &same, NULL), ERR_OK);
    assert_int_not_equal(mode_of(again.folder), 0);
    workdir_free(&w);
    assert_int_equal(workdir_make(&w, &root, "t1", 1, &same, NULL), ERR_OK);
    assert_true(workdir_spare(&root, &w));
    write_in(again.folder); /* left by a runner that was killed, of the same attempt */
    workdir_free(&again);
    assert_int_equal(workdir_make(&again, &root, "t2", 1, &same, NULL), ERR_OK);
    assert_int_equal(rmdir(again.folder), 0); /* empty */
    assert_int_equal(mode_of(again.files), S_IFDIR | 0700);
    assert_int_equal(mode_of(again.events), S_IFIFO | 0600);
    workdir_free(&again);
    workdir_free(&w);
}

static void an_id_that_is_no_file_name_is_refused(void **state)
{
    (void)state;
    static const char *const ids[] = {"", ".", "..", "a/b", "../x", "a.b", "a b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct workdir w;
        assert_int_equal(workdir_make(&w, &root, ids[i], 1, &same, NULL), ERR_INVALID);
        assert_null(w.folder);
    }
}

static void removing_takes_all_that_is_in_it(void **state)
{
    (void)state;
    struct workdir w;
    workdir_make(&w, &root, "t1", 1, &same, NULL);
    assert_int_equal(mkdir(in_folder("work/t1.1/a"), 0700), 0);
    assert_int_equal(mkdir(in_folder("work/t1.1/a/b"), 0700), 0);
    touch(in_folder("work/t1.1/a/b/file"));
    assert_int_equal(mkdir(in_folder("work/t1.1/locked"), 0700), 0);
    touch(in_folder("work/t1.1/locked/file"));
    assert_int_equal(chmod(in_folder("work/t1.1/locked"), 0), 0);
    workdir_remove(&root, "t1", 1, WORKDIR_ALL);
    assert_int_equal(mode_of(w.folder), 0);
    assert_int_equal(mode_of(w.events), 0);
    workdir_free(&w);
}

static void removing_follows_no_link(void **state)
{
    (void)state;
    struct workdir w;
    workdir_make(&w, &root, "t1", 1, &same, NULL);
    assert_int_equal(mkdir(in_folder("precious"), 0700), 0);
    touch(in_folder("precious/file"));
    char target[200];
    snprintf(target, sizeof target, "%s", in_folder("precious"));
    assert_int_equal(symlink(target, in_folder("work/t1.1/link")), 0);
    workdir_remove(&root, "t1", 1, WORKDIR_ALL);
    assert_int_equal(mode_of(w.folder), 0);
    assert_int_not_equal(mode_of(in_folder("precious/file")), 0);
    workdir_free(&w);
}

static void removing_leaves_other_attempts(void **state)
{
    (void)state;
    struct workdir one, two;
    workdir_make(&one, &root, "t1", 1, &same, NULL);
    workdir_make(&two, &root, "t1", 2, &same, NULL);
    workdir_remove(&root, "t1", 1, WORKDIR_ALL);
    assert_int_equal(mode_of(one.folder), 0);
    assert_int_not_equal(mode_of(two.folder), 0);
    assert_int_not_equal(mode_of(two.events), 0);
    workdir_free(&one);
    workdir_free(&two);
}

static void what_is_kept_of_the_files_stays_until_it_is_removed_too(void **state)
{
    (void)state;
    struct workdir w;
    workdir_make(&w, &root, "t1", 1, &same, NULL);
    touch(in_folder("work/t1.1.files/left"));
    assert_int_equal(mkdir(w.kept, 0700), 0);
    touch(in_folder("work/t1.1.kept/file"));
    workdir_remove(&root, "t1", 1, WORKDIR_REST);
    assert_int_equal(mode_of(w.folder), 0);
    assert_int_equal(mode_of(w.files), 0);
    assert_int_not_equal(mode_of(in_folder("work/t1.1.kept/file")), 0);
    workdir_remove(&root, "t1", 1, WORKDIR_ALL);
    assert_int_equal(mode_of(w.kept), 0);
    workdir_free(&w);
}

static void what_is_much_goes_in_portions(void **state)
{
    (void)state;
    struct workdir w;
    workdir_make(&w, &root, "t1", 1, &same, NULL);
    for (int i = 0; i < 12; i++) {
        char name[40];
        snprintf(name, sizeof name, "work/t1.1%s/%d", i % 2 ? ".files" : "", i);
        touch(in_folder(name));
    }
    assert_false(workdir_remove_some(&root, "t1", 1, WORKDIR_ALL, 5));
    assert_false(workdir_remove_some(&root, "t1", 1, WORKDIR_ALL, 5));
    assert_int_equal(mode_of(w.folder), 0);
    assert_int_not_equal(mode_of(w.files), 0);
    assert_true(workdir_remove_some(&root, "t1", 1, WORKDIR_ALL, 5));
    assert_int_equal(mode_of(w.files), 0);
    workdir_free(&w);
}

static void what_is_set_aside_is_in_no_attempts_way(void **state)
{
    (void)state;
    struct workdir w, again;
    workdir_make(&w, &root, "t1", 1, &same, NULL);
    touch(in_folder("work/t1.1/left"));
    touch(in_folder("work/t1.1.files/left"));
    assert_int_equal(mkdir(w.kept, 0700), 0);
    assert_true(workdir_set_aside(&root, "t1", 1, WORKDIR_REST));
    assert_int_equal(mode_of(w.folder), 0);
    assert_int_equal(mode_of(w.files), 0);
    assert_int_not_equal(mode_of(w.kept), 0);
    assert_int_not_equal(mode_of(in_folder("work/t1.1.aside/left")), 0);
    unlink(w.events);
    assert_int_equal(workdir_make(&again, &root, "t1", 1, &same, NULL), ERR_OK);
    touch(in_folder("work/t1.1/another"));
    assert_false(workdir_set_aside(&root, "t1", 1, WORKDIR_ALL)); /* there is something already */
    assert_int_not_equal(mode_of(in_folder("work/t1.1/another")), 0);
    workdir_remove(&root, "t1", 1, WORKDIR_ASIDE);
    assert_int_equal(mode_of(in_folder("work/t1.1.aside")), 0);
    assert_int_equal(mode_of(in_folder("work/t1.1.files.aside")), 0);
    assert_int_not_equal(mode_of(in_folder("work/t1.1/another")), 0);
    workdir_free(&w);
    workdir_free(&again);
}

static void a_temporary_file_is_read_from_its_start_and_has_no_name(void **state)
{
    (void)state;
    struct workdir w;
    workdir_make(&w, &root, "t1", 1, &same, NULL);
    int to = -1, fd = -1;
    char text[10];
    assert_int_equal(workdir_temporary(&w, &to, &fd, NULL), ERR_OK);
    assert_true(fcntl(to, F_GETFD) & fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(to, "hello", 5), 5);
    close(to);
    assert_int_equal(read(fd, text, sizeof text), 5);
    assert_memory_equal(text, "hello", 5);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(write(fd, "x", 1), -1);
    close(fd);
    workdir_free(&w);
}

static bool keep_first(void *arg, const char *id, int64_t attempt)
{
    return !strcmp(id, arg) && attempt == 1;
}

static void sweeping_removes_what_nobody_keeps(void **state)
{
    (void)state;
    struct workdir w;
    static const struct {
        const char *id;
        int64_t attempt;
    } made[] = {{"t1", 1}, {"t1", 2}, {"t2", 1}};
    for (size_t i = 0; i < 3; i++) {
        workdir_make(&w, &root, made[i].id, made[i].attempt, &same, NULL);
        workdir_free(&w);
    }
    assert_int_equal(mkdir(in_folder("work/t2.1.aside"), 0700), 0);
    touch(in_folder("work/t2.1.aside/file"));
    touch(in_folder("work/README"));
    workdir_remove_orphans(&root, keep_first, (char *)"t1");
    assert_int_not_equal(mode_of(in_folder("work/t1.1")), 0);
    assert_int_not_equal(mode_of(in_folder("work/t1.1.events")), 0);
    assert_int_equal(mode_of(in_folder("work/t1.2")), 0);
    assert_int_equal(mode_of(in_folder("work/t2.1")), 0);
    assert_int_equal(mode_of(in_folder("work/t2.1.events")), 0);
    assert_int_equal(mode_of(in_folder("work/t2.1.aside")), 0);
    assert_int_not_equal(mode_of(in_folder("work/README")), 0);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_root_is_a_private_folder_beside_the_database),
        IN_FOLDER(an_open_root_is_made_private),
        IN_FOLDER(a_link_is_no_root),
        IN_FOLDER(a_site_may_choose_the_folder_of_the_root),
        IN_FOLDER(an_attempt_has_a_folder_and_a_pipe),
        IN_FOLDER(a_folder_is_always_fresh),
        IN_FOLDER(what_a_job_left_as_it_was_is_taken_for_another),
        IN_FOLDER(what_a_job_has_changed_is_no_others),
        IN_FOLDER(what_is_spare_may_have_gone_or_be_in_the_way),
        IN_FOLDER(an_id_that_is_no_file_name_is_refused),
        IN_FOLDER(removing_takes_all_that_is_in_it),
        IN_FOLDER(removing_follows_no_link),
        IN_FOLDER(removing_leaves_other_attempts),
        IN_FOLDER(what_is_kept_of_the_files_stays_until_it_is_removed_too),
        IN_FOLDER(what_is_much_goes_in_portions),
        IN_FOLDER(what_is_set_aside_is_in_no_attempts_way),
        IN_FOLDER(a_temporary_file_is_read_from_its_start_and_has_no_name),
        IN_FOLDER(sweeping_removes_what_nobody_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
