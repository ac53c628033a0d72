"""`python -m lib.tag`: a table of new products goes in, tags come out, and what does not fit is said in one message."""

import csv
import errno
import itertools
import re
import zipfile
from contextlib import contextmanager
from types import SimpleNamespace

import made_tagger
import numpy as np
import pandas as pd
import pytest
from made_tagger import arguments

from lib import tag
from lib.clean.photos import open_photos
from lib.exceptions import StudyError
from lib.features.vectors import vectors_of
from lib.models.inputs import Products
from lib.tagging import photo_vectors, stream
from lib.tagging.incoming import Chunk
from lib.tagging.promises import Candidates, best_prefixes, listed
from lib.tagging.stream import Job, Tagged, tag_table
from lib.tagging.tagger import Tagger, Tags

LEVELS = ["level_1", "level_2", "level_3"]


def files(folder):
    """List what is in a folder besides the table."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("new"))


# What comes out


def test_every_product_has_a_path_a_confidence_and_a_decision(new, tagged):
    found, rejects, summary = tagged(new)
    assert list(found.columns) == list(Tagged._fields)
    assert found["product_id"].tolist() == new["product_id"].tolist()
    assert set(found["decision"]) <= {"auto", "auto to level 1", "auto to level 2", "review"}
    assert found["confidence"].between(0, 1).all()
    assert rejects.empty
    assert summary.products == len(new)


def test_levels_are_filled_as_far_down_as_they_are_tagged(new, tagged):
    found, *_ = tagged(new)
    filled = (found[LEVELS] != "").sum(axis=1)
    assert (filled == found["decision"].map({"auto to level 1": 1, "auto to level 2": 2}).fillna(3)).all()
    assert found["decision"].nunique() > 1


def test_the_automatic_are_above_their_threshold_and_have_no_candidates(new, tagged):
    found, *_ = tagged(new)
    auto = found["decision"] == "auto"
    assert (found["confidence"][auto] >= 0.7).all()
    assert (found["candidates"][auto] == "").all()
    assert (found["candidates"][~auto] != "").all()


def test_candidates_begin_with_the_best_path_and_its_confidence(shop, new, tmp_path):
    new.to_csv(tmp_path / "new.csv", index=False)
    made_tagger.promising(shop / "build/tiny/tagger", tmp_path / "tagger", level_1=None, level_2=None, level_3=None)
    tag_table(Job(tmp_path / "new.csv", tmp_path / "tagged.csv", tmp_path / "tagger", 0.9))
    found = pd.read_csv(tmp_path / "tagged.csv", keep_default_na=False)
    assert (found["decision"] == "review").all()
    for row in found.itertuples():
        first = row.candidates.split(" | ")[0]
        assert first == f"{row.level_1} > {row.level_2} > {row.level_3} ({row.confidence:.2f})"
        sure = [float(value) for value in re.findall(r"\((\d\.\d\d)\)", row.candidates)]
        assert sure == sorted(sure, reverse=True)
        assert sum(sure) <= 1.005 + 0.005 * len(sure)


def test_candidates_are_those_of_the_share_that_is_asked_for(shop, new, tagged, tmp_path):
    folder = tmp_path / "tagger"
    made_tagger.promising(shop / "build/tiny/tagger", folder, level_1=None, level_2=None, level_3=None)
    tagger = Tagger.load(folder)
    of_share = [Candidates(precision=0.9, share=share, probability=p) for share, p in ((0.9, 0.4), (0.95, 0.0))]
    lists = dict.fromkeys(made_tagger.SETS, of_share)
    tagger.promises = tagger.promises.model_copy(update={"candidates": lists})
    tagger.save(tmp_path / "another", "# A card\n")
    few, *_ = tagged(new, tagger=tmp_path / "another", shown=0.9)
    many, *_ = tagged(new, tagger=tmp_path / "another")
    counts = [table["candidates"].str.count(r"\|") + 1 for table in (few, many)]
    assert (counts[0] <= 2).all()  # no more than two paths have a probability of at least 0.4
    assert (counts[1] == len(tagger.paths)).all()
    with pytest.raises(StudyError, match=r"no candidates for a share of 0.5. It has those of \[0.9, 0.95\]"):
        tagged(new, shown=0.5)


def test_long_lists_of_candidates_are_cut_and_the_rest_is_counted(shop, new, tmp_path, capsys):
    tagger = Tagger.load(shop / "build/tiny/tagger")
    nothing = made_tagger.promises(level_1=None, level_2=None, level_3=None)
    everything = [one.model_copy(update={"probability": 0.0}) for one in nothing.candidates["text"]]
    tagger.promises = nothing.model_copy(update={"candidates": dict.fromkeys(made_tagger.SETS, everything)})
    tagger.save(tmp_path / "new tagger", "# A card\n")
    new.to_csv(tmp_path / "new.csv", index=False)
    asked = [str(tmp_path / "new.csv"), "--model", str(tmp_path / "new tagger"), "--precision", "0.9"]
    output = tmp_path / "out.csv"
    assert tag.main([*asked, "-o", str(output)]) == 0
    whole = pd.read_csv(output)["candidates"].str.split(" | ", regex=False)
    assert (whole.str.len() == len(tagger.paths)).all()  # six, which is not more than 20
    assert "--max-candidates" not in capsys.readouterr().out
    for most in (1, 4, 5):
        assert tag.main([*asked, "-o", str(output), "--max-candidates", str(most)]) == 0
        found = pd.read_csv(output)["candidates"].str.split(" | ", regex=False)
        assert found.str[:-1].tolist() == whole.str[:most].tolist()
        assert set(found.str[-1]) == {f"... and {len(tagger.paths) - most} more"}
        said = capsys.readouterr().out
        assert f"Of {len(new)} products {most} candidates are listed, and the others counted: --max-cand" in said
    assert tag.main([*asked, "-o", str(output), "--max-candidates", "6"]) == 0
    pd.testing.assert_series_equal(pd.read_csv(output)["candidates"].str.split(" | ", regex=False), whole)


def test_twenty_candidates_are_listed_where_nobody_says_more():
    paths = np.array([(i, i, i) for i in range(186)])
    levels = [[f"{level}{i}" for i in range(186)] for level in "abc"]
    tagger = SimpleNamespace(names=lambda path: [level[path] for level in levels])
    shares = np.arange(186, 0, -1) / np.arange(187).sum()
    confidence = np.array([[0.1, 0.1, 0.1]])
    tags = Tags(shares[None], best_prefixes(shares[None], paths), confidence, ["text"])
    [row] = stream.decide(tagger, tags, ["p"], {"text": [np.inf] * 3}, {"text": 0.0})
    listed = row.candidates.split(" | ")
    assert listed[0].startswith("a0 > b0 > c0 (0.1")
    assert listed[19].startswith("a19 > b19 > c19 (")
    assert listed[20:] == ["... and 166 more"]


def test_tags_are_the_taggers_own(shop, new, tagged):
    found, *_ = tagged(new)
    tagger = Tagger.load(shop / "build/tiny/tagger")
    tags = tagger.tag(Products.of(new["brand"].tolist(), new["description"].tolist()))
    whole = found["decision"].isin(["auto", "review"]).to_numpy()
    expected = [tagger.names(path) for path in tags.prefixes.path[:, 2][whole]]
    assert found.loc[whole, LEVELS].to_numpy().tolist() == expected
    assert listed(tags.probabilities[0], 0.05)[0] == tags.prefixes.path[0, 2]


def test_text_is_cleaned_as_the_studys(new, tagged):
    plain, *_ = tagged(new)
    dirty = new.assign(
        description="<p>" + new["description"].str.replace(" ", "&nbsp;<br/>") + "</p><script>x</script>"
    )
    pd.testing.assert_frame_equal(tagged(dirty)[0], plain)


def test_what_a_product_has_is_said(tagged):
    table = "product_id,brand,description\na,brand 1,sole laces\nb,,sole laces\nc,brand 1,\nd,never seen,denim\n"
    found, *_ = tagged(table)
    assert found["inputs"].tolist() == ["brand+text", "text", "brand", "text"]


def test_what_is_promised_is_said_for_each_set_of_inputs_and_a_set_without_promise_goes_to_people(
    shop, tmp_path, capsys
):
    tagger = Tagger.load(shop / "build/tiny/tagger")
    nothing = made_tagger.promises(level_1=None, level_2=None, level_3=None).thresholds["text"]
    thresholds = tagger.promises.thresholds | {"text": nothing}
    tagger.promises = tagger.promises.model_copy(update={"thresholds": thresholds})
    tagger.save(tmp_path / "tagger", "# A card\n")
    (tmp_path / "new.csv").write_text("product_id,brand,description\na,brand 1,sole laces\nb,,sole laces\n")
    asked = [str(tmp_path / "new.csv"), "--model", str(tmp_path / "tagger"), "--precision", "0.9"]
    assert tag.main([*asked, "-o", str(tmp_path / "out.csv")]) == 0
    assert pd.read_csv(tmp_path / "out.csv").set_index("product_id").loc["b", "decision"] == "review"
    said = " ".join(capsys.readouterr().out.split())
    assert "brand+text 1 auto, auto to level 2, auto to level 1 text 1 nothing: all go to a person" in said
    assert "at least 90% are right. It holds with 95% certainty, the promises of all three depths together with" in said


# Rejects


def test_what_cannot_be_used_is_rejected_with_a_reason(tagged):
    table = (
        "product_id,brand,description\n,brand 1,sole\na,brand 1,sole\nb,never seen,the of\na,brand 2,denim\nc,1,2,3\n"
    )
    found, rejects, summary = tagged(table)
    assert found["product_id"].tolist() == ["a"]
    assert sorted(rejects["reason"]) == ["invalid record", "missing id", "no input", "repeated id"]
    assert summary.rejects.total() == 4
    assert rejects.set_index("reason").loc["invalid record", "detail"] == "line 6: expected 3 fields, got 4"


@pytest.mark.parametrize("output", ["tagged.csv", "tagged.parquet"])
def test_where_no_product_can_be_tagged_only_the_rejects_are_written(tagged, tmp_path, output):
    (tmp_path / output).write_text("what was there")
    with pytest.raises(StudyError) as caught:
        tagged("product_id,brand,description\n,brand 1,sole\n,,\nb,never seen,the of\nc,1,2,3\n", output=output)
    assert str(caught.value).splitlines() == [
        f"No product of {tmp_path / 'new.csv'} can be tagged; {tmp_path / output} is not written. "
        f"{tmp_path / 'tagged.rejects.csv'} says why:",
        "  missing id: 2, such as (line 2: 'product_id' is missing or empty)",
        "  invalid record: 1, such as (line 5: expected 3 fields, got 4)",
        "  no input: 1, such as b (no brand that the tagger knows, no text, no usable photo)",
    ]
    assert (tmp_path / output).read_text() == "what was there"
    assert len(pd.read_csv(tmp_path / "tagged.rejects.csv")) == 4


@pytest.mark.parametrize(("name", "table"), [("new.csv", "product_id,brand,description\n"), ("new.jsonl", "\n\n")])
def test_a_table_without_a_row_is_an_error_and_nothing_is_written(shop, tmp_path, capsys, name, table):
    (tmp_path / name).write_text(table)
    assert tag.main(arguments(tmp_path / name, tmp_path / "out.csv")) == 1
    assert f"{tmp_path / name} holds no product" in capsys.readouterr().err
    assert files(tmp_path) == []


# Cells that a spreadsheet may take for formulas


def test_cells_that_begin_like_formulas_are_escaped_and_counted(shop, new, tmp_path, capsys):
    table = new.head(6).assign(product_id=["=1+1", "+1", "-5", "@SUM(A1)", "a=b", "x-1"], brand="")
    table["description"] = ["sole", "the", "sole", "sole", "sole", "sole"]
    table.to_csv(tmp_path / "new.csv", index=False)
    assert tag.main(arguments(tmp_path / "new.csv", tmp_path / "out.csv")) == 0
    found = pd.read_csv(tmp_path / "out.csv", keep_default_na=False, dtype=str)
    assert found["product_id"].tolist() == ["'=1+1", "'-5", "'@SUM(A1)", "a=b", "x-1"]
    assert pd.read_csv(tmp_path / "out.rejects.csv")["product_id"].tolist() == ["'+1"]
    said = capsys.readouterr().out
    assert "Cells that a spreadsheet may take for formulas: 4. They begin with a ' now; --raw leaves them" in said
    assert tag.main(arguments(tmp_path / "new.csv", tmp_path / "out.csv", "--raw")) == 0
    found = pd.read_csv(tmp_path / "out.csv", keep_default_na=False, dtype=str)
    assert found["product_id"].tolist() == ["=1+1", "-5", "@SUM(A1)", "a=b", "x-1"]
    assert pd.read_csv(tmp_path / "out.rejects.csv", dtype=str)["product_id"].tolist() == ["+1"]
    assert "spreadsheet" not in capsys.readouterr().out


def test_parquet_is_never_escaped(new, tagged):
    found, _, summary = tagged(new.head(2).assign(product_id=["=1+1", "-5"]), output="tagged.parquet")
    assert found["product_id"].tolist() == ["=1+1", "-5"]
    assert summary.escaped == 0


def test_names_of_classes_are_escaped_and_numbers_are_not(shop, new, tagged, tmp_path):
    tagger = Tagger.load(shop / "build/tiny/tagger")
    tagger.levels = [["=2+2", "@b"], ["-c", "+d"], ["\te", "\rf", "g", "-h"]]
    tagger.save(tmp_path / "new tagger", "# A card\n")
    new.to_csv(tmp_path / "new.csv", index=False)
    tag_table(Job(tmp_path / "new.csv", tmp_path / "out.csv", tmp_path / "new tagger", 0.9))
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = {row[level] for row in rows for level in LEVELS} - {""}
    assert names <= {"'=2+2", "'@b", "'-c", "'+d", "'\te", "'\rf", "g", "'-h"}
    assert len(names) > 5
    assert all(row["candidates"].startswith(("'=2+2 > ", "'@b > ")) for row in rows if row["candidates"])
    assert all(float(row["confidence"]) > 0 for row in rows)


@pytest.mark.parametrize("cell", [-1, -1.5, 0, None, True, "", "a-1", "1-", " =1", "'=1"])
def test_other_cells_stay_as_they_are(cell):
    assert stream.escape(cell) is cell


@pytest.mark.parametrize("text", ["=", "=1", "+1", "-1", "@a", "\ta", "\ra", "\na", "=cmd|' /C calc'!A0", "＝1"])
def test_a_text_that_begins_like_a_formula_begins_with_a_quote_mark_then(text):
    assert stream.escape(text) == "'" + text


# Photos


def test_ready_vectors_go_by_the_rows(shop, new, tagged):
    features = shop / "build/tiny/image/features.npy"
    found, *_ = tagged(new, features=features)
    tagger = Tagger.load(shop / "build/tiny/tagger")
    tags = tagger.tag(Products.of(new["brand"].tolist(), new["description"].tolist(), np.load(features)))
    assert found["inputs"].tolist() == tags.sets
    whole = found["decision"].isin(["auto", "review"]).to_numpy()
    np.testing.assert_allclose(found["confidence"][whole], tags.confidence[whole, 2], atol=1e-4)


def test_vectors_that_do_not_fit_are_refused(shop, new, tagged, tmp_path):
    features = shop / "build/tiny/image/features.npy"
    with pytest.raises(StudyError, match=r"holds 240 rows, and the table 239"):
        tagged(new.iloc[1:], features=features)
    with pytest.raises(StudyError, match=r"holds 240 rows, and the table has more"):
        tagged(pd.concat([new, new]), features=features)
    with pytest.raises(StudyError, match=r"none may be lost"):
        tagged("product_id,brand,description\na,b,c,d\n", features=features)
    np.save(tmp_path / "newer.npy", np.zeros((240, 8)))
    with pytest.raises(StudyError, match=r"reads vectors of 256 numbers"):
        tagged(new, features=tmp_path / "newer.npy")
    np.save(tmp_path / "newest.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(StudyError, match="is not a NumPy array"):
        tagged(new, features=tmp_path / "newest.npy")


@pytest.fixture
def photos(tmp_path):
    """Return a folder and an archive with the same photos; one is broken."""
    content = {"0000000.jpg": made_tagger.photo(0), "0000001.jpg": made_tagger.photo(1), "0000002.jpg": b"no photo"}
    (tmp_path / "new photos").mkdir()
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for name, photo in content.items():
            (tmp_path / "new photos" / name).write_bytes(photo)
            archive.writestr(name, photo)
    return tmp_path / "new photos", tmp_path / "new.zip"


def test_a_broken_photo_costs_the_photo_and_not_the_product(new, tagged, photos):
    for place in photos:
        found, rejects, summary = tagged(new.head(4), images=place)
        assert ["image" in inputs for inputs in found["inputs"]] == [True, True, False, False]
        assert rejects["reason"].tolist() == ["photo: broken", "photo: not found"]
        assert summary.products == 4


def test_photos_outside_the_folder_are_not_read(new, tagged, photos):
    (photos[0].parent / "new outside.jpg").write_bytes(made_tagger.photo(3))
    _, rejects, _ = tagged(new.head(1).assign(image="../new outside.jpg"), images=photos[0])
    assert rejects["detail"].tolist() == ["'../new outside.jpg': outside the folder"]


def test_processes_give_the_vectors_that_one_gives_in_order(photos, shop):
    tagger = Tagger.load(shop / "build/tiny/tagger")
    network = photo_vectors.network_of(tagger.about.backbone, made_tagger.WEIGHTS, 0)
    names = [["0000000.jpg", None], ["0000001.jpg", "0000002.jpg"], ["0000001.jpg"]]
    chunks = [Chunk(list(map(str, part)), Products.of([], []), part, [], []) for part in names]
    found = list(photo_vectors.with_photos(iter(chunks), photos[1], network))
    expected = [vectors_of(open_photos(photos[0]), part, network.load()).features for part in names]
    np.testing.assert_array_equal(np.concatenate([chunk.products.image for chunk in found]), np.concatenate(expected))
    assert [[reject.reason for reject in chunk.rejects] for chunk in found] == [[], ["photo: broken"], []]


def test_other_weights_are_refused(new, tagged, photos, tmp_path):
    content = bytearray(made_tagger.WEIGHTS.read_bytes())
    content[-1] ^= 1
    (tmp_path / "new.safetensors").write_bytes(content)
    with pytest.raises(StudyError, match=r"holds other weights than those that this tagger's 'small_vgg' had"):
        tagged(new, images=photos[0], weights=tmp_path / "new.safetensors")


# The command


def test_the_command_says_what_it_did(shop, new, tmp_path, capsys):
    new.to_csv(tmp_path / "new.csv", index=False)
    assert tag.main(arguments(tmp_path / "new.csv", tmp_path / "out.csv")) == 0
    said = capsys.readouterr().out
    assert f"{len(new)} products in" in said
    assert "No photo was looked at" in said
    assert "Rejects: none" in said
    with (tmp_path / "out.csv").open() as file:
        assert sum(1 for _ in csv.reader(file)) == len(new) + 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--precision", "0.8"], "no thresholds for a precision of 0.8"),
        (["--column", "brnd=maker"], "There is no field 'brnd'. .* Did you mean 'brand'?"),
        (["--column", "brand"], "expects FIELD=COLUMN"),
        (["--without", "branding"], "There is no field 'branding'"),
        (["--images", "nowhere"], "There are no photos in nowhere"),
        (["-o", "out.xlsx"], "ends in .csv or .parquet"),
        (["-o", "new.csv/out.csv"], "Cannot write new.csv/out.rejects.csv: (Not a directory|File exists)"),
        (["-o", "n" * 300 + ".csv"], "Cannot write n+.csv: File name too long"),
        (["-o", "."], "expected a name that ends in .csv or .parquet"),
        (["--without", "product_id"], "--without product_id: every product needs an id"),
        (["--max-candidates", "0"], "--max-candidates: expected 1 or more. Got 0"),
        (["--images", "a", "--features", "b"], "one of the two"),
    ],
)
def test_an_error_is_one_message_and_nothing_is_written(shop, new, tmp_path, capsys, monkeypatch, more, message):
    new.to_csv(tmp_path / "new.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert tag.main(arguments("new.csv", "out.csv", *more)) == 1
    assert re.search(message, capsys.readouterr().err)
    assert files(tmp_path) == []


def test_a_missing_table_is_named_with_the_nearest(shop, new, tmp_path, capsys):
    new.to_csv(tmp_path / "new.csv", index=False)
    assert tag.main(arguments(tmp_path / "news.csv", tmp_path / "out.csv")) == 1
    assert "Did you mean 'new.csv'?" in capsys.readouterr().err


def test_a_tagger_without_thresholds_says_how_to_get_them(shop, new, tmp_path, capsys):
    tagger = Tagger.load(shop / "build/tiny/tagger")
    tagger.promises = None
    tagger.save(tmp_path / "tagger", "# A card\n")
    asked = ["new.csv", "--model", str(tmp_path / "tagger"), "--precision", "0.9", "-o", str(tmp_path / "out.csv")]
    assert tag.main(asked) == 1
    assert "dvc repro business@tiny" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["-o", "a.csv"], ["-o", "a.parquet"], ["--rejects", "a.csv"], ["-o", "link.csv"]])
def test_a_folder_is_never_taken_for_an_output(shop, new, tmp_path, capsys, monkeypatch, more):
    new.to_csv(tmp_path / "new.csv", index=False)
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("years of work")
    (tmp_path / "link.csv").symlink_to("a.csv")
    monkeypatch.chdir(tmp_path)
    assert tag.main(arguments("new.csv", "out.csv", *more)) == 1
    said = capsys.readouterr().err
    assert f"Cannot write {more[1]}: expected the name of a file, found a folder. It is left as it is." in said
    for name in ("a.csv", "a.parquet", "link.csv"):
        assert (tmp_path / name / "thesis.txt").read_text() == "years of work"
    assert files(tmp_path) == ["a.csv", "a.parquet", "link.csv"]


def test_a_disk_that_fills_up_with_the_last_byte_leaves_neither_table(shop, new, tmp_path, capsys, monkeypatch):
    new.to_csv(tmp_path / "new.csv", index=False)
    opened = stream.open_table

    @contextmanager
    def fill_up(path, suffix, columns, raw):
        with opened(path, suffix, columns, raw) as write:
            yield write
        if columns == stream.REJECT_COLUMNS:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stream, "open_table", fill_up)
    assert tag.main(arguments(tmp_path / "new.csv", tmp_path / "out.csv")) == 1
    assert "Cannot write" in (said := capsys.readouterr().err)
    assert "No space left on device" in said
    assert files(tmp_path) == []


def test_nothing_is_written_into_the_taggers_folder(shop, new, tmp_path, capsys):
    new.to_csv(tmp_path / "new.csv", index=False)
    assert tag.main(arguments(tmp_path / "new.csv", shop / "build/tiny/tagger/out.csv")) == 1
    assert "is the tagger's folder, which must stay as it is" in capsys.readouterr().err
    assert Tagger.load(shop / "build/tiny/tagger")


def test_the_table_is_not_overwritten(new, tagged):
    with pytest.raises(StudyError, match="three different files"):
        tagged(new, output="new.csv")


def test_stopping_leaves_nothing(shop, new, tmp_path, monkeypatch, capsys):
    new.to_csv(tmp_path / "new.csv", index=False)
    calls = itertools.count()

    def stop(self, products, hidden=()):
        if next(calls):
            raise KeyboardInterrupt
        return tagging(self, products, hidden)

    tagging = Tagger.tag
    monkeypatch.setattr(stream, "ROWS", 50)
    monkeypatch.setattr(Tagger, "tag", stop)
    assert tag.main(arguments(tmp_path / "new.csv", tmp_path / "out.csv")) == 130
    assert files(tmp_path) == []
    assert "Nothing is written" in capsys.readouterr().err
