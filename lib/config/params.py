"""All of `params.yaml`, and all of one `catalogues/NAME.yaml`."""

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from lib.config.base import Input, Level, Share, Size, Split, Strict, Text
from lib.config.variants import (
    DenseVariant,
    LSTMVariant,
    NetworkVariant,
    PartsVariant,
    PathFusionVariant,
    RecurrentVariant,
    SequentialVariant,
    Variant,
    columns_of,
    without,
)
from lib.exceptions import nearest

StopWords = Literal["english", "none"]
LARGER_BUDGETS = "label_budgets"
"""The experiment that has no runs: the `labels` stage goes on to `larger_budgets`."""

ONE_OR_MORE = BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
Precisions = Annotated[list[Share], Field(min_length=1)]


class Studied(Strict):
    """The files that a catalogue hangs on, relative to the root."""

    source: Path
    weights: Path | None = None


class Other(Studied):
    """A second shop, whose products the `best` of a studied catalogue tags."""

    tagged_by: str


class SplitParams(Strict):
    """Shares of the two held-out parts."""

    test: Share
    validation: Share


class MatchParams(Strict):
    """Weights of a match score (`lib/clean/matching.py`), as `python -m lib.clean.pairs` fits them, and what it does.

    Pairs with a score of `link_from` are linked, whatever else is alike; groups are cut where their scores, averaged,
    fall below `cut_below`.
    """

    intercept: float
    name: float
    same_title: float
    text_and_photo: float
    code_but_letters: float
    code_prefix: float
    link_from: Share
    cut_below: Share


class CleanParams(Strict):
    """Knobs of the `clean` stage."""

    max_reject_share: Annotated[float, Field(ge=0, le=1)]
    minhash_threshold: Share
    minhash_permutations: Annotated[int, Field(ge=16)]
    photo_distance: Annotated[int, Field(ge=0, le=64)]
    match: MatchParams


class TextParams(Strict):
    """Knobs of the `text` stage, and of the vocabularies that are fitted on training rows."""

    stop_words: StopWords
    max_bag_words: Size
    max_sequence_words: Size
    sequence_length: Size


class ImageParams(Strict):
    """Knobs of the `image` stage."""

    precision: Literal["auto", "float32", "bfloat16"]
    compile: Literal["auto", "always", "never"]
    batch_size: Size


class Recipe(Strict):
    """How a network is trained.

    The keys with a default are where the original code departs from the paper. `shuffle` and `drop_last`: it did not
    shuffle, and dropped each epoch's last batch where it was not full. `stop_words`: another choice than the study's.
    `brand_encoding: scalar`: the brand is one number. `frozen_trunk`: the hidden layers of a chain of perceptrons learn
    from level 1 alone, and all levels read them. `leak_own_label`: in training, a chain of LSTMs reads the level's own
    class in the place of its parent's.

    Two more are where this study follows the code, and the paper says something else. `parents: all`: level 3 of a
    chain of perceptrons sees the classes of both levels before it. `activation: sigmoid`: an LSTM squashes with the
    logistic function where it has tanh.
    """

    optimizer: Literal["adadelta", "adamw"]
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    batch_size: Size
    epochs: Size
    min_updates: Annotated[int, Field(ge=0)]
    validate_every: Size
    hidden_dropout: Annotated[float, Field(ge=0, lt=1)]
    input_dropout: Annotated[float, Field(ge=0, lt=1)]
    schedule: Literal["constant", "one_cycle"]
    patience: Annotated[Size | None, BeforeValidator(lambda value: None if value == "never" else value)]
    standardize_image: bool
    shuffle: bool = True
    drop_last: bool = False
    stop_words: StopWords | None = None
    brand_encoding: Literal["one_hot", "scalar"] = "one_hot"
    frozen_trunk: bool = False
    leak_own_label: bool = False
    parents: Literal["one", "all"] = "one"
    activation: Literal["tanh", "sigmoid"] = "tanh"

    def requires(self, variant: Variant) -> str | None:
        """Say what a variant lacks that this recipe speaks of, if anything."""
        if isinstance(variant, PartsVariant):
            return next(filter(None, map(self.requires, variant.of.values())), None)
        if not isinstance(variant, NetworkVariant):
            return None
        if self.brand_encoding == "scalar" and not (isinstance(variant, DenseVariant) and "brand" in variant.inputs):
            return "'brand_encoding: scalar' needs a perceptron that reads the brand"
        if self.frozen_trunk and not isinstance(variant, SequentialVariant):
            return "'frozen_trunk: true' needs the model 'sequential'"
        if self.parents == "all" and not isinstance(variant, SequentialVariant):
            return "'parents: all' needs the model 'sequential'"
        if self.activation == "sigmoid" and not isinstance(variant, RecurrentVariant):
            return "'activation: sigmoid' needs an LSTM"
        if self.leak_own_label and not isinstance(variant, LSTMVariant):
            return "'leak_own_label: true' needs the model 'lstm'"
        if self.stop_words and "text" not in variant.inputs:
            return "'stop_words' needs text among the inputs"
        return None


