"""What is drawn, and what wakes somebody at night, exists: dashboard, alerts and the page about them name real metrics."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from console.metrics import Collector, exposition
from ingest import store
from ingest.clock import now_ms
from ingest.database import Database, migrate
from ingest.lanes import Lane
from ingest.quota import Outlook
from ingest.settings import Settings

DOCS = Path(__file__).parent.parent.parent / "docs"
METRIC = re.compile(r"\bingest_[a-z_]+\b")
#: name{label="value", other=~"..."}
SELECTOR = re.compile(r"\b(ingest_[a-z_]+)\{([^}]*)\}")
VARIABLES = {"$__rate_interval", "$instance", "$lane"}


class _Quota:
    """Redis, as if it were there."""

    def peek_all(self, accounts: dict[Lane, Any]) -> dict[Lane, Outlook]:
        return dict.fromkeys(accounts, Outlook(1.0, 0.0, 0, 7))


@pytest.fixture
def families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MEMORIES_API_KEY", "sk-test")
    migrate(url := f"sqlite:///{tmp_path / 'test.db'}")
    database = Database(url)
    with database.write() as session:
        store.heartbeat(session, now_ms(), "send,settle", now_ms())
    body, content_type = exposition(Collector(Settings(_env_file=None), database, _Quota()))  # type: ignore[arg-type]
    database.dispose()
    assert content_type.startswith("text/plain")
    return list(text_string_to_metric_families(body.decode()))


@pytest.fixture
def series(families: Any) -> dict[str, set[str]]:
    """The labels of each series name."""
    return {one.name: {*one.labels} for family in families for one in family.samples}


@pytest.fixture
def names(families: Any) -> set[str]:
    """Names as a page says them: counters with their ending, a histogram without."""
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


def dashboard() -> dict[str, Any]:
    return json.loads((DOCS / "grafana-dashboard.json").read_text())


def rules() -> list[dict[str, Any]]:
    groups = YAML(typ="safe").load((DOCS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def drawn() -> Iterator[str]:
    board = dashboard()
    yield from (target["expr"] for panel in board["panels"] for target in panel.get("targets", []))
    yield from (one["definition"] for one in board["templating"]["list"] if one["type"] == "query")


@pytest.mark.parametrize("expression", [*drawn(), *(rule["expr"] for rule in rules())])
def test_what_is_asked_for_exists_with_the_labels_it_is_chosen_by(expression: str, series: dict[str, set[str]]) -> None:
    assert METRIC.search(expression)
    for name in METRIC.findall(expression):
        assert name in series, name
    for name, chosen in SELECTOR.findall(expression):
        assert set(re.findall(r"(\w+)\s*[=!]", chosen)) <= series[name] | {"instance"}, name
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)
    assert set(re.findall(r"\$\w+", expression)) <= VARIABLES


def test_each_metric_is_explained_and_nothing_else_is(names: set[str]) -> None:
    page = (DOCS / "monitoring.md").read_text()
    assert set(re.findall(r"^\| `(ingest_[a-z_]+)", page, re.MULTILINE)) == names
    assert set(METRIC.findall(page)) <= names


def test_each_metric_says_what_it_is(families: Any) -> None:
    for family in families:
        assert family.documentation.endswith("."), family.name
        assert family.type in ("gauge", "counter", "histogram")


def test_each_alert_says_what_is_the_matter_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules()) >= 10
    for rule in rules():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert re.fullmatch(r"\d+[smh]", rule["for"])
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert all(len(words) > 10 for words in rule["annotations"].values())


def test_the_dashboard_is_one_that_can_be_imported() -> None:
    board = dashboard()
    assert board["id"] is None and board["title"] and board["schemaVersion"] >= 36
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert set(variables) == {"datasource", "instance", "lane"}
    assert not variables["instance"]["multi"]  # consoles of one database say the same: two of them would be summed
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["targets"] and panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}"
            assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
