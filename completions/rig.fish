# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rig_global_optspecs
    string join \n D/data-dir= N/node= token-file= tls-ca= timeout= json q/quiet v/verbose color= no-input h/help V/version
end

function __fish_rig_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rig_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rig_using_subcommand
    set -l cmd (__fish_rig_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rig -n "__fish_rig_needs_command" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_needs_command" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_needs_command" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_needs_command" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_needs_command" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_needs_command" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_needs_command" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_needs_command" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_needs_command" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_needs_command" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_needs_command" -s V -l version -d 'Print version'
complete -c rig -n "__fish_rig_needs_command" -f -a "init" -d 'Create a data directory'
complete -c rig -n "__fish_rig_needs_command" -f -a "serve" -d 'Run a node in the foreground'
complete -c rig -n "__fish_rig_needs_command" -f -a "apply" -d 'Append one operation, or a batch'
complete -c rig -n "__fish_rig_needs_command" -f -a "get" -d 'Read a document'
complete -c rig -n "__fish_rig_needs_command" -f -a "ls" -d 'List documents'
complete -c rig -n "__fish_rig_needs_command" -f -a "schema" -d 'Set or show what is demanded of the documents of a type'
complete -c rig -n "__fish_rig_needs_command" -f -a "log" -d 'Read, audit, repair and compact the log'
complete -c rig -n "__fish_rig_needs_command" -f -a "status" -d 'Show how nodes are'
complete -c rig -n "__fish_rig_needs_command" -f -a "wait" -d 'Wait until a node is as it should be'
complete -c rig -n "__fish_rig_needs_command" -f -a "events" -d 'Show what happened on a node and in its cluster'
complete -c rig -n "__fish_rig_needs_command" -f -a "doctor" -d 'Look for what could keep a node from its work'
complete -c rig -n "__fish_rig_needs_command" -f -a "node" -d 'Start, stop and look after nodes of this machine'
complete -c rig -n "__fish_rig_needs_command" -f -a "service" -d 'Check a service of your own'
complete -c rig -n "__fish_rig_needs_command" -f -a "promote" -d 'Make a node the primary'
complete -c rig -n "__fish_rig_needs_command" -f -a "demote" -d 'Make the primary a replica'
complete -c rig -n "__fish_rig_needs_command" -f -a "resolve" -d 'End a split brain: name the node whose log goes on'
complete -c rig -n "__fish_rig_needs_command" -f -a "member" -d 'List and remove members of the cluster'
complete -c rig -n "__fish_rig_needs_command" -f -a "coordinator" -d 'See and mend the record that the coordinator keeps'
complete -c rig -n "__fish_rig_needs_command" -f -a "config" -d 'Show and change what the log says about replication'
complete -c rig -n "__fish_rig_needs_command" -f -a "rescue" -d 'List, show and replay records that were set aside'
complete -c rig -n "__fish_rig_needs_command" -f -a "snapshot" -d 'Take, list, verify and restore snapshots'
complete -c rig -n "__fish_rig_needs_command" -f -a "backup" -d 'Write everything that is committed into one archive'
complete -c rig -n "__fish_rig_needs_command" -f -a "restore" -d 'Make a data directory of a backup'
complete -c rig -n "__fish_rig_needs_command" -f -a "demo" -d 'Show what Rig does, on two throw-away nodes'
complete -c rig -n "__fish_rig_needs_command" -f -a "bench" -d 'Measure how fast a node is'
complete -c rig -n "__fish_rig_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c rig -n "__fish_rig_needs_command" -f -a "man" -d 'Print a manual page, or write all of them'
complete -c rig -n "__fish_rig_needs_command" -f -a "help" -d 'Help on a command, or on exit-codes, environment, replication, alerts, systemd or haproxy'
complete -c rig -n "__fish_rig_using_subcommand init" -l name -d 'Name of the node [default: the last component of DIR]' -r
complete -c rig -n "__fish_rig_using_subcommand init" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand init" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand init" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand init" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand init" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand init" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand init" -l exist-ok -d 'Succeed when the directory is initialised already'
complete -c rig -n "__fish_rig_using_subcommand init" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand init" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand init" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand init" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand serve" -l role -d 'What the node is asked to be [default: as before, at first primary]' -r -f -a "primary\t''
replica\t''"
complete -c rig -n "__fish_rig_using_subcommand serve" -l listen -d 'Address to listen on; port 0 picks a free one [default: 127.0.0.1:7440]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l advertise -d 'How others reach this node, when that is not the listen address' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l peer -d 'Another node of the cluster; may be given again' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l replication -d 'What an answer waits for: sync, semi-sync or async [default: as in the log, at first semi-sync]' -r -f -a "sync\t''
semi-sync\t''
async\t''"
complete -c rig -n "__fish_rig_using_subcommand serve" -l min-replicas -d 'In sync mode, replicas that must hold a write [default: as in the log, at first 1]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l sync-timeout -d 'How long a silent replica is waited for [default: as in the log, at first 2s]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l ack -d 'What an acknowledgement of a replica means: durable, received or applied [default: as in the log, at first durable]' -r -f -a "durable\t''
received\t''
applied\t''"
complete -c rig -n "__fish_rig_using_subcommand serve" -l request-timeout -d 'How long a request may take that does not say so itself, at most 60s [default: 5s]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l service -d 'The service that operations are for: documents, http://HOST:PORT/PATH, or exec:COMMAND [default: documents]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l proxy -d 'Pass GET and HEAD of paths that are not Rig\'s own on to the service, or to where it serves its reads' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l tokens -d 'File with the tokens that clients must show' -r -F
complete -c rig -n "__fish_rig_using_subcommand serve" -l tls-cert -d 'Certificate to show, with those between it and its CA: the node speaks TLS' -r -F
complete -c rig -n "__fish_rig_using_subcommand serve" -l tls-key -d 'Key of the certificate' -r -F
complete -c rig -n "__fish_rig_using_subcommand serve" -l tls-ca -d 'Certificate of the CA that the other nodes must be of' -r -F
complete -c rig -n "__fish_rig_using_subcommand serve" -l memory-max -d 'Memory for documents and indexes, above which growing operations are refused [default: two thirds of the machine\'s]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l scrub-interval -d 'How often the whole log is read again in the background and verified, as `rig log verify` does it [default: 12h]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l snapshot-interval -d 'Write a snapshot when the newest is so old and something is new, also when few records came; or off [default: 1h]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l compact-keep -d 'Compact the log behind each new snapshot, and keep so many of the newest records [default: never; 10000 with --compact-age]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l compact-age -d 'Compact the log behind each new snapshot, and keep the records that are younger, beside the newest [default: never]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l on-event -d 'A command for the shell that is run for each event, one after the other; it reads the event\'s line and finds RIG_EVENT, RIG_EVENT_SEQ, RIG_EVENT_TIME and RIG_NODE' -r -f -a "(__fish_complete_command)"
complete -c rig -n "__fish_rig_using_subcommand serve" -l coordinator -d 'Where the nodes of the cluster keep who leads, so that a replica takes over by itself: etcd://[USER@]HOST:PORT[,HOST:PORT]/PREFIX, or etcds:// by TLS; none where the node had one and is to go on without' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l coordinator-lease -d 'How long a primary that says nothing to the coordinator is believed to be there, from 1s to 60s [default: 3s]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l coordinator-password -d 'File with the password of the user that --coordinator names' -r -F
complete -c rig -n "__fish_rig_using_subcommand serve" -l coordinator-ca -d 'Certificate of the CA that the coordinator\'s certificates are of' -r -F
complete -c rig -n "__fish_rig_using_subcommand serve" -l log-format -d 'How the node\'s messages on stderr look [default: text]' -r -f -a "text\t''
json\t''"
complete -c rig -n "__fish_rig_using_subcommand serve" -l drain -d 'How long requests under way may take at the end [default: 10s]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand serve" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand serve" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand serve" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand serve" -l insecure-plaintext -d 'Listen beyond loopback although tokens and data travel in the clear'
complete -c rig -n "__fish_rig_using_subcommand serve" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand serve" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand serve" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand serve" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand apply" -l data -d 'The JSON itself' -r
complete -c rig -n "__fish_rig_using_subcommand apply" -l key -d 'Key of the operation [default: a new one]' -r
complete -c rig -n "__fish_rig_using_subcommand apply" -l expect-version -d 'The version that this operation must get' -r
complete -c rig -n "__fish_rig_using_subcommand apply" -l batch -d 'File with one operation per line, `-` for standard input' -r -F
complete -c rig -n "__fish_rig_using_subcommand apply" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand apply" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand apply" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand apply" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand apply" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand apply" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand apply" -l dry-run -d 'Ask whether it would be accepted; nothing is logged'
complete -c rig -n "__fish_rig_using_subcommand apply" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand apply" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand apply" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand apply" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand get" -l min-version -d 'Wait until the node has applied this version' -r
complete -c rig -n "__fish_rig_using_subcommand get" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand get" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand get" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand get" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand get" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand get" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand get" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand get" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand get" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand get" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand ls" -l where -d 'Only those whose field has this value; may be given again' -r
complete -c rig -n "__fish_rig_using_subcommand ls" -l limit -d 'At most so many, up to 1000' -r
complete -c rig -n "__fish_rig_using_subcommand ls" -l after -d 'Only those behind this id' -r
complete -c rig -n "__fish_rig_using_subcommand ls" -l min-version -d 'Wait until the node has applied this version' -r
complete -c rig -n "__fish_rig_using_subcommand ls" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand ls" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand ls" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand ls" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand ls" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand ls" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand ls" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand ls" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand ls" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand ls" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -f -a "set" -d 'Set the schema of a type'
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -f -a "get" -d 'Show the schema of a type'
complete -c rig -n "__fish_rig_using_subcommand schema; and not __fish_seen_subcommand_from set get ls" -f -a "ls" -d 'List the types that have a schema'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l unique -d 'A field whose values no two documents share; may be given again' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l required -d 'A field that must be there and not null; may be given again' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l references -d 'A field with the id of another document, and what its deletion does: cascade, restrict or set_null' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l json-schema -d 'File with a JSON Schema for the whole document' -r -F
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l key -d 'Key of the operation [default: a new one]' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand schema; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -f -a "dump" -d 'Print records'
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -f -a "verify" -d 'Audit the log'
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -f -a "repair" -d 'Cut the log at a version'
complete -c rig -n "__fish_rig_using_subcommand log; and not __fish_seen_subcommand_from dump verify repair compact" -f -a "compact" -d 'Drop records that a snapshot has'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l from -d 'First version' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l to -d 'Last version' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -s n -l limit -d 'At most so many records' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l since -d 'Not before this time, or so long ago, as 10m' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l until -d 'Not after this time, or so long ago' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l method -d 'Only these methods; * and ? stand for any characters and for one' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l type -d 'Only operations on documents of this type' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l id -d 'Only operations on the document with this id' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l with-data -d 'How much of the data [default: short; with --json full]' -r -f -a "full\t''
short\t''
none\t''"
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -s r -l reverse -d 'The newest first'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -s f -l follow -d 'Go on with new records as they come'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from dump" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l from -d 'First version' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l to -d 'Last version' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l against -d 'Compare with the log of another directory or node, and name the first version that differs' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l anchor -d 'File with versions and hashes that the log must have' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l write-anchor -d 'Append the last version and its hash to this file, if the log is whole' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l deep -d 'Replay the log into a scratch service, and compare its state and the keys with every snapshot'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l fail-fast -d 'Stop at the first error'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -l truncate-from -d 'The first version that goes' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -l confirm -d 'The name of the node, to say that this is meant' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -l dry-run -d 'Say what would be done'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from repair" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -l keep -d 'How many of the newest records stay at least' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -l older-than -d 'Keep younger records as well, by the times in the log [default: whatever their age]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -l hold -d 'Bytes of log that stay for a member which is not in sync [default: 1GiB]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -l dry-run -d 'Say what would go'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand log; and __fish_seen_subcommand_from compact" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand status" -l watch -d 'Again and again, every 2s or as often as given' -r
complete -c rig -n "__fish_rig_using_subcommand status" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand status" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand status" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand status" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand status" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand status" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand status" -l all -d 'All local nodes, whatever -D and -N say'
complete -c rig -n "__fish_rig_using_subcommand status" -l check -d 'End with 0 only when all is well: 12 degraded, 9 damaged or split, 4 not running'
complete -c rig -n "__fish_rig_using_subcommand status" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand status" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand status" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand status" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand wait" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand wait" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand wait" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand wait" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand wait" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand wait" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand wait" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand wait" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand wait" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand wait" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand events" -l after -d 'Only those with a higher number' -r
complete -c rig -n "__fish_rig_using_subcommand events" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand events" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand events" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand events" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand events" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand events" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand events" -s f -l follow -d 'Go on when the node says more'
complete -c rig -n "__fish_rig_using_subcommand events" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand events" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand events" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand events" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand events" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand doctor" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand doctor" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand doctor" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand doctor" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand doctor" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand doctor" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand doctor" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand doctor" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand doctor" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand doctor" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -f -a "ls" -d 'List the nodes of this machine'
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -f -a "start" -d 'Start a node in the background'
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -f -a "stop" -d 'Stop a node'
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -f -a "logs" -d 'Show what a node in the background said'
complete -c rig -n "__fish_rig_using_subcommand node; and not __fish_seen_subcommand_from ls start stop logs forget" -f -a "forget" -d 'Strike a node out of the registry'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l role -d 'What the node is asked to be [default: as before, at first primary]' -r -f -a "primary\t''
replica\t''"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l listen -d 'Address to listen on; port 0 picks a free one [default: 127.0.0.1:7440]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l advertise -d 'How others reach this node, when that is not the listen address' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l peer -d 'Another node of the cluster; may be given again' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l replication -d 'What an answer waits for: sync, semi-sync or async [default: as in the log, at first semi-sync]' -r -f -a "sync\t''
semi-sync\t''
async\t''"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l min-replicas -d 'In sync mode, replicas that must hold a write [default: as in the log, at first 1]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l sync-timeout -d 'How long a silent replica is waited for [default: as in the log, at first 2s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l ack -d 'What an acknowledgement of a replica means: durable, received or applied [default: as in the log, at first durable]' -r -f -a "durable\t''
received\t''
applied\t''"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l request-timeout -d 'How long a request may take that does not say so itself, at most 60s [default: 5s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l service -d 'The service that operations are for: documents, http://HOST:PORT/PATH, or exec:COMMAND [default: documents]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l proxy -d 'Pass GET and HEAD of paths that are not Rig\'s own on to the service, or to where it serves its reads' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l tokens -d 'File with the tokens that clients must show' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l tls-cert -d 'Certificate to show, with those between it and its CA: the node speaks TLS' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l tls-key -d 'Key of the certificate' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l tls-ca -d 'Certificate of the CA that the other nodes must be of' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l memory-max -d 'Memory for documents and indexes, above which growing operations are refused [default: two thirds of the machine\'s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l scrub-interval -d 'How often the whole log is read again in the background and verified, as `rig log verify` does it [default: 12h]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l snapshot-interval -d 'Write a snapshot when the newest is so old and something is new, also when few records came; or off [default: 1h]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l compact-keep -d 'Compact the log behind each new snapshot, and keep so many of the newest records [default: never; 10000 with --compact-age]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l compact-age -d 'Compact the log behind each new snapshot, and keep the records that are younger, beside the newest [default: never]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l on-event -d 'A command for the shell that is run for each event, one after the other; it reads the event\'s line and finds RIG_EVENT, RIG_EVENT_SEQ, RIG_EVENT_TIME and RIG_NODE' -r -f -a "(__fish_complete_command)"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l coordinator -d 'Where the nodes of the cluster keep who leads, so that a replica takes over by itself: etcd://[USER@]HOST:PORT[,HOST:PORT]/PREFIX, or etcds:// by TLS; none where the node had one and is to go on without' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l coordinator-lease -d 'How long a primary that says nothing to the coordinator is believed to be there, from 1s to 60s [default: 3s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l coordinator-password -d 'File with the password of the user that --coordinator names' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l coordinator-ca -d 'Certificate of the CA that the coordinator\'s certificates are of' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l log-format -d 'How the node\'s messages on stderr look [default: text]' -r -f -a "text\t''
json\t''"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l drain -d 'How long requests under way may take at the end [default: 10s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l insecure-plaintext -d 'Listen beyond loopback although tokens and data travel in the clear'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -l now -d 'Do not wait for requests under way'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -s n -l lines -d 'Only the last N lines' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Go on with what is said from now on, until the node ends'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand node; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand service; and not __fish_seen_subcommand_from check" -f -a "check" -d 'Check that a service keeps the rules of rig-service-protocol(7)'
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l start -d 'What starts an instance of an HTTP service' -r
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l ops -d 'File with operations: one {"method","data"} in a line, or a JSON array of them' -r -F
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l rule -d 'Only this rule; may be given again' -r
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l kills -d 'How often a service or a node is killed below two nodes, in turn' -r
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l replace-state -d 'Go on although the service holds something: it is saved first, and put back at the end'
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand service; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand promote" -l confirm -d 'The name of the node, to say that this is meant' -r
complete -c rig -n "__fish_rig_using_subcommand promote" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand promote" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand promote" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand promote" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand promote" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand promote" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand promote" -l accept-data-loss -d 'Go on although answered operations may be missing'
complete -c rig -n "__fish_rig_using_subcommand promote" -l dry-run -d 'Say whether it would be done, and change nothing'
complete -c rig -n "__fish_rig_using_subcommand promote" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand promote" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand promote" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand promote" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand promote" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand demote" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand demote" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand demote" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand demote" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand demote" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand demote" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand demote" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand demote" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand demote" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand demote" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand demote" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand resolve" -l winner -d 'Name or URL of the node whose log goes on' -r
complete -c rig -n "__fish_rig_using_subcommand resolve" -l confirm -d 'The name of the winner, to say that this is meant' -r
complete -c rig -n "__fish_rig_using_subcommand resolve" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand resolve" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand resolve" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand resolve" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand resolve" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand resolve" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand resolve" -l dry-run -d 'Say what would be done'
complete -c rig -n "__fish_rig_using_subcommand resolve" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand resolve" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand resolve" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand resolve" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand resolve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -f -a "ls" -d 'List the members'
complete -c rig -n "__fish_rig_using_subcommand member; and not __fish_seen_subcommand_from ls remove" -f -a "remove" -d 'Remove a member from the cluster'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -l confirm -d 'The name again, to say that this is meant' -r
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -l accept-data-loss -d 'Go on although the member cannot agree'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand member; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -f -a "show" -d 'Show the record, and whose leases hold'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and not __fish_seen_subcommand_from show repair" -f -a "repair" -d 'Let the primary write the record anew after it was lost'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -l confirm -d 'The name of the primary, to say that this is meant' -r
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -l dry-run -d 'Say what would be done, and do nothing'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -l accept-data-loss -d 'Go on although a member does not answer'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand coordinator; and __fish_seen_subcommand_from repair" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -f -a "show" -d 'Show every setting'
complete -c rig -n "__fish_rig_using_subcommand config; and not __fish_seen_subcommand_from show set" -f -a "set" -d 'Change mode, numbers or times'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -l origin -d 'Say where each value comes from'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand config; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -f -a "ls" -d 'List the rescue files of a node'
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -f -a "show" -d 'Show the records of a rescue file'
complete -c rig -n "__fish_rig_using_subcommand rescue; and not __fish_seen_subcommand_from ls show replay" -f -a "replay" -d 'Send the operations of a rescue file to the primary'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand rescue; and __fish_seen_subcommand_from replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -f -a "create" -d 'Take a snapshot now'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -f -a "ls" -d 'List the snapshots of a node'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -f -a "verify" -d 'Read snapshots back and check them'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and not __fish_seen_subcommand_from create ls verify restore" -f -a "restore" -d 'Make a data directory of a snapshot'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -l name -d 'Name of the node [default: the last component of DIR]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -l new-cluster -d 'Begin a cluster of its own'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand snapshot; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand backup" -s o -l output -d 'Where to write it; - is standard output' -r -F
complete -c rig -n "__fish_rig_using_subcommand backup" -l since -d 'Only what came after this version, or after this archive' -r
complete -c rig -n "__fish_rig_using_subcommand backup" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand backup" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand backup" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand backup" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand backup" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand backup" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand backup" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand backup" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand backup" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand backup" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand restore" -l apply -d 'An archive of what came after; again for what came after that' -r -F
complete -c rig -n "__fish_rig_using_subcommand restore" -l to-version -d 'The state of this version' -r
complete -c rig -n "__fish_rig_using_subcommand restore" -l to-time -d 'The state of this time, or of so long ago, as 10m' -r
complete -c rig -n "__fish_rig_using_subcommand restore" -l name -d 'Name of the node [default: the last component of DIR]' -r
complete -c rig -n "__fish_rig_using_subcommand restore" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand restore" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand restore" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand restore" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand restore" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand restore" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand restore" -l new-cluster -d 'Begin a cluster of its own'
complete -c rig -n "__fish_rig_using_subcommand restore" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand restore" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand restore" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand restore" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand demo" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand demo" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand demo" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand demo" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand demo" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand demo" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand demo" -l keep -d 'Leave the nodes\' directories there, and say where'
complete -c rig -n "__fish_rig_using_subcommand demo" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand demo" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand demo" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand demo" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand bench" -l clients -d 'Connections; several numbers are measured one after the other' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l duration -d 'How long to measure' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l ops -d 'Measure so many operations instead' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l warm-up -d 'Load before the measurement begins' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l size -d 'Bytes of a document' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l batch -d 'Operations in one request' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l pipeline -d 'Requests under way on one connection' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l rate -d 'Operations in a second, due at fixed times, on all connections together' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l reads -d 'Of a hundred requests, those that read a document' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l nodes -d 'Throw-away nodes: 2 for a primary and its replica, 1 for a node alone [default: 2]' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l dir -d 'Where the throw-away nodes have their data [default: the system\'s place for temporary files, on a disk]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand bench" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand bench" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand bench" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand bench" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand bench" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand bench" -l unique -d 'Let the node check that every document\'s e-mail is unique'
complete -c rig -n "__fish_rig_using_subcommand bench" -l no-keys -d 'Send operations without idempotency keys'
complete -c rig -n "__fish_rig_using_subcommand bench" -l disk -d 'Measure a bare loop of append and fdatasync beside it'
complete -c rig -n "__fish_rig_using_subcommand bench" -l chart -d 'Draw latency over time, as is done on a terminal'
complete -c rig -n "__fish_rig_using_subcommand bench" -s y -l yes -d 'Measure a node that runs, and leave the documents in it'
complete -c rig -n "__fish_rig_using_subcommand bench" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand bench" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand bench" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand bench" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand completions" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand completions" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand completions" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand completions" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand completions" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand completions" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand completions" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand completions" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand completions" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand completions" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand man" -l out -d 'Write the pages of all commands into this directory' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand man" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand man" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand man" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand man" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand man" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand man" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand man" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand man" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand man" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand man" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rig -n "__fish_rig_using_subcommand help" -s D -l data-dir -d 'Data directory [env: RIG_DATA_DIR] [default: the user\'s data directory + rig/default]' -r -f -a "(__fish_complete_directories)"
complete -c rig -n "__fish_rig_using_subcommand help" -s N -l node -d 'Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]' -r
complete -c rig -n "__fish_rig_using_subcommand help" -l token-file -d 'File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]' -r -F
complete -c rig -n "__fish_rig_using_subcommand help" -l tls-ca -d 'Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]' -r -F
complete -c rig -n "__fish_rig_using_subcommand help" -l timeout -d 'How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]' -r
complete -c rig -n "__fish_rig_using_subcommand help" -l color -d 'When to use colours [default: auto]' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise'
always\t'Even into a pipe'
never\t'Never'"
complete -c rig -n "__fish_rig_using_subcommand help" -l json -d 'Print JSON, one object per line'
complete -c rig -n "__fish_rig_using_subcommand help" -s q -l quiet -d 'Print only what is essential'
complete -c rig -n "__fish_rig_using_subcommand help" -s v -l verbose -d 'Print the equivalent curl line of every request on stderr'
complete -c rig -n "__fish_rig_using_subcommand help" -l no-input -d 'Never ask, even on a terminal'
complete -c rig -n "__fish_rig_using_subcommand help" -s h -l help -d 'Print help (see more with \'--help\')'
