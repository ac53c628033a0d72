"""The card of a deployed model: what it learnt from, what it promises, and where its limits are, for people."""

import pandas as pd

from lib.analysis.business import FOLDER, NOTHING, SOME_LEVEL, UNITS, Deployed
from lib.config import build_dir, load_catalogue, report_dir
from lib.files import write_tables

CARD = """\
# A tagger for category paths: {title}

It reads {inputs} ({text} text) and answers one of {paths:,} valid paths of three levels, with a calibrated confidence
for each level. Any input may be missing.

## Data

Trained on {trained_on:,} products (`{key}`, variant `{variant}`). Tuned and calibrated on {tuning:,} products in
{tuning_groups:,} groups of near-duplicates; promises were made on {calibration_groups:,} other groups and measured on
{test_groups:,} more.

## Metrics

Share of test products whose whole path is right, in percent with 95% intervals:

| inputs | right |
|---|---:|
{accuracy}

## Promises

Of distinct products that are tagged so far and no deeper, at least the promised share is right, with {certainty:g}%
certainty over the draw of the calibration products:

| promised (%) | depth | confidence asked for | tagged (%) | right on test (%) |
|---:|---:|---:|---:|---:|
{promises}

## Limits

- Promises hold for products drawn like those of this catalogue, near-duplicates counted once. Other shops, new kinds of
  products and products that all lack an input are outside of them.
- Right means: as the shop's own label says. Wrong labels count as errors.
- It knows the categories and paths of `taxonomy.json` and no others.
"""


def publish(deployed: Deployed, tables: dict[str, pd.DataFrame]) -> None:
    """Write the stage's tables, and the deployable folder `build/NAME/tagger/` with its promises and its card.

    Parameters
    ----------
    tables
        Name -> table; `missing_accuracy` and `promises` are in the card.
    """
    write_tables(report_dir(deployed.catalogue, FOLDER), tables)
    settings, about, tagger = deployed.settings, deployed.tagger.about, deployed.tagger
    kept = tables["promises"]
    kept = kept[(kept["unit"] == UNITS[0]) & (kept["depth"] != SOME_LEVEL)]
    accuracy = [
        f"| {'all inputs' if row['hidden'] == NOTHING else 'without ' + row['hidden']} | {_percent(row, 'accuracy')} |"
        for _, row in tables["missing_accuracy"].iterrows()
    ]
    text = CARD.format(
        title=load_catalogue(deployed.catalogue).title,
        inputs=", ".join(tagger.inputs),
        text=about.text,
        paths=len(tagger.paths),
        trained_on=deployed.trained_on,
        key=about.key,
        variant=settings.variant,
        tuning=len(deployed.tuning.group),
        tuning_groups=len(deployed.tuning.one_each),
        calibration_groups=len(deployed.calibration.one_each),
        test_groups=len(deployed.test.one_each),
        certainty=100 * settings.certainty,
        accuracy="\n".join(accuracy),
        promises="\n".join(_promise_line(row) for _, row in kept.iterrows()),
    )
    tagger.save(build_dir(deployed.catalogue, "tagger"), text)


def _promise_line(row: "pd.Series[float]") -> str:
    limit = "nothing can be promised" if pd.isna(row["threshold"]) else f"{row['threshold']:.3f}"
    right = "–" if pd.isna(row["achieved"]) else _percent(row, "achieved")
    return f"| {100 * row['precision']:g} | {row['depth']} | {limit} | {100 * row['share']:.1f} | {right} |"


def _percent(row: "pd.Series[float]", name: str) -> str:
    return f"{100 * row[name]:.1f} ({100 * row['low']:.1f}–{100 * row['high']:.1f})"
