"""Settings of the operator from environment variables."""

import pytest

from podium_operator.settings import FIELDS, SettingError, Settings, read_settings, variable


def test_nothing_set_gives_the_defaults_and_an_empty_string_too() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"PODIUM_OPERATOR_WORKERS": "", "HOME": "/root"}) == Settings()


def test_lists_are_written_with_commas_and_numbers_and_switches_are_read() -> None:
    found = read_settings(
        {
            "PODIUM_OPERATOR_NAMESPACES": "search, ranking",
            "PODIUM_OPERATOR_WORKERS": "3",
            "PODIUM_OPERATOR_KEDA": "false",
            "PODIUM_OPERATOR_OTLP_ENDPOINT": "http://o:4318",
        }
    )
    assert found.namespaces == ("search", "ranking")
    assert (found.workers, found.keda, found.otlp_endpoint) == (3, False, "http://o:4318")


def test_what_has_fields_is_written_as_json_and_a_list_may_be() -> None:
    found = read_settings(
        {
            "PODIUM_OPERATOR_POD_SECURITY_CONTEXT": '{"runAsNonRoot":true}',
            "PODIUM_OPERATOR_DNS_EGRESS": '[{"ports":[{"port":5353,"protocol":"UDP"}]}]',
            "PODIUM_OPERATOR_EGRESS_EXCEPT": "[]",
            "PODIUM_OPERATOR_ALLOWED_PROMETHEUS_HOSTS": '["a","b"]',
        }
    )
    assert found.pod_security_context == {"runAsNonRoot": True}
    assert found.dns_egress == ({"ports": [{"port": 5353, "protocol": "UDP"}]},)
    assert found.egress_except == ()
    assert found.allowed_prometheus_hosts == ("a", "b")
    lists = [name for name, kind in FIELDS.items() if "tuple[" in str(kind)]
    found = read_settings(dict.fromkeys(map(variable, lists), "null"))
    assert {getattr(found, name) for name in lists} == {()}, "null, as Helm switches a list off, is none"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("PODIUM_OPERATOR_WORKERS", "0", "PODIUM_OPERATOR_WORKERS: Expected `int` >= 1, got `0`"),
        ("PODIUM_OPERATOR_API_TIMEOUT_S", "60", "PODIUM_OPERATOR_API_TIMEOUT_S: Expected `float` <= 30"),
        ("PODIUM_OPERATOR_KEDA", "maybe", "PODIUM_OPERATOR_KEDA: Expected `bool`, got `str`, got `maybe`"),
        ("PODIUM_OPERATOR_OVERLAY", "some", "PODIUM_OPERATOR_OVERLAY: Invalid enum value 'some', got `some`"),
        (
            "PODIUM_OPERATOR_POD_SECURITY_CONTEXT",
            "runAsUser: 1",
            "PODIUM_OPERATOR_POD_SECURITY_CONTEXT: JSON is malformed",
        ),
        ("PODIUM_OPERATOR_DNS_EGRESS", "{}", "PODIUM_OPERATOR_DNS_EGRESS: Expected `array`, got `object`"),
        ("PODIUM_OPERATOR_WORKRS", "3", "PODIUM_OPERATOR_WORKRS: no such setting; the settings are"),
    ],
)
def test_a_setting_that_cannot_work_names_itself_and_its_value(key: str, value: str, message: str) -> None:
    with pytest.raises(SettingError) as raised:
        read_settings({key: value})
    assert str(raised.value).startswith(message)


def test_every_setting_is_described_and_has_a_variable() -> None:
    for name, annotation in FIELDS.items():
        assert "description=" in str(annotation), name
        assert variable(name).startswith("PODIUM_OPERATOR_")
