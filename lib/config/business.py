"""What a marketplace asks of the deployed model: promises, costs, and how they are checked."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from lib.config.base import Share, Size, Split, Strict, Text

Shares = Annotated[list[Share], Field(min_length=1)]


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
    precisions: Shares
    precision: Share
    certainty: Share
    steps: Size
    candidate_coverage: Shares
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
