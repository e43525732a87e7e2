import json

import pytest

from podium.cli.outcome import LIMIT, Outcome, encode, ends_by_reason
from podium.errors import PermanentStartError, Reason, TemporaryStartError


@pytest.mark.parametrize("character", ["a", "é", "\n", "\0", "漢", "😀", '"'])
def test_a_log_has_at_most_4096_bytes_whatever_the_message(character):
    encoded = encode(Outcome("ModelLoadFailed", character * 10_000))
    assert len(encoded) <= LIMIT
    assert len(encoded) > LIMIT // 2
    assert json.loads(encoded)["message"].startswith(character * 100)


@pytest.mark.parametrize(
    ("error", "code", "log"),
    [
        pytest.param(
            PermanentStartError(Reason.SELF_TEST_FAILED, "wrong way round"),
            42,
            b'{"reason":"SelfTestFailed","message":"wrong way round","httpStatus":null,"bytes":null,'
            b'"resolvedRevision":null}',
            id="permanent",
        ),
        pytest.param(
            TemporaryStartError(Reason.RATE_LIMITED, "later", http_status=429, bytes=7),
            75,
            b'{"reason":"RateLimited","message":"later","httpStatus":429,"bytes":7,"resolvedRevision":null}',
            id="temporary",
        ),
    ],
)
def test_a_start_error_is_an_exit_code_a_line_and_a_log(error, code, log, tmp_path, capsys):
    path = tmp_path / "log"
    with pytest.raises(SystemExit) as ended, ends_by_reason(path):
        raise error
    assert ended.value.code == code
    assert path.read_bytes() == log
    assert capsys.readouterr().err == f"podium: {error.reason}: {error.message}\n"
