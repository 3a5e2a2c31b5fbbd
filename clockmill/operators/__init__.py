"""The operators that come with Clockmill, one module for each kind."""
