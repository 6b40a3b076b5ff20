"""From a cell's text, the notebook's data and earlier turns to the messages of a request."""
