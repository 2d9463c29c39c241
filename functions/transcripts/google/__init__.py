"""The backend on Google Cloud: Pub/Sub and Firestore over gRPC.

Both adapters speak the services' own messages, as google-cloud-pubsub and google-cloud-firestore
ship them, over those libraries' channels. Their high-level clients cost several times the work:
``docs/performance.md`` has the figures.
"""
