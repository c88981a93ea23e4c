"""Which rows may stay: row accounts, the good/bad split, quarantine."""
