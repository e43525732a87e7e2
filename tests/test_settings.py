import pytest

from podium.settings import FIELDS, SettingError, Settings, from_environment, variable


def test_the_defaults_serve_the_builtin_model_on_port_8080():
    settings = Settings.from_strings({})
    assert (settings.model, settings.port, settings.max_documents) == ("builtin", 8080, 10_000)


def test_an_empty_string_means_the_default():
    assert Settings.from_strings({"max_length": "", "port": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_length", "512", 512),
        ("offline", "true", True),
        ("offline", "1", True),
        ("offline", "False", False),
        ("request_timeout_s", "1.5", 1.5),
        ("device", "cuda:1", "cuda:1"),
        ("api_keys", "one,two", "one,two"),
    ],
)
def test_a_string_is_read_as_its_settings_type(name, text, value):
    assert getattr(Settings.from_strings({name: text}), name) == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"prot": "1"}, "unknown setting `prot`", id="unknown"),
        pytest.param({"port": "tcp://10.0.0.1:80"}, "PODIUM_PORT: .*`tcp://10.0.0.1:80`", id="not a number"),
        pytest.param({"port": "65536"}, "PODIUM_PORT: .*<= 65535.*`65536`", id="too large"),
        pytest.param({"max_length": "3"}, "PODIUM_MAX_LENGTH: .*>= 16.*`3`", id="too small"),
        pytest.param({"dtype": "int4"}, "PODIUM_DTYPE: .*`int4`", id="no such choice"),
        pytest.param({"device": "gpu"}, "PODIUM_DEVICE: .*`gpu`", id="no such device"),
        pytest.param({"root_path": "podium"}, "PODIUM_ROOT_PATH must begin with a slash", id="no slash"),
        pytest.param(
            {"trust_remote_code": "true", "revision": "main"},
            "PODIUM_TRUST_REMOTE_CODE needs PODIUM_REVISION with a commit of 40 hex digits, got `main`",
            id="code of a branch",
        ),
    ],
)
def test_a_setting_that_cannot_work_names_itself_and_its_value(values, message):
    with pytest.raises(SettingError, match=message):
        Settings.from_strings(values)


def test_a_key_that_does_not_parse_is_not_shown():
    # Settings print themselves nowhere; this is the one place where a value is repeated.
    with pytest.raises(SettingError) as refused:
        Settings.from_strings({"api_keys": "secret", "port": "x"})
    assert "secret" not in str(refused.value)


def test_every_setting_has_a_variable_and_a_description():
    for name, field in FIELDS.items():
        assert variable(name) == f"PODIUM_{name.upper()}"
        assert field.__metadata__[0].description


def test_only_settings_are_taken_from_the_environment():
    environment = {"PODIUM_PORT": "1", "PODIUM_PORT_8080_TCP": "tcp://…", "PORT": "2", "HOME": "/"}
    assert from_environment(environment) == {"port": "1"}
