"""
Write a chart's README.md from its values: `python charts/readme.py`, or `make chart-readme`.

A comment that begins with `# -- ` describes the value under it. A value of one service that has no
comment means what the same value of a service above it means.
"""

import json  # noqa: TID251 - defaults are shown as JSON, which is YAML
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

CHART: Final = Path(__file__).parent / "decibus"
_HEAD: Final = """\
# The chart `decibus`

<!-- Written by charts/readme.py from values.yaml: `make chart-readme`. -->

{description} Version {version}, Kubernetes {kubernetes}.

```sh
helm install decibus charts/decibus -f charts/values/minikube.yaml
```

On minikube, EKS, GKE and a cluster of one's own: [docs/deploy.md](../../docs/deploy.md).
It depends on no chart that would have to be fetched: `nats-dev` and `influxdb-dev` lie in
[charts/](charts). What upstream's charts are to be told is in [charts/values](../values).

## Values

A value that is wrong is refused by [values.schema.json](values.schema.json), and values that
contradict each other by [templates/validate.yaml](templates/validate.yaml), which says what to do.

{columns}"""
_COLUMNS: Final = """\
| value | default | meaning |
|---|---|---|
"""


class Undescribed(Exception):
    """A value has no comment."""


def rows(values: str) -> Iterator[tuple[str, object, str]]:
    """Yield path, default and meaning of each value, in the order of the file."""
    lines = values.splitlines()
    told: dict[tuple[str, ...], str] = {}

    def walk(node: yaml.MappingNode, above: tuple[str, ...]) -> Iterator[tuple[str, object, str]]:
        for key, value in node.value:
            path = (*above, key.value)
            meaning = _comment(lines, key.start_mark.line) or _same(told, path)
            if meaning:
                told[path] = meaning
                yield ".".join(path), yaml.safe_load(yaml.serialize(value)), meaning
            elif isinstance(value, yaml.MappingNode) and value.value:
                yield from walk(value, path)
            else:
                raise Undescribed(".".join(path))

    root = yaml.compose(values)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 - values.yaml is a mapping
    return walk(root, ())


def _comment(lines: list[str], line: int) -> str:
    text = lines[line - 1].strip() if line else ""
    return text.removeprefix("# -- ") if text.startswith("# -- ") else ""


def _same(told: dict[tuple[str, ...], str], path: tuple[str, ...]) -> str:
    return next((text for other, text in told.items() if other[1:] == path[1:] != ()), "")


def readme(chart: Path) -> str:
    """Return the text of the chart's README.md."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    head = _HEAD.format(
        description=about["description"],
        version=about["version"],
        kubernetes=about["kubeVersion"].removesuffix("-0"),
        columns=_COLUMNS,
    )
    text = head + _table((chart / "values.yaml").read_text())
    for path in sorted((chart / "charts").iterdir()):
        dev = yaml.safe_load((path / "Chart.yaml").read_text())
        text += f"\n### {path.name}\n\n{dev['description']} {dev['appVersion']}.\n\n{_COLUMNS}"
        text += _table((path / "values.yaml").read_text(), prefix=f"{path.name}.")
    return text


def _table(values: str, prefix: str = "") -> str:
    return "".join(
        f"| `{prefix}{path}` | `{json.dumps(default)}` | {meaning} |\n"
        for path, default, meaning in rows(values)
    )


if __name__ == "__main__":
    try:
        (CHART / "README.md").write_text(readme(CHART))
    except Undescribed as error:
        sys.exit(f"values.yaml: no comment describes {error}")
