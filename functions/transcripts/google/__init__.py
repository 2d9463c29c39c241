"""The backend on Google Cloud: Pub/Sub, Firestore, Cloud Tasks and Cloud Storage.

The adapters for Pub/Sub, Firestore and Cloud Tasks use gRPC with the protobuf messages of Google's
client libraries, not the libraries' clients, which need several times the CPU time
(``docs/performance.md``). Cloud Storage is read through Google's high-level client.
"""
