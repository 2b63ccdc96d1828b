#compdef ollama-auth
# Zsh completion for ollama-auth. Save it as _ollama-auth in a folder of $fpath.
_ollama-auth() {
    # The program as it was typed, so that one outside of PATH completes too.
    local program=ollama-auth kind line
    [[ $words[1] == */* ]] && program=${~words[1]}
    local -a answer candidates
    answer=("${(@f)$("$program" __complete words "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)}")
    kind=$answer[1]
    if [[ $kind == files ]]; then
        compset -P '--*='
        _files
        return
    fi
    for line in "${(@)answer[2,-1]}"; do
        candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    (( $#candidates )) && _describe -V ollama-auth candidates
}
# The file is run as a function by zsh's own loading, and read as a script by `source`.
if [[ $funcstack[1] == _ollama-auth ]]; then
    _ollama-auth "$@"
else
    compdef _ollama-auth ollama-auth
fi
