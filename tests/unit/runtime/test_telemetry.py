"""What a gateway tells beside verdicts: metrics, logs and traces, within bounds, and inert."""

import gzip
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from edge_core.contracts.errors import EdgeError, TryAgainError
from edge_core.contracts.plant import ClockQuality
from edge_core.contracts.telemetry import Signal
from edge_runtime import events
from edge_runtime.batches import compressed, send_once
from edge_runtime.device import Device, Readings
from edge_runtime.frames.newest import Frame, Newest
from edge_runtime.model import ROLE_COMMITTED, ROLE_TRIAL
from edge_runtime.route import Route
from edge_runtime.scoring import Opinion, Scored
from edge_runtime.series import resource, series
from edge_runtime.sitelog import BURST, TEXT_MAX, WAITING_MAX, WITHHELD, SiteLog
from edge_runtime.telemetry import Levels, Meters
from edge_runtime.traces import WINDOWS_MAX, Clocks, Traces, sampled
from tests.simulators.models import loaded
from tests.unit.runtime.test_health import LEAK, NORMAL, opinion, window
from tests.unit.runtime.test_scoring import cut

pytestmark = pytest.mark.anyio

FIRST, _ = loaded("1")
SECOND, _ = loaded("2")
GATEWAY: Final = resource("gw-1", "plant")
FIXED: Final = {"model.name", "model.version", "deployment.id", "gateway.serial"}


def facts(attributes: Sequence[KeyValue]) -> dict[str, object]:
    """Attributes as a dictionary."""
    return {
        each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes
    }


def metrics(meters: Meters) -> dict[str, Metric]:
    """What a batch says, by name."""
    body = meters.encoded()
    assert body is not None
    (told,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    assert facts(told.resource.attributes)["gateway.serial"] == "gw-1"
    return {metric.name: metric for scope in told.scope_metrics for metric in scope.metrics}


def test_metrics_of_models() -> None:
    """Counters are cumulative, and every series names its model, its deployment, its gateway."""
    meters = Meters("gw-1", GATEWAY, Levels)
    both = (opinion(FIRST, ROLE_COMMITTED, NORMAL), opinion(SECOND, "shadow", LEAK))
    route = Route(FIRST, shadow=SECOND)
    for _ in range(3):
        meters.take(window(route, both[0]))
        meters.second(window(route, *both, late=both[1]))
    meters.second(window(route, both[0], missed=(SECOND, "shadow")))
    meters.override(FIRST, ROLE_COMMITTED)
    found = metrics(meters)
    sums = {
        name: sum(point.as_int for point in metric.sum.data_points)
        for name, metric in found.items()
        if metric.HasField("sum")
    }
    for name, expected in {
        "edge.windows.scored": 6,
        "edge.shadow.pairs": 3,
        "edge.shadow.disagreed": 3,
        "edge.shadow.dropped": 1,
        "edge.operator.overrides": 1,
    }.items():
        assert sums[name] == expected, name
        for point in found[name].sum.data_points:
            assert facts(point.attributes).keys() >= FIXED
        assert found[name].sum.aggregation_temporality == 2, "cumulative"


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=50))
def test_latencies(latencies_us: list[int]) -> None:
    """The histogram has every window once, in the bucket whose bound is not below it."""
    meters = Meters("gw-1", GATEWAY, Levels)
    for latency_us in latencies_us:
        said = opinion(FIRST, ROLE_COMMITTED, NORMAL, latency_us=latency_us)
        meters.take(window(Route(FIRST), said))
    (point,) = metrics(meters)["edge.inference.latency"].histogram.data_points
    assert (point.count, point.sum) == (len(latencies_us), sum(latencies_us))
    assert (point.min, point.max) == (min(latencies_us), max(latencies_us))
    bounds = [-1.0, *point.explicit_bounds, math.inf]
    for number, (low, high) in enumerate(pairwise(bounds)):
        assert point.bucket_counts[number] == sum(low < each <= high for each in latencies_us)


