/* The standard descriptors, which whoever starts a program may have closed. */
#ifndef LEAT_BASE_STANDARD_H
#define LEAT_BASE_STANDARD_H

/* Opens those of descriptors 0 to 2 that are closed, so that no file of ours ever becomes one of them and is written
 * to by what is said to people. They lead nowhere: reading from them, or writing, is an error (EBADF), as it was.
 * Call it before any file is opened. */
void standard_open(void);

#endif
