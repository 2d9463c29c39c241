"""What Mavi posts to the account's one webhook, from the body to the message on the topic."""