class Runs(Strict):
    """One line of an experiment: for every variant, or for some.

    `train_sizes` are each of the catalogue's, all but the largest, or one of them; `seeds` at most so many. A list of
    one may be given as that one.
    """

    recipes: Annotated[list[str], ONE_OR_MORE] = Field(min_length=1)
    text: Text
    splits: Annotated[list[Split], ONE_OR_MORE] = Field(min_length=1)
    train_sizes: Literal["each", "smaller", "smallest", "second_smallest", "second_largest", "largest"]
    variants: Annotated[list[str], ONE_OR_MORE] | None = None
    seeds: Size | None = None


class ErrorParams(Strict):
    """What puts a category on the watch list of `07_errors`.

    Its accuracy is reliably below `target`; or it is one of those that make `costly_share` of their level's errors.
    """

    target: Share
    costly_share: Share


class Costs(Strict):
    """What a decision costs, in any one unit: only their ratio moves a threshold."""

    wrong_tag: Annotated[float, Field(gt=0)]
    review: Annotated[float, Field(gt=0)]


class BusinessParams(Strict):
    """Section `business`: which trained model is deployed, and what is promised of it.

    `precision` is the one of `precisions`, and `coverage` the one of `candidate_coverage`, that the shop works with.
    """

    variant: str
    recipe: str
    text: Text
    split: Split
    precisions: Precisions
    precision: Share
    certainty: Share
    steps: Size
    candidate_coverage: Precisions
    coverage: Share
    costs: Costs
    review_seconds: Annotated[float, Field(gt=0)]
    resamplings: Size
    bins: Size

    @model_validator(mode="after")
    def _main_ones_are_listed(self) -> Self:
        for name, value, listed in (
            ("precision", self.precision, self.precisions),
            ("coverage", self.coverage, self.candidate_coverage),
        ):
            if value not in listed:
                raise ValueError(f"'{name}' should be one of {listed}. Got {value}")
        return self


class LabelParams(Strict):
    """Knobs of the `labels` stage.

    `variant` and `text` choose the learning curve; `split` holds for the curve and for active learning alike. `budgets`
    are labels in all, not labels a round; a catalogue that takes the experiment `label_budgets` goes on to
    `larger_budgets`.
    """

    variant: str
    text: Text
    split: Split
    targets: list[Share] = Field(min_length=1)
    budgets: list[Annotated[int, Field(ge=20)]] = Field(min_length=1)
    larger_budgets: list[int] = Field(default_factory=list)
    seeds: Annotated[int, Field(ge=2)]
    text_components: Size
    image_components: Size
    candidates: Size

    @model_validator(mode="after")
    def _budgets_grow(self) -> Self:
        if (budgets := self.budgets + self.larger_budgets) != sorted(set(budgets)):
            raise ValueError(f"budgets must grow. Got {budgets}.")
        return self


