"""The closing answer of `08_business`, and the card of the deployed folder: every number in them is computed."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lib.business_charts import hidden_name
from lib.business_missing import NOTHING, shown_precision
from lib.business_promises import CALIBRATED, SOME_LEVEL, UNCALIBRATED, UNITS
from lib.business_stage import Study
from lib.business_surest import SUREST
from lib.tables import records, share
from lib.tagging.guarantee import needed

Tables = dict[str, pd.DataFrame]


def summary(study: Study) -> pd.DataFrame:
    """Return in one row what the tables are of, for pages that are made without the model."""
    settings, shown = study.settings, shown_precision(study)
    parts = {"tuning": study.tuning, "calibration": study.calibration, "test": study.test}
    counts = {f"{name}_products": len(part.groups) for name, part in parts.items()}
    groups = {f"{name}_groups": len(part.one_each) for name, part in parts.items()}
    asked = {name: getattr(settings, name) for name in ("variant", "recipe", "text", "split", "precision", "certainty")}
    more = {"coverage": settings.coverage, "review_seconds": settings.review_seconds, "shown_precision": shown}
    costs = {"wrong_tag_cost": settings.costs.wrong_tag, "review_cost": settings.costs.review}
    need = needed(shown, settings.certainty)
    return pd.DataFrame(
        [{**asked, **more, **costs, "trained_on": study.trained_on, **counts, **groups, "needed": need}]
    )


def answer(study: Study, tables: Tables) -> str:
    """Say as a Markdown list what the tables of the stage come to."""
    lines = [
        *_calibration(tables["calibration"]),
        *_promises(study, tables),
        *_surest(study, tables),
        *_resamplings(study, tables["how_often_kept"]),
        *_missing(study, tables),
        *_review(study, tables),
        *_costs(tables["costs"]),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _calibration(errors: pd.DataFrame) -> Iterator[str]:
    rows = errors[errors["depth"] == 3]
    said = []
    for hidden in rows["hidden"].unique():
        mine = rows[rows["hidden"] == hidden].set_index("model")
        before, after = mine.loc[UNCALIBRATED], mine.loc[CALIBRATED]
        said.append(f"{hidden_name(hidden)} {share(before['error'])} → {share(**_interval(after, 'error'))}")
    yield f"Calibration error of whole paths, before → after, in points: {'; '.join(said)}."


def _promises(study: Study, tables: Tables) -> Iterator[str]:
    kept, settings = tables["promises"], study.settings
    made = set()
    assert study.tagger.promises is not None
    for one in study.tagger.promises.thresholds:
        if one.confidence is not None:
            made.add(one.precision)
    for precision in settings.precisions:
        if precision not in made:
            yield (
                f"**{100 * precision:g}%** cannot be promised, at no level: {len(study.calibration.one_each):,} "
                "distinct calibration products are too few for so many errors. It takes "
                f"{needed(precision, settings.certainty):,} above a threshold without a single one."
            )
            continue
        rows = kept[(kept["precision"] == precision) & (kept["unit"] == UNITS[0])].set_index("depth")
        whole, some = records(rows.loc[["3"]])[0], records(rows.loc[[SOME_LEVEL]])[0]
        yield (
            f"**{100 * precision:g}%** promised, with {100 * settings.certainty:g}% certainty: "
            f"{share(whole['share'])}% of distinct test products get a whole path without a person{_achieved(whole)}, "
            f"and {share(some['share'])}% get at least level 1{_achieved(some)}."
        )


def _surest(study: Study, tables: Tables) -> Iterator[str]:
    rows, main = tables["surest"].query("depth == 3"), study.settings.precision
    best = max(records(rows), key=lambda row: row["precision"])
    found = share(best["precision"], best["low"], best["high"])
    if best["precision"] >= main:
        yield (
            f"Whole paths are at their best among the surest {share(best['share'])}% of distinct test products: "
            f"{found}% are right. More calibration products could bring promises nearer to that."
        )
        return
    lines = [
        f"**No share of test products, however sure, has {100 * main:g}% right whole paths**: the best are the surest "
        f"{share(best['share'])}% of the distinct ones, of which {found}% are right. More products to calibrate on "
        "would hardly help."
    ]
    errors = tables["surest_errors"]
    if len(errors):
        first = records(errors)[0]
        lines.append(
            f"Of what the surest {share(SUREST)}% get wrong ({errors['products'].sum():.0f} distinct products), most "
            f"often the shop says *{first['true']}* and the model *{first['said']}* ({first['products']:.0f})."
        )
    yield " ".join(lines)


def _achieved(row: "dict[str, Any] | pd.Series[float]") -> str:
    return "" if pd.isna(row["achieved"]) else f" ({share(**_interval(row, 'achieved'))}% of these are right)"


def _interval(row: "dict[str, Any] | pd.Series[float]", name: str) -> dict[str, float]:
    return {"mean": float(row[name]), "low": float(row["low"]), "high": float(row["high"])}


def _resamplings(study: Study, often: pd.DataFrame) -> Iterator[str]:
    rows = often[(often["depth"] != SOME_LEVEL) & (often["promised"] > 0)]
    if not len(rows):
        return
    worst = min(records(rows), key=lambda row: row["kept"])
    found = share(worst["kept"], worst["kept_low"], worst["kept_high"])
    verdict = (
        "at least as often as promised"
        if worst["kept_high"] >= study.settings.certainty
        else "LESS OFTEN THAN PROMISED"
    )
    yield (
        f"Over {worst['draws']:,} redrawn calibration and test parts, the promise that was broken most often "
        f"({100 * worst['precision']:g}%, depth {worst['depth']}) was not broken in {found}% of them: {verdict} "
        f"({100 * study.settings.certainty:g}%)."
    )


def _missing(study: Study, tables: Tables) -> Iterator[str]:
    for row in records(tables["missing_accuracy"]):
        if row["hidden"] == NOTHING:
            continue
        own = share(row["accuracy"], row["low"], row["high"])
        beside = ""
        if row["variant"]:
            other = share(row["variant_accuracy"], row["variant_low"], row["variant_high"])
            beside = f"; a network that never had it reaches {other}%"
        yield f"*{hidden_name(row['hidden']).capitalize()}*, {own}% of test products get the right path{beside}."
    rows = tables["missing_promises"]
    rows = rows[(rows["precision"] == shown_precision(study)) & (rows["depth"] == SOME_LEVEL)]
    broken = [r for r in records(rows) if r["hidden"] != NOTHING and r["high"] < r["precision"]]
    for row in broken:
        yield (
            f"If every product came {hidden_name(row['hidden'])}, {share(row['achieved'], row['low'], row['high'])}% "
            f"of what is tagged would be right instead of {100 * row['precision']:g}%: promises are of products as "
            "they come."
        )


def _review(study: Study, tables: Tables) -> Iterator[str]:
    coverage = study.settings.coverage
    precision = shown_precision(study)
    row = records(tables["candidates"].query("coverage == @coverage and precision == @precision"))[0]
    yield (
        f"Of products whose whole path is not tagged at {100 * precision:g}%, the list of candidates that is made to "
        f"hold the right path in {100 * coverage:g}% of cases does so in "
        f"{share(row['achieved'], row['low'], row['high'])}%, with {row['mean']:.1f} paths on average, the median list "
        f"having {row['median']}."
    )
    orders = records(tables["queue"])
    if orders and orders[0]["errors"]:
        best = max(orders, key=lambda row: row["area"])
        first = orders[0]
        yield (
            f"The best order of the queue is *{best['order']}*: half of the errors are gone after "
            f"{share(best['half'])}% of the groups, and after {share(first['half'])}% *{first['order']}*."
        )


def _costs(marks: pd.DataFrame) -> Iterator[str]:
    rows = marks.set_index("rule")["cost"]
    chosen = rows["equal expected costs"]
    yield (
        f"At the stated costs, 1,000 products cost {rows['review all']:,.0f} if all are reviewed, "
        f"{rows['tag all']:,.0f} if all are tagged, and {chosen:,.0f} if a path is tagged where its expected cost is "
        "below that of a review."
    )


def card(study: Study, tables: Tables, title: str) -> str:
    """Write the card of the deployed folder, in Markdown: data, metrics, promises and limits."""
    settings, about = study.settings, study.tagger.about
    accuracy = records(tables["missing_accuracy"])
    kept = tables["promises"]
    kept = kept[(kept["unit"] == UNITS[0]) & (kept["depth"] != SOME_LEVEL)]
    lines = [
        f"# A tagger for category paths: {title}",
        "",
        f"It reads {', '.join(about.variant.inputs)} ({about.text} text) and answers one of "
        f"{len(study.tagger.paths):,} valid paths of three levels, with a calibrated confidence for each level. Any "
        "input may be missing.",
        "",
        "## Data",
        "",
        f"Trained on {study.trained_on:,} products (`{about.key}`, variant `{settings.variant}`). Tuned and "
        f"calibrated on {len(study.tuning.groups):,} products in {len(study.tuning.one_each):,} groups of "
        f"near-duplicates; promises were made on {len(study.calibration.one_each):,} and measured on "
        f"{len(study.test.one_each):,} other groups.",
        "",
        "## Metrics",
        "",
        "Share of test products whose whole path is right, in percent with 95% intervals:",
        "",
        "| inputs | right |",
        "|---|---:|",
        *(f"| {hidden_name(row['hidden'])} | {share(row['accuracy'], row['low'], row['high'])} |" for row in accuracy),
        "",
        "## Promises",
        "",
        "Of distinct products that are tagged so far and no deeper, at least the promised share is right, with "
        f"{100 * settings.certainty:g}% certainty over the draw of the calibration products:",
        "",
        "| promised (%) | depth | confidence asked for | tagged (%) | right on test (%) |",
        "|---:|---:|---:|---:|---:|",
        *(_promise_line(row) for row in records(kept)),
        "",
        "## Limits",
        "",
        "- Promises hold for products drawn like those of this catalogue, near-duplicates counted once. Other shops, "
        "new kinds of products and products that all lack an input are outside of them.",
        "- Right means: as the shop's own label says. Wrong labels count as errors.",
        "- It knows the categories and paths of `taxonomy.json` and no others.",
        "",
    ]
    return "\n".join(lines)


def _promise_line(row: dict[str, float]) -> str:
    limit = "nothing can be promised" if pd.isna(row["threshold"]) else f"{row['threshold']:.3f}"
    right = "–" if pd.isna(row["achieved"]) else share(row["achieved"], row["low"], row["high"])
    return f"| {100 * row['precision']:g} | {row['depth']} | {limit} | {share(row['share'])} | {right} |"
