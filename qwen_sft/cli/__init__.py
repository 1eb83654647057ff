"""The command line: the app and one thin module per command."""
