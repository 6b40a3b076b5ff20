"""The model on the user's own machine: its file, its server process and the provider that asks it."""
