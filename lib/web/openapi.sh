#!/bin/sh
# openapi.sh OPENAPI.JSON OUTDIR: the description of the API as C: OUTDIR/openapi.{h,c}. It has one
# "@VERSION@", which becomes LEAT_VERSION, and one "@PREFIX@", which the program writes. A file whose
# content would not change is left alone.
set -eu
LC_ALL=C
export LC_ALL
[ $# = 2 ] || { echo "usage: openapi.sh OPENAPI.JSON OUTDIR" >&2; exit 64; }
json=$1 out=$2
mkdir -p "$out"

for mark in VERSION PREFIX; do
    [ "$(grep -c "\"@$mark@\"" "$json")" = 1 ] || {
        echo "openapi.sh: $json: \"@$mark@\" must stand on one line" >&2
        exit 1
    }
done

# put FILE: standard input becomes FILE unless it is that already
put() {
    cat >"$1.new"
    if cmp -s "$1" "$1.new"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

# lines: standard input, without its indentation, as C string literals, one a line (`?` escaped too:
# no trigraphs)
lines() {
    sed 's/^ *//; s/[\\"?]/\\&/g; s/^/    "/; s/$/\\n",/; s/@VERSION@/" LEAT_VERSION "/'
}

{
    printf '/* Made by lib/web/openapi.sh: the description of the API, by lines. */\n'
    printf '#ifndef GEN_OPENAPI_H\n#define GEN_OPENAPI_H\n\n'
    echo '/* What stands before and after the prefix of its paths, a JSON string. NULL-terminated. */'
    printf 'extern const char *const openapi_before[], *const openapi_after[];\n\n'
    echo '/* An entity tag for both (RFC 9110, 8.8.3). */'
    printf 'extern const char openapi_tag[];\n\n#endif\n'
} | put "$out/openapi.h"

sum=$(cksum <"$json")
{
    printf '/* Made by lib/web/openapi.sh. */\n#include "gen/openapi.h"\n\n'
    printf '#include <stddef.h>\n\n'
    echo 'const char *const openapi_before[] = {'
    sed '/"@PREFIX@"/{s/"@PREFIX@".*//;q;}' "$json" | lines
    printf '    NULL,\n};\n\nconst char *const openapi_after[] = {\n'
    sed '1,/"@PREFIX@"/{/"@PREFIX@"/!d;s/.*"@PREFIX@"//;}' "$json" | lines
    # shellcheck disable=SC1003  # a backslash, not an escaped quote
    printf '    NULL,\n};\n\nconst char openapi_tag[] = "\\"" LEAT_VERSION "-%s\\"";\n' "${sum%% *}"
} | put "$out/openapi.c"
