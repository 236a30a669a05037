"""Commands for people, one file each: `python -m tools.NAME`."""
