"""The depot: what is built once, and taken from there."""
