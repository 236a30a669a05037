"""Models of the engines: what a node has, how it fetches what it lacks, and what it says of them."""
