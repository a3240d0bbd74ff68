"""Change what decides, one expression at a time: for every change some test must fail.

    python -m tests.mutants                     every module below, in order
    python -m tests.mutants gate permits        those whose path ends so
    python -m tests.mutants --list              which there are, with their tests and floors

mutmut makes the changes, in a flat copy below `.mutants/` because it knows no other layout than
`src/`. A module with more than `MUTANTS_MAX` mutants is sampled, the same ones every time
(`--all` takes every one). Changes to sentences for people are not tried: a test that pins every
word would only say each thing twice. Prints what survived as `file:line` with the change; the last
line is one JSON object. Exit 1 if a module falls below its floor.
"""

import argparse
import ast
import contextlib
import difflib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "unit"
COPIES = ROOT / ".mutants"
COMPONENTS = ("core", "packaging", "site_proxy", "runtime", "edgetui", "fixtures")
MUTANTS_MAX = 150  # a module is then done in a minute or two on one core

CORE = "core/edge_core"
GATEWAY = "runtime/edge_runtime"
SITE = "site_proxy/edge_site_proxy"
PACKER = "packaging/edge_packaging"


@dataclass(frozen=True, slots=True)
class Aim:
    """Which tests must notice a change to a module, and what share of changes they must notice."""

    tests: tuple[str, ...]
    floor: float = 0.95


