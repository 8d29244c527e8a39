/* The job of the type leat-check (ops/job_types.h), with which leat check tries a site. */
#ifndef LEAT_RUNNER_CHECK_JOB_H
#define LEAT_RUNNER_CHECK_JOB_H

/* Reads its input. "ticks N": an event check.tick every quarter of a second, N of them; "quiet N": one, N seconds of
 * silence, and another; anything else is only counted. Both at most CHECK_JOB_MAX. Its result is {"bytes":B}. Returns
 * the exit status. */
enum { CHECK_JOB_MAX = 60 };
int check_job_main(void);

#endif
