"""``python -m cli.deploy COMMAND``: what the targets of the Makefile call."""

from __future__ import annotations

from cli.deploy.commands import main

if __name__ == "__main__":
    main()
