# Bash completion for ollama-auth. Load it with: source <(ollama-auth completions bash)
_ollama_auth() {
    # The program as it was typed, so that one outside of PATH completes too.
    local program=ollama-auth kind value
    [[ $1 == */* ]] && program=${1/#\~\//$HOME/}
    COMPREPLY=()
    {
        IFS= read -r kind || return
        if [[ $kind == files ]]; then
            compopt -o default -o filenames 2>/dev/null
            return
        fi
        while IFS= read -r value; do
            COMPREPLY+=("${value%%$'\t'*}")
        done
    } < <("$program" __complete line "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null </dev/null)
}
complete -o nosort -F _ollama_auth ollama-auth 2>/dev/null || complete -F _ollama_auth ollama-auth
