"""Which columns of its input each column of a layer is computed from, and how."""
