"""What an auditor asks: where is it from, what became of it, is it still what was published."""