ROLLOUT = f"{SITE}/rollout"
UPDATE = tuple(
    f"runtime/update/test_machine{of}"
    for of in (
        "_records.py",
        ".py::test_event",
        ".py::test_resume",
        ".py::test_sealed",
        ".py::test_strikes",
        ".py::test_results_wait_for_the_site",
        ".py::test_out_of_fail_safe",
        ".py::test_rotten_bytes_bar_no_attempt",
        ".py::test_the_same_release_is_ordered_back_twice",
        ".py::test_orders_of_several_releases_are_remembered",
        ".py::test_a_trial_goes_on_where_it_was",
    )
)
GATE = tuple(f"site_proxy/rollout/test_{of}.py" for of in ("gate", "gate_report", "goals"))
AIMS: dict[str, Aim] = {
    f"{GATEWAY}/update/references.py": Aim(("runtime/update/test_references.py",)),
    f"{GATEWAY}/update/machine.py": Aim(UPDATE),
    f"{GATEWAY}/update/back.py": Aim(UPDATE),
    f"{GATEWAY}/update/moves.py": Aim(UPDATE),
    f"{GATEWAY}/update/record.py": Aim(UPDATE),
    f"{ROLLOUT}/machine.py": Aim(
        ("site_proxy/rollout/test_machine.py", "site_proxy/rollout/test_late.py")
    ),
    f"{ROLLOUT}/holds.py": Aim(
        (
            "site_proxy/rollout/test_machine.py",
            "site_proxy/rollout/test_approval_hold.py",
            "site_proxy/rollout/test_late.py",
        )
    ),
    f"{ROLLOUT}/baselines.py": Aim(("site_proxy/rollout/test_baselines.py",)),
    f"{ROLLOUT}/marks.py": Aim(("site_proxy/rollout/test_marks.py",)),
    f"{ROLLOUT}/deadlines.py": Aim(("site_proxy/rollout/test_late.py",)),
    f"{SITE}/fleet/places.py": Aim(
        (
            "site_proxy/fleet/test_places.py::test_who_stands_now",
            "site_proxy/fleet/test_places.py::test_what_is_said_of_them",
        )
    ),
    f"{SITE}/fleet/times.py": Aim(
        (
            "site_proxy/fleet/test_times.py::test_in_site_time",
            "site_proxy/fleet/test_times.py::test_offset",
        )
    ),
    f"{ROLLOUT}/gates/gate.py": Aim(GATE),
    f"{ROLLOUT}/gates/goals.py": Aim(GATE),
    f"{ROLLOUT}/gates/compare.py": Aim(GATE),
    f"{ROLLOUT}/gates/exposure.py": Aim((*GATE, "site_proxy/rollout/test_exposure.py")),
    f"{ROLLOUT}/gates/evidence.py": Aim(("site_proxy/rollout/test_evidence.py",)),
    f"{ROLLOUT}/gates/aa.py": Aim(("site_proxy/rollout/test_aa.py",)),
    f"{ROLLOUT}/gates/overrides.py": Aim(("site_proxy/rollout/test_overrides.py",)),
    f"{ROLLOUT}/gates/shifts.py": Aim(("site_proxy/rollout/test_shifts.py",)),
    f"{ROLLOUT}/permits.py": Aim(
        (
            "site_proxy/rollout/test_permits.py",
            "site_proxy/rollout/test_permit_limits.py",
            "site_proxy/rollout/test_late.py",
        )
    ),
    f"{ROLLOUT}/cohorts.py": Aim(
        ("site_proxy/rollout/test_cohorts.py", "site_proxy/rollout/test_cohort_plan.py")
    ),
    f"{ROLLOUT}/strategies.py": Aim(("site_proxy/rollout/test_strategies.py",)),
    f"{ROLLOUT}/budget.py": Aim(("site_proxy/rollout/test_budget.py",)),
    f"{GATEWAY}/update/meter.py": Aim(("runtime/update/test_meter.py",)),
    f"{ROLLOUT}/eta.py": Aim(("site_proxy/rollout/test_eta.py",)),
    f"{ROLLOUT}/topology.py": Aim(("site_proxy/rollout/test_topology.py",)),
    f"{ROLLOUT}/gates/statistics.py": Aim(
        ("site_proxy/rollout/test_statistics.py", "site_proxy/rollout/test_wealth.py")
    ),
    f"{ROLLOUT}/windows.py": Aim(("site_proxy/rollout/test_windows.py",)),
    f"{SITE}/alarms/life.py": Aim(("site_proxy/alarms/test_life.py",)),
    f"{SITE}/alarms/rates.py": Aim(("site_proxy/alarms/test_rates.py",)),
    f"{SITE}/alarms/unwritten.py": Aim(("site_proxy/alarms/test_unwritten.py",)),
    f"{SITE}/alarms/pages/say.py": Aim(("site_proxy/alarms/test_pages.py",)),
    f"{ROLLOUT}/approvals/mandate.py": Aim(("site_proxy/rollout/test_mandate.py",)),
    f"{ROLLOUT}/approvals/signatures.py": Aim(("site_proxy/rollout/test_signatures.py",)),
    f"{ROLLOUT}/approvals/revocation.py": Aim(("site_proxy/rollout/test_signatures.py",)),
    f"{ROLLOUT}/restrict.py": Aim(("site_proxy/rollout/test_restrict.py",)),
    f"{ROLLOUT}/steering.py": Aim(("site_proxy/rollout/test_steering.py",)),
    f"{ROLLOUT}/policies.py": Aim(("site_proxy/rollout/test_policies.py",)),
    f"{SITE}/signing/lock.py": Aim(("site_proxy/signing/test_lock.py",)),
    f"{ROLLOUT}/glance.py": Aim(("site_proxy/rollout/test_glance.py",)),
    f"{SITE}/fleet/pace.py": Aim(("site_proxy/fleet/test_pace.py",)),
    f"{SITE}/api/gateway/room.py": Aim(("site_proxy/gateway_api/test_room.py",)),
    f"{SITE}/audit/tree.py": Aim(("site_proxy/audit/test_tree.py",)),
    f"{SITE}/audit/verify.py": Aim(
        ("site_proxy/audit/test_verify.py", "site_proxy/audit/test_verify_audit.py")
    ),
    **{
        f"{SITE}/audit/reports/{name}.py": Aim(("site_proxy/audit/test_reports.py",))
        for name in ("access", "changes", "inventory", "population")
    },
    f"{SITE}/audit/keys.py": Aim(("site_proxy/audit/test_keys.py",)),
    f"{CORE}/features/window.py": Aim(("features/test_window.py",)),
    f"{CORE}/features/stream.py": Aim(("features/test_stream.py",)),
    f"{CORE}/features/recording.py": Aim(("features/test_recording.py",)),
    f"{GATEWAY}/frames/silence.py": Aim(("runtime/frames/test_silence.py::test_silence",)),
    f"{GATEWAY}/clock.py": Aim(("runtime/test_clock.py",)),
    f"{GATEWAY}/gaps.py": Aim(("runtime/test_gaps.py",)),
    f"{GATEWAY}/drift.py": Aim(("runtime/test_drift.py",)),
    f"{GATEWAY}/health.py": Aim(("runtime/test_health.py",)),
    f"{GATEWAY}/reload.py": Aim(("runtime/test_reload.py",)),
    f"{GATEWAY}/named_files.py": Aim(("runtime/test_reload_files.py",)),
    f"{GATEWAY}/instruments.py": Aim(("runtime/test_instruments.py",)),
    f"{GATEWAY}/frames/off_time.py": Aim(("runtime/frames/test_off_time.py",)),
    f"{GATEWAY}/attempt.py": Aim(("runtime/test_attempt.py",)),
    f"{GATEWAY}/wear.py": Aim(("runtime/test_wear.py",)),
    f"{GATEWAY}/inference/ledger.py": Aim(("inference/test_ledger.py",)),
    f"{GATEWAY}/inference/deadline.py": Aim(("inference/test_deadline.py",)),
    f"{GATEWAY}/inference/allowance.py": Aim(("inference/test_allowance.py",)),
    f"{GATEWAY}/sources/opcua_continuity.py": Aim(
        ("runtime/sources/test_opcua_continuity.py", "runtime/sources/test_opcua_clocks.py")
    ),
    f"{GATEWAY}/sources/opcua_missing.py": Aim(("runtime/sources/test_opcua_missing.py",)),
    f"{GATEWAY}/sources/sparkplug_rebirth.py": Aim(("runtime/sources/test_sparkplug_rebirth.py",)),
    f"{GATEWAY}/commission/propose.py": Aim(("runtime/commission/test_propose.py",)),
    f"{CORE}/drift/wcusum.py": Aim(("drift/test_wcusum.py",)),
    f"{CORE}/trust/release.py": Aim(("trust/test_release.py", "trust/test_refusals.py")),
    f"{CORE}/features/grid.py": Aim(("features/test_grid.py",)),
    f"{CORE}/features/quality.py": Aim(("features/test_quality.py",)),
    f"{CORE}/features/outcome.py": Aim(("features/test_outcome.py",)),
    f"{CORE}/features/frame.py": Aim(("features/test_frame.py",)),
    f"{CORE}/features/statistics.py": Aim(("features/test_statistics.py",)),
    f"{CORE}/features/contract.py": Aim(("features/test_contract.py",)),
    f"{CORE}/drift/charts.py": Aim(("drift/test_charts.py",)),
    f"{CORE}/drift/psi.py": Aim(("drift/test_psi.py",)),
    f"{CORE}/drift/domain.py": Aim(("drift/test_domain.py",)),
    f"{CORE}/trust/bundle.py": Aim(("trust/test_release.py", "trust/test_refusals.py")),
    f"{CORE}/trust/policy.py": Aim(("trust/test_policy.py", "trust/test_release.py")),
    f"{CORE}/trust/channel.py": Aim(("trust/test_channel.py",)),
    f"{CORE}/trust/documents.py": Aim(("trust/test_channel.py", "trust/test_plan.py")),
    f"{CORE}/trust/plan.py": Aim(("trust/test_plan.py",)),
    f"{CORE}/journal/marks.py": Aim(("journal/test_marks.py",)),
    f"{CORE}/journal/intervals.py": Aim(("journal/test_intervals.py",)),
    f"{CORE}/admission/gate.py": Aim(("admission/test_gate.py",)),
    f"{PACKER}/outputs.py": Aim(("packing/test_outputs.py",)),
}

