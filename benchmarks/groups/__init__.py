"""The groups of the benchmark: each module measures one thing with `measure`."""
