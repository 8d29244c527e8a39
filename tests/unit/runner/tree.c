#include "runner/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char room[] = "/tmp/leat-tree-XXXXXX";
static char tree[sizeof room + 10], precious[sizeof room + 20];

/* tree/NAME; of the last call. */
static const char *in_tree(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", tree, name);
    return path;
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* A room with the folder `tree`, and beside it a file that must stay. */
static int make_room(void **state)
{
    (void)state;
    strcpy(room + sizeof room - 7, "XXXXXX");
    if (!mkdtemp(room)) return -1;
    snprintf(tree, sizeof tree, "%s/tree", room);
    snprintf(precious, sizeof precious, "%s/precious", room);
    if (mkdir(tree, 0700) || mkdir(precious, 0700)) return -1;
    char path[sizeof precious + 10];
    snprintf(path, sizeof path, "%s/file", precious);
    touch(path);
    return 0;
}

static int remove_room(void **state)
{
    (void)state;
    char path[sizeof precious + 10];
    snprintf(path, sizeof path, "%s/file", precious);
    bool there = !unlink(path);
    return !there || rmdir(precious) || rmdir(room) ? -1 : 0; /* the tree is gone */
}

static enum tree_left remove_all(void)
{
    size_t entries = SIZE_MAX;
    return tree_remove(tree, &entries);
}

static void is_gone(void)
{
    struct stat st;
    enum tree_left left = remove_all();
    if (left) fail_msg("%d: %s", left, strerror(errno));
    assert_int_equal(lstat(tree, &st), -1);
    assert_int_equal(errno, ENOENT);
}

static void all_that_can_be_in_it_goes(void **state)
{
    (void)state;
    touch(in_tree("file"));
    touch(in_tree(".hidden"));
    assert_int_equal(mkfifo(in_tree("pipe"), 0600), 0);
    assert_int_equal(symlink("/nowhere", in_tree("dangling")), 0);
    assert_int_equal(symlink(precious, in_tree("link")), 0);
    assert_int_equal(mkdir(in_tree("empty"), 0700), 0);
    assert_int_equal(mkdir(in_tree("a"), 0700), 0);
    assert_int_equal(mkdir(in_tree("a/b"), 0700), 0);
    assert_int_equal(mkdir(in_tree("a/b/c"), 0700), 0);
    touch(in_tree("a/b/c/file"));
    assert_int_equal(symlink(precious, in_tree("a/b/link")), 0);
    is_gone();
}

static void one_that_is_not_there_is_gone(void **state)
{
    (void)state;
    assert_int_equal(rmdir(tree), 0);
    is_gone();
}

static void a_link_or_a_file_in_its_place_goes_itself(void **state)
{
    (void)state;
    assert_int_equal(rmdir(tree), 0);
    assert_int_equal(symlink(precious, tree), 0);
    is_gone();
    touch(tree);
    is_gone();
}

static void names_that_are_numbers_are_in_nobodys_way(void **state)
{
    (void)state;
    static const char *const folders[] = {"0",     "0/1", "0/1/2", "1",    "1/0",
                                          "1/0/0", "2",   "2/a",   "2/a/0"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char file[40];
        assert_int_equal(mkdir(in_tree(folders[i]), 0700), 0);
        snprintf(file, sizeof file, "%s/file", folders[i]);
        touch(in_tree(file));
    }
    touch(in_tree("3"));
    is_gone();
}

/* Folders in one another, and in each a file. */
static void make_deep(int levels)
{
    int at = open(tree, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < levels; i++) {
        assert_int_equal(mkdirat(at, "deeper", 0700), 0);
        int file = openat(at, "file", O_CREAT | O_WRONLY, 0600);
        int next = openat(at, "deeper", O_RDONLY | O_DIRECTORY);
        assert_true(file >= 0 && next >= 0);
        close(file);
        close(at);
        at = next;
    }
    close(at);
}

static void no_depth_is_too_deep(void **state)
{
    (void)state;
    struct rlimit was, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    few = (struct rlimit){16, was.rlim_max};
    make_deep(700); /* its path is longer than any may be */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    is_gone();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

static void it_stops_when_its_entries_are_used_up(void **state)
{
    (void)state;
    struct stat st;
    for (int i = 0; i < 25; i++) {
        char name[20];
        snprintf(name, sizeof name, "file%d", i);
        touch(in_tree(name));
    }
    make_deep(5);
    for (int i = 0; i < 3; i++) {
        size_t entries = 10;
        assert_int_equal(tree_remove(tree, &entries), TREE_LEFT);
        assert_int_equal(entries, 0);
        assert_int_equal(lstat(tree, &st), 0);
    }
    size_t entries = 100;
    assert_int_equal(tree_remove(tree, &entries), TREE_GONE);
    assert_true(entries > 80 && entries < 100);
}

/* Runs `what` in another process, as a user who is not root; gives its exit status. */
static int as_nobody(int (*what)(void))
{
    if (!geteuid()) assert_int_equal(chown(room, 65534, 65534) | chown(tree, 65534, 65534), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) _exit(!geteuid() && setresuid(65534, 65534, 65534) ? 100 : what());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int lock_and_remove(void)
{
    static const struct {
        const char *name;
        mode_t mode;
    } locked[] = {{"unread", 0300}, {"unwritten", 0500}, {"unentered", 0600}, {"none", 0}};
    for (size_t i = 0; i < sizeof locked / sizeof *locked; i++) {
        char inner[40];
        if (mkdir(in_tree(locked[i].name), 0700)) return 1;
        snprintf(inner, sizeof inner, "%s/inner", locked[i].name);
        if (mkdir(in_tree(inner), 0700)) return 2;
        snprintf(inner, sizeof inner, "%s/inner/file", locked[i].name);
        touch(in_tree(inner));
        snprintf(inner, sizeof inner, "%s/inner", locked[i].name);
        if (chmod(in_tree(inner), locked[i].mode)) return 3;
        if (chmod(in_tree(locked[i].name), locked[i].mode)) return 4;
    }
    if (chmod(tree, 0500)) return 5;
    return remove_all() ? 6 : 0;
}

static void folders_that_were_locked_are_unlocked(void **state)
{
    (void)state;
    assert_int_equal(as_nobody(lock_and_remove), 0);
}

static int remove_another_users(void)
{
    if (remove_all() != TREE_STUCK) return 1;
    return errno == EACCES || errno == EPERM ? 0 : 2;
}

static void what_cannot_be_removed_is_told_and_the_rest_goes(void **state)
{
    (void)state;
    struct stat st;
    if (geteuid()) skip();
    assert_int_equal(mkdir(in_tree("roots"), 0755), 0);
    touch(in_tree("roots/file"));
    assert_int_equal(mkdir(in_tree("a"), 0777), 0);
    assert_int_equal(chmod(in_tree("a"), 0777), 0);
    touch(in_tree("a/file"));
    assert_int_equal(as_nobody(remove_another_users), 0);
    assert_int_equal(lstat(in_tree("roots/file"), &st), 0);
    assert_int_equal(lstat(in_tree("a"), &st), -1);
    is_gone();
}

/* Runs `what` again and again in another process. */
static pid_t meanwhile(void (*what)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid) return pid;
    for (;;) what();
}

static void stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Exchanges the folder d, which has a file, for a link to what is precious, and back. */
static void exchange(void)
{
    char away[sizeof tree + 20];
    snprintf(away, sizeof away, "%s/away", tree);
    mkdir(tree, 0700);
    mkdir(in_tree("d"), 0700);
    int fd = open(in_tree("d/file"), O_CREAT | O_WRONLY, 0600);
    if (fd >= 0) close(fd);
    if (rename(in_tree("d"), away)) return;
    if (symlink(precious, in_tree("d"))) return;
    unlink(in_tree("d"));
}

static void a_link_that_takes_the_place_of_a_folder_is_not_followed(void **state)
{
    (void)state;
    char path[sizeof precious + 10];
    struct stat st;
    snprintf(path, sizeof path, "%s/file", precious);
    pid_t pid = meanwhile(exchange);
    for (int i = 0; i < 3000; i++) {
        size_t entries = 1000;
        tree_remove(tree, &entries);
        assert_int_equal(lstat(path, &st), 0);
    }
    stop(pid);
    is_gone();
}

#define IN_ROOM(test) cmocka_unit_test_setup_teardown(test, make_room, remove_room)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_ROOM(all_that_can_be_in_it_goes),
        IN_ROOM(one_that_is_not_there_is_gone),
        IN_ROOM(a_link_or_a_file_in_its_place_goes_itself),
        IN_ROOM(names_that_are_numbers_are_in_nobodys_way),
        IN_ROOM(no_depth_is_too_deep),
        IN_ROOM(it_stops_when_its_entries_are_used_up),
        IN_ROOM(folders_that_were_locked_are_unlocked),
        IN_ROOM(what_cannot_be_removed_is_told_and_the_rest_goes),
        IN_ROOM(a_link_that_takes_the_place_of_a_folder_is_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
