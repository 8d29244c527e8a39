#!/bin/sh
# embed.sh SQLDIR OUTDIR: the statements of SQLDIR/query/*.sql, one typed function each, and the steps of
# SQLDIR/schema/NNN_*.sql as C: OUTDIR/{query,schema}.{h,c}. A file whose content would not change is
# left alone.
set -eu
LC_ALL=C
export LC_ALL
[ $# = 2 ] || { echo "usage: embed.sh SQLDIR OUTDIR" >&2; exit 64; }
sql=$1 out=$2
mkdir -p "$out"

fail() { echo "embed.sh: $*" >&2; exit 1; }

# text FILE: the file as C string literals, one a line (`?` escaped too: no trigraphs)
text() {
    sed 's/[\\"?]/\\&/g; s/^/        "/; s/$/\\n"/' "$1"
    [ -s "$1" ] || echo '        ""'
}

# put FILE: standard input becomes FILE unless it is that already
put() {
    cat >"$1.new"
    if cmp -s "$1" "$1.new"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

# functions PART FILE: the header or the source of the typed functions
functions() {
    awk -v "part=$1" -f "$sql/functions.awk" "$sql"/query/*.sql >"$2.made" || { rm -f "$2.made"; exit 1; }
    put "$2" <"$2.made"
    rm "$2.made"
}

steps() { # steps FUNCTION: FUNCTION version name file, for each schema step, ascending
    last=0
    for file in "$sql"/schema/*.sql; do
        [ -e "$file" ] || continue
        name=$(basename "$file" .sql)
        case $name in [0-9][0-9][0-9]_?*) ;; *) fail "$file: a step is named NNN_what.sql" ;; esac
        last=$((last + 1))
        [ "${name%%_*}" = "$(printf %03d "$last")" ] || fail "$file: step $last expected"
        "$1" "$last" "${name#*_}" "$file"
    done
}

for file in "$sql"/query/*.sql; do
    case $(basename "$file" .sql) in
        *[!a-z0-9_]* | [!a-z]*) fail "$file: a statement is named [a-z][a-z0-9_]*" ;;
    esac
done
steps true # a bad name must stop us here: inside the pipeline below it could not

step_row() { printf '    {%d, "%s",\n' "$1" "$2"; text "$3"; echo '    },'; }

functions header "$out/query.h"
functions source "$out/query.c"

{
    echo '/* Made by sql/embed.sh: the steps from an empty database to the newest schema, ascending. */'
    printf '#ifndef GEN_SCHEMA_H\n#define GEN_SCHEMA_H\n\n#include <stddef.h>\n\n'
    printf 'extern const struct schema_step {\n    int version;\n    const char *name;\n    const char *sql;\n} schema_steps[];\n'
    printf 'extern const size_t schema_step_count;\n\n'
    echo '#endif'
} | put "$out/schema.h"

{
    printf '/* Made by sql/embed.sh. */\n#include "gen/schema.h"\n\n'
    echo 'const struct schema_step schema_steps[] = {'
    steps step_row
    echo '};'
    echo 'const size_t schema_step_count = sizeof schema_steps / sizeof schema_steps[0];'
} | put "$out/schema.c"
