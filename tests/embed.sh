#!/bin/sh
# What sql/embed.sh makes of a statement, and what it refuses, with file and line. TAP.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/sql/query" "$dir/sql/schema"
cp sql/functions.awk "$dir/sql"
n=0

# statement NAME: standard input becomes that one
statement() { cat >"$dir/sql/query/$1.sql"; }

# result OK WHAT
result() {
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$dir/said"; fi
}

# refuses WHAT MESSAGE: the statements that are there, which are removed
refuses() {
    rc=0
    if sh sql/embed.sh "$dir/sql" "$dir/out" >"$dir/said" 2>&1; then rc=1; fi
    grep -qF "$2" "$dir/said" || rc=1
    [ ! -e "$dir/out/query.c" ] || rc=1
    result "$rc" "$1"
    rm -rf "$dir/sql/query/"* "$dir/out"
}

# makes WHAT LINE: the header has that line
makes() {
    rc=0
    sh sql/embed.sh "$dir/sql" "$dir/out" >"$dir/said" 2>&1 || rc=1
    grep -qF "$2" "$dir/out/query.h" 2>>"$dir/said" || rc=1
    cp "$dir/out/query.h" "$dir/said" 2>/dev/null || :
    result "$rc" "$1"
    rm -rf "$dir/sql/query/"* "$dir/out"
}

statement a <<'SQL'
-- in: n int
SELECT 1
 WHERE :n = :other;
SQL
refuses 'a parameter that is not declared' "a.sql:3: :other is not declared by 'in:'"

statement a <<'SQL'
-- What it is for.
-- in: n int,
--     other int
DELETE FROM t WHERE n = :n;
SQL
refuses 'a declaration that is not used' 'a.sql:3: :other is declared but not used'

statement a <<'SQL'
-- in: n integer
DELETE FROM t WHERE n = :n;
SQL
refuses 'a type that there is not' 'a.sql:1: n: no such type here: integer'

statement a <<'SQL'
-- value: body blob
SELECT body FROM t;
SQL
refuses 'a type that cannot stand there' 'a.sql:1: body: no such type here: blob'

statement a <<'SQL'
-- in: n
DELETE FROM t WHERE n = :n;
SQL
refuses 'a name without a type' "a.sql:1: 'n' is not a name and a type"

statement a <<'SQL'
-- in: n int, n int
DELETE FROM t WHERE n = :n;
SQL
refuses 'a name that stands there twice' 'a.sql:1: n stands there twice'

statement a <<'SQL'
-- row: n int
-- rows: n int
SELECT n FROM t;
SQL
refuses 'two results' 'a.sql:2: a statement gives one thing'

statement a <<'SQL'
-- rows: n int,
SELECT n FROM t;
SQL
refuses 'a declaration that ends with a comma' 'a.sql:2: the declaration before this line ends with a comma'

statement a <<'SQL'
-- rows: like b
SELECT n FROM t;
SQL
refuses 'rows like those of no other' "a.sql:1: 'b' declares none itself"

statement a <<'SQL'
-- gives: everything
DELETE FROM t;
SQL
refuses 'a result that there is not' 'a.sql:1: gives: changed or rowid'

statement A <<'SQL'
DELETE FROM t;
SQL
refuses 'a file name that is no name in C' 'A.sql: a statement is named [a-z][a-z0-9_]*'

statement a <<'SQL'
-- in: n int, name text?
-- gives: changed
-- Comments and ':text' name no parameter, nor do those behind a statement.
UPDATE t SET name = :name || ':none' WHERE n = :n; -- :neither
SQL
makes 'up to three parameters are parameters' \
    'enum err q_a(struct db *db, int64_t n, const char *name, int64_t *changed, struct error *e);'

statement a <<'SQL'
-- in: a int, b int, c int, d int
-- value: sum int
SELECT :a + :b + :c + :d AS sum;
SQL
makes 'more are a struct' \
    'enum err q_a(struct db *db, const struct q_a_in *in, int64_t *sum, struct error *e);'

statement a <<'SQL'
-- in: like b
-- rows: like b
SELECT :a AS n;
SQL
statement b <<'SQL'
-- in: a int, b int, c int, d int
-- rows: n int
SELECT :a + :b + :c + :d AS n;
SQL
makes 'what is like another has its structs' \
    'struct q_b_cursor q_a(struct db *db, const struct q_b_in *in, struct error *e);'

echo "1..$n"
