"""Asks the engines of a node how they are, and repairs them. Starts at run.py; the agent reads verdict.py's file."""
