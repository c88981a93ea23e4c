"""The commands, one file each; `jobforge.cli.main` registers them."""
