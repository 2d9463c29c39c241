"""A submission: the purchase of one transcript, recorded under ``submissions/{id}``."""
