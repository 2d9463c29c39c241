"""The backend on Google Cloud: Pub/Sub, Firestore, Cloud Tasks and Cloud Storage.

The adapters for Pub/Sub, Firestore and Cloud Tasks use the protobuf messages and gRPC channels of
Google's client libraries, not their high-level clients, which need several times the CPU time
(``docs/performance.md``). Cloud Storage is read through Google's high-level client.
"""
