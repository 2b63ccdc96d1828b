# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ollama_auth_global_optspecs
    string join \n host= profile= credentials= store= json q/quiet v/verbose color= no-input allow-insecure-http ca-cert= passphrase-file= h/help V/version
end

function __fish_ollama_auth_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ollama_auth_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ollama_auth_using_subcommand
    set -l cmd (__fish_ollama_auth_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "signin" -d 'Sign this device in to a host, through the browser or with an API key'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "signout" -d 'Disconnect this device from a host and remove its credential here'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "status" -d 'Show who you are, where, with what credential, and what `run` would use'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "whoami" -d 'Show who you are, where, with what credential, and what `run` would use'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "run" -d 'Run a model: once, or in a conversation on the terminal'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "pull" -d 'Let the server fetch a model from a registry'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "push" -d 'Let the server publish a model'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "list" -d 'List the models of the server'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "ls" -d 'List the models of the server'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "show" -d 'Describe a model'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "ps" -d 'List the models that the server has loaded'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "stop" -d 'Take a model out of the server\'s memory'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "rm" -d 'Remove models from the server'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "cp" -d 'Copy a model to another name'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "keys" -d 'Make, list, check, rotate and revoke API keys'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "device" -d 'Manage this device\'s keys'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "profile" -d 'Manage profiles: one for each host you sign in to'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "token" -d 'Print the credential for another program: an API key, or one signed header'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "exec" -d 'Run a program with OLLAMA_API_KEY and OLLAMA_HOST in its environment only'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "api" -d 'Make one authenticated request and print the answer as it comes'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "usage" -d 'Show what ollama.com says is used and left'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "store" -d 'See and change where secrets rest'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "proxy" -d 'Serve a port on this machine that adds the credential, for programs that cannot'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "doctor" -d 'Say what is wrong with this installation and how to mend it'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "gateway" -d 'Put authentication in front of an Ollama server'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "quickstart" -d 'Show the whole flow on this machine, with nothing to install'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "completions" -d 'Print the completion script for a shell'
complete -c ollama-auth -n "__fish_ollama_auth_needs_command" -f -a "man" -d 'Print the manual page, or write all of them into a folder'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l device-name -d 'The name under which the host shows this device [default: this machine\'s name]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l timeout -d 'How long to wait for the approval' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l no-browser -d 'Do not open a browser'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l no-wait -d 'Print the link and end with exit code 4; run signin again once it is approved'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l qr -d 'Show the link as a QR code, for a phone'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l with-api-key -d 'Store an API key, read from standard input or a hidden prompt, instead of using the browser'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l server -d 'Sign in the Ollama server\'s own key instead of this device'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signin" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l all -d 'Sign out of every profile'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l server -d 'Sign out the Ollama server\'s own key instead of this device'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l keep-key -d 'Disconnect the key at the host, but keep it here'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l force -d 'Remove the key here even if the host cannot be reached, or a rotation is under way'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -s y -l yes -d 'Do not ask for confirmation'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand signout" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l offline -d 'Do not ask the host whether the credential is accepted'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand status" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l offline -d 'Do not ask the host whether the credential is accepted'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand whoami" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l think -d 'Think first: true, false, low, medium, high or max [default: true for models that can]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l format -d 'The form of the answer: json, a JSON schema, or a file that holds one' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l keepalive -d 'How long the model stays loaded, such as 5m; negative: for ever' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l truncate -d 'Embedding models: cut input that is too long (=false: refuse it)' -r -f -a "true\t''
false\t''"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l dimensions -d 'Embedding models: the length of the vector' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l system -d 'Replace the model\'s system message' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l option -d 'Set a model parameter, such as temperature=0.5; may be repeated' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l output -d 'The form of our output: the text, or one JSON object at the end' -r -f -a "text\t'The model\'s text as it comes'
json\t'One JSON object at the end'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l timeout -d 'Give up when nothing comes for this long [default: never]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l hidethinking -d 'Do not show the thinking'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l nowordwrap -d 'Do not wrap words at the edge of the terminal'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l raw -d 'Write the model\'s text to the terminal as it is, escape sequences and all'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l insecure -d 'Let the server pull a missing model from a registry without TLS'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand run" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l timeout -d 'Give up when nothing comes for this long [default: never]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l insecure -d 'Let the server use a registry without TLS, or with a certificate that it cannot check'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand pull" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l timeout -d 'Give up when nothing comes for this long [default: never]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l insecure -d 'Let the server use a registry without TLS, or with a certificate that it cannot check'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand push" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand list" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ls" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l license -d 'Print its license'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l modelfile -d 'Print its Modelfile'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l parameters -d 'Print its parameters'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l system -d 'Print its system message'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l template -d 'Print its template'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand show" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand ps" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand stop" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand rm" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand cp" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -f -a "create" -d 'Make an API key and print it, this once'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -f -a "list" -d 'List the account\'s API keys, and what is wrong with each'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -f -a "revoke" -d 'Revoke an API key'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -f -a "rotate" -d 'Replace an API key by a new one with the same rights; made for cron'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -f -a "audit" -d 'Find keys that are too old, unused, too broad, exposed or kept twice; exit 8 if there are any'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -f -a "import" -d 'Keep an API key that was made elsewhere, read from standard input or a hidden prompt'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and not __fish_seen_subcommand_from create list revoke rotate audit import forget" -f -a "forget" -d 'Remove this profile\'s copy of its API key; the key stays valid at the host'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l scope -d 'What it may do (can be repeated): inference, models:read, models:write, usage:read, keys [default: inference and models:read]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l model -d 'Only models whose name fits, with * for any characters (can be repeated) [default: all]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l expires -d 'How long it lives: 90d, 12h, never' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l env -d 'Where it is used, such as ci' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l no-replace -d 'Do not let the key ask for a replacement of itself'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l save -d 'Keep it in this profile\'s store instead of printing it'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l open -d 'Open the page where keys are made, if the host makes none for programs (ollama.com)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from create" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l filter -d 'Only keys of which this holds (can be repeated; all must hold): name, id, env, scope, model, state or problem, with * for any characters, such as env=ci or problem=stale' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l sort -d 'In which order [default: attention; with --json the host\'s]' -r -f -a "attention\t'What needs attention first'
name\t'By name'
age\t'The oldest first'
last-used\t'What was used longest ago first'
expires\t'What ends soonest first'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l max-age -d 'Call a key stale that is older than this' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l revoked -d 'Include keys that were revoked'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l key-stdin -d 'Read the key itself from standard input'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -s y -l yes -d 'Do not ask'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from revoke" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l max-age -d 'Only if it is that old, or ends soon: 90d, 12h' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l grace -d 'How long the old key lives on: 24h, 30m, 0s to revoke it at once' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l deploy -d 'A shell command that takes the new key to where it is used; it gets it on standard input and in OLLAMA_API_KEY' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l deploy-timeout -d 'How long the command may take' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l env-file -d 'A file of NAME=value lines to put the new key into' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l env-var -d 'The variable in that file' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l all -d 'Every API key that a profile here keeps'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l dry-run -d 'Say what would be done'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l wait -d 'Wait for another rotation that is at work, instead of leaving the work to it'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l key-stdin -d 'Read the new key from standard input, where only a person can make one (ollama.com)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from rotate" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l max-age -d 'Call a key stale that is older than this' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l fail-on -d 'The findings that end it with exit code 8 (can be repeated)' -r -f -a "stale\t''
unused\t''
expired\t''
exposed\t''
duplicate\t''
expiring\t''
no-expiry\t''
over-broad\t''
shadowed\t''
unlisted\t''
all\t''
none\t''"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l format -d 'How to write the findings; --json is the same as json' -r -f -a "text\t'For people'
json\t'For scripts'
sarif\t'For code scanning services: SARIF 2.1.0'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l timeout -d 'How long each host may take' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from audit" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l name -d 'What to call it here [default: as the host does, if it says]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l env -d 'Where it is used, such as ci' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l no-verify -d 'Do not ask the host whether it accepts the key'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l replace -d 'Let it take the place of another key that is kept here'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from import" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -s y -l yes -d 'Do not ask'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l force -d 'Even if a rotation of the key is under way'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand keys; and __fish_seen_subcommand_from forget" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -f -a "list" -d 'List the device keys kept here, and stock Ollama\'s'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -f -a "show" -d 'Show this device\'s public key, its fingerprint and the link that connects it'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -f -a "import" -d 'Take over a private key, such as stock Ollama\'s'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -f -a "export" -d 'Write this device\'s private key to a file that ssh-keygen and stock Ollama read'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -f -a "rotate" -d 'Replace this device\'s key by a new one, and disconnect the old one'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and not __fish_seen_subcommand_from list show import export rotate revoke" -f -a "revoke" -d 'Disconnect a device from the host'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l device-name -d 'The name under which the host shows this device' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l key-passphrase-file -d 'Read the key file\'s own passphrase from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l replace -d 'Replace a device key that is already here'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from import" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l key-passphrase-file -d 'Protect the file with a passphrase read from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l no-passphrase -d 'Write it without a passphrase, as stock Ollama needs it'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l replace -d 'Overwrite the file if it exists'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from export" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l timeout -d 'How long to wait for the approval' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l no-browser -d 'Do not open a browser'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l qr -d 'Show the link as a QR code, for a phone'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -s y -l yes -d 'Do not ask for confirmation'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from rotate" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -s y -l yes -d 'Do not ask for confirmation'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand device; and __fish_seen_subcommand_from revoke" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -f -a "list" -d 'List profiles; the current one is marked'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -f -a "use" -d 'Make a profile the current one'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -f -a "show" -d 'Show a profile [default: the current one]'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and not __fish_seen_subcommand_from list use show remove" -f -a "remove" -d 'Remove a profile and its secrets from this machine; nothing changes at the host'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from use" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -s y -l yes -d 'Do not ask for confirmation'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l force -d 'Even if a rotation of its key is under way'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand profile; and __fish_seen_subcommand_from remove" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l header -d 'Print the whole header line, for METHOD PATH'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand token" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand exec" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -s X -l method -d 'The method [default: GET, or POST with a body]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -s d -l data -d 'The body: the text itself, @FILE for a file, - for standard input' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -s H -l header -d 'A header to send (can be repeated); a body is JSON unless Content-Type says otherwise' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l timeout -d 'Give up when nothing comes for this long [default: never]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -s i -l include -d 'Print the status line and the headers of the answer first'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand api" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l range -d 'The time to look back on' -r -f -a "24h\t'One day'
7d\t'One week'
30d\t'One month'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l team -d 'The usage of the whole team'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand usage" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -f -a "show" -d 'Show where each secret rests and whether it can be reached'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and not __fish_seen_subcommand_from show move" -f -a "move" -d 'Move a profile\'s secrets to another store'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l to -d 'Where to' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l all -d 'Move every profile\'s secrets'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand store; and __fish_seen_subcommand_from move" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l listen -d 'Where to listen, on this machine; port 0 lets the system choose' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l token-file -d 'The same, read from a file that only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l allow-origin -d 'Let pages of this origin use it, such as http://localhost:3000 (can be repeated)' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l token-stdin -d 'Want a token from programs, as API key; it is read from standard input'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand proxy" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l offline -d 'Look at this machine only; ask no host'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -f -a "serve" -d 'Put authentication in front of an Ollama server'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -f -a "init" -d 'Write a configuration file with every setting explained'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -f -a "user" -d 'Manage the people who may sign in'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -f -a "approve" -d 'Approve a device without a browser'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and not __fish_seen_subcommand_from serve init user approve audit" -f -a "audit" -d 'Show what happened: approvals, keys, accounts, refused replays'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l listen -d 'Where to listen [default: 127.0.0.1:11435]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l upstream -d 'The upstream Ollama server [default: http://127.0.0.1:11434]' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l database -d 'The database: sqlite:PATH, or a path' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l config -d 'The configuration file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l tls-cert -d 'Serve https with this certificate chain (PEM)' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l tls-key -d 'The private key of the certificate (PEM)' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l public-url -d 'What callers call the gateway, such as https://gpu.example.com' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l set -d 'Another setting, as in the configuration file (can be repeated)' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l behind-tls-proxy -d 'A proxy in front ends TLS'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from serve" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l force -d 'Replace the file if it exists'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from init" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -f -a "add" -d 'Add a person; the password is asked for, or read from standard input'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -f -a "list" -d 'List the people'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -f -a "disable" -d 'Refuse a person, with all devices and keys, at once'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -f -a "enable" -d 'Let a disabled person in again'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -f -a "passwd" -d 'Set a password; it is asked for, or read from standard input'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from user" -f -a "role" -d 'Change what a person may do'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l user -d 'The person whose device it is' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l database -d 'The database: sqlite:PATH, or a path' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l config -d 'The configuration file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from approve" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l limit -d 'How many events' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l database -d 'The database: sqlite:PATH, or a path' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l config -d 'The configuration file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand gateway; and __fish_seen_subcommand_from audit" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -s y -l yes -d 'Approve the device by itself, without a browser'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand quickstart" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand completions" -s V -l version -d 'Print version'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -l host -d 'The host to talk to, as in OLLAMA_HOST' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -l profile -d 'The profile to use' -r
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -l credentials -d 'Use the host and key in this JSON file, which only you can read' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -l store -d 'Where secrets rest: the system\'s keyring, an encrypted file, or (never by default) plaintext' -r -f -a "keyring\t'The operating system\'s keyring'
file\t'A file encrypted with a passphrase'
plaintext\t'A readable file, only you can read it'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -l ca-cert -d 'Trust the certificate authorities in this PEM file too' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -l passphrase-file -d 'Read the passphrase of the encrypted file from this file' -r -F
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -l json -d 'Write the result, and errors, as JSON'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -s q -l quiet -d 'Say only what goes wrong'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -s v -l verbose -d 'Say more (`run`: show timings, `show`: show all; twice: show requests)'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -l no-input -d 'Never ask anything'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -l allow-insecure-http -d 'Send credentials over plain http, to a host that is not this machine'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ollama-auth -n "__fish_ollama_auth_using_subcommand man" -s V -l version -d 'Print version'
