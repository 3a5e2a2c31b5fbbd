"""The steps between the versions of the metadata database's schema, and the program that applies them."""
