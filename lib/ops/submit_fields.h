/* The fields of a task that is asked for, each by the name that it has everywhere: in a JSON request, a query, an
 * option of the command line. One place knows which there are and what they may be. Pure. */
#ifndef LEAT_OPS_SUBMIT_FIELDS_H
#define LEAT_OPS_SUBMIT_FIELDS_H

#include "base/json.h"
#include "ops/submit.h"

/* The names: NULL past the last. "input" is none of them. */
const char *submit_field_name(size_t index);

/* Sets a field; null leaves it as it is. ERR_INVALID names the field. */
enum err submit_field(struct submit *s, const char *name, const json_t *value, struct error *e);

/* The same from text: numbers are written as in JSON. */
enum err submit_field_text(struct submit *s, const char *name, const char *text, struct error *e);

/* Once all are set: a delay and a run_at do not go together. ERR_INVALID. */
enum err submit_time_check(const struct submit *s, struct error *e);

#endif
