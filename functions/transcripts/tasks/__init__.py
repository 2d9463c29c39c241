"""A task: one job of the provider, and its result, as stored under ``tasks/{task_id}``."""
