"""Deploys one package to one environment, after checking everything that can be checked.

`make deploy` and the other targets call ``python -m cli.deploy``. Terraform's part is in ``infra``;
this package does what comes before and after it.
"""