class Params(Strict):
    """All of `params.yaml`, and all of one `catalogues/NAME.yaml`."""

    study: dict[str, Studied] = Field(min_length=1)
    others: dict[str, Other] = Field(default_factory=dict)
    accelerator: Literal["auto", "cpu", "gpu"]
    split: SplitParams
    clean: CleanParams
    text: TextParams
    image: ImageParams
    variants: dict[str, Variant] = Field(min_length=1)
    recipes: dict[str, Recipe] = Field(min_length=1)
    runs: dict[str, Annotated[list[Runs], Field(min_length=1)]] = Field(min_length=1)
    errors: ErrorParams
    business: BusinessParams
    labels: LabelParams

    @property
    def main(self) -> Runs:
        """The main experiment, which tables and figures are about where nothing else is said: the first line of all."""
        return next(iter(self.runs.values()))[0]

    @property
    def experiments(self) -> list[str]:
        """The names that a catalogue's `experiments` may have."""
        return [*self.runs, LARGER_BUDGETS]

    def without(self, name: Input) -> Self:
        """Return the study of a catalogue no product of which has an input: variants that need it are left out."""
        left = {variant: without(settings, name) for variant, settings in self.variants.items()}
        return self.model_copy(update={"variants": {variant: one for variant, one in left.items() if one is not None}})

    def with_columns(self, made: Iterable[str]) -> Self:
        """Return the study of a catalogue in which these are made of inputs: without variants that read others."""
        there = {*get_args(Input), *made}
        has = {name: one for name, one in self.variants.items() if there.issuperset(columns_of(one))}
        return self.model_copy(update={"variants": has})

    @model_validator(mode="before")
    @classmethod
    def _names_become_settings(cls, content: Any) -> Any:
        """Fill in what is named: a recipe's `base`, and the variants in a fusion's `of`.

        DVC's `-S` writes `params.yaml` again. It keeps comments and order, but not YAML's own way to repeat something.
        """
        if not isinstance(content, dict):
            return content
        variants, recipes = content.get("variants"), content.get("recipes")
        if isinstance(recipes, dict):
            content = content | {"recipes": {name: _on_base(name, recipes) for name in recipes}}
        if isinstance(variants, dict):
            content = content | {"variants": {name: _with_parts(name, variants) for name in variants}}
        return content

    @model_validator(mode="after")
    def _others_are_tagged_by_a_studied_one(self) -> Self:
        for name, other in self.others.items():
            _known(f"others.{name}.tagged_by names", "catalogue", [other.tagged_by], list(self.study))
            if name in self.study:
                raise ValueError(f"'{name}' stands in 'study' and in 'others'; it can be only one of them")
        return self

    @model_validator(mode="after")
    def _business_deploys_a_fusion(self) -> Self:
        name = self.business.variant  # the stage says so if it is not among the variants: a study may do without
        _known("business.recipe names", "recipe", [self.business.recipe], list(self.recipes))
        if name in self.variants and not isinstance(self.variants[name], PathFusionVariant):
            raise ValueError(f"business.variant: only a 'path_fusion' can be deployed, and '{name}' is none")
        return self

    @model_validator(mode="after")
    def _runs_name_what_exists(self) -> Self:
        for experiment, runs in ((name, line) for name, lines in self.runs.items() for line in lines):
            _known(f"runs.{experiment} names", "recipe", runs.recipes, list(self.recipes))
            _known(f"runs.{experiment} names", "variant", runs.variants or [], list(self.variants))
            for recipe, name in product(runs.recipes, runs.variants or self.variants):
                if problem := self.recipes[recipe].requires(self.variants[name]):
                    raise ValueError(f"runs.{experiment} trains '{name}' by the recipe '{recipe}', but {problem}.")
        return self


