import pytest

from cssa_mm.engine.config.runtime_values import check_runtime_values
from cssa_mm.errors import ConfigError


def test_whether_a_report_is_written_is_true_or_false():
    check_runtime_values(dict(report=False))
    check_runtime_values({})
    with pytest.raises(ConfigError, match="^report: found 'no', expected True or False"):
        check_runtime_values(dict(report='no'))