def test_metrics_of_the_box() -> None:
    """What the box tells is there, with its unit; what it does not tell is not."""
    box = Readings(
        cpu_share=0.25,
        memory_bytes=1000,
        temperatures={"cpu": 61.5, "board": 40.0},
        disk_wear={"mmcblk0": 0.2},
        clock=ClockQuality(synchronised=False, error_max_us=16_000_000),
        clock_offset_us=-120,
    )
    found = metrics(Meters("gw-1", GATEWAY, lambda: Levels(box=box, outbox_shed={"logs": 2})))
    zones = {
        facts(point.attributes)["hw.sensor"]: point.as_double
        for point in found["hw.temperature"].gauge.data_points
    }
    assert zones == {"cpu": 61.5, "board": 40.0}
    assert found["hw.temperature"].unit == "Cel"
    assert found["edge.disk.wear"].gauge.data_points[0].as_double == 0.2
    assert found["edge.clock.offset"].gauge.data_points[0].as_int == -120
    assert found["gateway.clock.synchronised"].gauge.data_points[0].as_int == 0
    assert found["edge.outbox.shed"].sum.data_points[0].as_int == 2
    assert "system.uptime" not in found


def test_metrics_of_pictures() -> None:
    """What became of pictures is there for each camera, refused ones under their reasons."""
    newest = Newest(lambda: 1.0)
    newest.put(Frame("camera", np.zeros((1, 1, 3), np.uint8), 1, "a", taken_us=70))
    newest.put(Frame("camera", np.zeros((1, 1, 3), np.uint8), 2, "b", taken_us=400))
    newest.refuse("camera", "damaged", "cut short", 2)
    newest.refuse("camera", "deadline", "too slow")
    found = metrics(Meters("gw-1", GATEWAY, lambda: Levels(pictures=newest.tallies)))
    (taken,) = found["edge.pictures.taken"].sum.data_points
    assert (taken.as_int, facts(taken.attributes)["edge.picture.role"]) == (2, "camera")
    assert found["edge.pictures.skipped"].sum.data_points[0].as_int == 1
    refused = {
        facts(point.attributes)["edge.picture.refusal"]: point.as_int
        for point in found["edge.pictures.refused"].sum.data_points
    }
    assert refused == {"damaged": 2, "deadline": 1}
    (decoding,) = found["edge.pictures.decoding"].histogram.data_points
    assert (decoding.count, decoding.sum, decoding.max) == (2, 470, 400)
    assert "edge.pictures.taken" not in metrics(Meters("gw-1", GATEWAY, Levels))


def sys_of(folder: Path) -> Path:
    """What a box with an eMMC and two sensors shows; one of them has nothing to say."""
    shown = {
        "class/thermal/thermal_zone0/temp": "48500\n",
        "class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "class/thermal/thermal_zone1/temp": "-274000\n",
        "class/thermal/thermal_zone2/temp": "",
        "block/mmcblk0/device/life_time": "0x02 0x01\n",
        "block/mmcblk1/device/life_time": "0x00 0x00\n",
        "block/mmcblk2/device/life_time": "worn\n",
        "block/mmcblk3/device/life_time": "0x0b 0x01\n",
    }
    for name, text in shown.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_box(tmp_path: Path) -> None:
    """The box is read as the kernel shows it; nonsense is no figure."""
    found = Device(tmp_path, sys_of(tmp_path / "sys")).read()
    assert found.temperatures == {"cpu-thermal": 48.5}
    assert found.disk_wear == {"mmcblk0": 0.2, "mmcblk3": 1.1}
    assert found.disk_written_bytes is None
    assert found.memory_share is not None
    assert 0.0 < found.memory_share < 1.0
    assert found.process_bytes is not None
    assert found.process_bytes > 10 * 2**20
    assert found.clock is not None


def test_this_box(tmp_path: Path) -> None:
    """On the machine at hand nothing goes wrong, whatever it tells."""
    found = Device(tmp_path).read()
    assert found.uptime_s is not None
    assert found.uptime_s > 0


