# functions.awk: the statements of sql/query/*.sql as C, one typed function a statement. embed.sh runs it
# twice: -v part=header, -v part=source. Needs only what POSIX says of awk.
#
# A statement begins with a comment. It says what the statement is for, and declares what goes in and out:
#
#     -- The tasks of a group in one status, oldest first.
#     -- in: owner text, group_id text, status status
#     -- rows: n int, type text
#
#     in:     its parameters, each a name and a type. Up to three are parameters in C, in the order in which
#             they stand here; more are members of struct q_NAME_in.
#     rows:   many rows: q_NAME opens a cursor.
#     row:    one row or none: q_NAME fills struct q_NAME_row.
#     value:  one row of one column: q_NAME fills a variable; without a row it is 0, false or absent.
#     gives:  `changed`, how many rows it changed; or `rowid`, that of the row it inserted.
#
# Types: int, bool, real, text, blob, status (of a task), of columns id (a UUID), and of parameters cells (many
# values, which the statement reads by `cell(:name, row, column)`: store/sqlite.h). With `?` it may be
# absent, NULL in SQL; without, NULL reads as 0, false or "". Columns have these names in the SQL too.
# `like NAME` instead of a list: as that statement declares it, and with the same struct; of such an `in:`
# a statement may leave some unused. A declaration goes on in the next line after a comma.

function fail(where, line, text) {
    printf "%s:%d: %s\n", where, line, text >"/dev/stderr"
    failed = 1
    exit 1
}

# ---- reading -------------------------------------------------------------------------------------

