"""A reader of the pages: what a page holds, and a browser that sends its forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.fakes import MemoryDocuments
from tests.functional.framework import load
from tests.results import Results
from tests.viewer import a_list
from transcripts import backends

NAVIGATION = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
OWN_SITE = {"Sec-Fetch-Site": "same-origin", **NAVIGATION}


@dataclass
class Form:
    """A form of a page: its address, and its fields."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    options: dict[str, list[str]] = field(default_factory=dict)

    def named(self, name: str) -> list[str]:
        return [value for each, value in self.fields if each == name]


class Page(HTMLParser):
    """The elements, texts and forms of an answer."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.status = answer.status_code
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.titles: list[str] = []
        self.forms: list[Form] = []
        self.feed(answer.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        if tag == "button" and "formaction" in given:
            self.forms[-1].actions.append(given["formaction"])
        if tag == "option" and self.forms and self.forms[-1].fields:
            self.forms[-1].options.setdefault(self.forms[-1].fields[-1][0], []).append(
                given["value"]
            )
        if tag in ("input", "select") and "name" in given and self.forms:
            self.forms[-1].fields.append((given["name"], given.get("value", "")))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data)
            if self.elements and self.elements[-1][0] == "title":
                self.titles.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def attributes(self, name: str) -> list[str]:
        return [given[name] for _, given in self.elements if name in given]

    def form_with(self, name: str, value: str | None = None) -> Form:
        return next(
            form
            for form in self.forms
            if form.named(name) and (value is None or value in form.named(name))
        )


@dataclass
class Reader:
    """A browser: it keeps cookies, and sends forms as a page of its own site does."""

    client: httpx.AsyncClient

    async def get(self, path: str) -> Page:
        return Page(await self.client.get(path, headers=NAVIGATION))

    async def send(self, form: Form, **changes: str) -> httpx.Response:
        fields = [(name, changes.pop(name, value)) for name, value in form.fields]
        return await self.post(form.action, fields + list(changes.items()))

    async def post(
        self, path: str, fields: list[tuple[str, str]], **headers: str
    ) -> httpx.Response:
        return await self.client.post(
            path,
            content=urlencode(fields),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                **OWN_SITE,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )


@pytest.fixture
def memory() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture
def results(memory: MemoryDocuments, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setattr(backends, "open_documents", lambda *_: memory)
    loaded = load("results", {"GOOGLE_CLOUD_PROJECT": "p"}, monkeypatch)

    async def remove(path: str) -> None:
        del memory.content[path]

    return Results(loaded, memory, remove)


@pytest.fixture
async def reader(results: Results) -> Any:
    async with results.loaded.client() as client:
        yield Reader(client)


async def fill(results: Results) -> None:
    tasks, submissions = a_list()
    await results.put(*tasks)
    await results.put_submissions(*submissions)