# Changes that change nothing, by module: the changed line, and why no test could tell.
EQUIVALENT: dict[str, dict[str, str]] = {
    f"{ROLLOUT}/gates/goals.py": {
        "if evidence.harm > log_fail:": "no evidence is the limit to the last bit",
        "elif good <= wanted:": "likewise",
    },
    f"{CORE}/journal/intervals.py": {
        "if not self._firsts or first > self._lasts[-1] + 2:": "the general way ends the same",
        "if not self._firsts or first >= self._lasts[-1] + 1:": "that was added a line above",
    },
    f"{CORE}/features/window.py": {
        "self._values = np.full((3 * self._length, tags), np.nan, np.float32)": "only memory",
        "self._quality = np.full((3 * self._length, tags), CellQuality.GAP, np.uint8)": "likewise",
        "self._source_ns = np.full((3 * self._length, tags), NO_TIME_NS, np.int64)": "likewise",
        "self._source_ns = np.full((2 * self._length, tags), np.int64)": "only memory",
        "self._values = np.full((2 * self._length, tags), None, np.float32)": "NaN all the same",
        "values=np.full((1, tags), None, np.float32),": "likewise",
        "scarce = np.asarray(window.good_share <= needed)": "no share is a billionth off",
        "doubtful = window.good_share - window.uncertain_share <= needed": "likewise",
        "span = slice(at, at - self._length)": "in a ring that is twice as long",
        "self._since_row = 1": "the first row sets it to its own",
        "self._since_row = None": "likewise",
        "_cause(window.quality[:, column], (gaps or {}).get(roles[column], None)) "
        "for column in order": "nothing said either way",
        "_cause(window.quality[:, column], (gaps or {}).get(roles[column], )) "
        "for column in order": "likewise",
    },
    f"{GATEWAY}/instruments.py": {
        "spells = {tag: self._spells.get(tag, _Spell(at, now_s, None)) "
        "for tag, why in bad.items()}": "the next line says why",
    },
    f"{GATEWAY}/frames/off_time.py": {
        'how = "behind" if nearest_ns <= 0 else "ahead"': "what is near is of now",
        'how = "behind" if nearest_ns < 1 else "ahead"': "likewise",
    },
    f"{GATEWAY}/clock.py": {
        "self._moved_s = None": "the first sample sets it",
        "self._moved_s = 1.0": "likewise",
        'self._leaping_since_s: float | None = ""': "likewise",
        "self._confirmed = None": "as good as false",
        "self._offset_ns = max(wanted, self._offset_ns - max(1, slack_ns))": "a nanosecond",
    },
    f"{GATEWAY}/drift.py": {
        "behind_ns = -2 if self.last_end_ns is None else self.last_end_ns - window.end_ns": (
            "any number below nought"
        ),
        'self._held_for: DriftReference | None = ""': "no reference either",
        "self._held_for = None": "the digest is made again without need",
        "if self._chart is None and self._held_for is reference:": "likewise",
    },
    f"{GATEWAY}/gaps.py": {
        "self._lost[tag] = True": "its samples are looked at without need",
        "self._lost[tag] = None": "as good as false",
    },
    f"{GATEWAY}/inference/ledger.py": {
        "self._head_since = 1.0": "the first window sets it",
    },
    f"{GATEWAY}/sources/opcua_continuity.py": {
        "if NO_TIME + 2 < start_ns < source_ns:": "no value is a nanosecond after none",
        "self._published_ns = None": "the first message sets it before it is looked at",
        "self._first[tag] = None": "as good as false",
    },
    f"{GATEWAY}/sources/opcua_missing.py": {
        "shortest_ns = start_ns = end_ns = 1": "the first group sets them",
    },
    f"{GATEWAY}/commission/propose.py": {
        "wanted, key=lambda one: -max((s for s, _ in ranked[one.role]), default=1.0)": (
            "a role that nothing fits takes nothing, whenever it chooses"
        ),
    },
    f"{CORE}/features/outcome.py": {
        "others[normal] = -2.0": "any share below nought is none",
        "row = output.reshape(spec.shape[0], -2)[0].astype(np.float64)": "NumPy takes it for -1",
        "places = row.reshape(len(signature.classes), -2)": "likewise",
    },
    f"{CORE}/features/frame.py": {
        'ends = (-2, 1, 1) if wanted.layout == "nchw" else (1, 1, -1)': "NumPy takes it for -1",
        'ends = (-1, 1, 1) if wanted.layout == "nchw" else (1, 1, -2)': "likewise",
        "place = np.clip((output + 0.5) * have / made - 0.5, 0, None)": (
            "what lies beyond the last pixel lies between it and itself"
        ),
        "place = np.clip((output + 0.5) * have / made - 0.5, 0, have + 1)": "likewise",
        "if picture.shape[:3] == made == kept:": "a longer way to the same pixels",
    },
    f"{CORE}/features/stream.py": {
        "ordered = samples.take(np.argsort(samples.times_ns, kind=None))": "order never decides",
        "ordered = samples.take(np.argsort(samples.times_ns, ))": "likewise",
        'ordered = samples.take(np.argsort(samples.times_ns, kind="STABLE"))': "likewise",
        "for row in range(first_row, last_row + 2, ROWS_MAX):": "the last part is empty",
        "for row in range(first_row, last_row + 1, ):": "smaller parts",
        "end_ns = min(row + ROWS_MAX + 1, last_row) * spec.period_ns": "larger parts",
        "feed.add(ordered.take(np.arange(due)))": "what comes again is of closed rows",
    },
    f"{CORE}/features/recording.py": {
        "np.array([row[3] for row in rows], None),": "a wider number",
        "np.array([row[3] for row in rows], ),": "likewise",
        "np.array([column[row[0]] for row in rows], None),": "likewise, until it is a column",
        "np.array([column[row[0]] for row in rows], ),": "likewise",
        'status = _status(row[places["status"]]) if "status" in places else 1': "good as well",
        "code = -2": "no code either",
    },
    f"{CORE}/features/quality.py": {
        "self._before = np.full(len(rules), np.nan, None)": "nothing equals it",
        "self._before = np.full(len(rules), np.nan, )": "likewise",
        "self._before = np.full(len(rules), np.float32)": "likewise",
        "self._before = np.full(len(rules), None, np.float32)": "likewise",
    },
    f"{CORE}/features/contract.py": {
        "pairs = [linear(tag_map[role], units[role]) or (1.0, 1.0) for role in signature.roles]": (
            "fit_check has refused what has no conversion"
        ),
        "pairs = [linear(tag_map[role], units[role]) or (2.0, 0.0) for role in signature.roles]": (
            "likewise"
        ),
    },
    f"{CORE}/features/grid.py": {
        "order = index[:1]": "the first sample stands where it stood",
        "if np.count_nonzero(newest >= 1) < len(index):": "order is looked at without need",
        "usable_only[cell[unfit]] = -2": "any number below nought is none",
        "shared = np.zeros(int(cell.max()) + 2, np.bool_)": "only memory",
        "values = samples.values.take(held, )": "-1 is the last one either way",
        "source_ns = samples.times_ns.take(held, mode=None)": "likewise",
        "(held, values, np.float32(None)),": "not a number all the same",
        "merit = -samples.quality[at].astype(None)": "a wider number",
        "kept = samples if len(samples) < room else samples.take(np.arange(room))": "all of them",
    },
}


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    TIMEOUT = "timeout"


