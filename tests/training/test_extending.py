"""What CONTRIBUTING says of adding an input, a model and a recipe is all that it takes: a toy one of each is added."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml

PLACES = {
    "An input": {
        "lib/clean/clean.py": (
            "            **groups,",
            '            "colour": texts["text"].str.extract(r"\\b(red|blue|green)\\b", expand=False).fillna(""),',
        ),
        "lib/schemas.py": ('        "group": pa.Column', '        "colour": _text(),'),
        "lib/config/base.py": (', "image"]', ', "colour"'),
        "lib/models/inputs.py": (
            '    "brand": lambda text',
            '    "colour": lambda text, stop_words: Categories("colour"),',
        ),
    },
    "A model": {
        "lib/config/variants.py": (
            "Variant = Annotated[\n",
            'class LookupVariant(NetworkVariant):\n    """A toy."""\n\n    model: Literal["lookup"]\n\n\n',
        ),
        "lib/models/__init__.py": ('    "mlp": "lib', '    "lookup": "lib.models.lookup.Lookup",'),
    },
}
"""Heading in CONTRIBUTING -> file -> before what, and what is put there."""

LOOKUP = '''
import torch
from torch import nn

from lib.models.base import Network


class Lookup(Network):
    """A row of logits for each colour."""

    def __init__(self, settings, encoders):
        super().__init__(settings, encoders)
        self.table = nn.Embedding(len(encoders["colour"].values) + 1, sum(self.class_counts))

    def forward(self, batch):
        return list(torch.split(self.table(batch.columns["colour"]), self.class_counts, dim=1))
'''

PROGRAM = """
import json
import pandas as pd
from lib import config
from lib.clean.clean import clean
from lib.training import kept, stage
clean("tiny")
for name in ("colour", "lookup"):
    table = stage.train("tiny", [name], workers=0)
    right = table.query("metric == 'path' and measured_on == 'test' and decoding == 'independent'")["value"].item()
    before = kept.key_of(stage.plan("tiny", [name])[0].made_by)
    path = config.build_dir("tiny", "clean", "products.parquet")
    products = pd.read_parquet(path)
    products.assign(colour="grey").to_parquet(path)
    print(json.dumps([name, right, kept.key_of(stage.plan("tiny", [name])[0].made_by) != before]))
    products.to_parquet(path)
"""


@pytest.fixture
def project(tmp_path):
    """A copy of `lib` with a study of products of three colours, each of which is a category path."""
    shutil.copytree(tiny.REPOSITORY / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("catalogues", "build/tiny/raw"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "catalogues/tiny.yaml").write_text(yaml.safe_dump(tiny.catalogue(train_sizes=["all"])))
    rng, colours = np.random.default_rng(0), ["red", "blue", "green"]
    rows = [
        (f"p{n:03d}", "acme", f"thing {n}", f"{colours[n % 3]} {' '.join(rng.choice(list('abcdefgh'), 9))}")
        for n in range(90)
    ]
    raw = pd.DataFrame(rows, columns=["product_id", "brand", "title", "description"], dtype="str")
    raw = raw.assign(**{f"level_{i}": [f"{'XYZ'[n % 3]}{i}" for n in range(90)] for i in (1, 2, 3)})
    raw = raw.assign(image=pd.Series([None] * 90, dtype="str"), part="", model="").astype("str")
    raw.to_parquet(tmp_path / "build/tiny/raw/products.parquet")
    zipfile.ZipFile(tmp_path / "build/tiny/raw/images.zip", "w").close()
    return tmp_path


def test_an_input_a_model_and_a_recipe_are_added_in_the_places_that_contributing_names(project):
    contributing = (tiny.REPOSITORY / "CONTRIBUTING.md").read_text()
    for heading, places in PLACES.items():
        paragraph = re.search(rf"\*\*{heading}\.\*\*.*?(?=\n\*\*|\n## )", contributing, re.DOTALL)
        assert set(re.findall(r"`(lib/\w+(?:/\w+)?\.py)`", paragraph[0])) == set(places), heading
        for file, (before, added) in places.items():
            source = (project / file).read_text()
            assert before in source, file
            glue = "" if before[0] in ",V" else "\n"
            (project / file).write_text(source.replace(before, f"{added}{glue}{before}", 1))
    variants = project / "lib/config/variants.py"
    variants.write_text(
        variants.read_text().replace("Variant = Annotated[\n", "Variant = Annotated[\n    LookupVariant |\n")
    )
    (project / "lib/models/lookup.py").write_text(LOOKUP)
    content = tiny.params()
    content["variants"] |= {
        "colour": {"model": "mlp", "inputs": ["colour"], "hidden_layers": 1, "hidden_size": 8},
        "lookup": {"model": "lookup", "inputs": ["colour"]},
    }
    content["recipes"]["long"] = {"base": "tuned", "epochs": 40, "lr": 0.1}
    line = {"recipes": ["long"], "text": "masked", "splits": ["random"], "train_sizes": "largest", "seeds": 1}
    content["runs"] = {"core": [line | {"variants": ["colour", "lookup"]}]}
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "STUDY_CACHE")}
    environment |= {"STUDY_ROOT": str(project), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")] == [
        ["colour", 1.0, True],
        ["lookup", 1.0, True],
    ]
