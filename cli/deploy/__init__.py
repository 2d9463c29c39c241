"""Deploying: one package, one environment, with everything that can be wrong said before it starts.

`make deploy` and its sisters call ``python -m cli.deploy``. What Terraform can do is in ``infra``;
here is what comes before and after it.
"""
