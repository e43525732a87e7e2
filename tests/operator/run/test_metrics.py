"""Every metric of the operator stands in the documents, with its labels."""

from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from podium_operator.run import metrics

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def test_operations_lists_every_metric_by_the_name_that_it_is_scraped_under() -> None:
    described = [item.describe() for item in vars(metrics).values() if isinstance(item, MetricWrapperBase)]
    families = [family for found in [*described, metrics.CONDITIONS.collect()] for family in found]
    names = {family.name + "_total" * (family.type == "counter") for family in families}
    lines = OPERATIONS.read_text().splitlines()
    assert {line.split("`")[1] for line in lines if line.startswith("| `podium_")} == names
