"""The subcommands of ``%nbretry``, a module each with ``run(shell, words)``; loaded when they are first used."""
