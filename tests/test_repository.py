"""What the repository promises to its readers: the README is true, and the tree is as it says.

`python tests/test_repository.py` writes the README's generated tables anew.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from test_configuration import settings

from podium.dialects.table import ROUTES, spoken_on
from podium.models.load import load

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def paths_table() -> str:
    """Return each API with the first of its paths; docs/apis.md has them all."""
    paths: dict[str, list[str]] = {}
    for path in ROUTES:
        for dialect in spoken_on(path):
            paths.setdefault(dialect.title, []).append(path)
    rows = (f"| {title} | {_some(found)} |" for title, found in sorted(paths.items()))
    return "\n".join(["| API | paths |", "|---|---|", *rows])


def _some(paths: list[str]) -> str:
    shown = ", ".join(f"`{path}`" for path in paths[:3])
    return shown + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def renewed(text: str) -> str:
    """Return the README with its tables made anew."""
    for name, table in (("paths", paths_table()), ("settings", settings())):
        text = re.sub(
            rf"(<!-- {name}: generated -->\n).*?(<!-- end -->)",
            lambda found, table=table: f"{found[1]}{table}\n{found[2]}",
            text,
            flags=re.DOTALL,
        )
    return text


def test_the_tables_of_the_readme_are_current():
    assert README.read_text() == renewed(README.read_text()), "run: python tests/test_repository.py"


def test_the_answer_in_the_readme_is_the_one_that_the_builtin_model_gives():
    request, answer = re.findall(r"-d '(\{.*?\})'.*?```json\n(.*?)```", README.read_text(), re.DOTALL)[0]
    body, told = json.loads(request), json.loads(answer)
    model = load(ROOT / "service/podium/builtin", uri="builtin")
    (query,) = model.queries([body["query"]])
    encodings = [model.pair(query, document) for document in model.documents(body["documents"])]
    logits = model.score(encodings)
    assert [each["index"] for each in told["results"]] == (-logits).argsort().tolist()[: body["top_n"]]
    assert told["usage"]["total_tokens"] == sum(len(encoding.ids) for encoding in encodings)


def test_every_page_that_a_document_links_to_exists():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.relative_to(ROOT)} links to {link}"


def test_contributing_names_files_and_commands_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in re.findall(r"`((?:service|operator|tests|docs)/[\w./*]+)`", text):
        assert list(ROOT.glob(path.replace("NAME", "*"))), f"CONTRIBUTING.md names {path}"
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"\bmake ([a-z-]+)", text + (ROOT / "SECURITY.md").read_text())
    assert set(named) <= targets


def test_the_operator_folder_never_hides_the_standard_library():
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_the_command_line_answers_without_importing_torch():
    code = "import sys, podium.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
