"""The notebook's cells and their outputs, for ``--context``, ``%nbretry fix`` and the warning about keys."""
