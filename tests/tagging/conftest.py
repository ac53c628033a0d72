"""A tagger of the tiny catalogue, new products for it, and how they are tagged."""

import made_tagger
import pandas as pd
import pytest

from lib.tagging.stream import Job, tag_table


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return the root of a study with a tagger for `tiny`."""
    root = tmp_path_factory.mktemp("tag")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        made_tagger.make(root)
        yield root


@pytest.fixture
def new(shop):
    """Return the products of tiny as if they were new."""
    return made_tagger.table(shop)


@pytest.fixture
def tagged(shop, tmp_path):
    """Return a function that tags a table and returns the result, the rejects and the summary."""

    def run(table, name="new.csv", output="tagged.csv", **options):
        path = tmp_path / name
        if isinstance(table, pd.DataFrame):
            table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
        elif table is not None:
            path.write_text(table)
        tagger = options.pop("tagger", shop / "build/tiny/tagger")
        job = Job(path, tmp_path / output, tagger, **{"precision": 0.9} | options)
        summary = tag_table(job)
        read = pd.read_parquet if output.endswith("parquet") else lambda p: pd.read_csv(p, keep_default_na=False)
        return read(job.output), pd.read_csv(job.rejects_path, keep_default_na=False), summary

    return run
