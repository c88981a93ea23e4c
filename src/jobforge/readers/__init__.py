"""Source formats: one file each, from a source file to a lazy frame of exactly what it holds."""
