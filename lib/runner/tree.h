/* Removing a tree of files that somebody else has made and may still be changing: no link is followed,
 * whatever is exchanged for one meanwhile, no mount is entered, and no depth is too deep. */
#ifndef LEAT_RUNNER_TREE_H
#define LEAT_RUNNER_TREE_H

#include <stddef.h>

enum tree_left {
    TREE_GONE,
    TREE_LEFT,  /* there is more of it than *entries */
    TREE_STUCK, /* it cannot be removed: errno */
};

/* Removes the folder `path` (its own parent must be the caller's) with all in it, *entries of which it may
 * remove: those that it has are taken off. Folders that cannot be read are made readable. One that is not
 * there is gone. */
enum tree_left tree_remove(const char *path, size_t *entries);

#endif
