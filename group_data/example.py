"""What differs in the example fleet: nothing but its name."""

environment = "example"
