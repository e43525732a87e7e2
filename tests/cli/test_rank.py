import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import FakeModel
from rich.console import Console

import podium
from podium.cli.rank import Document, as_json_lines, as_table, bar, read, score
from podium.errors import ModelFailed
from podium.ranking import Ranking, Usage

BUILTIN = Path(podium.__file__).parent / "builtin"
PODIUM = Path(sys.executable).with_name("podium")
QUERY = "What is deep learning?"
LINES = """The weather is nice [today].

Deep learning is a subset of machine learning that uses neural networks.
  Machine learning is a field of AI.
"""


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PODIUM, "rank", *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=120
    )


def test_lines_of_the_standard_input_are_ranked_by_the_builtin_model():
    ended = run(QUERY, "--json", "--raw", "--dtype", "float32", stdin=LINES)
    assert ended.returncode == 0, ended.stderr
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(answer["index"], answer["source"], answer["document"]) for answer in answers] == [
        (1, "-:3", "Deep learning is a subset of machine learning that uses neural networks."),
        (2, "-:4", "Machine learning is a field of AI."),
        (0, "-:1", "The weather is nice [today]."),
    ]
    assert [answer["score"] for answer in answers][:2] == pytest.approx([6.7517, 6.2250], abs=1e-3)


def test_several_files_are_a_document_each_and_top_n_cuts(tmp_path):
    for n, line in enumerate(LINES.split("\n")):
        (tmp_path / f"{n}.txt").write_text(line)
    ended = run(QUERY, *(str(tmp_path / f"{n}.txt") for n in (0, 2, 3)), "--top-n", "1")
    assert ended.returncode == 0, ended.stderr
    head, best, *more = ended.stdout.splitlines()
    assert head.split() == ["score", "source", "document"]
    assert best.split()[0].startswith("0.99")
    assert "2.txt  Deep learning is" in best
    assert more == []


def test_nothing_to_rank_and_a_file_that_is_not_there_are_usage_errors(tmp_path):
    ended = run(QUERY, stdin="\n \n")
    assert (ended.returncode, "every line is blank" in ended.stderr) == (2, True)
    ended = run(QUERY, str(tmp_path / "none.txt"))
    assert (ended.returncode, "none.txt' does not exist" in ended.stderr) == (2, True)


def test_a_model_that_is_not_there_ends_with_42():
    ended = run(QUERY, "--model", "/no/such", stdin="a")
    assert (ended.returncode, ended.stdout) == (42, "")
    assert "podium: ModelNotFound: there is no folder /no/such" in ended.stderr


def test_a_model_that_fails_on_a_batch_ends_with_one_line(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(BUILTIN, folder)
    config = json.loads((folder / "config.json").read_bytes())
    # what is cut in chunks cannot be cut evenly
    (folder / "config.json").write_text(json.dumps({**config, "chunk_size_feed_forward": 7}))
    ended = run(QUERY, "--model", str(folder), stdin=LINES)
    assert ended.returncode == 1
    assert "the model failed on these documents: ValueError: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_documents_are_lines_or_files_with_where_they_came_from(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes("one\r\n\n  two  \nthr\u2028ee".encode() + b"\xff")
    second.write_text("four\nfive\n")
    assert read([str(first)], "line") == [
        Document("one", f"{first}:1"),
        Document("two", f"{first}:3"),
        Document("thr\u2028ee\ufffd", f"{first}:4"),
    ]
    assert read([str(second), str(first)], "line")[0] == Document("four", f"{second}:1")
    assert read([str(second)], "file") == [Document("four\nfive\n", str(second))]


def ranked(documents: list[str], **options) -> tuple[FakeModel, Ranking]:
    model = FakeModel()
    return model, score(
        model, "q", documents, Console(file=io.StringIO()), **({"top_n": None, "raw": True} | options)
    )


def test_scores_come_back_in_input_order_though_the_longest_is_scored_first():
    model, result = ranked(["score=1", "score=3 with more words", "score=2 words"])
    assert model.batches == [["score=3 with more words", "score=2 words", "score=1"]]
    assert result.scores == [1.0, 3.0, 2.0]
    assert result.order == [1, 2, 0]


def test_cut_documents_are_counted():
    _, result = ranked(["score=1 " + "word " * 100, "short"], top_n=1)
    assert result.usage.truncated_documents == 1
    assert result.order == [0]


def test_a_score_that_is_no_number_is_an_error_with_a_way_out():
    with pytest.raises(ModelFailed, match="not a number; try `--dtype float32`"):
        ranked(["fine", "nan"])


RESULT = Ranking([0.25, 1.0, 0.0], [1, 0, 2], Usage(9, 0))
DOCUMENTS = [Document("two\nlines", "a" * 30 + ".txt"), Document("[bold]é", "b:2"), Document("x" * 200, "c")]


def test_json_is_one_object_a_line_best_first():
    assert (
        as_json_lines(RESULT, DOCUMENTS)[0]
        == '{"index": 1, "score": 1.0, "document": "[bold]é", "source": "b:2"}'
    )
    assert [json.loads(line)["index"] for line in as_json_lines(RESULT, DOCUMENTS)] == [1, 0, 2]


def test_the_table_has_a_line_a_document_with_its_bar_and_takes_no_text_for_markup():
    out = io.StringIO()
    Console(file=out, width=80).print(as_table(RESULT, DOCUMENTS, 80))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert lines[1:] == [
        "  1.0000  ████████████████  b:2                       [bold]é",
        f"  0.2500  ████              …{'a' * 19}.txt  two lines",
        f"  0.0000                    c                         {'x' * 25}…",
    ]


def test_bars_of_logits_span_from_the_least_to_the_best():
    out = io.StringIO()
    result = Ranking([-4.0, 6.0, 1.0], [1, 2, 0], Usage(9, 0))
    Console(file=out, width=80).print(as_table(result, DOCUMENTS, 80))
    assert [line.count("█") for line in out.getvalue().splitlines()[1:]] == [16, 8, 0]


@pytest.mark.parametrize(
    ("filled", "drawn"), [(0.0, ""), (1.0, "█" * 16), (0.5, "█" * 8), (1 / 128, "▏"), (0.99, "█" * 15 + "▉")]
)
def test_a_bar_is_drawn_in_eighths(filled, drawn):
    assert bar(filled) == drawn
