import pytest

from infinitedance.spaces_demo import pace as pace_module
from infinitedance.spaces_demo.pace import STAGES, Pace, Step


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    monkeypatch.setattr(pace_module, "time", clock := Clock())
    return clock


def make_dance(pace, clock, seconds, told, costs=(1, 2, 4, 6, 1)):
    """Let each stage take so many seconds, and frames be danced evenly."""
    work = pace.start(seconds, told.append)
    for stage, cost in zip(STAGES, costs, strict=True):
        if stage == "dancing":
            work.begin("dancing")
            for done in range(0, 401, 100):
                work.dance(done, 400)
                clock.now += cost / 4 * (done < 400)
        else:
            if stage in ("listening", "measuring"):
                work.begin(stage)
            clock.now += cost
    work.end()


def test_what_the_last_dance_took_says_how_long_the_next_one_takes(clock):
    pace = Pace()
    make_dance(pace, clock, 10, [])
    began = clock.now
    seen = []
    make_dance(
        pace,
        clock,
        20,
        type("Told", (), {"append": lambda _, step: seen.append((clock.now, step))})(),
        (2, 4, 8, 12, 2),
    )
    for now, step in seen:
        assert step.remaining_seconds == pytest.approx(began + 28 - now)
        assert step.share == pytest.approx((now - began) / 28)


def test_the_first_dance_tells_how_long_once_its_frames_say_how_fast_the_machine_is(clock):
    told = []
    make_dance(Pace(), clock, 10, told)
    assert [step.remaining_seconds is None for step in told] == [True] * 4 + [False] * 6
    typical = pace_module._TYPICAL_COSTS
    later = 4 * (typical["finishing"] + typical["measuring"]) / typical["dancing"]
    assert told[4].remaining_seconds == pytest.approx(3 + later) and told[4].frames == (100, 400)


def test_the_bar_never_goes_back(clock):
    pace, told = Pace(), []
    make_dance(pace, clock, 10, [])
    work = pace.start(10, told.append)
    clock.now += 3
    work.begin("dancing")
    for done in (0, 30, 200, 400):  # slowly at first
        work.dance(done, 400)
        clock.now += 2
    assert told[3].remaining_seconds > told[2].remaining_seconds + 10
    shares = [step.share for step in told]
    assert shares == sorted(shares) and shares[3] == shares[2]


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Step("listening", 0.1), "Listening to the music"),
        (Step("listening", 0.1, 0.2), "Listening to the music, about 1 s left"),
        (Step("dancing", 0.5, 6.2, (212, 900)), "Dancing: 212 of 900 frames, about 6 s left"),
        (Step("dancing", 0.5, 125), "Dancing, about 2 min left"),
    ],
)
def test_a_step_is_told_in_words(step, text):
    assert step.text == text
