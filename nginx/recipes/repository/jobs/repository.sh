# shellcheck shell=sh
# What the jobs of this folder share: include it with `. "$(dirname "$0")/repository.sh"`.
set -eu
(: >&3) 2>/dev/null || exec 3>/dev/null # by hand there is no runner behind it

# Which URLs may be cloned: patterns of sh(1), which repository.env beside this file may replace.
ALLOW='https://*'
# shellcheck source=/dev/null
[ ! -r "$(dirname "$0")/repository.env" ] || . "$(dirname "$0")/repository.env"

refuse() { # what another attempt would not change
    printf '<3>%s\n' "$1" >&2
    exit 65 # EX_DATAERR
}

progress() { # progress PERCENT MESSAGE
    jq -nc --argjson percent "$1" --arg message "$2" '{progress: $percent, message: $message}' >&3
}

# The repository at this URL, as the folder "repository": all of its history, no files. git is let to nothing but what was asked for.
fetch() { # fetch URL
    allowed=
    set -f
    for pattern in $ALLOW; do
        # shellcheck disable=SC2254  # a pattern
        case $1 in $pattern) allowed=yes ;; esac
    done
    set +f
    [ -n "$allowed" ] || refuse "This URL may not be cloned here: $1"
    GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=https:file GIT_CONFIG_GLOBAL=/dev/null \
        git clone --bare --progress -c core.hooksPath=/dev/null -- "$1" repository >&2 || {
        echo "<3>git could not clone $1" >&2
        exit 75 # EX_TEMPFAIL
    }
}

# The repository of this group: its URL is what clone has left in the context.
repository() {
    url=$(jq -r '.url // empty' "$LEAT_CONTEXT_FILE")
    [ -n "$url" ] || refuse 'There is nothing to analyse: it has not been cloned.'
    progress 5 'Fetching'
    fetch "$url"
    git -C repository rev-parse -q --verify HEAD >/dev/null || refuse 'There is no commit in it.'
}

# Standard input becomes a document of this task: a file, told by an event.
document() { # document NAME TITLE
    tee "$LEAT_FILES/$1"
    jq -nc --arg name "$1" --arg title "$2" --argjson bytes "$(wc -c <"$LEAT_FILES/$1")" \
        '{type: "doc.created", payload: {name: $name, title: $title, bytes: $bytes}}' >&3
}
