"""Where the paper, its code and this study differ: the words of `deviations.yaml`, the effects from contrasts."""

from itertools import chain
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from lib.config import Strict, load, load_params, root
from lib.evaluation.contrasts import BACKBONE_PAIRS, COUNTERPARTS, DEPARTURES
from lib.evaluation.published import MODELS
from lib.evaluation.results import Results
from lib.exceptions import StudyError, nearest

Question = Literal["measured_on", "text", "recipe", "variant", "decoding"]
COLUMNS = ["topic", "paper", "code", "here", "effect", "variant", "train_size", "difference", "low", "high", "verdict"]


class Effect(Strict):
    """A difference in mean accuracy between `a` and `b`, which are values of the field `question`."""

    what: str
    question: Question
    a: str
    b: str
    variant: str = ""
    recipe: str = ""
    at: Literal["largest", "second_largest"] = "second_largest"

    @property
    def names(self) -> dict[str, list[str]]:
        """The variants and recipes that it speaks of."""
        said = {"variant": [self.variant], "recipe": [self.recipe]}
        said |= {self.question: [self.a, self.b]} if self.question in said else {}
        return {kind: [name for name in found if name] for kind, found in said.items()}


class Deviation(Strict):
    """A topic, and what the paper says of it, what its code does, and what this study does."""

    topic: str
    paper: str
    code: str
    here: str
    effects: list[Effect]


class Deviations(Strict):
    """All of `deviations.yaml`."""

    deviations: list[Deviation] = Field(min_length=1)


def load_deviations() -> list[Deviation]:
    """Read and validate `deviations.yaml`.

    Raises
    ------
    StudyError
        If the file is missing or wrong, or an effect names a variant or a recipe that nobody knows.
    """
    path, params = root() / "deviations.yaml", load_params()
    found = load(Deviations, path).deviations
    variants = {*MODELS, *params.variants, *chain(*BACKBONE_PAIRS)}  # a study may do without some
    recipes = {*params.recipes, *chain(*DEPARTURES.items(), *COUNTERPARTS.items())}
    known = {"variant": sorted(variants), "recipe": sorted(recipes)}
    for topic, effect in ((deviation.topic, effect) for deviation in found for effect in deviation.effects):
        for kind, names in effect.names.items():
            for name in names:
                if name not in known[kind]:
                    hint = nearest(name, known[kind])
                    raise StudyError(f"{path.name}: '{topic}' names the {kind} '{name}'. Known: {known[kind]}.{hint}")
    return found


def deviation_table(results: Results) -> pd.DataFrame:
    """Return `deviations.csv`: a row an effect, with `COLUMNS`; one row without an effect where none is listed.

    An effect is measured in mean accuracy, on test rows of the random split. `verdict` is *not run* where the catalogue
    has no such runs, and empty where there is nothing to run.
    """
    rows = []
    for deviation in load_deviations():
        words = deviation.model_dump(exclude={"effects"})
        rows += [words | _measured(effect, results) for effect in deviation.effects] or [words]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"train_size": "Int64"})


def _measured(effect: Effect, results: Results) -> dict[str, object]:
    """Look an effect up: with all rows, or at the study's usual size, or the largest below that."""
    fields: dict[str, Any] = {"split": "random", "metric": "mean", "a": effect.a, "b": effect.b}
    fields |= {name: value for name in ("variant", "recipe") if (value := getattr(effect, name))}
    fields |= {} if effect.question == "measured_on" else {"measured_on": "test"}
    fields |= {} if effect.question == "text" else {"text": [results.text, "masked"]}
    found = results.compared(effect.question, **fields)
    largest = found["train_size"] == results.intervals.query("split == 'random'")["train_size"].max()
    found = found[largest] if effect.at == "largest" else found[found["train_size"] <= (results.experiment_size or 0)]
    of: dict[str, object] = {"effect": effect.what, "variant": effect.variant or effect.a}
    if found.empty:
        return of | {"verdict": "not run"}
    row = found.sort_values("train_size").iloc[-1]
    return of | {name: row[name] for name in ("train_size", "difference", "low", "high", "verdict")}
