"""Copy the schemas of custom resources that rendered files are tested with: `python scripts/crds.py FOLDER`.

FOLDER holds one JSON schema a kind (`GROUP_KIND_VERSION.json`) and a README that says where each came from; both are
copied to tests/crds, so that tests need nothing else. `--check` writes nothing and fails where the copy differs.
"""

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "tests" / "crds"


def main(arguments: list[str]) -> int:
    """Copy or compare; return the exit code."""
    folders = [Path(argument) for argument in arguments if not argument.startswith("-")]
    if len(folders) != 1 or not (folders[0] / "README.md").is_file():
        print(__doc__)
        return 2
    wanted = {path.name: _read(path) for path in sorted(folders[0].iterdir()) if path.suffix in (".json", ".md")}
    if "--check" in arguments:
        present = {path.name: path.read_text(encoding="utf-8") for path in TARGET.iterdir()}
        different = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        print("\n".join(f"tests/crds/{name} differs" for name in different) or "tests/crds is the same")
        return 1 if different else 0
    TARGET.mkdir(exist_ok=True)
    for name, text in wanted.items():
        (TARGET / name).write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(wanted)} files in tests/crds")
    return 0


def _read(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".md" else json.dumps(_opened(json.loads(text)), separators=(",", ":")) + "\n"


def _opened(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Let an object that names no property have any: its type declaration is `{}`, a map of a plugin's own."""
    if isinstance(value, list):
        return [_opened(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value == {"additionalProperties": False, "type": "object"}:
        return {"type": "object"}
    return {key: _opened(item) for key, item in value.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
