"""Transitions told as OpenLineage events; imported by the first of a run that asks for them."""
