"""The subcommands of ``%nbretry``: one module each, with a function ``run(shell, words)``, imported at first use."""
