"""From a variant's settings to the untrained model behind them."""

from lib import config
from lib.fusion_estimators import FusionEstimator, PathFusionEstimator
from lib.single_estimators import LinearEstimator, LinearImageEstimator, NaiveEstimator, NetworkEstimator
from lib.tasks import Estimator


def make_estimator(variant: config.Variant) -> Estimator:
    """Return the untrained model of a variant."""
    if isinstance(variant, config.NaiveVariant):
        return NaiveEstimator()
    if isinstance(variant, config.LinearVariant):
        return LinearEstimator(variant)
    if isinstance(variant, config.LinearImageVariant):
        return LinearImageEstimator(variant)
    if isinstance(variant, config.PartsVariant):
        parts = {name: make_estimator(part) for name, part in variant.of.items()}
        if isinstance(variant, config.PathFusionVariant):
            return PathFusionEstimator(variant, parts)
        return FusionEstimator(parts)
    return NetworkEstimator(variant)
