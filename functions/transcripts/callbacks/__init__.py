"""The callbacks that Mavi posts to the account's one webhook, from body to message on a topic."""
