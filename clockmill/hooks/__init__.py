"""How operators and sensors reach what is outside: one module for each kind of system."""