SHARES: Final = (0.01, 0.02, 0.05)


@pytest.mark.parametrize("share", SHARES)
def test_sampling_is_unbiased(share: float) -> None:
    """As many as the share says, evenly among numbers of any stride: no rhythm of the line hits.

    Each count is binomial; five standard deviations are passed once in a million times, and the
    pick does not change from run to run.
    """
    picked = [number for number in range(200_000) if sampled("gw-1", number, share)]
    expected = 200_000 * share
    assert abs(len(picked) - expected) < 5 * math.sqrt(expected)
    for stride in (2, 3, 7, 60, 128):
        among = Counter(number % stride for number in picked)
        each = expected / stride
        assert max(among.values()) < each + 5 * math.sqrt(each), stride
        assert min(among[phase] for phase in range(stride)) > each - 5 * math.sqrt(each), stride
    gaps = [after - before for before, after in pairwise(picked)]
    # Of independent picks the gap to the next is geometric, and its spread as large as itself.
    assert sum(gaps) / len(gaps) == pytest.approx(1 / share, rel=0.1)
    assert sum(gap > 1 / share for gap in gaps) / len(gaps) == pytest.approx(
        math.exp(-1), abs=0.03
    )


@given(st.integers(0, 2**63), st.floats(0, 0.05), st.floats(0, 0.05))
def test_sampling_is_deterministic(number: int, one: float, other: float) -> None:
    """The number alone decides: the same twice, and a larger share only adds windows."""
    low, high = sorted((one, other))
    assert sampled("gw-1", number, low) == sampled("gw-1", number, low)
    assert sampled("gw-1", number, high) or not sampled("gw-1", number, low)


def test_gateways_are_sampled_apart() -> None:
    """Two gateways do not trace the same windows."""
    one = {number for number in range(50_000) if sampled("gw-1", number, 0.02)}
    two = {number for number in range(50_000) if sampled("gw-2", number, 0.02)}
    assert len(one & two) < 60


def traces(share: float = 0.0) -> Traces:
    """With a clock that stands at ten seconds."""
    return Traces("gw-1", 1, GATEWAY, share, Clocks(lambda: 10.0, lambda: 1_000_000_000_000))


def timed(route: Route, *opinions: Opinion, number: int = 1, **more: object) -> Scored:
    """A window that was scored from 9.0 to 9.5 s."""
    told = [replace(each, begun_s=9.1, asked_s=9.2, latency_us=100_000) for each in opinions]
    made = window(route, *told, **more)
    return replace(made, cut=cut(number), begun_s=9.0, ended_s=9.5)


TRACED: dict[str, tuple[Scored, bool]] = {
    "a window of the committed model": (
        timed(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, NORMAL)),
        False,
    ),
    "a window of a trial": (
        timed(Route(SECOND, ROLE_TRIAL, FIRST), opinion(SECOND, ROLE_TRIAL, NORMAL)),
        True,
    ),
    "a window that a model failed on": (
        timed(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, None)),
        True,
    ),
    "bad input, which may go on for days": (
        timed(Route(FIRST), bad_input="input bad: flow"),
        False,
    ),
    "a window without a model": (timed(Route()), False),
}


@pytest.mark.parametrize("name", TRACED)
def test_what_is_always_traced(name: str) -> None:
    """Each row is a window that no sample picked, and whether it is traced all the same."""
    told, expected = TRACED[name]
    made = traces()
    made.take(told)
    assert (made.encoded() is not None) is expected


