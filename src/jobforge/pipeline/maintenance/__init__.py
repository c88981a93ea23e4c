"""What is done to a whole table: go back, compare, compact, clean, erase."""
