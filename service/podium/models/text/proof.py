"""How a prompt is read is found at load, and proved: probes must give the tokens that its reference gives.

The reference renders a prompt whole and tokenizes it whole. What is tried, in this order: the prompt cut
around its document; its pieces put together for each pair; and its template rendered for each pair.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from tokenizers import Tokenizer

from podium.errors import InvalidRequest
from podium.models.recipe import Chat, Hole, Slot, Written
from podium.models.text.prompt import CutPrompt
from podium.models.text.reading import TEXT_CHARACTERS
from podium.models.text.rendering import DatedTemplate, Messages, Renderer, TemplateFailed
from podium.models.text.template import Item, Parts, Reader, Segment, Texts, cut, pieces, spread
from podium.models.text.whole import Named, WholePrompt, by_pieces, by_rendering, named

PROBES = (
    "The panda lives in China.",
    "",
    "x",
    " a",
    "a ",
    "  two blanks  ",
    "\n",
    "\na line\n",
    "two\n\nlines\n\n",
    "\ttab\t",
    "\r\n",
    "really?",
    "yes!",
    "end:",
    ": colon",
    "...",
    "-",
    "'s \"quoted\" 'text'",
    "“curly” quotes’",
    "<&{ html }&gt; <b>bold</b>",
    "{{ braces }} {% of %} a template",
    "MiXeD CaSe, ALL CAPS, lower",
    "1234567 and 3.14",
    "7",
    "漢字とかな",
    "。中文标点，",
    "🐼 emoji 👩‍👩‍👧",
    "e\u0301 combining a\u0300",
    "\u00a0no-break\u00a0",
    "\u200bzero width\u200b",
    "مرحبا بالعالم",
    "\\n escaped \\",
    "word " * 200,
)
"""Texts whose edges tokenizers and templates treat in their own ways."""

LONGEST_LITERAL, MOST_LITERALS = 100, 64
"""Characters of a string in a template's own code, and how many of them, that are probes too. It may refuse
what it looks for.
"""

LONG = ("word " * (TEXT_CHARACTERS // 5 + 1))[:TEXT_CHARACTERS]
"""As long as any text is: templates cut texts, or choose by their length. It is rendered, never tokenized."""

ORDINARY = "What do pandas eat?"
ODD = " odd?\n"

UNBOUND = 1 << 30
"""A length that cuts nothing."""

_CONTROL = re.compile(r"<\|[^|<>]+\|>|</?think>")
"""What a prompt of the table of families writes as a control token."""

MARKS: Mapping[Slot, str] = {
    "instruction": "\ue0a0\ue0a1",
    "query": "\ue0a2\ue0a3",
    "document": "\ue0a4\ue0a5",
}
"""What stands for instruction, query and document where a template is rendered to see where it puts them."""


def make(
    backend: Tokenizer, template: Written | Chat, special: Mapping[str, object], *, causal: bool
) -> CutPrompt | WholePrompt:
    """Return how a template's pairs are read, without a limit to their length yet.

    `special`: the tokenizer's special tokens by their roles; `causal`: a token sees those before it alone.
    Raises ValueError where the template cannot be rendered, leaves out a text, or is read otherwise than its
    reference reads it.
    """
    if isinstance(template, Written):
        return _written(backend, template, causal=causal)
    with Renderer(template, special) as renderer:
        return _chat(backend, template, special, renderer, causal=causal)


def _written(backend: Tokenizer, template: Written, *, causal: bool) -> CutPrompt | WholePrompt:
    bos = leading(backend) if template.bos else []
    both = {
        instructed: [
            part
            for part in template.parts
            if instructed or not (isinstance(part, Hole) and part.slot == "instruction")
        ]
        for instructed in (False, True)
    }

    def reference(texts: Texts) -> list[int]:
        instructed = bool(texts.get("instruction"))
        parts = both[instructed]
        groups = [[part] for part in parts] if template.apart else [parts]
        spelt = [Segment(tuple(spread(group, instructed=instructed))).text(texts) for group in groups]
        read = [backend.encode(text, add_special_tokens=False).ids for text in spelt]
        return [*bos, *(number for numbers in read for number in numbers)]

    written = "\0".join(_strings(template.parts))
    if missing := [token for token in _CONTROL.findall(written) if backend.token_to_id(token) is None]:
        raise ValueError(
            f"the tokenizer has no token {missing[0]}, which the prompt of this family writes: it is another "
            "model's, or its files lack the added tokens"
        )
    reader = Reader(backend, written)
    prompts = {
        instructed: pieces(parts, reader, instructed=instructed, bos=bos, apart=template.apart)
        for instructed, parts in both.items()
    }
    cases = list(_cases(PROBES))
    proved = [reference(texts) for texts in cases]
    for prompt in _ways(reader, prompts, apart=template.apart, causal=causal):
        if (wrong := _wrong(prompt, cases, proved)) is None:
            return prompt
    raise ValueError(f"the prompt is read otherwise than whole, with {wrong}")


def _chat(
    backend: Tokenizer, chat: Chat, special: Mapping[str, object], renderer: Renderer, *, causal: bool
) -> CutPrompt | WholePrompt:
    cases = list(_cases(PROBES))
    marked = {
        instructed: renderer.render(
            [Messages(MARKS["instruction"] if instructed else None, MARKS["query"], MARKS["document"])]
        )[0]
        for instructed in (False, True)
    }
    rendered = renderer.render([_messages(texts) for texts in cases])
    _refuse_what_leaves_out(cases, rendered)
    reader = Reader(backend, chat.source)
    more = list(_cases(_literals(renderer, reader)))
    shown = renderer.render_what_can_be([_messages(texts) for texts in more])
    found = [(texts, text) for texts, text in zip(more, shown, strict=True) if text is not None]
    cases += [texts for texts, _ in found]
    rendered += [text for _, text in found]
    proved = [backend.encode(text, add_special_tokens=False).ids for text in rendered]
    ways: list[CutPrompt | WholePrompt] = []
    if (parts := _parts(marked, cases, rendered)) is not None and _keeps_long(parts, renderer):
        prompts = {instructed: pieces(found, reader, instructed=True) for instructed, found in parts.items()}
        ways += _ways(reader, prompts, apart=False, causal=causal)
    for prompt in ways:
        if _wrong(prompt, cases, proved) is None:
            return prompt
    return _rendered(Named(chat, special, {}), reader, cases, proved)


def _rendered(
    plain: Named, reader: Reader, cases: Sequence[Texts], proved: Sequence[list[int]]
) -> WholePrompt:
    """Return the template rendered for each pair, in a process that goes on as long as the prompt."""
    names, wrong = named(plain.chat, plain.special, reader), "any text"
    for template, composed in ((names, False), (names, True), (plain, True)):
        renderer = Renderer(template.chat, template.special)
        whole = by_rendering(renderer, reader, template.names, composed=composed)
        prompt = WholePrompt(reader, whole, UNBOUND)
        try:
            found = _wrong(prompt, cases, proved)
        except (TemplateFailed, InvalidRequest):  # with names in it its code is no more what it was
            found = wrong
        except BaseException:
            renderer.close()
            raise
        if found is None:
            return prompt
        renderer.close()
        wrong = found
    raise ValueError(f"the chat template is read otherwise than whole, with {wrong}")


def _messages(texts: Texts) -> Messages:
    return Messages(texts["instruction"] or None, texts["query"], texts["document"])


def _literals(renderer: Renderer, reader: Reader) -> list[str]:
    """Return strings that a template may look for in texts, but those with a control token."""
    control = [token.strip().lower() for token in reader.control.values() if token.strip()]
    found = [
        literal
        for literal in dict.fromkeys(renderer.literals())
        if 0 < len(literal) <= LONGEST_LITERAL and not any(token in literal.lower() for token in control)
    ]
    return found[:MOST_LITERALS]


def leading(backend: Tokenizer) -> list[int]:
    """Return the special tokens that a tokenizer puts before a text of its own accord."""
    alone = backend.encode("x", add_special_tokens=False).ids
    whole = backend.encode("x", add_special_tokens=True).ids
    return next((whole[:at] for at in range(len(whole)) if whole[at : at + len(alone)] == alone), [])


def _strings(parts: Parts) -> Iterator[str]:
    for part in parts:
        yield from (part.before, part.after) if isinstance(part, Hole) else (part,)


def _cases(probes: Iterable[str]) -> Iterator[Texts]:
    """Yield pairs in which each probe stands in each place."""
    for probe in probes:
        yield {"instruction": "", "query": ORDINARY, "document": probe}
        yield {"instruction": "", "query": probe, "document": ORDINARY}
        yield {"instruction": probe, "query": ORDINARY, "document": ORDINARY}
        yield {"instruction": probe, "query": probe, "document": probe}


def _ways(
    reader: Reader, prompts: Mapping[bool, list[Item]], *, apart: bool, causal: bool
) -> Iterator[CutPrompt | WholePrompt]:
    """Yield the ways in which a prompt in pieces can be read, the fastest first."""
    samples: list[Texts] = [
        {"instruction": instruction, "query": query, "document": probe}
        for instruction, query in (("", ORDINARY), (ODD, ODD))
        for probe in PROBES
    ]
    if (found := cut(list(prompts.values()), reader, samples, apart=apart)) is not None:
        shared = causal and not any(isinstance(item, Segment) for item in found[0].after)
        yield CutPrompt(reader, dict(zip(prompts, found, strict=True)), UNBOUND, shared=shared)
    yield WholePrompt(reader, by_pieces(prompts, reader), UNBOUND)


def _wrong(
    prompt: CutPrompt | WholePrompt, cases: Sequence[Texts], proved: Sequence[list[int]]
) -> str | None:
    """Return a case that is not read as it should be, in words; None where there is none."""
    for texts, ids in zip(cases, proved, strict=True):
        (document,) = prompt.documents([texts["document"]], offsets=False, begins=True, ends=True)
        if prompt.pair(prompt.query(texts), document).ids.tolist() != ids:
            return ", ".join(f"{slot} {text[:40]!r}" for slot, text in texts.items())
    return None


def _refuse_what_leaves_out(cases: Sequence[Texts], rendered: Sequence[str]) -> None:
    """Refuse a template whose text is the same for other queries, or for other documents."""
    others: Mapping[Slot, Slot] = {"query": "document", "document": "query"}
    for slot, other in others.items():
        found = {
            text
            for texts, text in zip(cases, rendered, strict=True)
            if not texts["instruction"] and texts[other] == ORDINARY
        }
        if len(found) == 1:
            raise ValueError(f"the chat template leaves out the {slot}: it renders the same text for any")


def _parts(
    marked: Mapping[bool, str], cases: Sequence[Texts], rendered: Sequence[str]
) -> dict[bool, list[str | Hole]] | None:
    """Return a template in parts by where its marks stand; None where it changes texts in other ways."""
    for strips in product((False, True), repeat=len(MARKS)):
        holes = {
            mark: Hole(slot, strip=strip) for (slot, mark), strip in zip(MARKS.items(), strips, strict=True)
        }
        parts = {instructed: _at_marks(text, holes) for instructed, text in marked.items()}
        if all(
            Segment(tuple(parts[bool(texts["instruction"])])).text(texts) == text
            for texts, text in zip(cases, rendered, strict=True)
        ):
            return parts
    return None


def _keeps_long(parts: Mapping[bool, Parts], renderer: Renderer) -> bool:
    """Whether a template in parts is the template for the longest texts too; not where it fails on them."""
    ordinary: Texts = {"instruction": ORDINARY, "query": ORDINARY, "document": ORDINARY}
    cases: list[Texts] = [{**ordinary, slot: LONG} for slot in MARKS]
    cases += [{**texts, "instruction": ""} for texts in cases[1:]]
    for texts in cases:  # each by itself: an answer has its limit
        try:
            rendered = renderer.render([_messages(texts)])
        except DatedTemplate:
            raise
        except ValueError:
            return False
        if [Segment(tuple(parts[bool(texts["instruction"])])).text(texts)] != rendered:
            return False
    return True


def _at_marks(text: str, holes: Mapping[str, Hole]) -> list[str | Hole]:
    split = re.split("(" + "|".join(holes) + ")", text)
    return [holes.get(part, part) for part in split if part]
