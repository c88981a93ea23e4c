"""Transitions as OpenLineage events: the settings, the events and where they go.

Importing this loads neither the OpenLineage client nor anything that it needs;
that happens with the first event of a run that asks for events.
"""

from jobforge.openlineage.settings import OpenLineageConfig

__all__ = ["OpenLineageConfig"]
