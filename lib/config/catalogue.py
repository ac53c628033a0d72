"""All of one `catalogues/NAME.yaml`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lib.config.base import Section, Size, Strict

Kind = Literal["table", "crawl", "shop"]


class Backbone(Strict):
    """The pretrained image network, and the side in pixels of the square photo that it reads.

    `weights` names weights of torchvision, which then replace the file in `params.yaml`. `batch_norm_epsilon` is for
    weights that were trained with another epsilon than torchvision's network has.
    """

    backbone: str
    size: Annotated[int, Field(ge=16, le=1024)]
    weights: str | None = None
    batch_norm_epsilon: Annotated[float, Field(gt=0)] | None = None


class Catalogue(Strict):
    """All of one `catalogues/NAME.yaml`.

    The section that is called like `kind` says where the products come from. Only `lib/collect/` knows its keys
    (`load_section`), so that a new kind of source is no change to any later stage.
    """

    title: str
    description: str
    kind: Kind
    publish_examples: bool
    table: Section | None = None
    crawl: Section | None = None
    shop: Section | None = None
    text: list[Literal["title", "description"]] = Field(min_length=1)
    image: Backbone
    train_sizes: list[Size | Literal["all"]] = Field(min_length=1)
    seeds: Size

    @model_validator(mode="after")
    def _kind_has_its_section(self) -> Self:
        if getattr(self, self.kind) is None:
            raise ValueError(f"a catalogue of kind '{self.kind}' needs a section '{self.kind}:'")
        return self
