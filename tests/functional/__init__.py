"""An entry through the real framework, with fakes inside; adapters on local files."""
