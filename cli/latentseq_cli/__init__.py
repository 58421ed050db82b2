"""The command line of latentseq: one thin module a command."""
