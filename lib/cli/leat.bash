# Completion of leat(1) for bash. The commands and their options are those that leat itself tells of.

_leat_words() { # _leat_words ARGUMENT...: of the help that leat gives for them
    leat "$@" --help 2>/dev/null
}

# The settings that were named on the line, for what asks the database.
_leat_ask() { # _leat_ask ARGUMENT...
    leat "${_leat_config[@]}" "$@" 2>/dev/null
}

_leat() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} i
    local -a words=() _leat_config=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == --config ]]; then
            _leat_config=(--config "${COMP_WORDS[++i]:-}")
        elif [[ ${COMP_WORDS[i]} != -* ]]; then
            words+=("${COMP_WORDS[i]}")
        fi
    done
    case $before in
    --config | --input-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    --status)
        mapfile -t COMPREPLY < <(compgen -W 'pending running completed failed timeout cancelled' -- "$word")
        return
        ;;
    --type)
        mapfile -t COMPREPLY < <(compgen -W "$(_leat_ask types | awk 'NR > 1 && $2 ~ /^(ready|paused|broken)$/ { print $1 }')" -- "$word")
        return
        ;;
    esac
    if [[ ${#words[@]} -eq 0 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_leat_words | sed -n 's/^  leat \([a-z]*\).*/\1/p') --config --help --version" -- "$word")
        return
    fi
    if [[ $word == -* ]]; then
        [[ ${words[0]} == token ]] || words=("${words[0]}")
        mapfile -t COMPREPLY < <(compgen -W "$(_leat_words "${words[@]}" | grep -o -e '--[a-z-]*' | sort -u) --config --help" -- "$word")
        return
    fi
    case ${words[0]} in
    token) [[ ${#words[@]} -gt 1 ]] || mapfile -t COMPREPLY < <(compgen -W 'add list revoke' -- "$word") ;;
    submit | pause | resume)
        mapfile -t COMPREPLY < <(compgen -W "$(_leat_ask types | awk 'NR > 1 && $2 ~ /^(ready|paused|broken)$/ { print $1 }')" -- "$word")
        ;;
    watch | wait | show | log | cancel | retry)
        mapfile -t COMPREPLY < <(compgen -W "$(COLUMNS=200 _leat_ask list | awk 'NR > 1 { print $1 }')" -- "$word")
        ;;
    backup | restore | init) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    esac
}

complete -o default -F _leat leat
