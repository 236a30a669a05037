"""Backups of a node: what cannot be downloaded again, the models' blobs, and the proof that both can be given back."""