def test_spans() -> None:
    """One span a window with a child a step; each child within, and all of one trace."""
    both = (opinion(SECOND, ROLE_TRIAL, LEAK), opinion(FIRST, "shadow", NORMAL))
    made = traces()
    made.take(timed(Route(SECOND, ROLE_TRIAL, FIRST), *both))
    body = made.encoded()
    assert body is not None
    (told,) = ExportTraceServiceRequest.FromString(body).resource_spans
    spans = [span for scope in told.scope_spans for span in scope.spans]
    (root,) = [span for span in spans if not span.parent_span_id]
    assert facts(root.attributes).keys() >= FIXED | {"edge.window", "edge.window.decided"}
    assert Counter(span.name for span in spans) == {
        "window": 1,
        "window.assess": 1,
        "features.extract": 2,
        "inference": 2,
        "verdict.publish": 1,
    }
    for span in spans:
        assert span.trace_id == root.trace_id
        assert root.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= root.end_time_unix_nano
    assert len({span.span_id for span in spans}) == len(spans)
    assert root.start_time_unix_nano == 999_000_000_000
    models = {facts(s.attributes)["model.version"] for s in spans if s.name == "inference"}
    assert models == {"1", "2"}
    assert made.encoded() is None


def test_trace_waits_for_the_second_opinion() -> None:
    """A window whose candidate is late is one trace, with both models in it."""
    first, second = opinion(FIRST, "shadow", NORMAL), opinion(SECOND, ROLE_TRIAL, LEAK)
    made, route = traces(), Route(SECOND, ROLE_TRIAL, FIRST)
    made.take(timed(route, first, awaits=True))
    assert made.encoded() is None
    made.second(timed(route, first, second))
    body = made.encoded()
    assert body is not None
    spans = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    assert sum(span.name == "inference" for span in spans) == 2


def test_traces_are_bounded() -> None:
    """A trial at any speed fills no memory; what is left out is counted."""
    made = traces()
    for number in range(WINDOWS_MAX + 7):
        said = opinion(SECOND, ROLE_TRIAL, NORMAL)
        made.take(timed(Route(SECOND, ROLE_TRIAL, FIRST), said, number=number))
    assert made.dropped == 7
    made.encoded()
    made.take(timed(Route(SECOND, ROLE_TRIAL, FIRST), opinion(SECOND, ROLE_TRIAL, NORMAL)))
    assert made.dropped == 7


def log_of(**clock: float) -> SiteLog:
    """With a clock that stands, unless said otherwise."""
    return SiteLog(monotonic=lambda: clock.get("at", 0.0), unix_ns=lambda: 5)


PRIVATE = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"
INERT: dict[str, tuple[str, object, object]] = {
    "plain words stay": ("reason", "no answer", "no answer"),
    "numbers stay numbers": ("seconds", 1.5, 1.5),
    "yes and no stay": ("ready", True, True),
    "a number that OTLP cannot hold is text": ("big", 2**70, str(2**70)),
    "a line break cannot begin another line": ("reason", "a\nb", "a\N{REPLACEMENT CHARACTER}b"),
    "an escape sequence moves no cursor": (
        "reason",
        "\x1b[2J",
        "\N{REPLACEMENT CHARACTER}[2J",
    ),
    "a long text is cut": ("reason", "x" * 9_000, "x" * TEXT_MAX),
    "what is called a password is withheld": ("password", "hunter2", WITHHELD),
    "so is a token": ("enrolment_token", "abc", WITHHELD),
    "a key in a text is withheld": ("reason", f"bad: {PRIVATE} end", f"bad: {WITHHELD} end"),
    "a password in a URL is withheld": (
        "url",
        "https://u:p@site/x",
        f"https://{WITHHELD}site/x",
    ),
    "a bearer token is withheld": ("reason", "sent Bearer abcdefgh1234", f"sent {WITHHELD}"),
    "an assignment of a secret is withheld": ("reason", "api_key=abc ok", f"{WITHHELD} ok"),
}