# By exit code: pytest's, mutmut's own 33 for what no test calls, and a signal for too much CPU.
FATES = {
    1: Fate.KILLED,
    3: Fate.KILLED,
    0: Fate.SURVIVED,
    33: Fate.SURVIVED,
    -signal.SIGXCPU: Fate.TIMEOUT,
    -signal.SIGKILL: Fate.TIMEOUT,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed expression: mutmut's name for it, and the line before and after."""

    name: str
    line: int
    before: str
    after: str

    @property
    def rank(self) -> bytes:
        """The order in which mutants are taken into a sample; the same every time."""
        return hashlib.sha256(self.name.encode()).digest()


def main(arguments: Sequence[str]) -> int:
    """Run the modules that *arguments* name; 0 if each reached its floor."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--list", action="store_true", help="name the modules and their tests")
    parser.add_argument("--all", action="store_true", help="take no sample of a large module")
    asked = parser.parse_args(arguments)
    chosen = {module: aim for module, aim in AIMS.items() if _asked(module, asked.modules)}
    if not chosen:
        parser.error(f"no such module: {' '.join(asked.modules)}; --list names them")
    if asked.list:
        for module, aim in chosen.items():
            print(f"{module}  {' '.join(aim.tests)}  at least {aim.floor:.0%}")  # noqa: T201  # a command
        return 0
    mutants_max = sys.maxsize if asked.all else MUTANTS_MAX
    files = {test.partition("::")[0] for aim in chosen.values() for test in aim.tests}
    if missing := sorted(file for file in files if not (TESTS / file).exists()):
        parser.error(f"no such tests in {TESTS}: {', '.join(missing)}")
    total: Counter[str] = Counter()
    below = []
    for module, aim in chosen.items():
        fates = run(module, aim, mutants_max)
        _show(module, fates)
        count = Counter(fates.values())
        total += count
        if count[Fate.SURVIVED] > (1 - aim.floor) * len(fates):
            below.append(f"{module} is below its floor of {aim.floor:.0%}")
    say(*below)
    say(json.dumps({"mutants": total.total()} | {fate: total[fate] for fate in Fate}))
    return 1 if below else 0


def run(module: str, aim: Aim, mutants_max: int) -> dict[Mutant, Fate]:
    """Try the mutants of *module*, one at a time, and say what became of each."""
    copy = COPIES / module.removesuffix(".py").replace("/", ".")
    source = _lay_out(copy, module, aim)
    mutants = sorted(_mutants(copy, module, source), key=lambda mutant: mutant.rank)[:mutants_max]
    if not mutants:
        return {}
    mutmut = Path(sys.executable).with_name("mutmut")
    ran = subprocess.run(
        [mutmut, "run", "--max-children", "1", *(mutant.name for mutant in mutants)],
        cwd=copy,
        env={**os.environ, "EDGE_HYPOTHESIS_PROFILE": "mutants"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise SystemExit(f"{module}: mutmut gave up\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    results = json.loads((copy / "mutants" / f"{source}.meta").read_text(encoding="utf-8"))
    codes: dict[str, int] = results["exit_code_by_key"]
    strange = {codes[mutant.name] for mutant in mutants} - FATES.keys()
    if strange:
        raise SystemExit(f"{module}: pytest itself failed, with exit codes {sorted(strange)}")
    return {mutant: FATES[codes[mutant.name]] for mutant in mutants}


def pytest_sessionstart() -> None:
    """Import every test module anew; this module is a plugin of the copy's pytest.

    A mutant runs in a fork of a process that ran the tests before. What a test module made while
    it was imported, or cached, would come from unchanged code. Which tests are run for a mutant is
    known from what they call: what is called while a test module is imported counts for none.
    """
    for name in [name for name in sys.modules if name.startswith("tests.")]:
        if name not in {__name__, "tests.conftest"}:
            del sys.modules[name]


def _asked(module: str, names: Sequence[str]) -> bool:
    stem = f"/{module.removesuffix('.py')}"
    return not names or any(stem.endswith(f"/{name.removesuffix('.py')}") for name in names)


def _lay_out(copy: Path, module: str, aim: Aim) -> Path:
    """Make the flat copy anew; where the module lies in it."""
    shutil.rmtree(copy, ignore_errors=True)
    sweepings = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for component in COMPONENTS:
        shutil.copytree(ROOT / component, copy / "src", ignore=sweepings, dirs_exist_ok=True)
    shutil.copytree(ROOT / "tests", copy / "tests", ignore=sweepings)
    source = Path("src", *Path(module).parts[1:])
    settings = {
        "source_paths": ["src"],
        "only_mutate": [str(source)],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "tests.mutants"],
        "pytest_add_cli_args_test_selection": [f"tests/unit/{test}" for test in aim.tests],
        "timeout_constant": 5.0,
        "timeout_multiplier": 4.0,  # of what the tests take unchanged
        "track_dependencies": False,
        "use_git_change_detection": False,
    }
    house = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    # JSON's lists, strings, numbers and booleans are TOML's.
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    text = "\n".join([house, "[tool.mutmut]", *lines, ""])
    (copy / "pyproject.toml").write_text(text, encoding="utf-8")
    return source


def _mutants(copy: Path, module: str, source: Path) -> Iterator[Mutant]:
    """What mutmut would change, less the words and what is known to change nothing."""
    with contextlib.chdir(copy):
        # mutmut reads its settings from the current folder when it is imported.
        from mutmut.mutation.file_mutation import (  # noqa: PLC0415  # see above
            mutate_file_contents,
        )
        from mutmut.utils.format_utils import get_mutant_name  # noqa: PLC0415  # see above

        text = source.read_text(encoding="utf-8")
        mutated = mutate_file_contents(str(source), text)
    lines = mutated.code.splitlines()
    starts = _starts(text)
    known = EQUIVALENT.get(module, {})
    for name in mutated.mutant_names:
        key = name.partition("__mutmut_")[0]
        spans = mutated.line_span_by_function_name
        original, changed = (
            lines[spans[each].start - 1 : spans[each].end]
            for each in (f"{key}__mutmut_orig", name)
        )
        offset, before, after = _change(original, changed, key)
        if _words(before, after) or _idle(before, after) or after in known:
            continue
        yield Mutant(get_mutant_name(source, name), starts[key] + offset, before, after)


def _starts(text: str) -> dict[str, int]:
    """The line on which each function starts, by the name that mutmut gives it."""
    starts = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            starts[f"x_{node.name}"] = node.lineno
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    starts[f"xǁ{node.name}ǁ{method.name}"] = method.lineno
    return starts


def _change(original: list[str], changed: list[str], key: str) -> tuple[int, str, str]:
    """How far below its `def` a function was changed, and the lines before and after."""
    head = next(at for at, line in enumerate(original) if f"def {key}__" in line)
    old, new = original[head + 1 :], changed[head + 1 :]
    edits = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    moved = [edit for edit in edits if edit[0] != "equal"]
    if not moved:  # only the `def` line differs: a default value
        return 0, original[head].strip(), changed[head].strip().replace(f"{key}__", "")
    _, start, _, new_start, _ = moved[0]
    _, _, end, _, new_end = moved[-1]
    before, after = (
        " ".join(line.strip() for line in part)
        for part in (old[start:end], new[new_start:new_end])
    )
    return start + 1, before, after


def _idle(before: str, after: str) -> bool:
    """Whether no test could tell, since the line only spells out what holds anyway.

    zip's `strict` guards against our own mistakes; 64 bits, the first axis of an accumulation and
    a copy where one is needed are what NumPy takes by itself.
    """
    spelt = [r",\s*strict=\w+", r",\s*copy=\w+"]
    if "accumulate(" in before or "add.reduce(" in before:
        spelt.append(r",\s*axis=0")
    old, new = (_tidy(re.sub("|".join(spelt), "", line)) for line in (before, after))
    if old == new:
        return True
    return any(
        new == _tidy(before[: wide.start()] + instead + before[wide.end() :])
        for wide in re.finditer(r"(?:dtype=)?(?:np\.(?:int64|float64)|float)\b", before)
        for instead in ("", "None", "dtype=None")
    )


def _tidy(line: str) -> str:
    return re.sub(r",?\s*(?=\)|$)", "", line)


def _words(before: str, after: str) -> bool:
    """Whether only a sentence was changed; a code, unlike a sentence, has no space in it."""
    old, new = _tokens(before), _tokens(after)
    edits = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    lost = [
        token for kind, start, end, _, _ in edits if kind != "equal" for token in old[start:end]
    ]
    strings = [token for token in lost if token[-1:] in {'"', "'"}]
    sentences = any(" " in token for token in strings)
    return sentences and all(token in {*strings, ","} for token in lost)


def _tokens(code: str) -> list[str]:
    with contextlib.suppress(tokenize.TokenError, IndentationError):
        return [token.string for token in tokenize.generate_tokens(io.StringIO(code).readline)]
    return code.split()


def _show(module: str, fates: dict[Mutant, Fate]) -> None:
    count = Counter(fates.values())
    say(f"{module}: {len(fates)} mutants, " + ", ".join(f"{count[fate]} {fate}" for fate in Fate))
    for mutant, fate in sorted(fates.items(), key=lambda item: item[0].line):
        if fate is not Fate.KILLED:
            say(
                f"  {module}:{mutant.line} {fate}",
                f"    - {mutant.before}",
                f"    + {mutant.after}",
            )


def say(*lines: str) -> None:
    """Print *lines*, at once."""
    for line in lines:
        print(line, flush=True)  # noqa: T201  # this is a command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
