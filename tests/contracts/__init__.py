"""What every implementation of a port must do: run against fakes, embedded and emulators."""
