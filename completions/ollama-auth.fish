# Fish completion for ollama-auth. Save it as ollama-auth.fish in ~/.config/fish/completions.
function __ollama_auth_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    # The program as it was typed, so that one outside of PATH completes too.
    set -l program ollama-auth
    string match --quiet '*/*' -- $words[1]; and set program (string replace --regex '^~/' "$HOME/" -- $words[1])
    set -l answer (command $program __complete words $words "$current" 2>/dev/null </dev/null)
    switch "$answer[1]"
        case files
            __fish_complete_path (string replace --regex '^--[^=]*=' '' -- $current)
        case words
            string join \n -- $answer[2..]
    end
end
complete --command ollama-auth --no-files --keep-order --arguments '(__ollama_auth_complete)'
