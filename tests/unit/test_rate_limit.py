"""One request a second and endpoint."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from transcripts.errors import StoreUnavailable
from transcripts.mavi.rate_limit import ARRIVES_WITHIN_S, RateLimiter, RateLimitTimeout

PATIENT = 1000.0


class Time:
    """An event loop's clock that sleeping advances; one caller waits at a time."""

    def __init__(self) -> None:
        self.now = 100.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds

    def pacer(self) -> RateLimiter:
        return RateLimiter(1.0, lambda: self.now, self.sleep)


async def test_slots_are_an_interval_apart_and_in_order() -> None:
    """Callers get slots in the order of their calls."""
    time = Time()
    pacer = time.pacer()
    served: list[tuple[int, float]] = []

    async def ask(number: int) -> None:
        async with pacer.slot(PATIENT):
            served.append((number, time.now))

    await asyncio.gather(*map(ask, range(10)))
    assert [number for number, _ in served] == list(range(10))
    assert [moment for _, moment in served] == pytest.approx([100.0 + n for n in range(10)])


async def test_slot_after_a_slow_request_waits_for_its_answer() -> None:
    """The next request must not arrive too early."""
    time = Time()
    pacer = time.pacer()
    async with pacer.slot(PATIENT):
        time.now += 0.3
    async with pacer.slot(PATIENT):
        assert time.now == pytest.approx(101.3)


async def test_slot_during_a_long_request_does_not_wait_for_it() -> None:
    """An upload takes minutes, and does not delay the next request that long."""
    time = Time()
    pacer = time.pacer()
    done = asyncio.Event()

    async def upload() -> None:
        async with pacer.slot(PATIENT):
            await done.wait()

    uploading = asyncio.ensure_future(upload())
    await asyncio.sleep(0)
    async with pacer.slot(PATIENT):
        assert time.now == pytest.approx(101.0 + ARRIVES_WITHIN_S)
    done.set()
    await uploading
    assert pacer.wait_s() == pytest.approx(1.0)


async def test_slots_unused_are_not_saved() -> None:
    """After an idle time one caller gets a slot at once, and the next waits a whole interval."""
    time = Time()
    pacer = time.pacer()
    async with pacer.slot(PATIENT):
        pass
    time.now += 10
    assert pacer.wait_s() == 0.0
    async with pacer.slot(PATIENT):
        pass
    assert pacer.wait_s() == pytest.approx(1.0)


async def test_slot_later_than_max_wait_raises_at_once() -> None:
    """The error has the estimated wait, and other callers lose no slot."""
    time = Time()
    pacer = time.pacer()

    async def ask() -> None:
        async with pacer.slot(PATIENT):
            pass

    slots = [asyncio.ensure_future(ask()) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimitTimeout) as caught:
        async with pacer.slot(2.0):
            raise AssertionError("no slot was free")
    assert 5 < caught.value.wait_s < 9
    await asyncio.gather(*slots)
    assert time.now == pytest.approx(104.0)


async def test_wait_follows_the_length_of_recent_slots() -> None:
    """The first estimate is the slowest."""
    time = Time()
    pacer = time.pacer()

    async def estimate(*, answers: int) -> float:
        """Return the estimate of an eleventh caller; ``answered`` of ten have fast answers."""
        answered, served = asyncio.Event(), 0

        async def ask(number: int) -> None:
            nonlocal served
            async with pacer.slot(PATIENT):
                served += 1
                if served == 10:
                    answered.set()
                if number >= answers:
                    await answered.wait()

        slots = [asyncio.ensure_future(ask(number)) for number in range(10)]
        await asyncio.sleep(0)
        wait_s = pacer.wait_s()
        await asyncio.gather(*slots)
        time.now += 100.0
        return wait_s

    assert await estimate(answers=10) == pytest.approx(15.0, abs=2)
    assert await estimate(answers=0) == pytest.approx(10.0, abs=2)
    assert await estimate(answers=0) == pytest.approx(15.0, abs=2)


async def test_before_send_runs_right_before_its_slot() -> None:
    """No intent is recorded while its caller waits."""
    time = Time()
    pacer = time.pacer()
    intents: list[float] = []
    sent: list[float] = []

    async def ask(takes_s: float) -> None:
        async def before_send() -> None:
            intents.append(time.now)
            time.now += takes_s

        async with pacer.slot(PATIENT, before_send):
            sent.append(time.now)

    await asyncio.gather(*map(ask, [0.0, 0.7, 0.0]))
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert all(gap >= 1.0 - 1e-9 for gap in gaps)
    assert [s - i for s, i in zip(sent, intents, strict=True)] == pytest.approx([0.0, 0.7, 0.0])


async def test_before_send_raising_uses_no_slot() -> None:
    """The request was not sent."""
    time = Time()
    pacer = time.pacer()

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with pacer.slot(PATIENT, fail):
            raise AssertionError("the intent failed")
    assert pacer.wait_s() == 0.0


