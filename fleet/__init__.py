"""The model: what the fleet is. Pure: no node is asked, nothing is changed."""