def _on_base(name: str, recipes: dict[str, Any], above: tuple[str, ...] = ()) -> Any:
    """Return a recipe with the keys of its base, and of that one's base, that it does not replace."""
    recipe = recipes[name]
    if not (isinstance(recipe, dict) and "base" in recipe):
        return recipe
    _known(f"recipes.{name}.base names", "recipe", [recipe["base"]], list(recipes))
    if name in above:
        raise ValueError(f"recipes.{name} is based on itself")
    base = _on_base(recipe["base"], recipes, (*above, name))
    return {key: value for key, value in {**base, **recipe}.items() if key != "base"}


def _with_parts(name: str, variants: dict[str, Any]) -> Any:
    """Return a variant; of a fusion with the settings of the variants that its `of` names."""
    variant = variants[name]
    if not (isinstance(variant, dict) and isinstance(variant.get("of"), list)):
        return variant
    _known(f"variants.{name}.of names", "variant", variant["of"], list(variants))
    return variant | {"of": {part: variants[part] for part in variant["of"]}}


def _known(where: str, kind: str, names: list[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where} the {kind} '{name}', which is not among {known}.{nearest(name, known)}")


# A catalogue

Kind = Literal["table", "crawl", "shop"]
Section = dict[str, Any]


RANDOM = "random"
"""The weights of a network that has learnt nothing: drawn by a fixed seed."""


class Backbone(Strict):
    """The pretrained image network, and the side in pixels of the square photo that it reads.

    `weights` names weights of torchvision, or `random` ones, which then replace the file in `params.yaml`.
    `batch_norm_epsilon` is for weights that were trained with another epsilon than torchvision's network has.
    """

    backbone: str
    size: Annotated[int, Field(ge=16, le=1024)]
    weights: str | None = None
    batch_norm_epsilon: Annotated[float, Field(gt=0)] | None = None


class Photos(Backbone):
    """The catalogue's image network, and others, by name, which variants read as `image/NAME`."""

    also: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")], Backbone] = Field(default_factory=dict)

    @property
    def own(self) -> Backbone:
        """The catalogue's network by itself."""
        return Backbone.model_validate(self.model_dump(exclude={"also"}))


class Transfer(Strict):
    """What is asked of a catalogue that the model of another one tags.

    Attributes
    ----------
    mapping
        What its categories are called by the other one (`lib/analysis/mapping.py`), relative to the root.
    labels
        How many of its products are labelled, ascending.
    seeds
        How many samples of labels.
    """

    mapping: Path
    labels: list[Size] = Field(min_length=1)
    seeds: Size

    @model_validator(mode="after")
    def _labels_ascend(self) -> Self:
        if self.labels != sorted(set(self.labels)):
            raise ValueError(f"'labels' should ascend. Got {self.labels}")
        return self


class Yardstick(Strict):
    """What others report of these products on a published split (`table.columns.part`), by level.

    `measured_on` is the part of the split that their accuracies are of.
    """

    source: str
    doi: str
    measured_on: Literal["validation", "test"]
    accuracy: dict[Level, Share]


class Catalogue(Strict):
    """All of one `catalogues/NAME.yaml`.

    `experiments` are those of `runs:` in `params.yaml` that the catalogue takes. `development` is the share of products
    that no split trains or tests on: choices are made on them. The section that is called like `kind`
    says where the products come from. Only `lib/collect/` knows its keys (`load_section`), so that a new kind of source
    is no change to any later stage.
    """

    title: str
    description: str
    kind: Kind
    publish_examples: bool
    table: Section | None = None
    crawl: Section | None = None
    shop: Section | None = None
    text: list[Literal["title", "description"]] = Field(min_length=1)
    image: Photos
    train_sizes: list[Size | Literal["all"]] = Field(min_length=1)
    seeds: Size
    development: Annotated[float, Field(ge=0, lt=1)] = 0.0
    experiments: list[str] | Literal["all"] = "all"
    transfer: Transfer | None = None
    yardstick: Yardstick | None = None

    @model_validator(mode="after")
    def _kind_has_its_section(self) -> Self:
        if getattr(self, self.kind) is None:
            raise ValueError(f"a catalogue of kind '{self.kind}' needs a section '{self.kind}:'")
        return self
