"""What the notebook's cells said and showed, for ``--context``, ``%nbretry fix`` and the warning about keys."""
