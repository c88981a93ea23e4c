"""The embedded demo: a generated source, its transforms, and a run of both."""
