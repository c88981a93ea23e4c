"""The commands, one file each; `jobforge.cli.app` registers them."""
