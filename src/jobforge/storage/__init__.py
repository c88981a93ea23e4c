"""All file access of jobforge: names, source files, atomic publishing, the staged archive."""
