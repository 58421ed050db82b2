"""The command line of latentseq: one thin module per command."""
