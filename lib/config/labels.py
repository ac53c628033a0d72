"""The section `labels` of `params.yaml`: what the stage of the label budget looks at."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from lib.config.base import Share, Size, Split, Strict, Text


class LabelParams(Strict):
    """Knobs of the `labels` stage.

    `variant` and `text` choose the learning curve; `split` holds for the curve and for active learning alike. `budgets`
    are labels in all, not labels a round.
    """

    variant: str
    text: Text
    split: Split
    targets: list[Share] = Field(min_length=1)
    budgets: list[Annotated[int, Field(ge=20)]] = Field(min_length=1)
    seeds: Annotated[int, Field(ge=2)]
    text_components: Size
    image_components: Size
    candidates: Size

    @model_validator(mode="after")
    def _budgets_grow(self) -> Self:
        if self.budgets != sorted(set(self.budgets)):
            raise ValueError(f"budgets must grow. Got {self.budgets}.")
        return self
