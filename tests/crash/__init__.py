"""Every point at which the pipeline can fail or die."""
