"""The page that ranks, in a real browser against the built-in model."""

import itertools
import json

import pytest
from page.browser import DOCUMENTS, QUERY, Watched, builtin, fill, rank, tab, url
from playwright.sync_api import Browser, expect
from serving import Serving


def expected(server: Serving, documents: list[object], **more: object) -> list[dict[str, object]]:
    return server.post("/v2/rerank", {"query": QUERY, "documents": documents, **more}).body["results"]


def test_the_ranking_is_the_servers_with_scores_bars_and_tokens(watched: Watched, server: Serving) -> None:
    page = watched.page
    page.goto(url(server))
    fill(page, "\n".join(DOCUMENTS))
    texts = rank(page)
    results = expected(server, DOCUMENTS, return_details=True)
    assert texts == [DOCUMENTS[each["index"]] for each in results]
    for result, item in zip(results, page.locator("#results li").all(), strict=True):
        expect(item.locator("strong")).to_have_text(f"{result['relevance_score']:.4f}")
        expect(item.locator(".about")).to_have_text(
            f"line {result['index'] + 1} · {result['tokens']} token{'' if result['tokens'] == 1 else 's'}"
        )
        share = item.evaluate(
            "li => li.querySelector('.bar').offsetWidth / li.querySelector('.track').clientWidth"
        )
        assert share == pytest.approx(result["relevance_score"], abs=0.01)
    expect(page.locator("#about")).to_contain_text("builtin")


def test_where_the_time_went_is_told(browser: Browser) -> None:
    with builtin(cache_bytes=1024 * 1024) as server, tab(browser) as watched:
        page = watched.page
        page.goto(url(server))
        rank(page)
        names = page.locator("#times dt").all_inner_texts()
        assert names == ["In the browser", "Server", "queue", "tokenization", "inference", "Tokens"]
        rank(page)
        expect(page.locator("#times")).to_contain_text("from its cache")


def test_an_error_is_told_in_the_servers_words(browser: Browser, server: Serving) -> None:
    with tab(browser) as watched:
        page = watched.page
        page.goto(url(server))
        rank(page)
        page.get_by_label("JSON", exact=True).check()
        fill(page, '["fine", {"title": "no text"}]')
        page.get_by_role("button", name="Rank").click()
        answer = server.post("/v2/rerank", {"query": QUERY, "documents": ["fine", {"title": "no text"}]})
        expect(page.get_by_role("alert")).to_have_text(f"{answer.status}: {answer.body['message']}")
        expect(page.locator("#results li, #times dt")).to_have_count(0)
        fill(page, "[1, ")
        page.get_by_role("button", name="Rank").click()
        expect(page.get_by_role("alert")).to_contain_text("What is typed is not JSON")
        page.get_by_role("button", name="Copy").click()
        expect(page.locator("#copied")).to_contain_text("What is typed is not JSON")
        fill(page, json.dumps(DOCUMENTS))
        rank(page)
        expect(page.get_by_role("alert")).to_be_empty()
        assert all("the server responded with a status of 400" in each for each in watched.complaints)


def test_texts_are_never_read_as_html(watched: Watched, server: Serving) -> None:
    page = watched.page
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script> panda"
    page.goto(url(server))
    fill(page, evil, query="<b>panda</b>")
    assert rank(page) == [evil]
    assert page.locator("#results img, #results script, #code img, main b").count() == 0


def test_the_passage_that_won_is_marked_where_windows_are_read(watched: Watched, server: Serving) -> None:
    page = watched.page
    page.goto(url(server))
    long = "🐼 Cats sleep all day and dogs bark at the moon. " * 60
    document = (long + "The giant panda is a bear species endemic to China. " + long).strip()
    fill(page, document)
    rank(page)
    expect(page.locator("#results .cut")).to_have_text("cut")
    page.get_by_label("Long documents").select_option("chunk")
    rank(page)
    (result,) = expected(
        server,
        [document],
        overflow="chunk",
        relevant_spans={"mode": "enabled", "threshold": 0, "max_spans": 1},
    )
    (span,) = result["relevant_spans"]
    won = document[span["start"] : span["end"]]
    marked = page.locator("mark").text_content()
    assert marked
    assert won.startswith(marked)
    expect(page.locator(".about")).to_contain_text(f"characters {span['start'] + 1} to {span['end']}")
    page.get_by_role("button", name="Whole text").click()
    assert page.locator("#results p").first.text_content() == document


