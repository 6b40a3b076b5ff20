"""Views of a run. Each is handed an event and the answer after it, and paints; none of them knows a notebook."""
