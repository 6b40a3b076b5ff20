"""Build the messages of a request from a cell's text, the notebook's data and earlier turns."""