FNR == 1 {
    name = FILENAME
    sub(/.*\//, "", name)
    sub(/\.sql$/, "", name)
    names[++count] = name
    file[name] = FILENAME
    declaring = ""
    heading = 1
}

heading && /^--/ {
    text = $0
    sub(/^--[ \t]*/, "", text)
    if (declaring == "" && match(text, /^(in|row|rows|value|gives):/)) {
        declaring = substr(text, 1, RLENGTH - 1)
        text = substr(text, RLENGTH + 1)
        if (declaring != "in") {
            if (name in kind) fail(FILENAME, FNR, "a statement gives one thing")
            kind[name] = declaring
        } else if (name in takes) {
            fail(FILENAME, FNR, "a second 'in:'")
        } else {
            takes[name] = 1
        }
    }
    if (declaring != "") {
        declare(declaring, text)
        if (text !~ /,[ \t]*$/) declaring = ""
    }
    next
}

{
    if (declaring != "") fail(FILENAME, FNR, "the declaration before this line ends with a comma")
    heading = 0
    find_parameters($0)
    sql[name] = sql[name] "        \"" escaped($0) "\\n\"\n"
}

function escaped(text) {
    gsub(/[\\"?]/, "\\\\&", text) # the question mark too: no trigraphs
    return text
}

# One line of what is taken or given: members "name type", between commas.
function declare(what, text,    parts, words, n, i) {
    gsub(/^[ \t]+|[ \t]+$/, "", text)
    if (what == "gives") {
        if (text != "changed" && text != "rowid") fail(FILENAME, FNR, "gives: changed or rowid")
        gives[name] = text
        return
    }
    if ((what == "rows" || what == "in") && text ~ /^like [a-z0-9_]+$/) {
        like[name, what] = substr(text, 6)
        like_line[name, what] = FNR
        return
    }
    sub(/,$/, "", text)
    n = split(text, parts, /,[ \t]*/)
    for (i = 1; i <= n; i++) {
        if (split(parts[i], words, /[ \t]+/) != 2 || words[1] !~ /^[a-z][a-z0-9_]*$/)
            fail(FILENAME, FNR, "'" parts[i] "' is not a name and a type")
        add_member(what, words[1], words[2])
    }
}

function add_member(what, member, type,    side, at) {
    side = what == "in" ? "in" : "out"
    if (!index(side == "in" ? " int int? bool real real? text text? blob status status? cells " \
                            : what == "value" ? " int int? bool real text? " \
                            : what == "row" ? " int int? bool real real? text text? id status " \
                            : " int int? bool real real? text text? blob id status ", " " type " "))
        fail(FILENAME, FNR, member ": no such type here: " type)
    if ((name, side, member) in type_of) fail(FILENAME, FNR, member " stands there twice")
    at = ++members[name, side]
    member_at[name, side, at] = member
    type_of[name, side, member] = type
    line_of[name, side, member] = FNR
    if (what == "value" && at > 1) fail(FILENAME, FNR, "a value is one column")
}

# Numbers the parameters as SQLite does: in the order in which they first appear.
function find_parameters(line,    parameter) {
    gsub(/'[^']*'/, "", line)
    sub(/--.*/, "", line)
    while (match(line, /:[a-z][a-z0-9_]*/)) {
        parameter = substr(line, RSTART + 1, RLENGTH - 1)
        line = substr(line, RSTART + RLENGTH)
        if ((name, parameter) in used) continue
        used[name, parameter] = FNR
        parameter_at[name, ++parameters[name]] = parameter
    }
}

# ---- checking ------------------------------------------------------------------------------------

# Whose declaration of `what` holds for a statement: its own, or that of the one that it names.
function declared_by(name, what,    other) {
    if (!((name, what) in like)) return name
    other = like[name, what]
    if ((other, what) in like || (what == "rows" ? kind[other] != "rows" : members[other, "in"] <= 3))
        fail(file[name], like_line[name, what], "'" other "' declares none itself")
    return other
}

function check(name,    i, member) {
    if (!(name in sql)) fail(file[name], 1, "no statement")
    input[name] = declared_by(name, "in")
    shape[name] = declared_by(name, "rows")
    for (i = 1; i <= parameters[name]; i++) {
        member = parameter_at[name, i]
        if (!((input[name], "in", member) in type_of))
            fail(file[name], used[name, member], ":" member " is not declared by 'in:'")
    }
    for (i = 1; i <= members[name, "in"]; i++) {
        member = member_at[name, "in", i]
        if (!((name, member) in used))
            fail(file[name], line_of[name, "in", member], ":" member " is declared but not used")
    }
    if (name in kind && !members[shape[name], "out"] && !(name in gives))
        fail(file[name], 1, "'" kind[name] ":' without a column")
}

# ---- writing -------------------------------------------------------------------------------------

# A member of a struct, or (without `end`) a parameter.
function c_declaration(member, type, owned, end) {
    if (type ~ /^int/) return "int64_t " member end
    if (type == "bool") return "bool " member end
    if (type == "cells") return "const struct cells *" member end
    if (type ~ /^real/) return "double " member end
    if (type ~ /^status/) return "enum task_status " member end
    if (type == "id") return "char " member "[ID_SIZE]" end
    if (type ~ /^text/) return (owned ? "char *" : "const char *") member end
    return "const void *" member (end == "" ? ", " : end " ") "size_t " member "_len" end
}

function struct_of(name, tag, side, owned,    i, member) {
    printf "struct %s {\n", tag
    for (i = 1; i <= members[name, side]; i++) {
        member = member_at[name, side, i]
        printf "    %s\n", c_declaration(member, type_of[name, side, member], owned, ";")
    }
    printf "};\n"
}

# Three parameters at most are parameters in C; more are a struct.
function by_struct(name) {
    return members[input[name], "in"] > 3
}

function c_parameters(name,    i, text, member) {
    if (by_struct(name)) return "const struct q_" input[name] "_in *in, "
    for (i = 1; i <= members[name, "in"]; i++) {
        member = member_at[name, "in", i]
        text = text c_declaration(member, type_of[name, "in", member], 0, "") ", "
    }
    return text
}

function prototype(name,    head, tail) {
    head = "(struct db *db, " c_parameters(name)
    if (kind[name] == "rows")
        return "struct q_" shape[name] "_cursor q_" name head "struct error *e)"
    if (kind[name] == "row") tail = "struct q_" name "_row *row, bool *found, "
    if (kind[name] == "gives") tail = "int64_t *" gives[name] ", "
    if (kind[name] == "value") {
        tail = member_at[name, "out", 1]
        tail = c_declaration("*" tail, type_of[name, "out", tail], 1, "") ", "
    }
    return "enum err q_" name head tail "struct error *e)"
}

function prototype_of_next(name) {
    return "bool q_" name "_next(struct q_" name "_cursor *c, struct q_" name "_row *row)"
}

function prototype_of_close(name) {
    return "enum err q_" name "_close(struct q_" name "_cursor *c)"
}

function upper(text) {
    return "Q_" toupper(text)
}

function write_header(    i, name) {
    print "/* Made by sql/embed.sh: the closed set of statements, one typed function each."
    print " *"
    print " * Absent: TASK_NONE for int, NAN for real, NULL for text, TASK_STATUSES for a status. Errors of all:"
    print " * ERR_BUSY, ERR_FULL, ERR_IO, ERR_STATE (a trigger refuses), ERR_INTERNAL. No statement stays un-reset"
    print " * but that of a cursor, from its opening to the last row or its closing."
    print " *"
    print " * q_NAME with `row` and `found`: the row if there is one; its text is the caller's to free."
    print " * q_NAME that returns a cursor: `while (q_NAME_next(&c, &row))`, then q_NAME_close(&c) says what went"
    print " * wrong, if anything. What was given to q_NAME is borrowed until then; the text of a row is borrowed"
    print " * until the next row. */"
    print "#ifndef GEN_QUERY_H\n#define GEN_QUERY_H\n"
    print "#include \"base/error.h\"\n#include \"base/id.h\"\n#include \"task/status.h\"\n"
    print "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n"
    print "struct cells;\nstruct db;\nstruct statement;"
    for (i = 1; i <= count; i++)
        if ((names[i], "in") in like) printf "struct q_%s_in;\n", input[names[i]]
    print "\nenum query {"
    for (i = 1; i <= count; i++) printf "    %s,\n", upper(names[i])
    print "    Q_COUNT\n};\n"
    print "/* Their text, and what was declared: names between commas, parameters by their number. */"
    print "extern const struct query_source {"
    print "    const char *name, *sql, *parameters, *columns;\n} query_sources[Q_COUNT];"
    for (i = 1; i <= count; i++) {
        name = names[i]
        print ""
        if (by_struct(name) && input[name] == name) struct_of(name, "q_" name "_in", "in", 0)
        if (members[name, "out"] && kind[name] != "value")
            struct_of(name, "q_" name "_row", "out", kind[name] == "row")
        if (kind[name] != "rows" || shape[name] != name) {
            print prototype(name) ";"
            continue
        }
        printf "struct q_%s_cursor {\n    struct statement *st;\n    struct error *e;\n    enum err rc;\n};\n", name
        print prototype(name) ";"
        print prototype_of_next(name) ";"
        print prototype_of_close(name) ";"
    }
    print "\n#endif"
}

function joined(name, side,    i, text) {
    for (i = 1; i <= (side == "in" ? parameters[name] : members[name, "out"]); i++)
        text = text (i > 1 ? "," : "") (side == "in" ? parameter_at[name, i] : member_at[name, "out", i])
    return text
}

# The name of a type in those of functions: `int?` is int_or_null.
function c_name(type) {
    sub(/\?/, "_or_null", type)
    return type
}

function write_binds(name, indent,    i, member, type, value) {
    for (i = 1; i <= parameters[name]; i++) {
        member = parameter_at[name, i]
        type = type_of[input[name], "in", member]
        value = (by_struct(name) ? "in->" : "") member
        printf "%sstatement_bind_%s(%s, %d, %s%s);\n", indent, c_name(type), indent == "    " ? "st" : "c.st", i,
            value, type == "blob" ? ", " value "_len" : ""
    }
}

# Copies the row that `st` is at.
function write_row(name, indent, st, owned,    i, member, type) {
    printf "%s*row = (struct q_%s_row){\n", indent, name
    for (i = 1; i <= members[name, "out"]; i++) {
        member = member_at[name, "out", i]
        type = type_of[name, "out", member]
        if (type == "id") continue
        if (type == "blob")
            printf "%s    .%s_len = statement_blob_len(%s, %d),\n", indent, member, st, i - 1
        printf "%s    .%s = %s,\n", indent, member, column(type, st, i - 1, owned)
    }
    print indent "};"
    for (i = 1; i <= members[name, "out"]; i++) {
        member = member_at[name, "out", i]
        if (type_of[name, "out", member] == "id")
            printf "%sstatement_id(%s, %d, row->%s);\n", indent, st, i - 1, member
    }
}

function column(type, st, at, owned) {
    return sprintf("statement_%s%s(%s, %d)", owned && type ~ /^text/ ? "own_" : "", c_name(type), st, at)
}

function write_cursor(name) {
    printf "%s\n{\n", prototype(name)
    printf "    struct q_%s_cursor c = {.e = e};\n", shape[name]
    printf "    c.rc = begin(db, %s, &c.st, e);\n", upper(name)
    if (parameters[name]) {
        print "    if (!c.rc) {"
        write_binds(name, "        ")
        print "    }"
    }
    print "    return c;\n}\n"
    if (shape[name] != name) return
    printf "%s\n{\n", prototype_of_next(name)
    print "    if (!next(&c->st, &c->rc, c->e)) return false;"
    write_row(name, "    ", "c->st", 0)
    print "    return true;\n}\n"
    printf "%s\n{\n    statement_end(c->st);\n    c->st = NULL;\n    return c->rc;\n}\n\n", prototype_of_close(name)
}

function write_function(name,    what) {
    what = member_at[name, "out", 1]
    printf "%s\n{\n", prototype(name)
    print "    struct statement *st;"
    if (kind[name] == "value") print "    bool found = false;"
    if (kind[name] == "row") {
        print "    *found = false;"
        printf "    *row = (struct q_%s_row){0};\n", name
    }
    printf "    enum err rc = begin(db, %s, &st, e);\n    if (rc) return rc;\n", upper(name)
    write_binds(name, "    ")
    if (kind[name] == "row") {
        print "    rc = statement_step(st, found, e);\n    if (rc) return rc;\n    if (*found) {"
        write_row(name, "        ", "st", 1)
        print "    }\n    statement_end(st);\n    return ERR_OK;\n}\n"
    } else if (kind[name] == "value") {
        print "    rc = statement_step(st, &found, e);\n    if (rc) return rc;"
        printf "    *%s = found ? %s : %s;\n", what, column(type_of[name, "out", what], "st", 0, 1),
            type_of[name, "out", what] == "int?" ? "TASK_NONE" : "0"
        print "    statement_end(st);\n    return ERR_OK;\n}\n"
    } else if (kind[name] == "gives") {
        printf "    return statement_run(st, %s, e);\n}\n\n", gives[name] == "rowid" ? "NULL, rowid" : "changed, NULL"
    } else {
        print "    return statement_run(st, NULL, NULL, e);\n}\n"
    }
}

function write_source(    i, name) {
    print "/* Made by sql/embed.sh. */"
    print "#include \"gen/query.h\"\n\n#include \"store/db.h\"\n#include \"store/sqlite.h\"\n#include \"task/task.h\"\n"
    print "const struct query_source query_sources[Q_COUNT] = {"
    for (i = 1; i <= count; i++) {
        name = names[i]
        printf "    [%s] = {\"%s\",\n%s        , \"%s\", \"%s\"},\n", upper(name), name, sql[name],
            joined(name, "in"), joined(shape[name], "out")
    }
    print "};\n"
    print "static enum err begin(struct db *db, enum query query, struct statement **st, struct error *e)"
    print "{"
    print "    const struct query_source *source = &query_sources[query];"
    print "    return statement_begin(db_statements(db), query, source->name, source->sql, txn_is_open(db), st, e);"
    print "}\n"
    print "static bool next(struct statement **st, enum err *rc, struct error *e)"
    print "{"
    print "    bool row = false;"
    print "    if (!*st) return false;"
    print "    *rc = statement_step(*st, &row, e);"
    print "    if (row) return true;"
    print "    statement_end(*st);"
    print "    *st = NULL;"
    print "    return false;"
    print "}\n"
    for (i = 1; i <= count; i++)
        if (kind[names[i]] == "rows") write_cursor(names[i])
        else write_function(names[i])
}

END {
    if (failed) exit 1
    for (i = 1; i <= count; i++) check(names[i])
    if (part == "header") write_header()
    else write_source()
}
