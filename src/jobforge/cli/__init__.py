"""The command line: a thin printer over the library; one file a command in `commands/`."""
