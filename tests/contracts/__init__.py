"""The contract of every port, tested on fakes, the embedded backend and emulators."""
