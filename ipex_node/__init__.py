"""What runs on the box: stages, activates and checks generations, and answers for the node.

Standard library only, shipped as one zipapp. Every command prints one JSON object with `ok` and `failures`.
"""
