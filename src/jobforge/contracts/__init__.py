"""What bronze is told to do: renames, exact casts, and later whole contracts."""
