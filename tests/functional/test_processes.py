"""Ports and children of the local stack."""

from __future__ import annotations

import subprocess
import sys

from cli.local.processes import PORTS, free_port

MANY = 40


def test_free_port_in_many_processes_differs() -> None:
    """A server may take seconds to use its port."""
    code = (
        "from cli.local.processes import free_port\n"
        f"print(*[free_port() for _ in range({MANY})], flush=True)\n"
        "input()\n"
    )
    children = [
        subprocess.Popen(  # noqa: S603 - our own code
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ports = [free_port() for _ in range(MANY)]
    for child in children:
        assert child.stdout is not None
        ports += map(int, child.stdout.readline().split())
    for child in children:
        child.communicate("\n")
    assert len(ports) == 5 * MANY
    assert len(set(ports)) == len(ports)


def test_free_port_preferred_is_given_once() -> None:
    """Another stack gets another port."""
    preferred = free_port()
    assert free_port(preferred) != preferred
    assert free_port(preferred) in PORTS
