"""Untrained networks: from a variant, a recipe and a run's encoded inputs to the layers that fit them."""

from collections.abc import Sequence

import torch

from lib import config
from lib.chains import ChainedLSTM, SequentialMLP
from lib.encode import Encoded
from lib.models import InputLayer, MultitaskMLP
from lib.predict import Network
from lib.recurrent import Encoder, MultitaskLSTM
from lib.sequences import OWN_TOKENS

NetworkVariant = config.MLPVariant | config.SequentialVariant | config.LSTMVariant | config.LSTMMultitaskVariant


def build_network(
    variant: NetworkVariant, recipe: config.Recipe, encoded: Encoded, class_counts: Sequence[int]
) -> Network:
    """Make an untrained network that fits a run's encoded inputs."""
    dropout = recipe.hidden_dropout
    if isinstance(variant, config.LSTMVariant):
        sizes = variant.embedding_size, variant.hidden_size
        return ChainedLSTM(_token_count(encoded), *sizes, class_counts, dropout, recipe.leak_own_label)
    if isinstance(variant, config.LSTMMultitaskVariant):
        encoder = Encoder(_token_count(encoded), variant.embedding_size, variant.hidden_size)
        network = MultitaskLSTM(encoder, class_counts, len(encoded.image_mean), dropout, recipe.input_dropout)
        _standardize(network, recipe, encoded)
        return network
    first = _input_layer(variant, recipe, encoded)
    if isinstance(variant, config.SequentialVariant):
        return SequentialMLP(first, class_counts, variant.hidden_layers, dropout, recipe.frozen_trunk)
    return MultitaskMLP(first, class_counts, variant.hidden_layers, dropout)


def _input_layer(
    variant: config.MLPVariant | config.SequentialVariant, recipe: config.Recipe, encoded: Encoded
) -> InputLayer:
    scalar = recipe.brand_encoding == "scalar"
    layer = InputLayer(
        brands=0 if scalar else len(encoded.brands),
        words=len(encoded.vocabulary),
        image_size=len(encoded.image_mean),
        hidden_size=variant.hidden_size,
        dropout=recipe.input_dropout,
        scalar_brand=scalar,
        modality_dropout=variant.modality_dropout if isinstance(variant, config.MLPVariant) else 0.0,
    )
    _standardize(layer, recipe, encoded)
    return layer


def _standardize(layer: InputLayer | MultitaskLSTM, recipe: config.Recipe, encoded: Encoded) -> None:
    if recipe.standardize_image:
        layer.standardize(torch.from_numpy(encoded.image_mean), torch.from_numpy(encoded.image_scale))


def _token_count(encoded: Encoded) -> int:
    return OWN_TOKENS + len(encoded.vocabulary) + len(encoded.brands)
