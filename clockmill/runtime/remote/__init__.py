"""The task gateway over HTTP, for workers that hold no credentials of the database."""
