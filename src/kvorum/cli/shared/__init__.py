"""What the client programs (etcdctl, etcdutl) have in common: commands, flags, output, exit codes.

cobra, pflag      commands and flags with the habits and the error texts of Go's libraries
program           from the command line to an exit code
grid, gojson, goquote, gonum, log   texts as stock prints them
stdio, exits      the standard streams as bytes; how a command ends
"""
