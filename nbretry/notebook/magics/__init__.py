"""The magics ``%%ask``, ``%ask`` and ``%nbretry``, their completion, and what is loaded ahead of the first question."""
