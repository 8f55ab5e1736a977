# Completion in bash for pysaslauthd, testpysaslauthd and pysaslauthctl. What there is to complete, each says itself.

_pysaslauthd_words() { # PROGRAM: its options, and what else may begin a word
    "$1" -h 2>&1 | grep -oE -- '(^|[[ ,])--?[A-Za-z][a-z-]*' | tr -d '[ ,'
    [ "${1##*/}" != pysaslauthctl ] || "$1" -h 2>&1 | sed -n 's/^    \([a-z-]*\) .*/\1/p'
}

_pysaslauthd() {
    local program=$1 current=$2 previous=$3
    # bash takes the "=" of "-o NAME=VALUE" for the end of a word.
    COMPREPLY=()
    case ${program##*/}:$previous in
    pysaslauthd:-a | pysaslauthd:--mechanism)
        mapfile -t COMPREPLY < <(compgen -W "$("$program" -v 2>&1 | sed -n 's/^authentication mechanisms: //p')" -- "$current")
        ;;
    pysaslauthd:-o | pysaslauthd:--option)
        mapfile -t COMPREPLY < <(compgen -S = -W "$("$program" -h 2>&1 | sed -n '/^settings:/,/^$/s/^  \([a-z_]*\) .*/\1/p')" -- "$current")
        compopt -o nospace 2>/dev/null
        ;;
    *:-m | *:--run-path)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        ;;
    pysaslauthd:-u | pysaslauthd:--user | testpysaslauthd:-u)
        mapfile -t COMPREPLY < <(compgen -u -- "$current")
        ;;
    pysaslauthd:-O | *:--config | *:--defaults | *:--import | *:--socket | testpysaslauthd:-f)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W "$(_pysaslauthd_words "$program")" -- "$current")
        ;;
    esac
}

complete -F _pysaslauthd pysaslauthd testpysaslauthd pysaslauthctl
