"""What is ranked: documents that are typed, dropped and chosen."""

import json

from page.browser import DOCUMENTS, Watched, fill, rank, tab, url
from playwright.sync_api import Browser, FilePayload, Page, expect
from serving import Serving


def choose(page: Page, **files: bytes) -> None:
    """Choose files; an underscore in a name is its dot."""
    named = [(name.replace("_", "."), content) for name, content in files.items()]
    page.get_by_label("Files", exact=True).set_input_files(
        [FilePayload(name=name, mimeType="text/plain", buffer=content) for name, content in named]
    )


def test_json_and_dropped_files_are_documents(watched: Watched, server: Serving) -> None:
    page = watched.page
    page.goto(url(server))
    page.get_by_label("JSON", exact=True).check()
    content = [{"type": "text", "text": "in parts,"}, {"text": "as vLLM has it"}]
    fill(page, json.dumps({"documents": ["hi", {"text": DOCUMENTS[1], "id": 7}, {"content": content}]}))
    page.get_by_label("Files", exact=True).set_input_files(
        [
            {"name": "whole.md", "mimeType": "text/plain", "buffer": b"I like cats.\nPandas eat bamboo."},
            {"name": "many.jsonl", "mimeType": "text/plain", "buffer": b'"one panda"\n\n{"text": "two"}\n'},
            {"name": "list.json", "mimeType": "text/plain", "buffer": '["панда 🐼"]'.encode()},
        ]
    )
    expect(page.locator("#dropped li")).to_have_count(3)
    transfer = page.evaluate_handle(
        """() => {
            const all = new DataTransfer()
            all.items.add(new File(["dropped"], "drop.txt"))
            return all
        }"""
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(page.locator("#dropped li")).to_have_count(4)
    assert sorted(rank(page)) == sorted(
        [
            "hi",
            DOCUMENTS[1],
            "in parts,\nas vLLM has it",
            "I like cats.\nPandas eat bamboo.",
            "one panda",
            "two",
            "панда 🐼",
            "dropped",
        ]
    )
    sources = {text.partition(" · ")[0] for text in page.locator(".about").all_text_contents()}
    assert {"document 2", "whole.md", "many.jsonl 3", "list.json 1", "drop.txt"} <= sources
    page.get_by_label("Each line of a text file").check()
    page.get_by_role("button", name="Remove list.json").click()
    assert len(rank(page)) == 8
    expect(page.locator("#results")).to_contain_text("whole.md 2")


COUNTED = """
const { parse, stringify } = JSON
window.parsed = 0
window.longest = 0
JSON.parse = (text, ...more) => {
  if (text.includes("read once")) parsed += 1
  return parse(text, ...more)
}
JSON.stringify = (...given) => {
  const made = stringify(...given)
  longest = Math.max(longest, made?.length ?? 0)
  return made
}
"""


def test_a_large_file_is_read_once_and_as_much_of_it_written_as_is_shown(
    watched: Watched, server: Serving
) -> None:
    page = watched.page
    page.add_init_script(COUNTED)
    page.goto(url(server))
    large = "panda " * 200_000
    choose(page, large_json=json.dumps(["read once", large, {"text": large}]).encode())
    expect(page.locator("#dropped li")).to_have_count(1)
    fill(page, "typed since", query="asked since")
    expect(page.locator("#code")).to_contain_text("asked since")
    expect(page.locator("#left-out")).to_contain_text("Shown in part")
    assert page.evaluate("parsed") == 1
    assert page.evaluate("longest") < len(large) / 10
    with page.expect_request("**/v2/rerank") as asked:
        page.get_by_role("button", name="Rank").click()
    assert asked.value.post_data_json["documents"] == ["typed since", "read once", large, {"text": large}]


def test_a_file_that_cannot_be_read_is_named_with_the_reason(watched: Watched, server: Serving) -> None:
    page = watched.page
    page.goto(url(server))
    fill(page, "")
    choose(
        page,
        old_txt="Große Pandas fraßen Bambus".encode("latin-1"),
        image_png=b"\0\1",
        typo_json=b"[1,",
        typo_jsonl=b'"fine"\n{"text"}',
        two_jsonl=b'"fine"\n"a", "b"',
        little_txt="панда".encode("utf-16"),
        big_txt=b"\xfe\xff" + "熊猫".encode("utf-16-be"),
        marked_json=json.dumps(["fine"]).encode("utf-8-sig"),
    )
    told = page.get_by_role("alert")
    expect(told).to_contain_text("old.txt cannot be read: it is not UTF-8")
    expect(told).to_contain_text("image.png cannot be read: it is no text")
    expect(told).to_contain_text("typo.json cannot be read: it is not JSON: ")
    expect(told).to_contain_text("typo.jsonl cannot be read: line 2 is not JSON: ")
    expect(told).to_contain_text("two.jsonl cannot be read: line 2 is not JSON: ")
    expect(page.locator("#dropped li")).to_have_count(3)
    assert sorted(rank(page)) == sorted(["панда", "熊猫", "fine"])


def test_half_an_emoji_goes_nowhere(browser: Browser, server: Serving) -> None:
    with tab(browser) as watched:
        page = watched.page
        told = server.get("/info").body | {"instruction_use": "slot"}
        page.route("**/info", lambda route: route.fulfill(json=told))
        page.goto(url(server))
        expect(page.get_by_label("Instruction")).to_be_visible()
        page.get_by_label("JSON", exact=True).check()
        fill(page, r'["\ud83d", {"text": "\ud83d", "a\udc00": ["\ud83d", 1, null]}]')
        for name in ["query", "instruction"]:
            page.locator(f"#{name}").evaluate("field => { field.value = 'panda \\ud83d' }")
        with page.expect_request("**/v2/rerank") as asked:
            page.get_by_role("button", name="Rank").click()
        sent = asked.value.post_data_json
        assert sent["query"] == sent["instruction"] == "panda \ufffd"
        assert sent["documents"] == ["\ufffd", {"text": "\ufffd", "a\ufffd": ["\ufffd", 1, None]}]
