"""The magics ``%%ask``, ``%ask`` and ``%nbretry``, their completion, and preloading for the first question."""