async def test_slot_with_a_slow_store_does_not_blame_the_provider() -> None:
    """The time of recording an intent is not counted as the provider's."""
    time = Time()
    limiter = time.pacer()

    async def slow_store() -> None:
        time.now += 20.0

    async def send() -> None:
        async with limiter.slot(PATIENT, slow_store):
            time.now += 0.1

    await asyncio.gather(*(send() for _ in range(10)))
    busy = [asyncio.ensure_future(send()) for _ in range(20)]
    await asyncio.sleep(0)
    assert limiter.wait_s() < 20 * (1.0 + ARRIVES_WITHIN_S) + 1.0
    await asyncio.gather(*busy)


async def test_wait_s_after_a_slow_intent_counts_only_the_slots() -> None:
    """A store that takes 30 s to record an intent does not lengthen the estimated slots."""
    time = Time()
    pacer = time.pacer()

    async def slow() -> None:
        await asyncio.sleep(0)
        time.now += 30.0

    async def ask(before_send: Callable[[], Awaitable[None]] | None) -> None:
        async with pacer.slot(PATIENT, before_send):
            pass

    await asyncio.gather(ask(None), ask(slow), ask(slow), ask(slow))
    waiting = [asyncio.ensure_future(ask(None)) for _ in range(10)]
    await asyncio.sleep(0)
    assert pacer.wait_s() < 10 * 1.5 + 1.0
    await asyncio.gather(*waiting)


async def test_wait_s_after_a_failed_intent_counts_no_idle_time() -> None:
    """The slot after a failed intent is late because of that intent, so it is not measured."""
    time = Time()
    pacer = time.pacer()
    async with pacer.slot(PATIENT):
        pass
    time.now += 1000.0

    async def fail() -> None:
        await asyncio.sleep(0)
        time.now += 20.0
        raise StoreUnavailable("no store")

    async def ask(before_send: Callable[[], Awaitable[None]] | None) -> None:
        async with pacer.slot(PATIENT, before_send):
            pass

    results = await asyncio.gather(ask(fail), ask(None), return_exceptions=True)
    assert isinstance(results[0], StoreUnavailable)
    assert results[1] is None
    waiting = [asyncio.ensure_future(ask(None)) for _ in range(10)]
    await asyncio.sleep(0)
    assert 10.0 <= pacer.wait_s() <= 10 * 1.5 + 1.0
    await asyncio.gather(*waiting)


async def test_slot_behind_intents_longer_than_max_wait_raises_store_unavailable() -> None:
    """The caller behind a silent store gets the error after ``max_wait_s``."""
    time = Time()
    pacer = time.pacer()
    sent: list[int] = []

    async def silent() -> None:
        await asyncio.sleep(0)
        time.now += 20.0
        raise StoreUnavailable("no store")

    async def ask(number: int) -> float:
        with pytest.raises((StoreUnavailable, RateLimitTimeout)) as caught:
            async with pacer.slot(60.0, silent):
                sent.append(number)
        assert isinstance(caught.value, StoreUnavailable)
        return time.now

    ended = await asyncio.gather(*map(ask, range(40)))
    assert sent == []
    assert max(ended) - 100.0 <= 60.0 + 20.0
    async with pacer.slot(60.0):
        sent.append(40)
    assert sent == [40]


async def test_slot_begins_as_soon_as_the_answer_before_it_allows() -> None:
    """A waiting caller checks repeatedly whether the previous answer has come."""
    time = Time()
    pacer = time.pacer()

    async def first() -> None:
        async with pacer.slot(PATIENT):
            while time.now < 100.2:
                await asyncio.sleep(0)

    answering = asyncio.ensure_future(first())
    await asyncio.sleep(0)
    async with pacer.slot(PATIENT):
        assert time.now == pytest.approx(101.2, abs=0.1)
    await answering


async def test_slot_during_a_hold_off_is_given_after_it() -> None:
    """The provider asked for a pause; a caller that can wait for it gets its slot then."""
    time = Time()
    pacer = time.pacer()
    pacer.hold_off(30.0)
    async with pacer.slot(60.0):
        assert time.now == pytest.approx(130.0)


async def test_slot_of_a_caller_that_waits_already_ends_with_a_long_hold_off() -> None:
    """The caller could wait for its turn, and can't wait for the pause."""
    time = Time()
    pacer = time.pacer()
    async with pacer.slot(PATIENT):
        pass
    waiting = asyncio.ensure_future(_enter(pacer, 60.0))
    await asyncio.sleep(0)
    pacer.hold_off(900.0)
    with pytest.raises(RateLimitTimeout):
        await waiting


async def _enter(pacer: RateLimiter, max_wait_s: float) -> None:
    async with pacer.slot(max_wait_s):
        pass