def test_ten_thousand_documents_are_drawn_a_hundred_at_a_time(watched: Watched, server: Serving) -> None:
    page = watched.page
    page.goto(url(server))
    lines = "\n".join(f"panda {number % 100}" for number in range(10_000))  # few of them to be computed
    page.locator("#documents").evaluate("(area, text) => { area.value = text }", lines)
    page.get_by_role("button", name="Rank").click()
    expect(page.get_by_role("status").first).to_contain_text("10,000 documents ranked")
    rows = page.locator("#results li")
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="Show 100 more of 9,900").focus()
    expect(rows).not_to_have_count(100)  # what comes near is drawn
    assert rows.count() < 1_000
    page.get_by_label("Written for").select_option("httpx")
    assert len(page.locator("#code").inner_text()) < 20_000
    expect(page.locator("#left-out")).to_contain_text("Copy takes all of it, 10,000 documents")


def test_the_keyboard_is_enough(watched: Watched, server: Serving) -> None:
    page = watched.page
    page.goto(url(server))
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
        )
        if reached[-1] == "query":
            page.keyboard.press("Control+A")
            page.keyboard.type("Which animal eats bamboo?")
        if reached[-1] == "Rank":
            page.keyboard.press("Enter")
            expect(page.get_by_role("status").first).to_contain_text("4 documents ranked")
        if reached[-1] == "copy":
            page.keyboard.press("Enter")
            expect(page.locator("#copied")).to_have_text("Copied.")
        if reached[-1] == "code":
            break
    order = [
        name
        for name in reached
        if name in {"query", "documents", "files", "top", "overflow", "key", "Rank", "kind", "copy", "code"}
    ]
    assert order == ["query", "documents", "files", "top", "overflow", "key", "Rank", "kind", "copy", "code"]
    for field in [page.get_by_label("Query"), page.get_by_role("button", name="Rank")]:
        asked = len(watched.asked)
        field.press("Control+Enter")
        expect(page.get_by_role("status").first).to_contain_text("4 documents ranked")
        assert watched.asked[asked:] == [url(server, "/v2/rerank")]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_every_control_has_a_name_and_every_id_is_one_elements(
    watched: Watched, server: Serving, path: str
) -> None:
    page = watched.page
    page.goto(url(server, path))
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button, a, summary")]
        .filter(each => !each.labels?.length && !each.ariaLabel && !each.textContent.trim())
        .map(each => each.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    assert page.evaluate("document.documentElement.lang") == "en"
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map(each => Number(each.localName[1]))"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
  const paint = color => {
    canvas.fillStyle = color
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)]
  }
  const linear = part => part <= 10 ? part / 255 / 12.92 : ((part / 255 + .055) / 1.055) ** 2.4
  const light = color => {
    const [red, green, blue] = paint(color).map(linear)
    return .2126 * red + .7152 * green + .0722 * blue
  }
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor
      if (color !== "rgba(0, 0, 0, 0)") return color
    }
    return "white"
  }
  const ratio = element => {
    const both = [light(getComputedStyle(element).color), light(behind(element))]
    return (Math.max(...both) + .05) / (Math.min(...both) + .05)
  }
  const says = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())
  return [...document.querySelectorAll("body *")]
    .filter(each => each.checkVisibility() && says(each) && ratio(each) < 4.5)
    .map(each => each.outerHTML.slice(0, 80))
}"""
"""What stands out from behind it by less than 4.5 to 1, WCAG's limit."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_texts_stand_out_in_light_and_in_dark_and_fit_on_a_phone(
    browser: Browser, server: Serving, path: str, scheme: str
) -> None:
    with tab(browser, color_scheme=scheme, viewport={"width": 360, "height": 740}) as watched:
        page = watched.page
        page.goto(url(server, path))
        if path == "/":
            rank(page)
        else:
            page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        watched.ended_well(server.port)
