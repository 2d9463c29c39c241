"""Settings: everything that is wrong is said at once, and nothing that is secret."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from tests.environments import TOKEN, embedded, environment
from transcripts.errors import SettingsError
from transcripts.settings import (
    FUNCTIONS,
    CallbackSettings,
    ObjectLimits,
    ResultsSettings,
    Secret,
    SubmitSettings,
    SubscriberSettings,
)

CALLBACK = environment("callback")
SUBMIT = environment("submit")


def test_load_without_optional_variables_has_defaults() -> None:
    """Only the required variables are set."""
    settings = SubmitSettings.load(SUBMIT)
    assert settings.max_object_bytes == ObjectLimits().max_object_bytes == 5 * 1024**3
    assert (settings.backend, settings.database, settings.data_dir) == (
        "google",
        "(default)",
        Path(".transcripts"),
    )
    assert settings.mavi_base_url == "https://mavi-backend.memories.ai/serve/api/v2"
    assert (settings.max_submissions_per_day, settings.retention_days) == (0, 0)


def test_load_embedded_needs_only_secrets() -> None:
    """The embedded backend needs no project and no topics."""
    settings = CallbackSettings.load(embedded("callback"))
    assert settings.callback_topic == "projects/local/topics/callbacks"
    assert SubmitSettings.load(embedded("submit")).project == "local"


def test_load_with_missing_variables_names_all() -> None:
    """One error names all of them."""
    with pytest.raises(SettingsError) as caught:
        CallbackSettings.load({})
    for name in CALLBACK:
        assert f"{name} is missing" in caught.value.message


def test_load_with_missing_and_bad_variables_names_all() -> None:
    """The error shows no values, which may be secrets."""
    environ = {"MAVI_BASE_URL": "ftp://secret", "MAX_SUBMISSIONS_PER_DAY": "secret", "X": "secret"}
    with pytest.raises(SettingsError) as caught:
        SubmitSettings.load(environ)
    message = caught.value.message
    for name in (*SUBMIT, "MAVI_BASE_URL"):
        assert name in message
    assert "MAX_SUBMISSIONS_PER_DAY must be" in message
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_load_with_an_empty_value_counts_it_as_missing() -> None:
    """Terraform writes unset variables like this."""
    assert SubmitSettings.load(SUBMIT | {"FIRESTORE_DATABASE": ""}).database == "(default)"
    with pytest.raises(SettingsError):
        SubmitSettings.load(SUBMIT | {"MAVI_API_KEY": " "})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRANSCRIPTS_BACKEND", "aws"),
        ("MAVI_BASE_URL", "http://example.com"),
        ("MAVI_BASE_URL", "https://user:pass@example.com"),
        ("MAVI_BASE_URL", "https://:pass@example.com"),
        ("MAVI_BASE_URL", "https://user@example.com"),
        ("MAVI_BASE_URL", "https://example.com#part"),
        ("MAVI_BASE_URL", "https://example.com?key=1"),
        ("MAVI_BASE_URL", "example.com"),
        ("MAVI_API_KEY", "two words"),
        ("MAVI_API_KEY", "line\nbreak"),
        ("RETENTION_DAYS", "-1"),
        ("RETENTION_DAYS", "1.5"),
        ("RETENTION_DAYS", "9" * 12),
        ("RETENTION_DAYS", "36501"),
        ("MAVI_BASE_URL", "https://mavi.example:99999/v2"),
        ("MAVI_BASE_URL", "https://mavi.example:abc"),
        ("MAVI_BASE_URL", "https://mavi.example:0"),
        ("MAVI_BASE_URL", "https://.example"),
        ("MAVI_BASE_URL", "https://a..b/v2"),
        ("MAVI_BASE_URL", f"https://{'a' * 64}.example"),
        ("MAVI_BASE_URL", "https://mavi.example:443 /v2"),
        ("FIRESTORE_DATABASE", "A/B"),
        ("GOOGLE_CLOUD_PROJECT", "a/b"),
    ],
)
def test_load_with_a_bad_value_names_it(name: str, value: str) -> None:
    """Every variable with a bad value is named."""
    with pytest.raises(SettingsError) as caught:
        SubmitSettings.load(SUBMIT | {name: value})
    assert f"{name} must be" in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESULTS_TOPIC", "results"),
        ("RESULTS_TOPIC", "projects/p/topics/x"),
        ("REDACT_FACES", "yes"),
        ("REDACT_FACES", "True"),
    ],
)
def test_load_of_the_subscriber_with_a_bad_value_names_it(name: str, value: str) -> None:
    """A switch is not guessed: a misspelled one would store faces."""
    with pytest.raises(SettingsError) as caught:
        SubscriberSettings.load({"GOOGLE_CLOUD_PROJECT": "p", name: value})
    assert f"{name} must be" in caught.value.message


def test_load_of_optional_settings_has_defaults() -> None:
    """No topic, faces are stored, and results has no key of Mavi."""
    subscriber = SubscriberSettings.load({"GOOGLE_CLOUD_PROJECT": "p"})
    assert (subscriber.results_topic, subscriber.redact_faces) == ("", False)
    assert ResultsSettings.load({"GOOGLE_CLOUD_PROJECT": "p"}).mavi_api_key == ""
    given = ResultsSettings.load({"GOOGLE_CLOUD_PROJECT": "p", "MAVI_API_KEY": "sk-made-up"})
    assert isinstance(given.mavi_api_key, Secret)


@pytest.mark.parametrize(
    "tokens", ["short", f"{TOKEN},short", f"{TOKEN},", "ä" * 40, "a/" * 20, f"{TOKEN} {TOKEN}"]
)
def test_load_with_a_weak_token_raises(tokens: str) -> None:
    """A token that is too short or not URL-safe is refused."""
    with pytest.raises(SettingsError):
        CallbackSettings.load(CALLBACK | {"CALLBACK_TOKENS": tokens})


def test_load_with_two_tokens_keeps_both() -> None:
    """Blanks around them are ignored."""
    settings = CallbackSettings.load(CALLBACK | {"CALLBACK_TOKENS": f"{TOKEN}, {TOKEN[::-1]}"})
    assert [token.reveal() for token in settings.callback_tokens] == [TOKEN, TOKEN[::-1]]


@pytest.mark.parametrize("topic", ["callbacks", "projects/p/topics/ab", "projects/p/topics/a/b"])
def test_load_with_a_bad_topic_raises(topic: str) -> None:
    """A topic needs its full name."""
    with pytest.raises(SettingsError):
        CallbackSettings.load(CALLBACK | {"CALLBACK_TOPIC": topic})


def test_secret_is_not_shown() -> None:
    """Neither repr, format nor the settings show the value."""
    secret = Secret("hush")
    settings = SubmitSettings.load(SUBMIT)
    assert "hush" not in f"{secret} {secret!r} {[secret]}"
    assert "sk-made-up" not in repr(settings)
    assert settings.mavi_api_key.reveal() == "sk-made-up"


def test_load_with_a_trailing_slash_removes_it() -> None:
    """Paths are appended to the base URL."""
    settings = SubmitSettings.load(SUBMIT | {"MAVI_BASE_URL": "http://127.0.0.1:1/v2/"})
    assert settings.mavi_base_url == "http://127.0.0.1:1/v2"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_load_with_a_base_url_of_this_machine_accepts_clear_text(host: str) -> None:
    """The key does not leave the machine."""
    settings = SubmitSettings.load(SUBMIT | {"MAVI_BASE_URL": f"http://{host}:1/v2"})
    assert settings.mavi_base_url == f"http://{host}:1/v2"


def test_load_with_the_longest_retention_accepts_it() -> None:
    """A hundred years of days."""
    assert SubmitSettings.load(SUBMIT | {"RETENTION_DAYS": "36500"}).retention_days == 36_500


def test_every_entry_has_its_settings() -> None:
    """Every entry file has settings, and all settings have an entry file."""
    entries = {path.stem for path in Path("functions").glob("*.py")}
    assert entries == set(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_load_without_variables_names_every_required_one(function: str) -> None:
    """A function without its queue would otherwise fail at its first event."""
    with pytest.raises(SettingsError) as caught:
        FUNCTIONS[function].load({})
    problems = caught.value.message.removeprefix("Settings: ").rstrip(".").split("; ")
    assert set(problems) == {f"{name} is missing" for name in environment(function)}
    FUNCTIONS[function].load(environment(function))


def test_load_of_the_embedded_backend_requires_only_secrets() -> None:
    """It needs no server and no account."""
    required = {function: {*embedded(function)} - {"TRANSCRIPTS_BACKEND"} for function in FUNCTIONS}
    assert {function: names for function, names in required.items() if names} == {
        "callback": {"CALLBACK_TOKENS"},
        "submit": {"MAVI_API_KEY"},
    }
    for function, settings in FUNCTIONS.items():
        settings.load(embedded(function))
