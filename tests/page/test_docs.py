"""The reference at /docs, in a real browser."""

from page.browser import Watched, url
from playwright.sync_api import expect
from serving import Serving


def test_a_client_is_found_with_its_url_on_this_server_and_its_api(watched: Watched, server: Serving) -> None:
    page = watched.page
    page.goto(url(server, "/docs"))
    assert page.locator("h2").first.inner_text() == "Which API am I on?"
    page.get_by_label("Search").fill("langchain voyage")
    row = page.locator("tr[data-find]:visible")
    expect(row).to_have_count(1)
    expect(row.locator("code")).to_have_text(f"http://localhost:{server.port}/v1")
    expect(page.locator("#found")).to_contain_text("0 APIs and 1 lines")
    row.get_by_role("link", name="Voyage").click()
    expect(page.locator("#voyage")).to_have_attribute("open", "")
    expect(page.get_by_label("Search")).to_have_value("")


def test_fields_and_paths_are_found_and_what_has_none_is_hidden(watched: Watched, server: Serving) -> None:
    page = watched.page
    page.goto(url(server, "/docs"))
    page.get_by_label("Search").fill("relevant_spans")
    assert page.locator(".api:visible b").all_inner_texts() == ["Cohere"]
    assert page.locator("h3:visible").all_inner_texts() == ["Vendors"]
    expect(page.locator("#service")).to_be_hidden()
    page.get_by_label("Search").fill("")
    assert page.locator(".api:visible").count() == page.locator(".api").count()


def test_an_example_is_sent_and_written_for_curl(watched: Watched, server: Serving) -> None:
    page = watched.page
    page.goto(url(server, "/docs#tei"))
    form = page.locator("#tei form")
    form.get_by_role("button", name="Send").click()
    expect(form.locator("output")).to_have_class("good")
    expect(form.locator("output")).to_contain_text("Paris is the capital of France.")
    form.get_by_role("button", name="As curl").click()
    expect(form.locator("output")).to_contain_text(f"curl 'http://localhost:{server.port}/rerank'")
