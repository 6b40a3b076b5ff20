"""Every setting: its definition, the files and variables it is read from, and where its value came from."""
