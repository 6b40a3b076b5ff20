"""The outputs of a cell: the answer while it streams, repainted and late outputs, a single table."""
