"""Asking from a notebook: from a parsed ``%%ask`` to the answer in the cell and in the user's variables."""
