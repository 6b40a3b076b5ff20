"""Read and write runs as JSON Lines: the functions of `nbretry.session.runlog` under the path in the README."""

from nbretry.session.runlog import JsonLinesRenderer, Writable, read_events, read_runs

__all__ = ["JsonLinesRenderer", "Writable", "read_events", "read_runs"]
