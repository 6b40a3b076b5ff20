"""The outputs of a cell: the streaming answer, repainted outputs, late outputs, a single output."""