@pytest.mark.parametrize("name", INERT)
def test_facts_are_inert(name: str) -> None:
    """Each row is a fact as it was logged, and as it leaves the plant."""
    key, value, expected = INERT[name]
    site = log_of()
    site.take({"event": "thing.happened", "level": "warning", key: value})
    (told,) = site.taken()
    assert told.facts == {key: expected}
    body = events.encoded_events([told], GATEWAY, {})
    (record,) = (
        ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0].log_records
    )
    assert facts(record.attributes) == {key: expected}


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=600), max_size=40), st.text())
def test_any_event_can_be_encoded(said: dict[str, str], name: str) -> None:
    """Whatever text comes from outside: it is encoded, short, and printable."""
    site = log_of()
    site.take({**said, "event": name, "level": "error"})
    (told,) = site.taken()
    assert told.name.isprintable()
    assert all(key.isprintable() and str(fact).isprintable() for key, fact in told.facts.items())
    assert len(events.encoded_events([told], GATEWAY, {})) < 100_000


def test_log_records_bear_the_fixed_attributes() -> None:
    """An event names the model in charge, its severity and when it was seen."""
    site = log_of()
    site.take({"event": "model.rolled_back", "level": "error", "reason": "crash"})
    body = events.encoded(site, GATEWAY, lambda: series("gw-1", FIRST.release, ROLE_COMMITTED))
    assert body is not None
    (told,) = ExportLogsServiceRequest.FromString(body).resource_logs
    (record,) = told.scope_logs[0].log_records
    assert facts(record.attributes).keys() >= FIXED | {"reason"}
    assert (record.severity_text, record.body.string_value) == ("ERROR", "model.rolled_back")
    assert record.time_unix_nano == record.observed_time_unix_nano == 5
    assert events.encoded(site, GATEWAY, dict) is None


@pytest.mark.parametrize("level", ["debug", "info"])
def test_only_grave_events_leave(level: str) -> None:
    """What is below a warning stays on the gateway."""
    site = log_of()
    site.take({"event": "model.loaded", "level": level})
    assert site.taken() == []


def test_rates() -> None:
    """One event that repeats does not drown the others, and says how often it was left out."""
    clock = {"at": 0.0}
    site = SiteLog(monotonic=lambda: clock["at"], unix_ns=lambda: 5)
    for _ in range(1000):
        site.take({"event": "worker.lost", "level": "warning"})
    site.take({"event": "disk.full", "level": "error"})
    assert Counter(each.name for each in site.taken()) == {"worker.lost": BURST, "disk.full": 1}
    assert site.suppressed == 1000 - BURST
    clock["at"] = 60.0
    site.take({"event": "worker.lost", "level": "warning"})
    (told,) = site.taken()
    assert told.suppressed == 1000 - BURST


def test_log_is_bounded() -> None:
    """While no batch is made no more than so many events wait, whatever they are called."""
    site = SiteLog(a_minute=10**6, monotonic=lambda: 0.0, unix_ns=lambda: 5)
    for number in range(2 * WAITING_MAX):
        site.take({"event": f"thing.{number}", "level": "error"})
    assert len(site.taken()) + site.suppressed == 2 * WAITING_MAX


class Kept:
    """An outbox with all the room there is."""

    def __init__(self, failure: EdgeError | None = None) -> None:
        self.fill = 0.0
        self.written = 0
        self.failure = failure
        self.batches: list[tuple[Signal, bytes]] = []

    async def add(self, signal: Signal, body: bytes) -> bool:
        """Take it."""
        if self.failure is not None:
            raise self.failure
        self.batches.append((signal, gzip.decompress(body)))
        return True


async def test_batches() -> None:
    """Every signal that has something to say is one batch, the dearest first."""
    kept = Kept()
    sources = {
        Signal.METRICS: lambda: b"metrics",
        Signal.LOGS: lambda: None,
        Signal.TRACES: lambda: b"traces",
    }
    await send_once(sources, kept)
    assert kept.batches == [(Signal.METRICS, b"metrics"), (Signal.TRACES, b"traces")]
    with pytest.raises(TryAgainError, match="full"):
        await send_once(sources, Kept(TryAgainError("full")))


def test_the_same_figures_are_the_same_bytes() -> None:
    """A batch depends on what it says and on nothing else, such as the time it was packed."""
    kept = [compressed(b"x" * 5000) for _ in range(2)]
    assert kept[0] == kept[1]
    assert len(kept[0]) < 100
