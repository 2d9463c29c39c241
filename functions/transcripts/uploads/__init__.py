"""Objects of Cloud Storage: the events they cause, and which of them are media."""
