"""The backend on Google Cloud: Pub/Sub, Firestore, Cloud Tasks and Cloud Storage.

One module a service. Pub/Sub, Firestore and Cloud Tasks are called through Google's generated
asynchronous clients, Cloud Storage through an ``AuthorizedSession`` of google-auth.
"""
