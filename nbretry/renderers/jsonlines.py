"""Reading and writing a run as JSON lines, under the path that the README documents."""

from nbretry.session.runlog import JsonLinesRenderer, read_events, read_runs

__all__ = ["JsonLinesRenderer", "read_events", "read_runs"]
